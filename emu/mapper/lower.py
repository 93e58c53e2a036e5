"""From a graph to a program: each op calls its kernel with the tiling chosen for it; all layers are one hardware loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import ceil
from typing import Any

from emu.chip.schema import Chip
from emu.errors import UnsupportedError
from emu.kernels.attention_decode import DecodeTiling, Parts, attention_decode, attention_merge, partials
from emu.kernels.attention_prefill import PrefillTiling, attention_prefill
from emu.kernels.embed import Learned, embed
from emu.kernels.gemm import Epilogue, GemmTiling, OnTheWay, gemm
from emu.kernels.heads import Attention as Shape
from emu.kernels.heads import Heads
from emu.kernels.lang import Tensor, Tracer, Value, format_bytes
from emu.kernels.lang.limits import Limits, limits_of
from emu.kernels.norm import Norm as NormBy
from emu.kernels.norm import norm
from emu.kernels.quantize_blocks import Codes, Quantized, quantize
from emu.kernels.rope import Rope, rope_append
from emu.kernels.rows import pool, take_last
from emu.machine.image import Image
from emu.mapper.area import Area, area_for
from emu.mapper.gemm import GemmShape, element_bytes, epilogue_row_bytes
from emu.mapper.placement import Placement
from emu.mapper.tilings import embed_tiling, quantize_tiling, quantized_row_bytes, rope_tiling, row_tiling
from emu.models import Attention, Embed, Gemm, Graph, Norm, Op, Pool, Quantize, RopeAppend, TakeLast
from isa import Program

MERGE = "_merge"
KEPT = 256
"""Programs kept in memory, of about 150 KB each."""


@dataclass(frozen=True)
class Request:
    """All that a program follows from. Of the chip that is its `limits` alone: a program stands for every chip that has the same."""

    graph: Graph
    limits: Limits
    area: Area
    tilings: tuple[tuple[str, Any], ...]
    fused: tuple[tuple[str, str], ...]
    """Norms and quantisations, and the operations that do them on their own way in."""
    layers: int
    name: str


@dataclass
class Lowered:
    """A program for `layers` layers of a graph. `tilings` says how each op was mapped; `placement` where its tensors lie."""

    image: Image
    graph: Graph
    layers: int
    placement: Placement
    tilings: dict[str, Any] = field(default_factory=dict)

    @property
    def program(self) -> Program:
        return self.image.program


def gemm_shape(op: Gemm, graph: Graph) -> GemmShape:
    """The part of a gemm that its mapping depends on."""
    tensor = graph.tensors
    gates = len(op.weights) - 1
    x, w = tensor[op.input].fmt, tensor[op.weights[0]].fmt
    side = graph.scheme.activations.scales, graph.scheme.weights.scales
    return GemmShape(
        op.m, op.n, op.k, x, op.out_fmt, gates, bool(op.biases), op.activation, op.residual is not None, w_fmt="" if w == x else w,
        x_scales=side[0] if op.input_scales else "none", w_scales=side[1] if op.weight_scales else "none", rows=op.rows is not None,
        columns=bool(op.columns),
    )


def _readers(ops: Sequence[Op], before: Op, graph: Graph) -> int:
    """How many ops read what `before` writes, until another op writes there."""
    name = before.outputs[0]
    count = int(name == graph.output)
    for op in ops[ops.index(before) + 1 :]:
        count += name in op.inputs
        if name in op.outputs:
            break
    return count


def norms_before(graph: Graph, chip: Chip) -> Iterator[tuple[Norm, Gemm]]:
    """Norms that the gemm behind them could do on its own way in. Every core then repeats them, which pays while that takes less time than
    meeting at a barrier and going through device memory once more."""
    core = chip.core
    round_trip = 2 * (chip.hbm.latency_s * core.clock_hz + core.dma.start_cycles)
    for ops in (graph.layer, graph.post):
        for before, op in zip(ops, ops[1:]):
            if not isinstance(before, Norm) or not isinstance(op, Gemm) or before.output != op.input or before.wide is not None:
                continue
            cost = op.m * op.k * (4 / core.vector.per_clk["mul"] + 2 / core.vector.per_clk["reduce"])
            if _readers(ops, before, graph) == 1 and op.m <= core.matrix.max_m and cost < round_trip:
                yield before, op


def fused_norms(graph: Graph, chip: Chip, area: Area, choice: Mapping[str, Any]) -> Iterator[tuple[Norm, Gemm]]:
    """Norms that the gemm behind them does: its tiling holds whole rows of x, and the norm's scratch fits beside them."""
    for before, op in norms_before(graph, chip):
        tiling = choice[op.name]
        size = format_bytes(graph.tensors[op.input].fmt)
        need = tiling.tile_m * op.k * (4 * 2 + (size + 2) * tiling.depth_a) + 3 * 4 * op.k
        need += (tiling.chunk_m or tiling.tile_m) * epilogue_row_bytes(gemm_shape(op, graph), tiling.tile_n) + 8192
        if tiling.a_resident and op.m <= tiling.tile_m and need <= area.free_bytes:
            yield before, op


def encodings_before(graph: Graph, chip: Chip) -> Iterator[tuple[Quantize, Gemm, float]]:
    """Quantisations that the gemm behind them could do on its own way in: every core then repeats them, as it would a norm. With the clocks
    that this saves, if the gemm's tiling loses none by it."""
    rate = chip.core.vector.per_clk
    round_trip = 2 * (chip.hbm.latency_s * chip.core.clock_hz + chip.core.dma.start_cycles)
    side = graph.scheme.activations
    passes = (1 / rate["add"] + 1 / rate["reduce"]) * ((side.factor and graph.scheme.how == "dynamic") + bool(side.block))
    passes += (1 + bool(side.block and side.factor)) / rate["mul"]
    for before, op in zip(graph.layer, graph.layer[1:]):
        if isinstance(before, Quantize) and isinstance(op, Gemm) and before.output == op.input:
            saved = round_trip - op.m * op.k * passes
            if op.m <= chip.core.matrix.max_m and saved > 0:
                yield before, op, saved


def fused(graph: Graph, chip: Chip, area: Area, choice: Mapping[str, Any]) -> dict[str, str]:
    """Norms and quantisations by name, and the operation behind each that does it: quantisations and gemms on their way in."""
    found = {norm.name: op.name for norm, op in fused_norms(graph, chip, area, choice)}
    found |= {norm.name: step.name for norm, step in quantized_norms(graph, chip, area)}
    for step, op, _ in encodings_before(graph, chip):
        tiling, shape = choice[op.name], replace(gemm_shape(op, graph), encoded=True)
        norm = next((name for name, by in found.items() if by == step.name), None)
        if not tiling.a_resident or op.m > tiling.tile_m:
            continue
        room = area.free_bytes - 3 * 4 * op.k - 8192
        room -= (tiling.chunk_m or tiling.tile_m) * epilogue_row_bytes(shape, tiling.tile_n)
        if norm and _way_in_bytes(replace(shape, norm=True), tiling) <= room:
            found[step.name] = op.name
        elif _way_in_bytes(shape, tiling) <= room:
            found[step.name] = op.name
            found.pop(norm or "", None)  # the norm does not fit beside: it stays an operation of its own
    return found


def _way_in_bytes(shape: GemmShape, tiling: GemmTiling) -> int:
    """Of rows in 16 bits, their codes, and what is worked on in between."""
    return ceil(tiling.tile_m * shape.k * (shape.scratch + (2 + element_bytes(shape.sides[0])) * tiling.depth_a))


def quantized_norms(graph: Graph, chip: Chip, area: Area) -> Iterator[tuple[Norm, Quantize]]:
    """Norms that the quantisation behind them does, whose rows then need not go through device memory: where a row fits with both."""
    for before, op in zip(graph.layer, graph.layer[1:]):
        if isinstance(before, Norm) and isinstance(op, Quantize) and before.output == op.input and before.wide is None:
            need = sum(quantized_row_bytes(op.width, graph.scheme.activations, before.norm))
            if _readers(graph.layer, before, graph) == 1 and need <= area.work_bytes:
                yield before, op


class Lowering:
    """Traces the ops of a graph as the request has it."""

    def __init__(self, k: Tracer, asked: Request, place: Placement) -> None:
        self.k, self.graph, self.place = k, asked.graph, place
        self.limits, self.area, self.choice, self.fused = asked.limits, asked.area, dict(asked.tilings), dict(asked.fused)
        self.parts: dict[str, Parts] = {}
        for op in self.graph.layer:
            if isinstance(op, Attention) and self._split(op) > 1:
                self.parts[op.name] = partials(k, shape_of(op), self._split(op), op.name)

    def _split(self, op: Attention) -> int:
        tiling = self.choice[op.name]
        return tiling.split_kv if isinstance(tiling, DecodeTiling) else 1

    def trace(self, op: Op, layer: Value) -> None:
        """One op between its begin and its barrier. A norm that its gemm takes over leaves nothing behind."""
        if op.name in self.fused:
            return
        lower = {
            Embed: self._embed, Norm: self._norm, Gemm: self._gemm, RopeAppend: self._rope, Attention: self._attention,
            TakeLast: self._take_last, Pool: self._pool, Quantize: self._quantize,
        }.get(type(op))  # fmt: skip
        if lower is None:
            raise UnsupportedError(f"{self.graph.model}: no kernel for {op.kind} ({op.name})")
        with self.k.op(op.name):
            lower(op, layer)  # type: ignore[operator]
        if op.name in self.parts:
            assert isinstance(op, Attention)
            with self.k.op(op.name + MERGE):
                self._merge(op, layer)

    def _t(self, name: str, layer: Value, scales: str | None = None) -> Tensor:
        tensor = self.place.get(name, layer)
        return tensor.scaled(self.place.get(scales, layer)) if scales else tensor

    def _embed(self, op: Embed, layer: Value) -> None:
        names = dict(zip((t.removeprefix("embed.") for t in op.tables), op.tables))
        if list(names)[:1] != ["token"]:
            raise UnsupportedError(f"{op.name}: the first table must be that of the tokens")
        learned = Learned(
            self._t(names["position"], layer) if "position" in names else None,
            self._t(names["type"], layer) if "type" in names else None,
            self.graph.kv_len - self.graph.q_len,
        )
        table = self._t(names["token"], layer)
        out, tokens = self._t(op.output, layer), op.rows // self.graph.batch
        plain = len(op.tables) == 1 and out.fmt == table.fmt
        tiling = embed_tiling(self.limits, self.area, self.graph.batch, tokens, op.width, table.fmt, plain)
        embed(self.k, self._t(op.indices[0], layer), table, out, self.graph.batch, tiling, learned)

    def _norm(self, op: Norm, layer: Value) -> None:
        if op.wide is not None:
            asked = f"{self.graph.model} in {self.graph.dtype}"
            raise UnsupportedError(f"{asked}: a post-norm with a second, wider result is not supported; use bf16 or fp16")
        x, out = self._t(op.input, layer), self._t(op.output, layer)
        tiling = row_tiling(self.limits, self.area, op.rows, op.width, x.fmt, out.fmt, 2, f"a row of {op.name}")
        norm(self.k, x, out, self._by(op, layer), tiling)

    def _by(self, op: Norm, layer: Value) -> NormBy:
        return NormBy(op.norm, self._t(op.gamma, layer), self._t(op.beta, layer) if op.beta else None, op.eps)

    def _gemm(self, op: Gemm, layer: Value) -> None:
        scales = op.weight_scales or (None,) * len(op.weights)
        weights = [self._t(f"{w}.blocked" if op.bt else w, layer, s) for w, s in zip(op.weights, scales)]
        columns = [self._t(name, layer) for name in op.columns]
        if op.biases and len(weights) > 1:
            raise UnsupportedError(f"{op.name}: a gated gemm with biases is not supported")
        gate = weights[0] if len(weights) > 1 else None
        epilogue = Epilogue(
            bias=self._t(op.biases[0], layer) if op.biases else None,
            activation="silu" if op.activation == "swiglu" else op.activation,
            gate=gate,
            residual=self._t(op.residual, layer) if op.residual else None,
            columns=columns[-1] if columns else None,
            gate_columns=columns[0] if len(columns) > 1 else None,
            rows=self._t(op.rows, layer) if op.rows and op.name not in self.fused.values() else None,
        )
        step = next((o for o in self.graph.layer if isinstance(o, Quantize) and self.fused.get(o.name) == op.name), None)
        first = step or op
        source, by = self._normed(first.name, first.input, layer)
        x, fmt = self._t(source, layer, None if step else op.input_scales), self.graph.tensors[first.input].fmt
        encode = self._on_the_way(step, layer) if step else None
        gemm(self.k, x, weights[-1], self._t(op.output, layer), self.choice[op.name], epilogue, by, fmt, encode)

    def _on_the_way(self, op: Quantize, layer: Value) -> OnTheWay:
        """A quantisation that the gemm behind it does."""
        side = self.graph.scheme.activations
        codes = Codes(side.fmt, side.scale_fmt, op.factor is not None)
        return OnTheWay(codes, self._t(op.fixed, layer) if op.fixed else None)

    def _normed(self, name: str, source: str, layer: Value) -> tuple[str, NormBy | None]:
        """What op `name` reads instead of `source`, and the norm that it does itself, if it does one."""
        for before in self.graph.layer + self.graph.post:
            if self.fused.get(before.name) == name:
                assert isinstance(before, Norm)
                return before.input, self._by(before, layer)
        return source, None

    def _quantize(self, op: Quantize, layer: Value) -> None:
        source, by = self._normed(op.name, op.input, layer)
        x, to = self._t(source, layer), Quantized(
            self._t(op.output, layer, op.scales),
            self._t(op.factor, layer) if op.factor else None,
            self._t(op.fixed, layer) if op.fixed else None,
        )
        row = quantized_row_bytes(op.width, self.graph.scheme.activations, by.kind if by else None)
        tiling = quantize_tiling(self.limits, self.area, op.rows, row, f"a row of {op.name}")
        quantize(self.k, x, to, tiling, by)

    def _rope(self, op: RopeAppend, layer: Value) -> None:
        attend = next(o for o in self.graph.layer if isinstance(o, Attention))
        qkv, out = self._t(op.input, layer), self._t(op.q, layer)
        columns = op.q_heads * op.head_dim, op.kv_heads * op.head_dim
        heads = [Heads(qkv, op.batch, op.head_dim, c) for c in (0, columns[0], columns[0] + columns[1])]
        caches = [Heads(self._t(name, layer), op.batch, op.head_dim) for name in (op.k_cache, op.v_cache)]
        rope = Rope(self._t(op.tables[0], layer), self._t(op.tables[1], layer)) if op.tables else None
        tiling = rope_tiling(self.limits, self.area, attend, qkv.fmt)
        rope_append(self.k, *heads, Heads(out, op.batch, op.head_dim), *caches, shape_of(attend), tiling, rope)

    def _attention(self, op: Attention, layer: Value) -> None:
        tiling = self.choice[op.name]
        source = op.q
        append = next((o for o in self.graph.layer if isinstance(o, RopeAppend)), None)
        if append is not None and append.tables is None and self.graph.tensors[append.input].fmt == self.graph.tensors[op.q].fmt:
            source = append.input  # neither rotated nor converted, the queries stay in the first columns of qkv
        q = Heads(self._t(source, layer), op.batch, op.head_dim)
        keys, values = (Heads(self._t(name, layer), op.batch, op.head_dim) for name in (op.k_cache, op.v_cache))
        out = Heads(self._t(op.output, layer), op.batch, op.head_dim)
        if isinstance(tiling, PrefillTiling):
            attention_prefill(self.k, q, keys, values, out, shape_of(op), tiling)
        else:
            attention_decode(self.k, q, keys, values, self.parts.get(op.name, out), shape_of(op), tiling)

    def _merge(self, op: Attention, layer: Value) -> None:
        out = self._t(op.output, layer)
        parts = self.parts[op.name]
        count, heads, dim = parts.o.shape
        wide = 2 * count + 2
        attention_merge(self.k, parts, out, row_tiling(self.limits, self.area, heads, dim, "fp32", out.fmt, wide, "a row of the merge"))

    def _take_last(self, op: TakeLast, layer: Value) -> None:
        take_last(self.k, self._t(op.input, layer), self._t(op.output, layer))

    def _pool(self, op: Pool, layer: Value) -> None:
        pool(self.k, self._t(op.input, layer), self._t(op.output, layer), pool_tokens(self.area, op), op.normalize)


def pool_tokens(area: Area, op: Pool) -> int:
    """Tokens that a core adds up at a time."""
    return max(1, min(op.tokens, (area.free_bytes - 24 * op.width) // (3 * op.width * 2) // 2, 64))


def shape_of(op: Attention) -> Shape:
    """The attention's shape as the kernels take it."""
    return Shape(
        op.batch, op.kv_heads, op.q_heads // op.kv_heads, op.head_dim, op.q_len, op.kv_len, op.causal and op.q_len > 1, op.window or 0,
        op.scale,
    )


def lower(graph: Graph, chip: Chip, choice: Mapping[str, Any], layers: int, name: str = "") -> Lowered:
    """The program of `layers` layers of the graph, with what stands before and after them.

    All layers of the graph have their places in memory, whatever number is run: addresses, and with them the words that make them, are
    those of the whole model, so that a run of fewer layers takes exactly the time that they take in it."""
    area = area_for(chip, graph)
    done_by = tuple(fused(graph, chip, area, choice).items())
    tilings = tuple(sorted(choice.items()))
    image, place = _compiled(Request(graph, limits_of(chip), area, tilings, done_by, layers, name or f"{graph.model}-{graph.phase}"))
    return Lowered(image.copy(), graph, layers, place, dict(choice))


@lru_cache(KEPT)
def _compiled(asked: Request) -> tuple[Image, Placement]:
    graph, area = asked.graph, asked.area
    k = Tracer(asked.limits, asked.name)
    place = Placement(k, graph, graph.layers, area.block)
    k.weight_ring(area.slot_bytes, area.slots)
    lowering = Lowering(k, asked, place)
    for op in graph.pre:
        lowering.trace(op, 0)
    for layer in k.loop(asked.layers):
        for op in graph.layer:
            lowering.trace(op, layer)
    for op in graph.post:
        lowering.trace(op, 0)
    return Image.of(k.program()), place
