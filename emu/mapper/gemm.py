"""Tilings of a gemm, ranked by an analytic time. What there is, how long it takes and what is worth a run, is worked out in csrc/map."""

from __future__ import annotations

from dataclasses import dataclass

from emu import _map
from emu.chip.matrix import Matrix
from emu.chip.schema import Chip
from emu.errors import CapacityError
from emu.kernels.gemm import GemmTiling
from emu.kernels.lang import format_bytes
from emu.kernels.lang.memory import format_bits
from emu.mapper.area import Area
from emu.models.schemes import Side

ACTIVATION = {"none": (1, 0), "relu": (2, 0), "silu": (1, 1), "gelu_erf": (4, 1), "gelu_tanh": (8, 1)}
"""Vector instructions of an activation: plain ones, and those of the class exp."""


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
    norm: bool = False
    """Rows of x are normalised on the way in."""
    encoded: bool = False
    """Rows of x, in 16 bits, are quantised on the way in, behind the norm if there is one."""
    w_fmt: str = ""
    """Of the weights, if it is another one."""
    x_scales: str = "none"
    w_scales: str = "none"
    """Kinds of scales of blocks of k."""
    rows: bool = False
    columns: bool = False
    """Whether products are multiplied by factors of rows and of columns."""

    @property
    def scratch(self) -> int:
        """Bytes of an element of x, as the kernel allocates them, for what happens to it on the way in."""
        size = 8 if self.norm else 0
        return size + (4 + (4 if self.columns and self.x_scales != "none" else 0) + (2 if self.norm else 0) if self.encoded else 0)

    @property
    def scaled(self) -> int:
        """Multiplications of each product on its way out."""
        return self.scale + self.rows + self.columns

    @property
    def sides(self) -> tuple[Side, Side]:
        """Elements and scales of x and of w."""
        return Side(self.fmt, self.x_scales), Side(self.w_fmt or self.fmt, self.w_scales)


def element_bytes(side: Side) -> float:
    """Of an element and its part of a scale."""
    return format_bits(side.fmt) / 8 + (1 / side.block if side.block else 0.0)


def epilogue_row_bytes(shape: GemmShape, tile_n: int) -> int:
    """Scratchpad bytes per row of the epilogue, as the gemm kernel allocates them (output and residual double-buffered)."""
    need = 2 * format_bytes(shape.out_fmt) + 4
    need += 4 if shape.residual or shape.gates else 0
    need += 2 * 2 if shape.residual else 0
    need += 4 * (1 + shape.gates) if shape.bias or shape.scaled else 0
    return need * tile_n


def chip_numbers(chip: Chip, area: Area, fmt: str) -> dict[str, float]:
    """What `csrc/map/map.h` wants to know of a chip."""
    core, matrix, dma = chip.core, chip.core.matrix, chip.core.dma
    latency = chip.hbm.latency_s * core.clock_hz
    cache = next((level for level in reversed(chip.levels) if level.kind == "cache" and level.scope == "chip"), None)
    return {
        "cores": chip.core_count,
        **{name: getattr(matrix, name) for name in ("quantum_m", "quantum_n", "max_m", "max_n", "max_k", "fragment_m", "fragment_n")},
        "block": area.block, "slot": area.slot_bytes, "slots": area.slots, "free": area.free_bytes, "acc": area.acc_bytes,
        "macs": matrix.macs_per_clk[fmt],  # type: ignore[index]
        "load": -(-matrix.max_k // matrix.load_rows_per_clk) if matrix.load_rows_per_clk else 0,
        "interval": max(matrix.min_interval_cycles, _floor(matrix, fmt)),
        "mm_port": core.port_bytes_per_clk("mm", "sram", "read"),
        "queue": min(dma.bytes_per_clk, dma.inflight_bytes / latency) if latency else dma.bytes_per_clk,
        "dma": dma.bytes_per_clk,
        "hbm": chip.hbm.bandwidth_bytes_per_s * chip.hbm.achieved_fraction / core.clock_hz,
        "trip": latency + dma.start_cycles,
        "startup": core.vector.startup_cycles, "add": core.vector.per_clk["add"], "barrier": chip.sync.barrier_cycles,
        "cache": cache.capacity_bytes if cache else 0, "shared": cache.bandwidth_bytes_per_s / core.clock_hz if cache else 1.0,
    }  # fmt: skip


def _floor(matrix: Matrix, fmt: str) -> float:
    """Clocks that `min_rows` makes of an instruction with few rows."""
    return min(matrix.min_rows, matrix.max_n) * matrix.max_n * matrix.max_k / matrix.macs_per_clk[fmt]  # type: ignore[index]


def shape_numbers(chip: Chip, shape: GemmShape) -> dict[str, float]:
    """What it wants to know of a gemm. A plain vector pass over fp32 in the scratchpad takes the lanes or the port, whichever is slower."""
    plain, special = ACTIVATION["silu" if shape.activation == "swiglu" else shape.activation]
    plain += shape.bias + shape.scaled * (1 + shape.gates) + shape.residual + shape.gates
    vector, port = chip.core.vector, chip.core.port_bytes_per_clk("vec", "sram", "read")
    wide = max(1 / vector.per_clk["mul"], 4 / port if port else 0.0)
    x_size, w_size = (element_bytes(side) for side in shape.sides)
    element = 1 / vector.per_clk["mul"] + (plain - 1) * wide + special / vector.per_clk["exp"]
    return {
        "m": shape.m, "n": shape.n, "k": shape.k, "x_size": x_size, "w_size": w_size, "out_size": format_bytes(shape.out_fmt),
        "weights": 1 + shape.gates, "instructions": plain + special, "outs": 1 + shape.residual, "row": epilogue_row_bytes(shape, 1),
        "vectors": shape.bias + shape.columns * (1 + shape.gates) + shape.rows, "way_in": shape.scratch, "element": element,
    }  # fmt: skip


def most_parts(chip: Chip, shape: GemmShape) -> int:
    """Into how many parts the sum of a gemm may be divided: the second pass only adds, so nothing may be fused with it."""
    plain = shape.activation == "none" and not (shape.gates or shape.bias or shape.residual or shape.scaled or shape.norm)
    plain = plain and shape.sides == (Side(shape.fmt), Side(shape.fmt))
    return chip.core_count if plain else 1


def rated(
    shape: GemmShape, chip: Chip, area: Area, limit: int = 256, parts: int = 1, among: bool = False, everything: bool = False,
) -> list[tuple[float, GemmTiling]]:
    """Analytic cycles and tiling of the best `limit` that fit, the quickest first, ties in the order of their fields, none of them no
    better than another in every term (`everything`: all that fit).

    `parts`: the sum over k may be divided into so many, which a second pass adds; `among`: the gemm stands in a layer, where weights are
    fetched ahead."""
    numbers = chip_numbers(chip, area, shape.fmt), shape_numbers(chip, shape)
    found = _map.rank(*numbers, parts, among, everything, limit)
    return [(cycles, _tiling(t, area)) for cycles, _, t in found]


def _tiling(t: dict[str, int], area: Area) -> GemmTiling:
    return GemmTiling(
        t["tile_m"], t["tile_n"], t["tile_k"], t["split_m"], t["split_n"], bool(t["keep"]), t["depth_a"], area.slots, t["depth_acc"], 2,
        t["chunk_m"], t["split_k"], bool(t["by_columns"]),
    )  # fmt: skip


def does_not_fit(shape: GemmShape, chip: Chip, area: Area) -> CapacityError:
    """Says so, and what would hold it."""
    need = round((chip.core.matrix.max_k + shape.m) * area.block * max(element_bytes(side) for side in shape.sides))
    return CapacityError(
        f"no tiling of the gemm {shape.m} x {shape.n} x {shape.k} fits a core of {chip.name}: {area.free_bytes} bytes of scratchpad "
        f"beside the weight ring and {area.acc_bytes} of accumulators; the smallest tile needs about {need}. A larger core.sram "
        "or core.acc would hold it"
    )


def ranked(shape: GemmShape, chip: Chip, area: Area, limit: int = 256) -> list[GemmTiling]:
    """The best tilings that fit, the quickest by the analytic time first. Raises CapacityError if none does."""
    found = rated(shape, chip, area, limit)
    if not found:
        raise does_not_fit(shape, chip, area)
    return [t for _, t in found]
