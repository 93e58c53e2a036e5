"""The weight tensors of a model: the one list that graphs, parameter counts and the loader share."""
from __future__ import annotations

from dataclasses import dataclass

from emu.models.config import ModelConfig
from emu.models.graph import Tensor


@dataclass(frozen=True, slots=True)
class WeightFormats:
    """`gemm` of matrices, `wide` of everything around them."""

    gemm: str
    wide: str


def weight_tensors(config: ModelConfig, formats: WeightFormats) -> tuple[Tensor, ...]:
    """Gemm weights are [in, out]; the fused qkv weight holds the columns of q, then k, then v."""
    return (*_outer(config, formats), *_layer(config, formats))


def param_count(config: ModelConfig) -> int:
    tensors = weight_tensors(config, WeightFormats("bf16", "bf16"))
    return sum(tensor.elements * (config.layers if tensor.per_layer else 1) for tensor in tensors) + config.pooler_params


def _norm(config: ModelConfig, name: str, formats: WeightFormats, per_layer: bool) -> list[Tensor]:
    parts = ("gamma", "beta") if config.norm == "layer" else ("gamma",)
    return [Tensor(f"{name}.{part}", (config.hidden,), formats.wide, "weight", per_layer) for part in parts]


def _outer(config: ModelConfig, formats: WeightFormats) -> list[Tensor]:
    tables = {"token": config.vocab}
    if config.positions == "learned":
        tables["position"] = config.max_positions
    if config.type_vocab:
        tables["type"] = config.type_vocab
    result = [Tensor(f"embed.{name}", (rows, config.hidden), formats.wide, "weight") for name, rows in tables.items()]
    result += _norm(config, "final_norm" if config.norm_first else "embed_norm", formats, False)
    if config.kind == "decoder" and not config.tied:
        result.append(Tensor("logits.weight", (config.hidden, config.vocab), formats.gemm, "weight"))
    return result


def _layer(config: ModelConfig, formats: WeightFormats) -> list[Tensor]:
    def matrix(name: str, rows: int, columns: int, bias: bool) -> list[Tensor]:
        weight = Tensor(f"{name}.weight", (rows, columns), formats.gemm, "weight", True)
        return [weight] + ([Tensor(f"{name}.bias", (columns,), formats.wide, "weight", True)] if bias else [])

    hidden, ffn = config.hidden, config.ffn
    result = [*_norm(config, "attn_norm", formats, True), *matrix("qkv", hidden, config.qkv_width, config.qkv_bias)]
    result += matrix("attn_out", config.q_width, hidden, config.out_bias)
    result += _norm(config, "ffn_norm", formats, True)
    for name in ("gate", "up") if config.activation == "swiglu" else ("up",):
        result += matrix(name, hidden, ffn, config.ffn_bias)
    return result + matrix("down", ffn, hidden, config.ffn_bias)
