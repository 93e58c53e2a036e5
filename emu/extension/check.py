"""Does the compiled code of a user's instruction do what its meaning says? One instruction at a time, on random operands: the engine's bits
against the oracle's, and the time of the run against one without values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from emu.errors import ProgramError
from emu.num.formats import dtype
from isa import assemble

if TYPE_CHECKING:
    from emu.extension.declare import UserInstruction

FORMATS = ("fp32", "bf16", "fp16", "fp8_e4m3", "int8")
WIDTHS = (1, 2, 7, 31, 255, 256, 257, 300)  # about the pieces in which rows reach the compiled code
SPECIAL = (0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40)
AREA = 8192
TEXT = """
.program {name}
.buffer x hbm 0x0 {bytes} in int8 {bytes}
.buffer y hbm 0x10000 {area} out int8 {area}
.buffer t sram 0 {bytes} temp
.buffer a acc 0 {area} temp
.sem 1 full 0
.sem 2 done 0
.stream {engine}
        {operands}
        {instruction} wait=full signal=done
        halt
.stream ld0
        dset d0.space, {space}
        dset d2.space, sram
        dset d0.fmt, int8
        dset d1.fmt, int8
        dset d2.fmt, int8
        dset d3.fmt, int8
        dset d0.n0, {area}
        dset d2.n0, {bytes}
        dma d2, d3
        fence
        dma d0, d1 signal=full
        halt
.stream st0
        dset d0.base, 0x10000
        dset d0.fmt, int8
        dset d1.fmt, int8
        dset d1.space, {space}
        dset d0.n0, {area}
        dma d0, d1 wait=done
        halt
"""


def check(instruction: UserInstruction, chip: Any = "tiny", trials: int = 20, seed: int = 0) -> None:
    """Raises ProgramError for the first operands on which engine and oracle differ; other EmuErrors as a run raises them."""
    from emu.machine import Machine
    from isa.oracle import run as interpret

    machine, draw = Machine(chip), np.random.default_rng(seed)
    for trial in range(trials):
        text, data = _case(instruction, draw)
        program = assemble(text, instruction.set)
        run = machine.run(program, {"x": data}, check=True)
        want = interpret(program, {"x": data})["y"]
        wrong = np.flatnonzero(run.outputs["y"] != want)
        if wrong.size:
            where = f"{instruction.name}, trial {trial} of seed {seed}: byte {wrong[0]} of its destination"
            hint = "Is a constant a plain Python number? To Numba it is a double: write num.f32(0.5)."
            raise ProgramError(f"{where} differs from what its meaning says. {hint} The program:\n{text}")
        if machine.run(program, values=False).end_fs != run.end_fs:
            raise ProgramError(f"{instruction.name}, trial {trial} of seed {seed}: a run without values takes another time")


def _case(instruction: UserInstruction, draw: np.random.Generator) -> tuple[str, np.ndarray]:
    """A program of one instruction, and the bytes it finds."""
    engine = instruction.extension.spec.engine
    space, rows = "acc" if engine == "mm" else "sram", int(draw.integers(1, 4))
    widths = [int(draw.choice(WIDTHS)) for _ in range(3)] if instruction.per == "row" else [int(draw.choice(WIDTHS))] * 3
    flags = [flag for flag in instruction.flags if draw.random() < 0.5]
    lines, parts = [f"dset d2.scalar, {float(np.float32(draw.normal() * 10))!r}"], []
    for slot, width in enumerate(widths):
        fmt = str(draw.choice(FORMATS))
        size = np.dtype(dtype(fmt)).itemsize
        at = {"space": space if slot == 0 else "sram", "fmt": fmt, "base": 0 if slot == 0 else AREA * slot, "n0": width, "n1": rows}
        lines += [f"dset d{slot}.{field}, {value}" for field, value in {**at, "s1": width * size}.items()]
        numbers = draw.standard_normal(AREA // size) * draw.choice([0.1, 3, 100])
        if fmt != "int8":
            numbers[draw.integers(0, numbers.size, 40)] = draw.choice(SPECIAL, 40)
        with np.errstate(all="ignore"):
            parts.append(numbers.astype(dtype(fmt)).view(np.int8))
    used = ", ".join(["d0", "d1", *(["d2"] if "d2" in instruction.access else [])])
    text = TEXT.format(
        name=instruction.name, bytes=3 * AREA, area=AREA, engine=engine, space=space, operands="\n        ".join(lines),
        instruction=" ".join([f"{instruction.name} {used}", *flags]),
    )  # fmt: skip
    return text, np.concatenate(parts)
