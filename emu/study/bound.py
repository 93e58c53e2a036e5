"""Lower bounds, by proof and not by model: they are printed beside every result and never beaten.

Compute: useful FLOP over the dense peak of the format. Memory: bytes that are off the chip when the pass begins, or must be off it when it
ends, over the peak bandwidth. Both hold for any mapping; the larger one binds (SOUNDNESS 30)."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from emu.chip.schema import Chip
from emu.kernels.lang import format_bytes
from emu.kernels.lang.memory import format_bits
from emu.mapper.area import area_for
from emu.models import Attention, Gemm, Graph, Op
from emu.models.schemes import Side


@dataclass(frozen=True)
class Bound:
    """Seconds that compute, device memory and links need at least."""

    compute_s: float
    hbm_s: float
    link_s: float = 0.0

    @property
    def seconds(self) -> float:
        return max(self.compute_s, self.hbm_s, self.link_s)

    @property
    def by(self) -> str:
        if self.link_s > max(self.compute_s, self.hbm_s):
            return "link"
        return "compute" if self.compute_s >= self.hbm_s else "hbm"

    def __add__(self, other: Bound) -> Bound:
        return Bound(self.compute_s + other.compute_s, self.hbm_s + other.hbm_s, self.link_s + other.link_s)


def op_format(op: Op, graph: Graph) -> str:
    """The format whose matrix rate bounds the op."""
    if isinstance(op, Gemm):
        return graph.tensors[op.input].fmt
    if isinstance(op, Attention):
        return graph.tensors[op.q].fmt
    return graph.dtype


def op_bound(op: Op, graph: Graph, chip: Chip, times: int = 1, resident_bytes: int = 0) -> Bound:
    """Of an op that runs `times` times. `resident_bytes` of its operands may be on the chip when it begins: weights fetched ahead."""
    compute = op.flops * times / chip.peak_flops(op_format(op, graph)) if op.flops else 0.0
    return Bound(compute, max(0, op.compulsory_bytes - resident_bytes) * times / chip.hbm.bandwidth_bytes_per_s)


def prefetched_bytes(chip: Chip, graph: Graph) -> int:
    """Most weight bytes that can wait on the chip for an op to begin: the weight rings of all cores."""
    area = area_for(chip, graph)
    return area.slot_bytes * area.slots * chip.core_count


def pass_bound(graph: Graph, chip: Chip) -> Bound:
    """Of a whole pass: compute and memory work of all ops, each overlapped as well as it could be."""
    total = Bound(0.0, 0.0)
    for op, times in graph.ops():
        total = total + op_bound(op, graph, chip, times)
    return total


def storage_elements(chip: Chip, bits: int) -> int:
    """All storage on the chip that tensors pass, in elements of the narrowest operand, which has so many bits. A level that serves scalar
    loads holds none."""
    held = chip.core_count * (chip.core.sram.capacity_bytes + chip.core.acc.capacity_bytes)
    counts: dict[str, int] = {"core": chip.core_count, "chip": 1, **{scope.name: scope.count for scope in chip.scopes}}
    held += sum(level.capacity_bytes * counts.get(level.scope, 1) for level in chip.levels if level.serves == "all")
    return held * 8 // bits


def cached_bytes(chip: Chip, operands: int) -> int:
    """Most bytes of so many that the last-level cache can hold when an operation begins."""
    return min(operands, sum(level.capacity_bytes for level in chip.levels if level.kind == "cache" and level.scope == "chip"))


def operand_bytes(side: Side, rows: int, k: int) -> int:
    """Of an operand of a gemm, [rows, k] or [k, rows], and of the scales of its blocks of k; elements packed without a gap."""
    return -(-rows * k * format_bits(side.fmt) // 8) + (rows * -(-k // side.block) if side.block else 0)


def gemm_bound(chip: Chip, m: int, n: int, k: int, sides: tuple[Side, Side], out_fmt: str, resident_bytes: int = 0) -> Bound:
    """A gemm with its operands, x and w, in device memory: compulsory bytes, or the Hong-Kung bound 2mnk/sqrt(S) - 2S elements (the
    narrowest operand's) if that is more. `resident_bytes` of x may be in the last-level cache when it begins."""
    x, w = sides
    bits = min(format_bits(side.fmt) for side in sides)
    storage = storage_elements(chip, bits)
    compulsory = operand_bytes(x, m, k) + operand_bytes(w, n, k) + m * n * format_bytes(out_fmt)
    hong_kung = (2 * m * n * k / sqrt(storage) - 2 * storage) * bits / 8
    moved = max(0, max(compulsory, hong_kung) - resident_bytes)
    return Bound(2 * m * n * k / chip.peak_flops(x.fmt), moved / chip.hbm.bandwidth_bytes_per_s)
