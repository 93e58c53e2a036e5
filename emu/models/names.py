"""Where each graph weight lies in a Hugging Face checkpoint."""
from __future__ import annotations

import re
from dataclasses import dataclass

from emu.models.config import ModelConfig
from emu.models.graph import Tensor

_Modules = dict[str, tuple[str, ...]]
# graph name -> modules of the checkpoint, joined along their outputs. {i} is the layer.
_LLAMA: _Modules = {
    "embed.token": ("embed_tokens",), "final_norm": ("norm",), "logits": ("lm_head",),
    "attn_norm": ("layers.{i}.input_layernorm",), "ffn_norm": ("layers.{i}.post_attention_layernorm",),
    "qkv": ("layers.{i}.self_attn.q_proj", "layers.{i}.self_attn.k_proj", "layers.{i}.self_attn.v_proj"),
    "attn_out": ("layers.{i}.self_attn.o_proj",), "gate": ("layers.{i}.mlp.gate_proj",), "up": ("layers.{i}.mlp.up_proj",),
    "down": ("layers.{i}.mlp.down_proj",),
}
_GPT2: _Modules = {
    "embed.token": ("wte",), "embed.position": ("wpe",), "final_norm": ("ln_f",), "logits": ("lm_head",),
    "attn_norm": ("h.{i}.ln_1",), "ffn_norm": ("h.{i}.ln_2",), "qkv": ("h.{i}.attn.c_attn",), "attn_out": ("h.{i}.attn.c_proj",),
    "up": ("h.{i}.mlp.c_fc",), "down": ("h.{i}.mlp.c_proj",),
}
_SELF, _OUT = "encoder.layer.{i}.attention.self", "encoder.layer.{i}.attention.output"
_BERT: _Modules = {
    "embed.token": ("embeddings.word_embeddings",), "embed.position": ("embeddings.position_embeddings",),
    "embed.type": ("embeddings.token_type_embeddings",), "embed_norm": ("embeddings.LayerNorm",),
    "qkv": (f"{_SELF}.query", f"{_SELF}.key", f"{_SELF}.value"), "attn_out": (f"{_OUT}.dense",), "attn_norm": (f"{_OUT}.LayerNorm",),
    "up": ("encoder.layer.{i}.intermediate.dense",), "down": ("encoder.layer.{i}.output.dense",),
    "ffn_norm": ("encoder.layer.{i}.output.LayerNorm",),
}
_MODULES: dict[str, _Modules] = {"llama": _LLAMA, "mistral": _LLAMA, "gpt2": _GPT2, "bert": _BERT}
# A checkpoint saved from the model with a head carries this prefix on all but the head.
PREFIX = {"llama": "model.", "mistral": "model.", "gpt2": "transformer.", "bert": "bert."}
# What a checkpoint may hold beyond the graph: constants that code recomputes, and heads for other tasks.
_SPARE = re.compile(
    r"(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq|h\.\d+\.attn\.(masked_)?bias|embeddings\.position_ids|pooler\.dense\.(weight|bias)|cls\..*")
_PART = {"gamma": "weight", "beta": "bias", "weight": "weight", "bias": "bias"}


@dataclass(frozen=True, slots=True)
class Source:
    """`names` in the checkpoint with `shapes` there; `transposed` says that these are [out, in]."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    transposed: bool


def source(config: ModelConfig, tensor: Tensor, layer: int | None) -> Source:
    """Where a tensor of the graph comes from. Names are without prefix."""
    base, part = (tensor.name, "weight") if tensor.name.startswith("embed.") else tensor.name.rsplit(".", 1)
    modules = _MODULES[config.family][base]
    names = tuple(f"{module.format(i=layer)}.{_PART[part]}" for module in modules)
    # GPT-2 stores its matrices [in, out] ("Conv1D"), but not a head of its own; embeddings are [rows, width] everywhere.
    transposed = tensor.name.endswith(".weight") and (config.family != "gpt2" or base == "logits")
    widths = (config.q_width, config.kv_width, config.kv_width) if len(modules) == 3 else (tensor.shape[-1],)
    shapes = tuple((*tensor.shape[:-1], width) for width in widths)
    return Source(names, tuple(shape[::-1] for shape in shapes) if transposed else shapes, transposed)


def plain_name(config: ModelConfig, name: str) -> str:
    """A checkpoint's name without the prefix, and with the norm parameters of old BERT files (gamma, beta) called as today."""
    name = name.removeprefix(PREFIX[config.family])
    if config.family == "bert":
        name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name))
    return name


def is_spare(config: ModelConfig, name: str) -> bool:
    return bool(_SPARE.fullmatch(name)) or (config.tied and name == "lm_head.weight")
