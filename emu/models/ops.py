"""The operations of a transformer. An op names its tensors and its dimensions; how it is tiled and scheduled is the mapper's business.

`flops` are useful FLOP of the matrix engine: two per multiply-accumulate that the mathematics asks for (masked scores are not
counted, vector work is none). The byte figures are set by `emu.models.traffic`, for lower bounds:
`compulsory_bytes` inside a whole pass: what is not on the chip when the pass starts (weights, earlier keys and values) or must be in
memory when it ends (new keys and values, results); activations handed from op to op are free.
`operand_bytes` of the op alone: every operand read once and every result written once.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True, kw_only=True)
class Op:
    kind: ClassVar[str]
    name: str
    compulsory_bytes: int = 0
    operand_bytes: int = 0

    @property
    def flops(self) -> int:
        return 0

    @property
    def inputs(self) -> tuple[str, ...]:
        """Tensors read, weights and tables included."""
        raise NotImplementedError

    @property
    def outputs(self) -> tuple[str, ...]:
        raise NotImplementedError


def _some(*names: str | None) -> tuple[str, ...]:
    return tuple(name for name in names if name is not None)


@dataclass(frozen=True, kw_only=True)
class Embed(Op):
    """output[r] = sum over tables t of t[index of t [r]]."""

    kind: ClassVar[str] = "embed"
    rows: int
    width: int
    tables: tuple[str, ...]  # token[, position[, type]]
    indices: tuple[str, ...]  # one int32 tensor [rows] per table
    output: str

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.indices + self.tables

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.output,)


@dataclass(frozen=True, kw_only=True)
class Norm(Op):
    """rms: x / sqrt(mean x^2 + eps) * gamma; layer: (x - mean) / sqrt(var + eps) * gamma + beta. `wide` is a second copy of the result
    in the residual's format, present where a post-norm feeds both a narrow gemm and the residual stream."""

    kind: ClassVar[str] = "norm"
    norm: Literal["rms", "layer"]
    rows: int
    width: int
    eps: float
    gamma: str
    beta: str | None
    input: str
    output: str
    wide: str | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        return _some(self.input, self.gamma, self.beta)

    @property
    def outputs(self) -> tuple[str, ...]:
        return _some(self.output, self.wide)


@dataclass(frozen=True, kw_only=True)
class Gemm(Op):
    """output[m, n] = activation(input[m, k] @ weight[k, n] + bias) + residual. With swiglu there are two weights, gate and up:
    silu(input @ gate + bias0) * (input @ up + bias1). With `bt` the weight is stored [n, k] (the tied embedding).

    Quantised operands: `input_scales` [m, blocks] and `weight_scales` [blocks, n], one for each weight, of blocks of k; products are
    multiplied by `columns` [n], one for each weight, and by `rows` [m, 1]."""

    kind: ClassVar[str] = "gemm"
    m: int
    n: int
    k: int
    weights: tuple[str, ...]
    biases: tuple[str, ...] = ()
    activation: Literal["none", "gelu_erf", "gelu_tanh", "swiglu"] = "none"
    residual: str | None = None
    input: str
    output: str
    out_fmt: str
    bt: bool = False
    input_scales: str | None = None
    weight_scales: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    rows: str | None = None

    @property
    def flops(self) -> int:
        return 2 * self.m * self.n * self.k * len(self.weights)

    @property
    def inputs(self) -> tuple[str, ...]:
        scales = (*self.weight_scales, *self.columns, *_some(self.input_scales, self.rows))
        return (self.input, *self.weights, *self.biases, *_some(self.residual), *scales)

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.output,)


@dataclass(frozen=True, kw_only=True)
class Quantize(Op):
    """output [rows, width]: the elements of input in output's format, whose blocks have `scales` [rows, blocks], after a division by the
    scale of each row, which goes to `factor` [rows, 1], or by `fixed` [1, 1]."""

    kind: ClassVar[str] = "quantize"
    rows: int
    width: int
    input: str
    output: str
    scales: str | None = None
    factor: str | None = None
    fixed: str | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        return _some(self.input, self.fixed)

    @property
    def outputs(self) -> tuple[str, ...]:
        return _some(self.output, self.scales, self.factor)


@dataclass(frozen=True, kw_only=True)
class RopeAppend(Op):
    """Splits the columns of qkv [batch*q_len, (q_heads + 2 kv_heads) * head_dim]: q goes to q [batch*q_len, q_heads*head_dim], k and v
    go to rows `start`... of the caches [batch, kv_heads, tokens, head_dim]. With tables, q and k of position p are turned first, halves as
    in Llama: (x1, x2) -> (x1 cos[p] - x2 sin[p], x2 cos[p] + x1 sin[p]), x1 the first head_dim/2 elements of a head."""

    kind: ClassVar[str] = "rope_append"
    batch: int
    q_len: int
    q_heads: int
    kv_heads: int
    head_dim: int
    start: int  # tokens already in the cache = position of the first new token
    tables: tuple[str, str] | None  # cos, sin: fp32 [tokens, head_dim/2]
    input: str
    q: str
    k_cache: str
    v_cache: str

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.input, *(self.tables or ()))

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.q, self.k_cache, self.v_cache)


@dataclass(frozen=True, kw_only=True)
class Attention(Op):
    """output[b, i, h] = softmax(scale * q[b, i, h] . k[b, h // group, :]) v. Query i stands at position p = kv_len - q_len + i; it sees
    keys j < kv_len, with `causal` only j <= p, with a window (which implies causal) only j > p - window."""

    kind: ClassVar[str] = "attention"
    phase: Literal["prefill", "decode", "encode"]
    batch: int
    q_heads: int
    kv_heads: int
    head_dim: int
    q_len: int
    kv_len: int
    causal: bool
    window: int | None
    scale: float
    q: str
    k_cache: str
    v_cache: str
    output: str

    @property
    def start(self) -> int:
        return self.kv_len - self.q_len

    @property
    def pairs(self) -> int:
        """(query, key) pairs that are kept, per sequence and head."""
        if not self.causal:
            return self.q_len * self.kv_len
        window = self.window or self.kv_len
        return _ramp(self.kv_len, window) - _ramp(self.start, window)

    @property
    def first_key(self) -> int:
        """Keys before this one are seen by no query of this pass."""
        return 0 if self.window is None else max(0, self.start - self.window + 1)

    @property
    def flops(self) -> int:
        return 4 * self.batch * self.q_heads * self.head_dim * self.pairs

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.q, self.k_cache, self.v_cache)

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.output,)


def _ramp(n: int, window: int) -> int:
    """sum over p < n of min(p + 1, window)."""
    short = min(n, window)
    return short * (short + 1) // 2 + (n - short) * window


@dataclass(frozen=True, kw_only=True)
class TakeLast(Op):
    """output[b] = input[b * q_len + q_len - 1]: only the last token of each sequence goes on to the logits."""

    kind: ClassVar[str] = "take_last"
    batch: int
    q_len: int
    width: int
    input: str
    output: str

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.input,)

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.output,)


@dataclass(frozen=True, kw_only=True)
class Pool(Op):
    """output[b] = mean over a sequence's tokens, then, with `normalize`, divided by max(its length, eps)."""

    kind: ClassVar[str] = "pool"
    batch: int
    tokens: int
    width: int
    normalize: bool
    eps: float
    input: str
    output: str

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.input,)

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.output,)
