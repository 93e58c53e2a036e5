"""Users' instructions that the tests add, and programs of one of them on random operands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

import emu
import isa
from emu.num import jit as num
from emu.num.formats import dtype, known

MINE = emu.InstructionSet("mine")


@emu.instruction(
    MINE, operands="d0:w, d1:r, d2:s, sat, sr", cycles="elements / exp_per_clk", energy="elements * (vec_exp_pj + 2 * vec_mul_pj)"
)
def vsoftcap(x, cap):
    """d0 = cap * tanh(d1 / cap)"""
    return cap * num.tanh(x / cap)


@emu.instruction(MINE, operands="d0:w, d1:r, d2:r, imm, sat", cycles="2 * elements / mul_per_clk", energy="elements * 3 fJ")
def vswiglu(gate, up):
    """d0 = d1 * sigmoid(d1) * d2"""
    return gate * num.sigmoid(gate) * up


@emu.instruction(MINE, operands="d0:rw, d1:r, d2:r, imm", cycles="elements / lanes", energy="0")
def vdecay(old, x, by):
    """d0 = d0 * d2 + d1"""
    return old * by + x


@emu.instruction(
    MINE, operands="d0:w, d1:r, sr", per="row", cycles="rows * (8 + width / reduce_per_clk)", energy="elements * vec_compare_pj"
)
def vtop(out, x):
    """d0[.., :] = the largest of the row d1[.., :], descending; -inf where it is too short"""
    for j in range(out.size):
        out[j] = -np.inf
    for i in range(x.size):
        at = out.size
        while at > 0 and x[i] > out[at - 1]:
            at -= 1
        for j in range(out.size - 1, at, -1):
            out[j] = out[j - 1]
        if at < out.size:
            out[at] = x[i]


@emu.instruction(MINE, operands="d0:rw, d1:r, d2:r", per="row", cycles="elements / 0.3", energy="1 pJ * rows")
def vlook(out, x, table):
    """d0[.., j] = d0[.., j] + d2[.., n] for the first n with d1[.., n] >= j"""
    for j in range(out.size):
        for n in range(min(x.size, table.size)):
            if x[n] >= num.f32(j):
                out[j] = out[j] + table[n]
                break


@emu.instruction(
    MINE, operands="d0:w, d1:r, d2:s", per="row", engine="mm", cycles="rows + ceil(elements / 16)", energy="elements * 0.25 pJ"
)
def mscale(out, x, by):
    """d0 = d1 * d2.scalar on the matrix engine, as far as both rows go"""
    for i in range(min(out.size, x.size)):
        out[i] = x[i] * by


FORMATS = ("fp32", "bf16", "fp16", "fp8_e4m3", "fp8_e5m2", "int8", "int32", "fp6_e3m2", "fp4_e2m1")
AREA = 4096  # bytes of the scratchpad that each operand may lie in


@dataclass
class Case:
    """One instruction on its operands."""

    program: isa.Program
    inputs: dict[str, Any]
    instruction: Any
    extents: dict[str, int]


TEXT = """
.program case
.cores 1
.buffer x hbm 0x0 {three} in int8 {three}
.buffer y hbm 0x4000 {three} out int8 {three}
.buffer z hbm 0x8000 {area} out int8 {area}
.buffer t sram 0 {three} temp
.buffer a acc 0 {area} temp
.sem 1 full 0
.sem 2 done 0
.stream {stream}
        {lines}
        {instruction} wait=full signal=done
        halt
.stream ld0
        dset d0.space, acc
        dset d2.space, sram
        {bytes}
        dma d0, d1
        dma d2, d3 signal=full
        halt
.stream st0
        dset d0.base, 0x8000
        dset d1.space, acc
        dset d2.base, 0x4000
        dset d3.space, sram
        {bytes}
        dma d0, d1 wait=done
        dma d2, d3
        halt
"""
BYTES = [f"dset d{d}.fmt, int8" for d in range(4)] + [f"dset d{d}.n0, {AREA if d < 2 else 3 * AREA}" for d in range(4)]


def data(draw: st.DrawFn, fmt: str) -> np.ndarray:
    """The bytes of one operand: any, or those of ordinary numbers."""
    random = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    if draw(st.booleans()) or known(fmt).bits < 8:
        return np.frombuffer(random.bytes(AREA), np.int8)
    return (random.standard_normal(AREA * 8 // known(fmt).bits) * 20).astype(dtype(fmt)).view(np.int8)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """An instruction of MINE on random extents, strides, formats, flags and data; sources may lie in the destination's bytes."""
    one = draw(st.sampled_from([vsoftcap, vswiglu, vdecay, vtop, vlook, mscale]))
    matrix = one.extension.spec.engine == "mm"  # it writes accumulators; elsewhere all lies in the scratchpad
    n1, n2, n3 = draw(st.integers(0, 4)), draw(st.integers(0, 2)), draw(st.integers(1, 2))
    flags = [flag for flag in one.flags if draw(st.booleans())]
    lines, parts, widths = [], [], []
    for slot in range(3):
        fmt = draw(st.sampled_from(FORMATS))
        width = draw(st.integers(0, 40)) if one.per == "row" or slot == 0 else widths[0]
        pitch = max(1, -(-width * known(fmt).bits // 8)) + draw(st.sampled_from([0, 0, 4, 12]))
        inside = slot > 0 and not matrix and draw(st.integers(0, 5)) == 0  # in place, or across
        values: dict[str, Any] = {"space": "acc" if matrix and slot == 0 else "sram", "fmt": fmt, "n0": width, "n1": n1, "n2": n2, "n3": n3}
        values |= {"base": draw(st.integers(0, 8)) * 4 if inside else AREA * slot, "s1": pitch, "s2": pitch * n1, "s3": pitch * n1 * n2}
        lines += [f"dset d{slot}.{field}, {value}" for field, value in values.items() if (slot, field) not in ((0, "base"),)]
        parts.append(data(draw, fmt))
        widths.append(width)
    lines += [f"dset d2.scalar, {draw(st.floats(-50, 50, width=32)) or 1.0!r}", f"dset d0.seed, {draw(st.integers(0, 99))}"]
    instruction = " ".join([one.name, ", ".join(["d0", "d1", *(["d2"] if "d2" in one.access else [])]), *flags])
    joined = {"lines": "\n        ".join(lines), "bytes": "\n        ".join(BYTES)}
    text = TEXT.format(area=AREA, three=3 * AREA, stream=one.extension.spec.engine, instruction=instruction, **joined)
    rows = n1 * n2 * n3
    extents = {"elements": rows * widths[one.per == "row"], "out": rows * widths[0], "rows": rows}
    return Case(isa.assemble(text, MINE), {"x": np.concatenate(parts)}, one, extents)
