"""The weight tensors of a model: the one list that graphs, parameter counts and the loader share."""
from __future__ import annotations

from dataclasses import dataclass

from emu.models.config import ModelConfig
from emu.models.graph import Tensor
from emu.models.schemes import Scheme, Side


@dataclass(frozen=True, slots=True)
class WeightFormats:
    """`gemm` of matrices, `wide` of everything around them. Of quantised matrices (`side`, with scales): those of the layers; `fixed`: the
    factors of activations are tensors, too."""

    gemm: str
    wide: str
    side: Side | None = None
    fixed: bool = False

    @classmethod
    def of(cls, scheme: Scheme) -> WeightFormats:
        if scheme.plain:
            return cls(scheme.weights.fmt, scheme.wide)
        return cls(scheme.wide, scheme.wide, scheme.weights, scheme.activations.factor and scheme.how == "static")


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
        side = formats.side or Side(formats.gemm)
        found = [Tensor(f"{name}.weight", (rows, columns), side.fmt, "weight", True)]
        if side.block:
            found.append(Tensor(f"{name}.scales", (-(-rows // side.block), columns), side.scale_fmt, "weight", True))
        if side.factor:
            found.append(Tensor(f"{name}.columns", (columns,), "fp32", "weight", True))
        return found + ([Tensor(f"{name}.bias", (columns,), formats.wide, "weight", True)] if bias else [])

    def fixed(*names: str) -> list[Tensor]:
        return [Tensor(f"{name}.fixed", (1, 1), "fp32", "weight", True) for name in names if formats.fixed]

    hidden, ffn = config.hidden, config.ffn
    gates = ("gate", "up") if config.activation == "swiglu" else ("up",)
    result = [*_norm(config, "attn_norm", formats, True), *matrix("qkv", hidden, config.qkv_width, config.qkv_bias)]
    result += matrix("attn_out", config.q_width, hidden, config.out_bias)
    result += _norm(config, "ffn_norm", formats, True)
    for name in gates:
        result += matrix(name, hidden, ffn, config.ffn_bias)
    return result + matrix("down", ffn, hidden, config.ffn_bias) + fixed("qkv", "attn_out", "_".join(gates), "down")
