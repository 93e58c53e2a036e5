"""Transformers as op graphs; Hugging Face config.json in, safetensors weights in.

`models()` lists the presets, `model(name)` and `load_model(path)` give a `Model`; `Model.graph(...)` gives the ops of one pass.
Weights, tokenizer and the fp32 reference live in `emu.models.weights`, `.tokenize` and `.reference`; only who needs them imports them.
"""
from emu.models.config import ModelConfig
from emu.models.graph import Graph, Tensor
from emu.models.ops import Attention, Embed, Gemm, Norm, Op, Pool, Quantize, RopeAppend, TakeLast
from emu.models.traffic import with_bytes
from emu.models.zoo import Model, load_model, model, models

__all__ = [
    "Attention", "Embed", "Gemm", "Graph", "Model", "ModelConfig", "Norm", "Op", "Pool", "Quantize", "RopeAppend", "TakeLast", "Tensor",
    "load_model", "model", "models", "with_bytes",
]
