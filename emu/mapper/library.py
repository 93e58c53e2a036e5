"""A gemm as a kernel-per-op stack runs it: thread blocks of the library's menu, perhaps a divided sum, a launch per kernel.

The program is the kernels by themselves, one behind the other: nothing is fetched before a kernel begins; the cache is cold at first.
x lies sliced along k, a cache's sector or more of a row at a time: the same sectors move as from whole rows, and they are found quicker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from emu.chip.schema import Chip
from emu.chip.surroundings import Stack
from emu.errors import CapacityError
from emu.kernels.gemm_blocks import BlockTiling, gemm_in_blocks
from emu.kernels.lang import Tensor, Tracer, format_bytes
from emu.kernels.quantize import quantize_rows
from emu.machine import Machine, Run, timed
from emu.mapper.area import block_columns
from emu.mapper.blocks import Blocks
from emu.mapper.gemm import GemmShape
from emu.mapper.tilings import added_at_once
from isa import Program

QUANTIZED = 8192
"""Elements of a row that the quantising kernel takes at a time: 1024 threads, 16 bytes each."""
WIDE = "bf16"
"""What x is in before it is quantised."""


@dataclass(frozen=True)
class LibraryGemm:
    """How the library runs a gemm, and what its launches add to the run, in seconds."""

    tiling: BlockTiling
    quantized: bool
    launch_s: float


def library_gemm(
    chip: Chip, shape: GemmShape, stack_name: str, fidelity: str = "fast", warm: Sequence[str] = ()
) -> tuple[LibraryGemm, Run]:
    """The best-ranked kernel and its run. As a library does, it chooses by rule; running the second best as well, where it is within 3 %,
    takes twice as long and moves no error by more than 0.1 points."""
    stack = chip.stack[stack_name]
    found = Blocks(chip, shape, stack).found()
    if not found:
        raise CapacityError(f"no tile of the stack's menu fits a core of {chip.name} for {shape.m} x {shape.n} x {shape.k}")
    tiling = found[0][1]
    run = timed(Machine(chip, fidelity), library_program(chip, shape, tiling), warm=warm)
    launch_s = added_s(chip, stack, shortest_s(chip, stack_name, fidelity, warm), tiling.split_k > 1, quantized(shape))
    return LibraryGemm(tiling, quantized(shape), launch_s), run


def quantized(shape: GemmShape) -> bool:
    """Whether a kernel before the product brings x into the product's format."""
    return format_bytes(shape.fmt) < 2 and shape.fmt != "int8"


def added_s(chip: Chip, stack: Stack, own_s: float, divided: bool, quantizes: bool) -> float:
    """What launches add to a run: of every kernel the shortest measured one less the machine's own shortest, `own_s`, which holds the same
    trips to memory; and the barriers in the program, which stand where one kernel ends and the next begins, are taken off."""
    launches = [stack.launch_s] + [stack.reduce_launch_s] * divided + [stack.quantize_launch_s] * quantizes
    barriers = (len(launches) - 1) * chip.sync.barrier_cycles / chip.core.clock_hz
    return max(0.0, sum(launch - own_s for launch in launches) - barriers)


_shortest: dict[tuple[str, str, str, tuple[str, ...]], float] = {}


def shortest_s(chip: Chip, stack_name: str, fidelity: str = "fast", warm: Sequence[str] = ()) -> float:
    """Seconds of the machine's own shortest kernel: a product of the smallest tile and one step, one block on one core."""
    key = (chip.digest, stack_name, fidelity, tuple(warm))
    if key not in _shortest:
        stack = chip.stack[stack_name]
        fmt = WIDE if WIDE in chip.core.matrix.macs_per_clk else next(iter(chip.core.matrix.macs_per_clk))
        shape = GemmShape(1, min(n for _, n in stack.tiles), stack.step_k or chip.core.matrix.max_k, fmt, WIDE)
        tilings = Blocks(chip, shape, stack).found()
        if not tilings:
            raise CapacityError(f"no tile of the menu of stack {stack_name} fits a core of {chip.name}")
        _shortest[key] = timed(Machine(chip, fidelity), library_program(chip, shape, tilings[0][1]), warm=warm).seconds
    return _shortest[key]


def library_program(chip: Chip, shape: GemmShape, tiling: BlockTiling) -> Program:
    """The kernels of one gemm with barriers between them, so that what one leaves in the cache the next one finds there."""
    k = Tracer(chip, "gemm")
    k.runs_ahead = False
    block = min(block_columns(chip), tiling.tile_n)
    blocks = -(-shape.n // block)
    x, scale = _operand(k, shape, chip, tiling)
    w = k.hbm("w", (blocks, shape.k, block), shape.fmt, "weight")
    out = k.hbm("y", (shape.m, blocks * block), shape.out_fmt, "out")
    width = max(64, added_at_once(chip.core_count, chip.core.sram.capacity_bytes // 4, shape.m * out.shape[1], tiling.split_k))
    if tiling.split_k == 1 and not quantized(shape):
        k.begin_only_op()
        gemm_in_blocks(k, x, w, out, tiling, width, scale)
    elif tiling.split_k == 1:
        with k.op("gemm"):
            gemm_in_blocks(k, x, w, out, tiling, width, scale)
    else:
        gemm_in_blocks(k, x, w, out, tiling, width, scale)
    return k.program()


def _operand(k: Tracer, shape: GemmShape, chip: Chip, tiling: BlockTiling) -> tuple[Tensor, Tensor | float | None]:
    """x in the product's format and what undoes its scaling; where it has to be quantised, the kernel that does it, as wide as fits."""
    if not quantized(shape):
        slices = -(-shape.k // tiling.tile_k)
        return k.hbm("x", (slices, shape.m, tiling.tile_k), shape.fmt, "in"), 1.0 / 128 if shape.scale else None
    wide = k.hbm("x", (shape.m, shape.k), WIDE, "in")
    x, scale = k.hbm("small", (shape.m, shape.k), shape.fmt), k.hbm("scale", (shape.m, 1), "fp32")
    ring = tiling.stages * tiling.resident * tiling.tile_k * tiling.tile_n * format_bytes(shape.fmt)
    room = chip.core.sram.capacity_bytes - ring - 4096
    with k.op("quantize"):
        quantize_rows(k, wide, x, scale, min(QUANTIZED, room // (2 * 2 + 2 * 2 + 4 + 2) // 64 * 64))
    return x, scale
