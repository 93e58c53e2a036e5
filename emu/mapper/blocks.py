"""Thread blocks of a library's gemm: what fits a core, and how long it takes by an analytic time. It only ranks; the first one is run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from emu.chip.schema import Chip
from emu.chip.surroundings import Eight, Stack
from emu.kernels.gemm_blocks import OUT_BYTES, BlockTiling
from emu.kernels.lang import format_bytes
from emu.mapper.area import block_columns
from emu.mapper.gemm import GemmShape

ACCUMULATORS = 0.625
"""Of a register file: the rest is addresses and operands. Hopper's largest tiles, 320 x 128 in fp32, take this much."""
SHARPNESS = 10
"""Overlapping times are joined by this norm: nearly their maximum."""
PARTS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32)
"""Into which a sum over k is divided."""
WAIT = 80
"""Clocks from a transfer's end to the product that uses it, and from its end to the next transfer: two semaphores and their issue."""


def _joined(*clocks: float) -> float:
    most = max(clocks)
    return most * sum((c / most) ** SHARPNESS for c in clocks) ** (1 / SHARPNESS)


@dataclass(frozen=True)
class Blocks:
    """The blocks that a stack's library can make of one gemm on one chip; times in clocks."""

    chip: Chip
    shape: GemmShape
    stack: Stack

    def found(self) -> list[tuple[float, BlockTiling]]:
        """Analytic clocks and tiling of every choice, the quickest first; ties by the tiling's fields."""
        rated = [(self.clocks(t), t) for t in self._choices()]
        return sorted(rated, key=lambda pair: (pair[0], *(int(v) for v in vars(pair[1]).values())))

    def _choices(self) -> Iterator[BlockTiling]:
        if self._eight is not None:
            m, n = next(((m, n) for rows, m, n in self._eight.tiles if self.shape.m <= rows), self._eight.tiles[-1][1:])
            tiling = self._fitting(m, n, 1)
            if tiling is not None:
                yield tiling
            return
        s, most = self.shape, min(self.stack.split_k_limit, -(-self.shape.k // self._step))
        for tile_m, tile_n in self.stack.tiles:
            wasteful = tile_m >= 2 * s.m and tile_m > self._least[0] or tile_n >= 2 * s.n and tile_n > self._least[1]
            if wasteful or tile_n % min(block_columns(self.chip), tile_n):
                continue
            tiles = self._tiles(tile_m, tile_n)
            for split_k in PARTS:
                if split_k > most or split_k > 1 and split_k * tiles >= 2 * self.chip.core_count:
                    break
                tiling = self._fitting(tile_m, tile_n, split_k)
                if tiling is not None:
                    yield tiling

    @cached_property
    def _least(self) -> tuple[int, int]:
        return min(m for m, _ in self.stack.tiles), min(n for _, n in self.stack.tiles)

    @cached_property
    def _eight(self) -> Eight | None:
        return self.stack.fp8 if self.shape.fmt in ("fp8_e4m3", "fp8_e5m2") else None

    @cached_property
    def _step(self) -> int:
        return self._eight.step_k if self._eight else self.stack.step_k or self.chip.core.matrix.max_k

    def _tiles(self, tile_m: int, tile_n: int) -> int:
        return -(-self.shape.m // tile_m) * -(-self.shape.n // tile_n)

    def _fitting(self, tile_m: int, tile_n: int, split_k: int) -> BlockTiling | None:
        """As many blocks on a core, then as many steps in flight, as the stack says, the core holds and there is work for."""
        core, accs = self.chip.core, 4 * tile_m * tile_n
        step = (tile_m + tile_n) * self._step * format_bytes(self.shape.fmt)
        room = core.sram.capacity_bytes - 2 * OUT_BYTES - 4096
        waves = -(-self._tiles(tile_m, tile_n) * split_k // self.chip.core_count)
        kernel = (self._eight or self.stack).kernel
        persistent, double = kernel != "per-tile", kernel == "overlapped" and 2 * accs <= core.acc.capacity_bytes
        for resident in range(1 if persistent else min(self.stack.resident, waves), 0, -1):
            stages = min(self.stack.stages, room // step // resident)
            if accs * resident <= core.acc.capacity_bytes * ACCUMULATORS and stages >= 2:
                panel = self._panel(tile_m, tile_n)
                return BlockTiling(
                    tile_m, tile_n, self._step, stages, resident, split_k, panel, persistent, 1 + double, self._cluster(tile_m),
                )
        return None

    def _cluster(self, tile_m: int) -> int:
        """Where there are no two rows of tiles nothing is shared."""
        return self.stack.cluster if self.shape.m > tile_m and self.chip.core_count % self.stack.cluster == 0 else 1

    def _panel(self, tile_m: int, tile_n: int) -> int:
        """Rows of tiles walked together, so that a wave of blocks is about as high as wide and re-reads least."""
        side = (self.chip.core_count * tile_n / tile_m) ** 0.5
        return max(1, min(round(side), -(-self.shape.m // tile_m)))

    def clocks(self, t: BlockTiling) -> float:
        """Clocks from the first load to the last store, by itself and with nothing in a cache."""
        s, core, cores = self.shape, self.chip.core, self.chip.core_count
        clusters = -(-s.m // (t.tile_m * t.cluster))
        blocks = clusters * t.cluster * -(-s.n // t.tile_n) * t.split_k
        waves, slices = -(-blocks // cores), -(-s.k // t.tile_k)
        steps = -(-slices // t.split_k)
        height, size = min(t.tile_m, s.m), format_bytes(s.fmt)
        wide, shared = (height + t.tile_n) * t.tile_k * size, (height + t.tile_n / t.cluster) * t.tile_k * size
        load = max(wide / core.dma.bytes_per_clk, shared * min(blocks, cores) / self._cache)
        product = self._product(t, height, size)
        slots = t.stages * min(t.resident, waves)
        turn = (self._trip + 2 * WAIT + load + product + core.matrix.fill_cycles) / slots
        body = steps * _joined(product, load, turn)
        leave = self._leave(t, height, min(blocks, cores))
        start = self._trip + WAIT
        if t.persistent:
            one = _joined(body, leave) if t.accumulators > 1 else body + leave - self._trip
            busy = waves * one + start + leave
        elif t.resident > 1 and waves > 1:
            busy = max(waves * body, -(-waves // t.resident) * (start + body + leave)) + start + leave
        else:
            busy = waves * (start + body + leave)
        out = s.m * s.n * format_bytes(s.out_fmt) if t.split_k == 1 else 0
        total = _joined(busy, ((s.m + s.n) * s.k * size + out) / self._memory + start)
        return total + (self._adding(t.split_k) if t.split_k > 1 else 0)

    @cached_property
    def _trip(self) -> float:
        return self.chip.hbm.latency_s * self.chip.core.clock_hz + self.chip.core.dma.start_cycles

    @cached_property
    def _memory(self) -> float:
        return self.chip.hbm.bandwidth_bytes_per_s * self.chip.hbm.achieved_fraction / self.chip.core.clock_hz

    @cached_property
    def _cache(self) -> float:
        """Bytes per clock of the level that all cores load through."""
        level = next((level for level in reversed(self.chip.levels) if level.kind == "cache" and level.scope == "chip"), None)
        return level.bandwidth_bytes_per_s / self.chip.core.clock_hz if level else self._memory

    def _product(self, t: BlockTiling, height: int, size: int) -> float:
        """One step of the matrix engine: its stream, or the port it reads through, or the least there is between two."""
        core, m = self.chip.core, self.chip.core.matrix
        again_a = -(-t.tile_n // m.fragment_n) if m.fragment_n else 1
        again_b = -(-height // m.fragment_m) if m.fragment_m else 1
        padded = -(-height // m.quantum_m) * m.quantum_m * -(-t.tile_n // m.quantum_n) * m.quantum_n
        stream = padded * t.tile_k / m.macs_per_clk[self.shape.fmt]  # type: ignore[index]
        port = core.port_bytes_per_clk("mm", "sram", "read")
        read = (height * again_a + t.tile_n * again_b) * t.tile_k * size / port if port else 0.0
        return max(stream, read, m.min_interval_cycles * t.tile_k / m.max_k)

    def _leave(self, t: BlockTiling, height: int, active: int) -> float:
        """A tile on its way out: converted, stored by all cores at once, and the last byte's trip."""
        elements = height * min(t.tile_n, self.shape.n)
        bytes_ = elements * (4 if t.split_k > 1 else format_bytes(self.shape.out_fmt))
        convert = elements / self.chip.core.vector.per_clk["convert"] / 2
        return convert + bytes_ / min(self.chip.core.dma.bytes_per_clk, self._memory / active) + self._trip

    def _adding(self, parts: int) -> float:
        """The second pass: its launch, the parts from the cache, two trips."""
        s, clock = self.shape, self.chip.core.clock_hz
        return self.stack.reduce_launch_s * clock + s.m * s.n * 4 * parts / self._cache + 2 * self._trip
