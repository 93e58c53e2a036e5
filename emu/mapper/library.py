"""A gemm as a kernel-per-op stack runs it: tiles of the library's menu, whole tiles in waves, perhaps a divided sum, a launch per kernel.

The program is the kernel by itself: nothing is fetched before it begins, L2 is cold, and launches are what the stack says they cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from emu.chip.schema import Chip
from emu.chip.surroundings import Stack
from emu.errors import CapacityError
from emu.kernels.gemm import Epilogue, GemmTiling, gemm
from emu.kernels.lang import Tracer
from emu.kernels.split_k import gemm_divided
from emu.machine import Machine, Run
from emu.mapper.area import Area
from emu.mapper.gemm import GemmShape, rated
from emu.mapper.tilings import added_at_once
from isa import Program

SIMULATED = 3
"""Candidates that are run, and the best one with an undivided sum besides."""
LISTED = 4096
"""Kernels listed for one number of parts: all of them."""


@dataclass(frozen=True)
class LibraryGemm:
    """How the library would run a gemm; `split_k` parts of the sum, a second kernel adds them where there is more than one."""

    tiling: GemmTiling
    split_k: int

    def launch_s(self, chip: Chip, stack: Stack) -> float:
        """What launches cost beside the run. The barrier before the second pass stands in for part of its launch."""
        if self.split_k == 1:
            return stack.launch_s
        return stack.launch_s + max(0.0, stack.reduce_launch_s - chip.sync.barrier_cycles / chip.core.clock_hz)


def library_gemm(chip: Chip, shape: GemmShape, area: Area, stack: Stack, fidelity: str = "fast") -> tuple[LibraryGemm, Run, int]:
    """The quickest of the best-ranked kernels with their launches, its run, and how many were run."""
    found = sorted(_ranked(chip, shape, area, stack), key=_order)
    if not found:
        raise CapacityError(f"no tile of the stack's menu fits a core of {chip.name} for {shape.m} x {shape.n} x {shape.k}")
    best = [g for _, g in found[:SIMULATED]]
    if all(g.split_k > 1 for g in best):
        best.append(next(g for _, g in found if g.split_k == 1))
    programs = [library_program(chip, shape, area, g) for g in best]
    runs = [Machine(chip, fidelity).run(program, values=False, verify=False, reuse=True) for program in programs]
    _, j = min((run.seconds + g.launch_s(chip, stack), j) for j, (g, run) in enumerate(zip(best, runs)))
    return best[j], runs[j], len(best)


def _order(pair: tuple[float, LibraryGemm]) -> tuple[float, ...]:
    return (pair[0], pair[1].split_k, *(int(v) for v in vars(pair[1].tiling).values()))


def _ranked(chip: Chip, shape: GemmShape, area: Area, stack: Stack) -> Iterator[tuple[float, LibraryGemm]]:
    """Analytic cycles and kernel, for every tile of the menu and every power of two of parts."""
    for split_k in (1 << j for j in range(stack.split_k_limit.bit_length())):
        part = shape if split_k == 1 else replace(shape, k=-(-shape.k // split_k), out_fmt="fp32")
        for kernel, t in rated(part, chip, area, LISTED, tuple(stack.tiles), chip.core_count // split_k, split_k):
            if split_k <= -(-shape.k // t.tile_k):
                g = LibraryGemm(t, split_k)
                cycles = kernel + g.launch_s(chip, stack) * chip.core.clock_hz
                yield cycles + (0 if split_k == 1 else _adding_cycles(chip, shape, split_k)), g


def _adding_cycles(chip: Chip, shape: GemmShape, split_k: int) -> float:
    """The second pass: a trip to memory, the parts over the core's DMA port, the additions."""
    mine = -(-shape.m * shape.n // chip.core_count) * split_k
    trip = 2 * chip.hbm.latency_s * chip.core.clock_hz + chip.sync.barrier_cycles
    return trip + mine * (4 / chip.core.dma.bytes_per_clk + 1 / chip.core.vector.per_clk["add"])


def library_program(chip: Chip, shape: GemmShape, area: Area, g: LibraryGemm) -> Program:
    """The kernel alone, or the two of a divided sum with a barrier between them, so that the parts may still be in the cache."""
    k = Tracer(chip, "gemm")
    blocks = -(-shape.n // area.block)
    columns = blocks * area.block
    x = k.hbm("x", (shape.m, shape.k), shape.fmt, "in")
    w = k.hbm("w", (blocks, shape.k, area.block), shape.fmt, "weight")
    out = k.hbm("y", (shape.m, columns), shape.out_fmt, "out")
    t = g.tiling
    k.weight_ring(area.slot_bytes, area.slots)
    if g.split_k == 1:
        k.begin_only_op()
        gemm(k, x, w, out, t, Epilogue(scale=1.0 / 128 if shape.scale else None))
    else:
        width = added_at_once(chip.core_count, area, shape.m * columns, g.split_k)
        gemm_divided(k, x, w, out, replace(t, split_k=g.split_k), width)
    return k.program()
