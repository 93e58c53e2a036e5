"""Programs around one engine instruction with random formats, extents and strides, for the core and the oracle alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from values_support import FORMATS

import emu
import isa
from emu.testing.tensors import random_elements
from isa.oracle.formats import bits, from_fp32, is_packed, row_bytes, size

NARROW = ["bf16", "fp16", "fp8_e4m3", "fp8_e5m2", "tf32", "fp6_e2m3", "fp6_e3m2", "fp4_e2m1"]
BINARY = ["vadd", "vsub", "vmul", "vdiv", "vmax", "vmin", "vge", "vmac"]
UNARY = ["vmov", "vneg", "vabs", "vexp", "vexp2", "vlog2", "vsqrt", "vrsqrt", "vrcp", "vtanh", "verf", "vsigmoid", "vsin", "vcos"]
SLOT = 8192
RATES = {"tf32": 1, "fp6_e2m3": 2, "fp6_e3m2": 2, "fp4_e2m1": 4, "int4": 4}
CHANGES = {
    "links.ring.queues": 4, "core.dma.load_queues": 4, "core.dma.store_queues": 2, "core.matrix.max_k": 64,
    "core.matrix.scales": ["mx", "nvfp4"],
}
CHIP = emu.chip("tiny").vary({**CHANGES, **{f"core.matrix.rate.{fmt}": rate for fmt, rate in RATES.items()}})
SHELL = """
.program one
.cores 1
{buffers}
.buffer y hbm 0x10000 {slot} out int8 {slot}
.buffer s sram 0 {sram} temp
.buffer c acc 0 {slot} temp
.sem 1 there 0
.sem 2 done 0
.stream ld0
        dset d0.space, sram
        dset d0.fmt, int8
        dset d0.n0, {slot}
        dset d1.fmt, int8
        loop {count}, full
        dma d0, d1
        dadd d0.base, {slot}
        dadd d1.base, {slot}
full:
        signal there, 1
        halt
.stream {engine}
        wait there, 1
{body}
        signal done, 1
        halt
.stream st0
        wait done, 1
        dset d1.space, {space}
        dset d1.base, {at}
        dset d0.base, 0x10000
        dset d0.fmt, int8
        dset d1.fmt, int8
        dset d0.n0, {slot}
        dma d0, d1
        halt
"""


def shell(engine: str, body: str, formats: list[str], space: str = "sram", at: int = 0) -> isa.Program:
    """Slot j of sram holds input x{j} in format j; the engine's body works on them; SLOT bytes at `at` of `space` are the result."""
    buffers = "\n".join(f".buffer x{j} hbm {j * SLOT} {SLOT} in {f} {SLOT * 8 // bits(f)}" for j, f in enumerate(formats))
    filled = {"buffers": buffers, "slot": SLOT, "sram": SLOT * len(formats), "count": len(formats), "engine": engine, "body": body}
    return isa.assemble(SHELL.format(**filled, space=space, at=at))


def inputs(seed: int, formats: list[str], wild: bool) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    arrays = {f"x{j}": random_elements(rng, f, SLOT * 8 // bits(f), wild) for j, f in enumerate(formats)}
    return {name: from_fp32(x, "tf32") if f == "tf32" else x for (name, x), f in zip(arrays.items(), formats)}


def descriptor(number: int, space: str, base: int, fmt: str, n: list[int], s: list[int]) -> str:
    fields: dict[str, Any] = {"space": space, "base": base, "fmt": fmt}
    fields |= {f"n{j}": v for j, v in enumerate(n)} | {f"s{j}": v for j, v in enumerate(s)}
    return "\n".join(f"        dset d{number}.{name}, {value}" for name, value in fields.items())


@st.composite
def strides(draw: st.DrawFn, n: list[int], fmt: str, distinct: bool) -> list[int]:
    """Row-major with gaps, in any order of the outer axes; a source may also broadcast."""
    result, step = [1, 0, 0, 0], row_bytes(fmt, n[0])
    if not distinct and not is_packed(fmt) and draw(st.booleans()):
        result[0], step = 0, size(fmt)
    for axis in draw(st.permutations([1, 2, 3])):
        if not distinct and draw(st.integers(0, 3)) == 0:
            continue
        result[axis] = step + size(fmt) * draw(st.integers(0, 2))
        step = result[axis] * max(n[axis], 1)
    return result


@st.composite
def vector_cases(draw: st.DrawFn) -> tuple[isa.Program, dict[str, np.ndarray]]:
    """One vector instruction; its destination is slot 0, its sources are slots 1 and 2."""
    op = draw(st.sampled_from(BINARY + UNARY + ["vrsum", "vrmax", "vmask", "vtrans", "vfill"]))
    formats = [draw(st.sampled_from([f for f in FORMATS if op != "vtrans" or not is_packed(f)])) for _ in range(3)]
    if op == "vtrans":
        formats[1] = formats[0]
    n = [draw(st.integers(0, 9)) if axis < 2 else draw(st.integers(1, 3)) for axis in range(4)]
    shape = {0: n, 1: n, 2: n}
    if op in ("vrsum", "vrmax"):
        shape[0] = [1, *n[1:]]
    if op == "vtrans":
        n[2:] = [1, 1]
        shape[0] = [n[1], n[0], 1, 1]
    lines = [descriptor(j, "sram", j * SLOT, formats[j], shape[j], draw(strides(shape[j], formats[j], j == 0))) for j in range(3)]
    imm = op in BINARY and draw(st.booleans())
    if imm or op in ("vmask", "vfill"):
        lines.append(f"        dset d2.scalar, {draw(st.sampled_from([0, 0x3F800000, 0xC0490FDB, 0x7F800000, 0x7FC00000]))}")
        lines.append(f"        dset d2.diag, {draw(st.integers(-3, 9))}\n        dset d2.window, {draw(st.integers(0, 4))}")
    operands = {"vfill": "d0, d2", "vmask": "d0, d1, d2"}.get(op, "d0, d1, d2" if op in BINARY else "d0, d1")
    sat = op in ("vmov", "vadd", "vsub", "vmul", "vdiv") and draw(st.booleans())
    random = op in ("vmov", "vadd", "vsub", "vmul", "vdiv") and formats[0] != "e8m0" and draw(st.booleans())
    lines.append(f"        dset d0.seed, {draw(st.integers(0, 2**32 - 1))}")
    flags = (" imm" if imm else "") + (" sat" if sat else "") + (" sr" if random else "")
    body = "\n".join([*lines, f"        {op} {operands}{flags}"])
    return shell("vec", body, formats), inputs(draw(st.integers(0, 999)), formats, draw(st.booleans()))


@st.composite
def matrix_cases(draw: st.DrawFn) -> tuple[isa.Program, dict[str, np.ndarray]]:
    """Overwrite an 8 KiB accumulator, then one mm with repeats onto it; a in slot 0, b in slot 1."""
    a = draw(st.sampled_from(["fp32", "int8", "int4", *NARROW]))
    b = draw(st.sampled_from(["int8", "int4"])) if a.startswith("int") else a if a == "fp32" else draw(st.sampled_from(NARROW))
    m, n, reps = draw(st.integers(1, 17)), draw(st.integers(1, 8)), draw(st.integers(1, 3))
    k = draw(st.sampled_from([1, 2, 3, 5, 8, 17, 33, 40]))
    acc = "int32" if a.startswith("int") else "fp32"
    bt, add = draw(st.booleans()), draw(st.booleans())
    rows = SLOT // 8 // 32
    lines = [descriptor(3, "acc", 0, acc, [8, rows, 1, 1], [1, 32, 0, 0]), descriptor(4, "sram", 0, a, [1, rows, 1, 1], [1, 0, 0, 0])]
    lines += [descriptor(5, "sram", SLOT, b, [8, 1, 1, 1], [1, 0, 0, 0]), "        loop 8, zero", "        mm d3, d4, d5"]
    lines += [f"        dadd d3.base, {SLOT // 8}", "zero:"]
    lines.append(descriptor(0, "acc", 0, acc, [n, m, reps, 1], [1, n * 4 + 4, draw(st.sampled_from([0, 1024])), 0]))
    lines.append(f"        dset d0.accumulate, {int(add)}")
    row_a, (inner, outer) = row_bytes(a, k), (k, n) if bt else (n, k)
    row_b = row_bytes(b, inner)
    lines.append(descriptor(1, "sram", 0, a, [k, m, 1, 1], [1, row_a, m * row_a, 0]))
    lines.append(descriptor(2, "sram", SLOT, b, [inner, outer, 1, 1], [1, row_b, outer * row_b, 0]))
    formats = [a, b]
    if a in NARROW and draw(st.booleans()):
        lines += draw(scales(formats, m, n, k, bt))
    lines.append("        mm d0, d1, d2" + (" bt" if bt else ""))
    program = shell("mm", "\n".join(lines), formats, "acc")
    return program, inputs(draw(st.integers(0, 999)), formats, draw(st.booleans()))


@st.composite
def scales(draw: st.DrawFn, formats: list[str], m: int, n: int, k: int, bt: bool) -> list[str]:
    """Scales for a, for b or for both, in slots of their own; their formats join the program's."""
    kind = draw(st.sampled_from(["mx", "nvfp4"]))
    fmt, block = {"mx": ("e8m0", 32), "nvfp4": ("fp8_e4m3", 16)}[kind]
    blocks, lines = -(-k // block), []
    for number in draw(st.sampled_from([(1,), (2,), (1, 2)])):
        inner, outer = (blocks, m) if number == 1 else (blocks, n) if bt else (n, blocks)
        slot, pitch = len(formats), inner + draw(st.integers(0, 3))
        formats.append(fmt)
        fields = {"scales": kind, "scale": (slot - (number - 1)) * SLOT + draw(st.integers(0, 5)), "scale_s1": pitch}
        fields["scale_s2"] = draw(st.sampled_from([0, pitch * outer]))
        lines += [f"        dset d{number}.{name}, {value}" for name, value in fields.items()]
    return lines
