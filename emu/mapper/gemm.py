"""Tilings of a gemm: every candidate that fits, ranked by an analytic time; the best few are simulated by `choose`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from emu.chip.schema import Chip
from emu.errors import CapacityError
from emu.kernels.gemm import GemmTiling
from emu.kernels.lang import format_bytes
from emu.mapper.area import Area

Menu = tuple[tuple[int, int], ...]
"""Output tiles (m, n) of a library's kernels; empty: any."""


@dataclass(frozen=True)
class GemmShape:
    """What the mapping of a gemm depends on."""

    m: int
    n: int
    k: int
    fmt: str
    out_fmt: str
    gates: int = 0
    bias: bool = False
    activation: str = "none"
    residual: bool = False
    scale: bool = False


def _ceil(a: int, b: int) -> int:
    return -(-a // b)


def _powers(limit: int) -> list[int]:
    return [1 << j for j in range(limit.bit_length()) if 1 << j <= limit]


def _row_tiles(shape: GemmShape, chip: Chip) -> list[int]:
    most = min(shape.m, chip.core.matrix.max_m)
    return sorted({most, *(t for t in (16, 32, 64, 128, 256, 512) if t < most)})


def _splits(cores: int, rows: int, columns: int) -> list[tuple[int, int]]:
    """Grids of cores; none without columns, for it would fetch its rows of x in vain."""
    return [(m, min(columns, cores // m)) for m in sorted({*_powers(cores), cores}) if m <= rows]


def _fewest_waves(cores: int, rows: int, columns: int) -> list[tuple[int, int]]:
    """Grids on which the busiest core has fewest tiles: what a library's thread blocks come to, one tile each, dealt out in waves."""
    waves = {m: _ceil(rows, m) * _ceil(columns, min(columns, cores // m)) for m in range(1, min(rows, cores) + 1)}
    return [(m, min(columns, cores // m)) for m, count in waves.items() if count == min(waves.values())]


def epilogue_row_bytes(shape: GemmShape, tile_n: int) -> int:
    """Scratchpad bytes per row of the epilogue, as the gemm kernel allocates them (output and residual double-buffered)."""
    need = 2 * format_bytes(shape.out_fmt) + 4
    need += 4 if shape.residual or shape.gates else 0
    need += 2 * 2 if shape.residual else 0
    need += 4 * (1 + shape.gates) if shape.bias or shape.scale else 0
    return need * tile_n


def _tiles(shape: GemmShape, chip: Chip, area: Area, menu: Menu) -> list[tuple[int, int]]:
    """Output tiles (n, m) worth trying: those of the menu as far as the matrix engine takes them, or a grid of sizes."""
    matrix = chip.core.matrix
    blocks = _ceil(shape.n, area.block)
    if menu:
        most = blocks * area.block
        return sorted({(min(n, most), min(m, shape.m)) for m, n in menu if m <= matrix.max_m and n <= matrix.max_n and n % area.block == 0})
    widths = sorted({w for s in _powers(chip.core_count) + [chip.core_count] for w in (_ceil(blocks, s),)} | {1, 2, 4, 8})
    wide = [w * area.block for w in widths if w * area.block <= matrix.max_n and w <= blocks]
    return [(n, m) for n in wide for m in _row_tiles(shape, chip)]


def candidates(shape: GemmShape, chip: Chip, area: Area, menu: Menu = (), cores: int = 0) -> Iterator[GemmTiling]:
    """Every tiling on the grid of sizes that fits the core's memories. A menu restricts the output tiles to a library's, which streams
    both operands and deals out whole tiles in waves; `cores` (0: all) are those that share one sum."""
    size = format_bytes(shape.fmt)
    matrix = chip.core.matrix
    cores = cores or chip.core_count
    for tile_n, tile_m in _tiles(shape, chip, area, menu):
        tile_k = min(area.slot_bytes // (tile_n * size) // matrix.max_k * matrix.max_k, _ceil(shape.k, matrix.max_k) * matrix.max_k)
        accs = 4 * tile_m * tile_n * (1 + shape.gates)
        if accs > area.acc_bytes or not tile_k:
            continue
        rows, columns = _ceil(shape.m, tile_m), _ceil(shape.n, tile_n)
        for split_m, split_n in _fewest_waves(cores, rows, columns) if menu else _splits(cores, rows, columns):
            tile = (tile_m, tile_n, tile_k, split_m, split_n)
            yield from _with_buffers(shape, area, tile, 2 if 2 * accs <= area.acc_bytes else 1, not menu)


def _with_buffers(
    shape: GemmShape, area: Area, tile: tuple[int, int, int, int, int], depth_acc: int, may_reside: bool
) -> Iterator[GemmTiling]:
    tile_m, tile_n, tile_k, split_m, split_n = tile
    size = format_bytes(shape.fmt)
    vectors = 4096 + 8 * tile_n if shape.bias else 4096
    for resident, depth_a, a_bytes in (
        (True, 2, 2 * tile_m * shape.k * size),
        (True, 1, tile_m * shape.k * size),
        (False, 3, 3 * tile_m * tile_k * size),
        (False, 2, 2 * tile_m * tile_k * size),
    ):
        if resident and not may_reside:
            continue
        room = area.free_bytes - a_bytes - vectors
        chunk = tile_m
        while chunk > 1 and chunk % 2 == 0 and chunk * epilogue_row_bytes(shape, tile_n) > room:
            chunk //= 2
        if chunk * epilogue_row_bytes(shape, tile_n) <= room:
            part = 0 if chunk == tile_m else chunk
            yield GemmTiling(tile_m, tile_n, tile_k, split_m, split_n, resident, depth_a, area.slots, depth_acc, 2, part)
            return


def analytic_cycles(shape: GemmShape, chip: Chip, t: GemmTiling, beside: int = 1) -> float:
    """Cycles of the slowest core: matrix engine and its port, the core's DMA queues and the shared memory overlapped, plus what is exposed.
    `beside` gemms of this shape run at once, each on cores of its own.

    Resources that are nearly equally busy wait for each other now and then; a 4-norm instead of the maximum says so without a constant."""
    core, matrix = chip.core, chip.core.matrix
    size, weights = format_bytes(shape.fmt), 1 + shape.gates
    rows, columns = _ceil(shape.m, t.tile_m), _ceil(shape.n, t.tile_n)
    mine_m, mine_n = _ceil(rows, t.split_m), _ceil(columns, t.split_n)
    tile_m, tile_n = min(t.tile_m, shape.m), min(t.tile_n, shape.n)
    steps = _ceil(shape.k, matrix.max_k)
    padded = _ceil(tile_m, matrix.quantum_m) * matrix.quantum_m * _ceil(tile_n, matrix.quantum_n) * matrix.quantum_n * matrix.max_k
    stream = padded / matrix.macs_per_clk[shape.fmt]  # type: ignore[index]
    load = _ceil(matrix.max_k, matrix.load_rows_per_clk) if matrix.load_rows_per_clk else 0
    again_a = _ceil(tile_n, matrix.fragment_n) if matrix.fragment_n else 1
    again_b = _ceil(tile_m, matrix.fragment_m) if matrix.fragment_m else 1
    port = (tile_m * again_a + tile_n * again_b) * matrix.max_k * size / core.port_bytes_per_clk("mm", "sram", "read")
    compute = mine_m * mine_n * weights * steps * max(stream, load, port, matrix.min_interval_cycles)
    w_bytes = mine_m * mine_n * tile_n * shape.k * size * weights
    a_bytes = mine_m * (1 if t.a_resident else mine_n) * tile_m * shape.k * size
    o_bytes = mine_m * mine_n * tile_m * tile_n * format_bytes(shape.out_fmt) * (2 if shape.residual else 1)
    hbm_per_clk = chip.hbm.bandwidth_bytes_per_s * chip.hbm.achieved_fraction / core.clock_hz
    little = core.dma.inflight_bytes / (chip.hbm.latency_s * core.clock_hz)
    queue = min(core.dma.bytes_per_clk, little)
    total = beside * _memory_bytes(shape, chip, t, (w_bytes, a_bytes, o_bytes))
    epilogue = tile_m * tile_n * _vector_passes(shape) / core.vector.per_clk["mul"]
    exposed = epilogue * (mine_m * mine_n if t.depth_acc == 1 else 1)
    first = 2 * chip.hbm.latency_s * core.clock_hz + (t.tile_k * tile_n + t.tile_k * tile_m) * size / queue
    streams = max(w_bytes / queue, a_bytes / queue, (w_bytes + a_bytes + o_bytes) / core.dma.bytes_per_clk)
    return (compute**4 + streams**4 + (total / hbm_per_clk) ** 4) ** 0.25 + exposed + first


def _memory_bytes(shape: GemmShape, chip: Chip, t: GemmTiling, per_core: tuple[int, int, int]) -> float:
    """Bytes over the device memory's pins: what every core asks for, or only what is distinct where a cache catches the rest."""
    w, a, o = per_core
    cores = min(t.split_m * t.split_n, chip.core_count)
    asked = cores * (w + a + o)
    if not any(level.kind == "cache" and level.scope == "chip" for level in chip.levels):
        return asked
    size = format_bytes(shape.fmt)
    return (shape.m * shape.k + shape.k * shape.n * (1 + shape.gates)) * size + cores * o


def _vector_passes(shape: GemmShape) -> int:
    passes = {"none": 1, "silu": 10, "gelu_erf": 12, "gelu_tanh": 17, "swiglu": 10}.get(shape.activation, 10)
    return passes + 2 * (shape.bias + shape.residual + shape.gates)


def ranked(shape: GemmShape, chip: Chip, area: Area) -> list[GemmTiling]:
    """All that fit, the quickest by the analytic time first; ties in the order of their fields."""
    found = [(analytic_cycles(shape, chip, t), t) for t in candidates(shape, chip, area)]
    if not found:
        need = (chip.core.matrix.max_k + shape.m) * area.block * format_bytes(shape.fmt)
        raise CapacityError(
            f"no tiling of the gemm {shape.m} x {shape.n} x {shape.k} fits a core of {chip.name}: {area.free_bytes} bytes of scratchpad "
            f"beside the weight ring and {area.acc_bytes} of accumulators; the smallest tile needs about {need}. A larger core.sram "
            "or core.acc would hold it"
        )
    found.sort(key=lambda pair: (pair[0], *(int(v) for v in vars(pair[1]).values())))
    return [t for _, t in found]
