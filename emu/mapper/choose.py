"""Chooses how to map each op: candidates ranked by an analytic time, the best few run on the machine, the quickest kept."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Any

from emu.chip.schema import Chip
from emu.errors import CapacityError
from emu.kernels.gemm import Epilogue, GemmTiling, gemm
from emu.kernels.lang import Tensor, Tracer
from emu.kernels.lang.limits import Limits, limits_of
from emu.kernels.scaled import grouped_shape
from emu.kernels.split_k import gemm_divided
from emu.machine import Machine, timed
from emu.machine.fold import addresses_are_free
from emu.machine.image import Image
from emu.mapper.area import Area, area_for
from emu.mapper.formats import check_scheme
from emu.mapper.gemm import GemmShape, does_not_fit, most_parts, rated
from emu.mapper.lower import encodings_before, gemm_shape, lower, norms_before, quantized_norms
from emu.mapper.tilings import added_at_once, decode_tilings, prefill_tilings
from emu.models import Attention, Gemm, Graph
from emu.models.schemes import Side
from isa import Program

SIMULATED = 3
"""Candidates of an attention that are run; a budget in candidates, not seconds, so the same choice is made on every machine."""
FEW_CORES = 8
MOST, MOST_ON_FEW_CORES = 2, 3
"""Candidates of a gemm that are run, at most: those whose analytic time is within MARGIN of the first one's. A third is run for a gemm by
itself on few cores, where compiling is quick and the rank is worse. benchmarks/mapper_rank.py measures what this loses to the best of
eight. One without a rival is not run; nor is any on a chip with a cache, where a run takes 0.3 s: cores differ."""
MARGIN = 1.03
KEPT = 512
"""Programs of single gemms kept in memory, of about 25 KB each."""
REMEMBERED = 4096
"""Choices of each kind that a process remembers; the oldest go."""

_gemms: dict[tuple[Any, ...], tuple[GemmTiling, int]] = {}
_attentions: dict[tuple[Any, ...], Any] = {}


def gemm_program(chip: Chip, shape: GemmShape, area: Area, tiling: GemmTiling) -> Program:
    """One gemm alone, as it stands in a model: blocked weights, its epilogue, the shared weight ring."""
    return gemm_image(chip, shape, area, tiling).program


def gemm_image(chip: Chip, shape: GemmShape, area: Area, tiling: GemmTiling, pause: int = 0) -> Image:
    """The same for the core. With a `pause`, four times: with its weights still to come, again at once, and both once more after so many
    trips to memory, with a ring full of them. So a tiling for a layer is good whatever the operations beside it leave it."""
    return _gemm_image(limits_of(chip), shape, area, tiling, pause).copy()


@lru_cache(KEPT)
def _gemm_image(limits: Limits, shape: GemmShape, area: Area, tiling: GemmTiling, pause: int) -> Image:
    k = Tracer(limits, "gemm")
    blocks = -(-shape.n // area.block)
    wide = "bf16" if shape.out_fmt in ("fp8_e4m3", "fp8_e5m2", "int8") else shape.out_fmt
    x = _operand(k, "x", (shape.m, shape.k), shape.sides[0], "in")
    w = _operand(k, "w", (blocks, shape.k, area.block), shape.sides[1], "weight")
    gate = _operand(k, "gate", (blocks, shape.k, area.block), shape.sides[1], "weight") if shape.gates else None
    out = k.hbm("y", (shape.m, blocks * area.block), shape.out_fmt, "out")
    bias = k.hbm("bias", (blocks * area.block,), wide, "in") if shape.bias else None
    residual = k.hbm("residual", out.shape, wide, "in") if shape.residual else None
    columns = k.hbm("columns", (out.shape[1],), "fp32", "in") if shape.columns else None
    gate_columns = k.hbm("gate_columns", (out.shape[1],), "fp32", "in") if shape.columns and shape.gates else None
    rows = k.hbm("rows", (shape.m, 1), "fp32", "in") if shape.rows else None
    k.weight_ring(area.slot_bytes, area.slots)
    activation = "silu" if shape.activation == "swiglu" else shape.activation
    if tiling.split_k > 1:
        gemm_divided(k, x, w, out, tiling, added_at_once(limits.cores, area.free_bytes - 1024, shape.m * out.shape[1], tiling.split_k))
        return Image.of(k.program())
    for _ in k.loop(2 if pause else 1):
        for _ in k.loop(2 if pause else 1):
            with k.op("gemm"):
                scale = 1.0 / 128 if shape.scale else None
                gemm(k, x, w, out, tiling, Epilogue(bias, activation, gate, residual, scale, columns, gate_columns, rows))
        if pause:
            _pause(k, x, pause)
    return Image.of(k.program())


def _operand(k: Tracer, name: str, shape: tuple[int, ...], side: Side, role: str) -> Tensor:
    """A tensor of elements, and one of the scales of their blocks of k, its second axis, if there are some."""
    elements = k.hbm(name, shape, side.fmt, role)
    if not side.block:
        return elements
    blocks = -(-shape[1] // side.block)
    lying = grouped_shape(shape[0], blocks, side.block, k.limits.max_k) if len(shape) == 2 else (shape[0], blocks, *shape[2:])
    return elements.scaled(k.hbm(f"{name}_scales", lying, side.scale_fmt, role))


def _pause(k: Tracer, x: Tensor, trips: int) -> None:
    """As many trips to memory, one after another: a time in which nothing happens but that the ring fills."""
    with k.op("pause"):
        for _ in k.loop(trips):
            one = k.fetch(x.at((0, 0), (1, min(16, x.shape[1]))), name="one")
            k.mov(k.tile(one.shape, "fp32", name="seen"), one)


def pause_trips(chip: Chip, area: Area) -> int:
    """Trips to memory in which the rings of all cores fill; a power of two, so that another bandwidth seldom is another program."""
    fill_s = area.slot_bytes * area.slots * chip.core_count / chip.hbm.bandwidth_bytes_per_s
    return 1 << int(fill_s / max(chip.hbm.latency_s, 1e-8)).bit_length()


def time_fs(chip: Chip, program: Program | Image) -> int:
    return timed(Machine(chip), program).end_fs


def candidates(chip: Chip, shape: GemmShape, area: Area, among: bool) -> list[GemmTiling]:
    """The candidates between which the analysis cannot decide: a divided sum and the best undivided one, or the first few if near."""
    limit = MOST_ON_FEW_CORES if chip.core_count <= FEW_CORES and not among else MOST
    limit = limit if addresses_are_free(chip) else 1
    found = rated(shape, chip, area, limit, parts=1 if among else most_parts(chip, shape), among=among)
    if not found:
        raise does_not_fit(shape, chip, area)
    if found[0][1].split_k > 1:
        return [found[0][1], *(t for _, t in rated(shape, chip, area, 1))][:limit]
    return [t for cycles, t in found if cycles <= MARGIN * found[0][0]]


def choose_gemm(chip: Chip, shape: GemmShape, area: Area, among: bool = False) -> tuple[GemmTiling, int]:
    """The quickest of the best-ranked tilings, by itself or `among` others in a layer, where its weights may have been fetched ahead; and
    how many were run."""
    key = (chip.digest, shape, area, among)
    if key not in _gemms:
        best = candidates(chip, shape, area, among)
        pause = pause_trips(chip, area) if among else 0
        times = [(time_fs(chip, gemm_image(chip, shape, area, t, pause)), j) for j, t in enumerate(best)] if best[1:] else [(0, 0)]
        _, j = min(times)
        _remember(_gemms, key, (best[j], len(best)))
    return _gemms[key]


def _in_layer(chip: Chip, shape: GemmShape, area: Area, normed: bool, saved: float) -> GemmTiling:
    """Of a gemm in a layer; if it is `normed`, with the norm before it on its own way in, where that fits. A quantisation of its rows joins
    it where its tiling, which must hold whole rows of all, loses less than the clocks `saved`; a norm before that with it."""
    if saved > 0:
        plain = rated(shape, chip, area, 1, among=True)
        for norm in dict.fromkeys((normed, False)):
            inside = replace(shape, norm=norm, encoded=True)
            found = rated(inside, chip, area, 1, among=True)
            if found and (not plain or found[0][0] <= plain[0][0] + saved):
                return choose_gemm(chip, inside, area, True)[0]
    elif normed:
        with suppress(CapacityError):
            return choose_gemm(chip, replace(shape, norm=True), area, True)[0]
    return choose_gemm(chip, shape, area, True)[0]


def _attention_alone(graph: Graph, op: Attention) -> Graph:
    """A graph of one layer that holds the attention and what it needs before it."""
    return replace(graph, pre=(), layer=tuple(o for o in graph.layer if o.kind in ("rope_append", "attention")), layers=1, post=())


def choose_attention(chip: Chip, graph: Graph, op: Attention, area: Area) -> Any:
    """The quickest of the best-ranked tilings of an attention."""
    formats = tuple(graph.tensors[name].fmt for name in (op.q, op.k_cache, op.output))
    key = (chip.digest, area, replace(op, compulsory_bytes=0, operand_bytes=0), formats)
    if key not in _attentions:
        q_fmt, kv_fmt = graph.tensors[op.q].fmt, graph.tensors[op.k_cache].fmt
        decode = op.q_len == 1
        found: list[Any] = decode_tilings(chip, area, op, q_fmt, kv_fmt) if decode else prefill_tilings(chip, area, op, q_fmt, kv_fmt)
        few = found if decode else found[:SIMULATED]
        alone = _attention_alone(graph, op)
        inputs_as_given = replace(alone, tensors={n: replace(t, role="kv") if n == "qkv" else t for n, t in graph.tensors.items()})
        times = [(time_fs(chip, lower(inputs_as_given, chip, {op.name: t}, 1).image), j) for j, t in enumerate(few)]
        _remember(_attentions, key, few[min(times)[1]])
    return _attentions[key]


def _remember(table: dict[tuple[Any, ...], Any], key: tuple[Any, ...], value: Any) -> None:
    table[key] = value
    while len(table) > REMEMBERED:
        table.pop(next(iter(table)), None)


def choose(graph: Graph, chip: Chip, progress: Callable[[str], None] | None = None) -> dict[str, Any]:
    """A tiling for every gemm and attention of the graph, by op name."""
    check_scheme(chip, graph.scheme, graph.scheme.wide, graph.kv_dtype)
    area = area_for(chip, graph)
    choice: dict[str, Any] = {}
    normed = {op.name for _, op in norms_before(graph, chip)}
    encoded = {step.name: (op.name, saved) for step, op, saved in encodings_before(graph, chip)}
    normed |= {encoded[step.name][0] for _, step in quantized_norms(graph, chip, area) if step.name in encoded}
    saves = dict(encoded.values())
    for op, _ in graph.ops():
        if isinstance(op, Gemm) and op.name not in choice:
            if progress:
                progress(f"mapping {op.name} ({op.m} x {op.n} x {op.k})")
            shape = gemm_shape(op, graph)
            shape = replace(shape, n=-(-shape.n // area.block) * area.block)
            choice[op.name] = _in_layer(chip, shape, area, op.name in normed, saves.get(op.name, 0.0))
        elif isinstance(op, Attention):
            if progress:
                progress(f"mapping {op.name}")
            choice[op.name] = choose_attention(chip, graph, op, area)
    return choice
