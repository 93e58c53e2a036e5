"""Do packed formats and block scales do on the machine what emu.num says, at the cost of their bytes, and is the rest refused by name?"""

from __future__ import annotations

import numpy as np
import pytest
from format_programs import CHIP, RATES, Streamed
from hypothesis import given, settings
from hypothesis import strategies as st
from machine_programs import HEAD, ld, mm

import emu
import isa
from emu import num
from isa.oracle import run as oracle

FORMATS = st.sampled_from([
    ("fp4_e2m1", "mx"), ("fp4_e2m1", "nvfp4"), ("fp6_e2m3", "mx"), ("fp6_e3m2", "mx"), ("fp8_e4m3", "mx"), ("fp8_e5m2", "mx"),
    ("fp6_e3m2", ""), ("fp4_e2m1", ""), ("int4", ""), ("tf32", ""),
])
CASES = st.builds(lambda tiles, m, n, k, how, depth: Streamed(tiles, m, n, k, *how, depth), st.integers(1, 5), st.sampled_from([1, 3, 16]),
                  st.sampled_from([1, 5, 8]), st.sampled_from([1, 7, 16, 31, 32, 40]), FORMATS, st.integers(1, 3))
PLAIN = HEAD.replace(".sem 1 full 0\n.sem 2 free 1\n", "")


@given(CASES, st.integers(0, 999))
@settings(max_examples=80, deadline=None)
def test_a_stream_of_tiles_is_the_sum_of_their_products(case, seed):
    tensors = case.tensors(seed)
    run = emu.Machine(CHIP, check=True).run(case.program(), {"x": case.bytes_of(tensors)})
    want = None
    for a, b in tensors:
        formats = ("tf32", "tf32") if case.fmt == "tf32" else None
        want = num.mm(a, b, bt=True, acc=want, accumulate=CHIP.core.matrix.accumulate, formats=formats)
    assert np.array_equal(run.outputs["y"].view(np.uint32), want.view(np.uint32))


@given(CASES)
@settings(max_examples=60, deadline=None)
def test_bytes_and_cycles_are_those_of_packed_elements_and_scales(case):
    run = emu.Machine(CHIP).run(case.program(), values=False, trace=True)
    counters, matrix = run.counters, CHIP.core.matrix
    assert counters["hbm_read_bytes"] == case.tiles * case.slot
    assert counters["sram_write_bytes"] == case.tiles * case.slot
    assert counters["sram_read_bytes"] == case.tiles * case.slot  # tiny reads each operand once
    assert counters[f"useful_macs_{case.fmt}"] == case.tiles * case.m * case.n * case.k
    padded = case.m * (-(-case.n // 8) * 8) * (-(-case.k // 8) * 8)
    assert counters[f"array_macs_{case.fmt}"] == case.tiles * padded
    assert matrix.macs_per_clk[case.fmt] == 64 * RATES.get(case.fmt, 2)
    assert counters["stationary_bytes"] == case.tiles * sum(case.parts[2:])


@given(CASES, st.sampled_from([40, 301]))
@settings(max_examples=30, deadline=None)
def test_short_cuts_change_nothing(case, tiles):
    program = Streamed(tiles, case.m, case.n, case.k, case.fmt, case.scales, case.depth).program()
    machine = emu.Machine(CHIP)
    long, short = machine.run(program, values=False), machine.run(program, values=False, fast_forward=True)
    for what in ("end_fs", "counters", "stalls", "root_stalls", "label_stalls"):
        assert long.raw[what] == short.raw[what], what
    assert short.raw["skipped"] > 0


def test_four_bits_are_twice_as_fast_as_eight():
    """Compute-bound: memory that is never waited for, as many rows as an instruction takes."""
    chip = CHIP.vary({"hbm.bandwidth": "64 TB/s", "core.dma.bandwidth": "4096 B/clk", "hbm.latency": "1 ns"})
    ends = [emu.Machine(chip).run(Streamed(60, 64, 8, 32, fmt).program(), values=False).end_fs for fmt in ("fp8_e4m3", "fp4_e2m1")]
    assert ends[0] / ends[1] == pytest.approx(2, rel=0.1)


def refused(program: isa.Program, *parts: str, chip: emu.chip.Chip = CHIP) -> None:
    for values in (True, False):
        with pytest.raises(emu.ProgramError) as caught:
            given_inputs = {b.name: np.zeros(b.shape, num.dtype(b.format)) for b in program.buffers if b.role == "in"} if values else {}
            emu.Machine(chip).run(program, given_inputs, values=values)
        for part in parts:
            assert part in str(caught.value), f"{part!r} not in {str(caught.value)!r}"


OPERANDS = " dset d1.fmt, fp4_e2m1\n dset d2.fmt, fp4_e2m1\n dset d1.scales, mx\n dset d1.scale, 64\n dset d1.scale_s1, 1\n"
BAD_MM = {
    "scales of a chip that has none": (OPERANDS, ["takes no such scales (mx)"], emu.chip("tiny").vary({"core.matrix.rate.fp4_e2m1": 4})),
    "a format of a chip that lacks it": (OPERANDS, ["no such format (fp4_e2m1)"], emu.chip("tiny")),
    "blocks of two sizes": (OPERANDS + " dset d2.scales, nvfp4", ["different numbers of elements (mx, nvfp4)"], CHIP),
    "scales of fp32": (OPERANDS + " dset d1.fmt, fp32\n dset d2.fmt, fp32", ["at most 11 significant bits (fp32, fp32)"], CHIP),
    "scales of integers": (OPERANDS + " dset d1.fmt, int4\n dset d2.fmt, int8\n dset d0.fmt, int32", ["bits (int4, int8)"], CHIP),
    "int4 by fp4": (OPERANDS + " dset d2.fmt, int4", ["cannot be multiplied on this chip (fp4_e2m1, int4)"], CHIP),
    "int4 into fp32": (" dset d1.fmt, int4\n dset d2.fmt, int4", ["int32 for int8 and int4 operands"], CHIP),
    "a scale as an operand": (" dset d1.fmt, e8m0", ["no such format (e8m0)"], CHIP),
    "a gapped packed row": (OPERANDS + " dset d1.s0, 2", ["packed format are dense"], CHIP),
    "scales out of bounds": (OPERANDS + " dset d1.scale, 8190", ["outside every buffer"], CHIP),
    "scales nobody wrote": (OPERANDS + " dset d1.scale, 5000", ["nobody wrote"], CHIP),
    "scales beyond every memory": (OPERANDS + " li r1, 1\n shli r1, r1, 60\n dsetr d1.scale, r1, 0", ["beyond every memory"], CHIP),
}


@pytest.mark.parametrize("name", BAD_MM)
def test_a_bad_matrix_instruction(name):
    body, parts, chip = BAD_MM[name]
    refused(mm(body, PLAIN), *parts, chip=chip)


@pytest.mark.parametrize("body, part", [
    (" dset d0.fmt, fp4_e2m1\n dset d1.fmt, int8\n dma d0, d1", "equally wide (fp4_e2m1, int8)"),
    (" dset d0.fmt, fp4_e2m1\n dset d1.fmt, fp4_e2m1\n dset d0.n0, 4\n dset d0.s0, 2\n dma d0, d1", "innermost stride s0 is 1"),
])
def test_a_bad_load(body, part):
    refused(ld(body, PLAIN), part)


def vector(body: str) -> isa.Program:
    return isa.assemble(f""".program v
.cores 1
.buffer s sram 0x0 256 temp
.stream vec
        dset d0.space, sram
        dset d0.n0, 8
        dset d1.space, sram
        dset d1.n0, 8
        dset d2.space, sram
        vfill d0, d2
{body}
        halt
""")


@pytest.mark.parametrize("body, part", [
    (" dset d0.fmt, fp4_e2m1\n dset d1.fmt, fp4_e2m1\n vtrans d0, d1", "a transpose moves bytes, and this format is packed (fp4_e2m1)"),
    (" dset d0.fmt, e8m0\n vmov d0, d1 sr", "e8m0 is not rounded stochastically (e8m0)"),
])
def test_a_bad_vector_instruction(body, part):
    refused(vector(body), part)


def test_constants_and_names_are_checked_by_the_assembler():
    with pytest.raises(isa.IsaError, match="no kind of scales 'mxx'; did you mean 'mx'"):
        vector(" dset d0.scales, mxx")
    with pytest.raises(isa.IsaError, match="scales must be 0..2"):
        vector(" dset d0.scales, 3")
    with pytest.raises(isa.IsaError, match="seed must be 0..4294967295"):
        vector(" dset d0.seed, -1")
    assert "dset d0.scales, nvfp4" in vector(" dset d0.scales, nvfp4").to_text()


def test_packed_inputs_and_outputs_have_shapes_in_elements():
    program = isa.assemble(""".program copy
.cores 1
.buffer x hbm 0x0 10 in fp4_e2m1 2x9
.buffer y hbm 0x100 10 out fp4_e2m1 2x9
.stream ld0
        dset d0.base, 0x100
        dset d0.fmt, fp4_e2m1
        dset d0.n0, 9
        dset d0.n1, 2
        dset d0.s1, 5
        dset d1.fmt, fp4_e2m1
        dset d1.s1, 5
        dma d0, d1
        halt
""")
    x = np.linspace(-7, 7, 18, dtype=np.float32).reshape(2, 9)
    out = emu.Machine("tiny").run(program, {"x": x}).outputs["y"]
    assert out.shape == (2, 9) and out.dtype == num.dtype("fp4_e2m1")
    assert np.array_equal(out.view(np.uint8), num.cast(x, "fp4_e2m1").view(np.uint8))
    with pytest.raises(isa.IsaError, match="2x9 of fp4_e2m1 is 10 bytes, not 9"):
        isa.assemble(".program c\n.buffer x hbm 0x0 9 in fp4_e2m1 2x9\n.stream ld0\n halt\n")
    with pytest.raises(emu.ProgramError, match="values outside int4"):
        emu.Machine("tiny").run(isa.assemble(".program c\n.buffer x hbm 0x0 1 in int4 2\n.stream ld0\n halt\n"), {"x": np.array([1, 8])})


GATHER = """.program gather
.cores 1
.buffer x hbm 0x0 {table} in {fmt} 16x{n}
.buffer i hbm 0x1000 64 index int32 16
.buffer y hbm 0x2000 {table} out {fmt} 16x{n}
.buffer s sram 0x0 8192 temp
.sem 1 there 0
.sem 2 done 0
.stream ld0
        dset d0.space, sram
        dset d0.fmt, {fmt}
        dset d0.n0, {n}
        dset d0.n1, 16
        dset d0.s1, {row}
        dset d1.fmt, {fmt}
        dset d1.s1, {row}
        dset d2.base, 0x1000
        dset d2.fmt, int32
        dmag d0, d1, d2                 ; row i of the slot is row i[i] of x
        dset d3.space, sram
        dset d3.base, 0x1000
        dset d3.fmt, int32
        dset d3.n0, 16
        dma d3, d2 signal=there
        halt
.stream vec
        dset d0.space, sram
        dset d0.base, 0x800
        dset d0.fmt, {fmt}
        dset d0.n0, {n}
        dset d0.n1, 16
        dset d0.s1, {row}
        dset d1.space, sram
        dset d1.base, 0x1000
        dset d1.fmt, int32
        dset d1.n0, 16
        dset d2.space, sram
        dset d2.fmt, {fmt}
        dset d2.s1, {row}
        wait there, 1
        vgather d0, d1, d2 signal=done  ; once more
        halt
.stream st0
        wait done, 1
        dset d0.base, 0x2000
        dset d0.fmt, {fmt}
        dset d0.n0, {n}
        dset d0.n1, 16
        dset d0.s1, {row}
        dset d1.space, sram
        dset d1.base, 0x800
        dset d1.fmt, {fmt}
        dset d1.s1, {row}
        dset d2.base, 0x1000
        dset d2.fmt, int32
        dmas d0, d1, d2                 ; and row i goes to row i[i]
        halt
"""


@given(st.sampled_from(["fp4_e2m1", "fp6_e2m3", "int4", "fp8_e4m3", "tf32"]), st.integers(1, 20), st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_rows_of_packed_elements_are_gathered_and_scattered(fmt, n, seed):
    rng = np.random.default_rng(seed)
    x = num.cast((rng.standard_normal((16, n)) * 2).astype(np.float32), fmt)
    order = rng.permutation(16).astype(np.int32)
    row = num.row_bytes(fmt, n)
    program = isa.assemble(GATHER.format(fmt=fmt, n=n, row=row, table=16 * row))
    given_inputs = {"x": x, "i": order}
    out = emu.Machine(CHIP, check=True).run(program, given_inputs).outputs["y"]
    want = np.zeros_like(x)
    want[order] = x[order][order]
    assert out.tobytes() == want.tobytes() == oracle(program, given_inputs)["y"].tobytes()


def test_a_gathered_packed_row_must_lie_in_its_buffer_to_the_last_byte():
    """Two rows of 16 fp4 elements, 8 bytes each, in a buffer of 15."""
    text = """.program short
.cores 1
.buffer index sram 0x0 4 temp
.buffer table sram 0x40 15 temp
.buffer row sram 0x80 8 temp
.stream vec
        dset d0.space, sram
        dset d0.fmt, int32
        dset d2.scalar, 1.0
        vfill d0, d2                    ; the index: row 1
        dset d0.base, table
        dset d0.fmt, int8
        dset d0.n0, 15
        vfill d0, d2
        dset d0.base, row
        dset d0.fmt, fp4_e2m1
        dset d0.n0, 16
        dset d1.space, sram
        dset d1.fmt, int32
        dset d2.space, sram
        dset d2.base, table
        dset d2.fmt, fp4_e2m1
        dset d2.s1, {pitch}
        vgather d0, d1, d2
        halt
"""
    with pytest.raises(emu.ProgramError, match="outside every buffer"):
        emu.Machine(CHIP).run(isa.assemble(text.format(pitch=8)))
    emu.Machine(CHIP).run(isa.assemble(text.format(pitch=7)))
