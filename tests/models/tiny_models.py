"""Small checkpoints in Hugging Face form, the same on every machine: each tensor is drawn from the CRC of its own name."""
from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from emu.models import Model, load_model
from emu.models.names import source
from emu.models.tensors import WeightFormats, weight_tensors

LLAMA: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 10,
    "intermediate_size": 56, "vocab_size": 89, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
}
BERT: dict[str, Any] = {
    "model_type": "bert", "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 40, "vocab_size": 61,
    "max_position_embeddings": 32, "type_vocab_size": 2, "hidden_act": "gelu",
}
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": LLAMA,
    "llama-biased": LLAMA | {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    "llama-3.1": LLAMA | {"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                           "original_max_position_embeddings": 16}},
    "llama-linear": LLAMA | {"rope_scaling": {"type": "linear", "factor": 2.0}},
    "mistral": LLAMA | {"model_type": "mistral", "sliding_window": 4},
    "gpt2": {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 48, "vocab_size": 83},
    "bert": BERT,
}
TOKENS = np.array([[3, 17, 58, 2, 44, 9, 31], [60, 1, 5, 5, 22, 40, 12]])


def checkpoint(model: Model) -> dict[str, np.ndarray]:
    """Every tensor under its name in the checkpoint, without prefix."""
    result = {}
    for tensor in weight_tensors(model.config, WeightFormats("fp32", "fp32")):
        for layer in range(model.config.layers) if tensor.per_layer else (None,):
            origin = source(model.config, tensor, layer)
            for name, shape in zip(origin.names, origin.shapes):
                values = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape, dtype=np.float32) / 4
                result[name] = values + 1 if tensor.name.endswith(".gamma") else values
    return result


def folder(place: Path, kind: str) -> Path:
    """A folder with config.json and model.safetensors of the named kind."""
    place.mkdir(parents=True, exist_ok=True)
    (place / "config.json").write_text(json.dumps(CONFIGS[kind]))
    save_file(checkpoint(load_model(place)), place / "model.safetensors")
    return place
