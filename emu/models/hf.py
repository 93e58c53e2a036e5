"""Hugging Face config.json -> ModelConfig. `auto_map` (a stranger's code) is never looked at; what is not understood is refused by name."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from emu.models.config import Activation, ModelConfig, RopeScaling
from emu.models.fields import Fields

_GATED: dict[str, Activation] = {"silu": "swiglu", "swish": "swiglu"}
_GELU: dict[str, Activation] = {
    "gelu": "gelu_erf", "gelu_python": "gelu_erf",
    "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu_python_tanh": "gelu_tanh",
}
# Keys that change the arithmetic and that no family here has: key -> values that mean "off".
_FOREIGN: dict[str, tuple[Any, ...]] = {
    "quantization_config": (None,), "num_local_experts": (None, 0, 1), "num_experts": (None, 0, 1), "n_routed_experts": (None, 0),
    "alibi": (None, False), "is_encoder_decoder": (None, False), "add_cross_attention": (None, False), "is_decoder": (None, False),
    "attn_logit_softcapping": (None,), "final_logit_softcapping": (None,), "kv_lora_rank": (None,), "use_qk_norm": (None, False),
    "scale_attn_by_inverse_layer_idx": (None, False), "scale_attn_weights": (None, True), "parallel_attn": (None, False),
    "cross_attention_hidden_size": (None,), "partial_rotary_factor": (None, 1, 1.0),
}
# A decoder configured as such is no news: `is_decoder` matters to encoders only.
_DECODERS = ("llama", "mistral", "gpt2")


def parse_config(data: Mapping[str, Any], name: str, where: str, normalize: bool | None = None) -> ModelConfig:
    fields = Fields(where, data)
    family = fields.word("model_type")
    if family not in _FAMILIES:
        raise fields.unsupported("model_type", family, sorted(_FAMILIES))
    for key, off in _FOREIGN.items():
        if key == "is_decoder" and family in _DECODERS:
            continue
        value = data.get(key)
        if not any(value is accepted or (type(value) is type(accepted) and value == accepted) for accepted in off):
            raise fields.unsupported(key, value, f"a {family} model here is dense, unquantised and plain")
    return _FAMILIES[family](fields, name, bool(normalize))


def _llama(fields: Fields, name: str, normalize: bool) -> ModelConfig:
    hidden = fields.integer("hidden_size")
    heads = fields.integer("num_attention_heads")
    kv_heads = fields.integer("num_key_value_heads", default=8 if fields.data["model_type"] == "mistral" else heads)
    head_dim = fields.optional_integer("head_dim") or _divide(fields, "hidden_size", hidden, "num_attention_heads", heads)
    _divide(fields, "num_attention_heads", heads, "num_key_value_heads", kv_heads)
    if head_dim % 2:
        raise fields.bad("head_dim", head_dim, "an even number, since rotary positions turn pairs")
    theta, scaling = _rope(fields)
    bias = fields.flag("attention_bias")
    return ModelConfig(
        name=name, family=str(fields.data["model_type"]), kind="decoder", hidden=hidden, layers=_layers(fields, "num_hidden_layers"),
        q_heads=heads, kv_heads=kv_heads, head_dim=head_dim, ffn=fields.integer("intermediate_size"), vocab=fields.integer("vocab_size"),
        max_positions=fields.integer("max_position_embeddings"), norm="rms", norm_eps=fields.number("rms_norm_eps", default=1e-6, high=1.0),
        norm_first=True, activation=fields.choice("hidden_act", _GATED, default="silu"), positions="rope", rope_theta=theta,
        rope_scaling=scaling, qkv_bias=bias, out_bias=bias, ffn_bias=fields.flag("mlp_bias"), tied=fields.flag("tie_word_embeddings"),
        window=_window(fields),
    )


def _window(fields: Fields) -> int | None:
    """Only Mistral's window covers every layer; other families that carry the key use it on some layers, or behind a switch."""
    window = fields.optional_integer("sliding_window")
    if window is not None and fields.data["model_type"] != "mistral":
        raise fields.unsupported("sliding_window", window, "only mistral has one on every layer")
    kinds = fields.data.get("layer_types")
    alike = "full_attention" if window is None else "sliding_attention"
    if kinds is not None and (not isinstance(kinds, list) or any(kind != alike for kind in kinds)):
        raise fields.unsupported("layer_types", kinds, f"all layers are {alike} here")
    return window


def _rope(fields: Fields) -> tuple[float, RopeScaling | None]:
    """`rope_theta` and `rope_scaling`, or the single `rope_parameters` table of newer files."""
    table = fields.table("rope_parameters")
    theta = (table or fields).number("rope_theta", default=fields.data.get("rope_theta") or 10000.0)
    table = table or fields.table("rope_scaling")
    if table is None:
        return theta, None
    kind = table.word("rope_type", "type", default="default")
    if kind == "default":
        return theta, None
    if kind == "linear":
        return theta, RopeScaling("linear", table.number("factor"))
    if kind != "llama3":
        raise table.unsupported("rope_type", kind, ["default", "linear", "llama3"])
    low, high = table.number("low_freq_factor"), table.number("high_freq_factor")
    if high <= low:
        raise table.bad("high_freq_factor", high, f"more than low_freq_factor = {low:g}")
    return theta, RopeScaling("llama3", table.number("factor"), low, high, table.integer("original_max_position_embeddings"))


def _gpt2(fields: Fields, name: str, normalize: bool) -> ModelConfig:
    hidden = fields.integer("n_embd", "hidden_size")
    heads = fields.integer("n_head", "num_attention_heads")
    return ModelConfig(
        name=name, family="gpt2", kind="decoder", hidden=hidden, layers=_layers(fields, "n_layer", "num_hidden_layers"),
        q_heads=heads, kv_heads=heads, head_dim=_divide(fields, "n_embd", hidden, "n_head", heads),
        ffn=fields.integer("n_inner", default=4 * hidden),
        vocab=fields.integer("vocab_size"), max_positions=fields.integer("n_positions", "n_ctx", "max_position_embeddings"), norm="layer",
        norm_eps=fields.number("layer_norm_epsilon", default=1e-5, high=1.0), norm_first=True,
        activation=fields.choice("activation_function", _GELU, default="gelu_new"), positions="learned", qkv_bias=True, out_bias=True,
        ffn_bias=True, tied=fields.flag("tie_word_embeddings", True),
    )


def _bert(fields: Fields, name: str, normalize: bool) -> ModelConfig:
    hidden = fields.integer("hidden_size")
    heads = fields.integer("num_attention_heads")
    kind = fields.word("position_embedding_type", default="absolute")
    if kind != "absolute":
        raise fields.unsupported("position_embedding_type", kind, ["absolute"])
    return ModelConfig(
        name=name, family="bert", kind="encoder", hidden=hidden, layers=_layers(fields, "num_hidden_layers"),
        q_heads=heads, kv_heads=heads, head_dim=_divide(fields, "hidden_size", hidden, "num_attention_heads", heads),
        ffn=fields.integer("intermediate_size"), vocab=fields.integer("vocab_size"),
        max_positions=fields.integer("max_position_embeddings"), norm="layer",
        norm_eps=fields.number("layer_norm_eps", default=1e-12, high=1.0), norm_first=False,
        activation=fields.choice("hidden_act", _GELU, default="gelu"), positions="learned", qkv_bias=True, out_bias=True, ffn_bias=True,
        type_vocab=fields.integer("type_vocab_size", default=2), pooler_params=hidden * hidden + hidden, normalize=normalize,
    )


def _layers(fields: Fields, *keys: str) -> int:
    return fields.integer(*keys, high=4096)


def _divide(fields: Fields, whole_key: str, whole: int, part_key: str, part: int) -> int:
    if whole % part:
        raise fields.bad(part_key, part, f"a divisor of {whole_key} = {whole}")
    return whole // part


_FAMILIES: dict[str, Callable[[Fields, str, bool], ModelConfig]] = {"llama": _llama, "mistral": _llama, "gpt2": _gpt2, "bert": _bert}
FAMILIES = tuple(_FAMILIES)
