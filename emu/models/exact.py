"""The graphs as a chip computes them, bit for bit, in NumPy: every rounding and every order of addition, no instruction and no tile of a
matrix. What is told of the mapping is what a sum depends on: where a chip cuts k, and where attention cuts its keys.

It shares nothing with the kernel language, and with the compiled core only how weights are quantised (`emu.num`, before anything runs):
elementwise operations and products are those of `isa.oracle`."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import pi, sqrt
from typing import Any

import numpy as np

from emu.models.graph import Graph, Phase, Tensor
from emu.models.ops import Attention, Embed, Gemm, Norm, Op, Pool, Quantize, RopeAppend, TakeLast
from emu.models.quantize import Factors, weights_for
from emu.models.reference import Arrays, Reference
from emu.models.weights import Weights
from emu.models.zoo import Model
from isa.oracle import vec
from isa.oracle.formats import dtype as storage
from isa.oracle.mm import Accumulate, mm
from isa.tables import load

A = np.ndarray
LOWEST = -1e30
LARGEST = {"fp8_e4m3": 448.0, "fp8_e5m2": 57344.0, "int8": 127.0, "fp4_e2m1": 6.0}
EMAX = {"fp8_e4m3": 8, "fp8_e5m2": 15, "fp6_e2m3": 2, "fp6_e3m2": 4, "fp4_e2m1": 2}
_CONVERTING = ("vmov", "vadd", "vsub", "vmul", "vdiv")


@dataclass(frozen=True)
class Keys:
    """Where attention cuts its keys: tiles of `tile`; decode may divide them into `parts`, (first tile, tiles) each, that are merged."""

    tile: int
    parts: Sequence[tuple[int, int]] = ()


@dataclass(frozen=True)
class Numerics:
    """What the bits of a pass depend on besides the graph: the matrix engine's rule, the longest k of its instructions, the keys of each
    attention by name, and the tokens that pooling adds at a time."""

    accumulate: Accumulate
    max_k: int
    keys: Mapping[str, Keys] = field(default_factory=dict)
    pooled: int = 64


def _do(mnemonic: str, fmt: str, *sources: A | float) -> A:
    """One vector instruction; a float is its immediate. 8-bit floats saturate, as kernels ask for."""
    arrays = [source for source in sources if not isinstance(source, float)]
    bits = next((struct.unpack("<I", struct.pack("<f", source))[0] for source in sources if isinstance(source, float)), 0)
    sat = fmt.startswith("fp8") and mnemonic in _CONVERTING
    return vec.compute(mnemonic, fmt, arrays, sat=sat, scalar=bits)


def _f(mnemonic: str, *sources: A | float) -> A:
    return _do(mnemonic, "fp32", *sources)


@dataclass(frozen=True)
class Operand:
    """Elements [m, k] or [k, n] in a format, and the scales of their blocks of k."""

    values: A
    fmt: str
    scales: A | None = None
    block: int = 0

    def part(self, first: int, end: int, axis: int) -> tuple[A, A | None]:
        """Elements first .. end of k, which is `axis`, and their scales."""
        taken: list[Any] = [slice(None)] * 2
        taken[axis] = slice(first, end)
        elements = self.values[tuple(taken)]
        if self.scales is None:
            return elements, None
        taken[axis] = slice(first // self.block, -(-end // self.block))
        return elements, self.scales[tuple(taken)]


def product(a: Operand, b: Operand, how: Numerics) -> A:
    """a [m, k] @ b [k, n], instruction after instruction along k."""
    acc_fmt = "int32" if a.fmt == "int8" else "fp32"
    acc: A | None = None
    for first in range(0, a.values.shape[1], how.max_k):
        end = min(first + how.max_k, a.values.shape[1])
        (x, x_scales), (w, w_scales) = a.part(first, end, 1), b.part(first, end, 0)
        acc = mm(acc, x, w, (acc_fmt, a.fmt, b.fmt), False, how.accumulate, x_scales, w_scales, a.block or b.block)
    assert acc is not None
    return acc


class Exact(Reference):
    """As `Reference`, with the bits that the machine computes. `numerics` says what the bits of a pass depend on.

    Weights are quantised as `emu.models.quantize` does it; `fixed` are the factors of static scales."""

    def __init__(
        self, model: Model, weights: Weights, numerics: Callable[[Graph], Numerics], dtype: str = "bf16", kv_dtype: str | None = None,
        scales: str | None = None, fixed: Factors | None = None,
    ) -> None:
        super().__init__(model, weights)
        self._asked = dtype, kv_dtype, scales
        self.numerics, self._fixed, self._plain = numerics, fixed, weights
        self._how: tuple[Graph, Numerics] | None = None

    def caches(self, name: str) -> list[A]:
        """The cache of every layer, [batch, heads, tokens, dim]."""
        return [layer[name] for layer in self._caches]

    def _graph(self, phase: Phase, batch: int, length: int, filled: int, room: int) -> Graph:
        dtype, kv_dtype, scales = self._asked
        graph = self.model.graph(phase, batch, length, filled, dtype, kv_dtype, room, scales)
        self._weights = weights_for(graph, self._plain, self._fixed)
        return graph

    def _nothing(self, shape: tuple[int, ...], fmt: str) -> A:
        return np.zeros(shape, storage(fmt))

    def _weight(self, tensor: Tensor, layer: int | None) -> A:
        return super()._weight(tensor, layer).astype(storage(tensor.fmt))

    def _compute(self, op: Op, graph: Graph, values: Arrays) -> None:
        if self._how is None or self._how[0] is not graph:
            self._how = graph, self.numerics(graph)
        _COMPUTE[type(op)](op, graph, values, self._how[1])


def _embed(op: Embed, graph: Graph, values: Arrays, how: Numerics) -> None:
    rows = [values[table][values[index]] for table, index in zip(op.tables, op.indices)]
    fmt = graph.tensors[op.output].fmt
    total = rows[0]
    for n, row in enumerate(rows[1:], 1):
        total = _do("vadd", fmt if n == len(rows) - 1 else "fp32", total, row)
    values[op.output] = total if len(rows) > 1 else _do("vmov", fmt, total)


def _norm(op: Norm, graph: Graph, values: Arrays, how: Numerics) -> None:
    x, fmt, share = values[op.input], graph.tensors[op.output].fmt, 1 / op.width
    if op.norm == "layer":
        x = _f("vsub", x, _f("vmul", _f("vrsum", x), share))
    square = _f("vmul", _f("vrsum", _f("vmul", x, x)), share)
    wide = _f("vmul", x, _f("vrsqrt", _f("vadd", square, op.eps)))
    scaled = _do("vmul", fmt if op.beta is None else "fp32", wide, values[op.gamma])
    values[op.output] = scaled if op.beta is None else _do("vadd", fmt, scaled, values[op.beta])


def _quantize(op: Quantize, graph: Graph, values: Arrays, how: Numerics) -> None:
    x, fmt = values[op.input], graph.tensors[op.output].fmt
    scale_fmt = graph.tensors[op.scales].fmt if op.scales else ""
    factor = values[op.fixed] if op.fixed else None
    if op.factor:
        top = LARGEST[fmt] * (LARGEST["fp8_e4m3"] if scale_fmt == "fp8_e4m3" else 1.0)
        factor = values[op.factor] = _f("vmul", _f("vmax", _f("vrmax", _f("vabs", x)), 1e-12), 1.0 / top)
    inverse = None if factor is None else _f("vrcp", factor)
    if op.scales is None:
        values[op.output] = _do("vmul", fmt, x, inverse) if inverse is not None else _do("vmov", fmt, x)
        return
    x = x.astype(np.float32) if inverse is None else _f("vmul", x, inverse)
    block = graph.scheme.activations.block
    codes, scales = [], []
    for first in range(0, op.width, block):
        part = x[:, first : first + block]
        most = _f("vrmax", _f("vabs", part))
        if scale_fmt == "e8m0":  # by OCP's words: the largest power of two in the block over that of the format
            power = np.frexp(np.maximum(most, np.float32(2.0**-126)))[1] - 1 - EMAX[fmt]
            scale = np.clip(power + 127, 0, 254).astype(np.uint8).view(storage("e8m0"))
        else:
            scale = _do("vmov", scale_fmt, _f("vmax", _f("vdiv", most, LARGEST[fmt]), 2.0**-9))
        scales.append(scale)
        codes.append(_do("vdiv", fmt, part, scale) if scale_fmt == "e8m0" else _do("vmul", fmt, part, _f("vrcp", scale)))
    values[op.output], values[op.scales] = np.concatenate(codes, 1), np.concatenate(scales, 1)


def _gemm(op: Gemm, graph: Graph, values: Arrays, how: Numerics) -> None:
    def operand(name: str, scales: str | None) -> Operand:
        block = next(kind.block for kind in load().scales.values() if kind.format == graph.tensors[scales].fmt) if scales else 0
        return Operand(values[name], graph.tensors[name].fmt, values[scales] if scales else None, block)

    x = operand(op.input, op.input_scales)
    parts = []
    for n, weight in enumerate(op.weights):
        w = operand(weight, op.weight_scales[n] if op.weight_scales else None)
        part = product(x, Operand(w.values.T, w.fmt) if op.bt else w, how)
        for factor in (*op.columns[n : n + 1], *((op.rows,) if op.rows else ())):
            part = _f("vmul", part, values[factor])
        parts.append(_f("vadd", part, values[op.biases[n]]) if op.biases else part)
    after = op.residual is not None
    fmt = "fp32" if after or len(parts) > 1 else op.out_fmt
    result = _activated("silu" if op.activation == "swiglu" else op.activation, fmt, parts[0])
    if len(parts) > 1:
        result = _do("vmul", "fp32" if after else op.out_fmt, result, parts[1])
    values[op.output] = _do("vadd", op.out_fmt, result, values[op.residual]) if op.residual else result


def _activated(kind: str, fmt: str, x: A) -> A:
    if kind == "none":
        return _do("vmov", fmt, x)
    if kind == "silu":
        return _do("vmul", fmt, _f("vsigmoid", x), x)
    if kind == "gelu_erf":
        bell = _f("verf", _f("vmul", x, 1 / sqrt(2)))
    else:
        cubic = _f("vmul", _f("vadd", _f("vmul", _f("vmul", x, x), 0.044715), 1.0), x)
        bell = _f("vtanh", _f("vmul", cubic, sqrt(2 / pi)))
    return _do("vmul", fmt, _f("vmul", _f("vadd", bell, 1.0), x), 0.5)


def _rope_append(op: RopeAppend, graph: Graph, values: Arrays, how: Numerics) -> None:
    heads = values[op.input].reshape(op.batch, op.q_len, op.q_heads + 2 * op.kv_heads, op.head_dim)
    q, k, v = np.split(heads, [op.q_heads, op.q_heads + op.kv_heads], axis=2)
    tables = None
    if op.tables is not None:
        cos, sin = (values[table][op.start : op.start + op.q_len, None, :] for table in op.tables)
        tables = cos, sin
    new = slice(op.start, op.start + op.q_len)
    values[op.q] = _turned(q, tables, graph.tensors[op.q].fmt).reshape(op.batch * op.q_len, -1)
    values[op.k_cache][:, :, new] = _turned(k, tables, graph.tensors[op.k_cache].fmt).transpose(0, 2, 1, 3)
    values[op.v_cache][:, :, new] = _turned(v, None, graph.tensors[op.v_cache].fmt).transpose(0, 2, 1, 3)


def _turned(x: A, tables: tuple[A, A] | None, fmt: str) -> A:
    if tables is None:
        return _do("vmov", fmt, x)
    cos, sin = tables
    first, second = np.split(x, 2, axis=-1)
    left = _do("vsub", fmt, _f("vmul", first, cos), _f("vmul", second, sin))
    return np.concatenate([left, _do("vadd", fmt, _f("vmul", second, cos), _f("vmul", first, sin))], axis=-1)


@dataclass
class _Softmax:
    """Running maximum, sum and output of rows [r] while tiles of keys pass by."""

    scale: float
    top: A
    sum: A
    o: A

    @classmethod
    def begin(cls, rows: int, dim: int, scale: float) -> _Softmax:
        return cls(scale, np.full((rows, 1), LOWEST, np.float32), np.zeros((rows, 1), np.float32), np.zeros((rows, dim), np.float32))

    def step(self, scores: A, fmt: str) -> tuple[A, A]:
        """Probabilities, not normalised, and the factor of what came before."""
        seen = _f("vmax", _f("vmul", _f("vrmax", scores), self.scale), self.top)
        factor = _f("vexp", _f("vsub", self.top, seen))
        self.top = seen
        p = _do("vexp", fmt, _f("vsub", _f("vmul", scores, self.scale), seen))
        self.sum = _f("vadd", _f("vmul", self.sum, factor), _f("vrsum", p))
        return p, factor


def _attention(op: Attention, graph: Graph, values: Arrays, how: Numerics) -> None:
    group = op.q_heads // op.kv_heads
    q_fmt, out_fmt = graph.tensors[op.q].fmt, graph.tensors[op.output].fmt
    q = values[op.q].reshape(op.batch, op.q_len, op.kv_heads, group, op.head_dim)
    out = np.zeros(q.shape, storage(out_fmt))
    for b in range(op.batch):
        for h in range(op.kv_heads):
            rows = np.ascontiguousarray(q[b, :, h].transpose(1, 0, 2)).reshape(group * op.q_len, op.head_dim)
            cache = [(values[name][b, h, : op.kv_len], graph.tensors[name].fmt) for name in (op.k_cache, op.v_cache)]
            attend = _one_query if op.q_len == 1 else _many_queries
            got = attend(op, Operand(rows, q_fmt), cache, how, out_fmt)
            out[b, :, h] = got.reshape(group, op.q_len, op.head_dim).transpose(1, 0, 2)
    values[op.output] = out.reshape(op.batch * op.q_len, -1)


_Cache = list[tuple[A, str]]


def _many_queries(op: Attention, q: Operand, cache: _Cache, how: Numerics, fmt: str) -> A:
    """Tiles of keys from the last to the first; a tile's product is added before the factor of the next one."""
    (keys, k_fmt), (given, v_fmt) = cache
    tile = how.keys[op.name].tile
    state, late = _Softmax.begin(len(q.values), op.head_dim, op.scale), None
    position = np.tile(np.arange(op.start, op.kv_len), len(q.values) // op.q_len)[:, None]
    for first in reversed(range(0, op.kv_len, tile)):
        end = min(first + tile, op.kv_len)
        scores = product(q, Operand(keys[first:end].T, k_fmt), how)
        if op.causal:
            at = np.arange(first, end)[None, :]
            kept = (at <= position) & (at > position - op.window if op.window else True)
            scores = np.where(kept, scores, np.float32(LOWEST))
        p, factor = state.step(scores, q.fmt)
        if late is not None:
            state.o = _f("vmul", _f("vadd", state.o, late), factor)
        late = product(Operand(p, q.fmt), Operand(given[first:end], v_fmt), how)
    assert late is not None
    return _do("vdiv", fmt, _f("vadd", state.o, late), state.sum)


def _one_query(op: Attention, q: Operand, cache: _Cache, how: Numerics, fmt: str) -> A:
    """Tiles of keys from the first one that the window shows; parts of them, if there are several, merged in order."""
    (keys, k_fmt), (given, v_fmt) = cache
    cut = how.keys[op.name]
    tiles = -(-(op.kv_len - op.first_key) // cut.tile)
    states = []
    for begin, count in cut.parts or ((0, tiles),):
        state = _Softmax.begin(len(q.values), op.head_dim, op.scale)
        for n in range(begin, begin + count):
            first = op.first_key + n * cut.tile
            end = min(first + cut.tile, op.kv_len)
            p, factor = state.step(product(q, Operand(keys[first:end].T, k_fmt), how), q.fmt)
            state.o = _f("vadd", _f("vmul", state.o, factor), product(Operand(p, q.fmt), Operand(given[first:end], v_fmt), how))
        states.append(state)
    if len(states) == 1:
        return _do("vdiv", fmt, states[0].o, states[0].sum)
    tops, sums = (np.concatenate([getattr(s, name) for s in states], 1) for name in ("top", "sum"))
    weight = _f("vexp", _f("vsub", tops, _f("vrmax", tops)))
    joined = _f("vrsum", np.stack([_f("vmul", s.o, weight[:, j : j + 1]) for j, s in enumerate(states)], -1))[..., 0]
    return _do("vdiv", fmt, joined, _f("vrsum", _f("vmul", weight, sums)))


def _take_last(op: TakeLast, graph: Graph, values: Arrays, how: Numerics) -> None:
    values[op.output] = values[op.input].reshape(op.batch, op.q_len, op.width)[:, -1]


def _pool(op: Pool, graph: Graph, values: Arrays, how: Numerics) -> None:
    rows = values[op.input].reshape(op.batch, op.tokens, op.width).transpose(0, 2, 1)
    total = np.zeros((op.batch, op.width), np.float32)
    for first in range(0, op.tokens, how.pooled):
        total = _f("vadd", total, _f("vrsum", rows[..., first : first + how.pooled])[..., 0])
    total = _f("vmul", total, 1 / op.tokens)
    fmt = graph.tensors[op.output].fmt
    if not op.normalize:
        values[op.output] = _do("vmov", fmt, total)
        return
    length = _f("vmax", _f("vrsum", _f("vmul", total, total)), 1e-24)
    values[op.output] = _do("vmul", fmt, total, _f("vrsqrt", length))


_COMPUTE: dict[type[Op], Callable[..., None]] = {
    Embed: _embed, Norm: _norm, Quantize: _quantize, Gemm: _gemm, RopeAppend: _rope_append, Attention: _attention, TakeLast: _take_last,
    Pool: _pool,
}
