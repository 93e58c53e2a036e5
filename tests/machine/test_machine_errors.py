"""Is every wrong program or input refused with a message that says where and what to do?"""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from machine_programs import HEAD, ld, mm, program

import emu
import isa

TINY = emu.Machine("tiny", check=True)
PLAIN = HEAD.replace(".sem 1 full 0\n.sem 2 free 1\n", "")  # a declared semaphore that nobody uses is an error of its own
X = {"x": np.zeros(2048, ml_dtypes.bfloat16)}


def refused(p: isa.Program, *parts: str, error=emu.ProgramError, machine=TINY, **options) -> str:
    """The same error with and without values; its message holds every part."""
    for values in (True, False):
        with pytest.raises(error) as caught:
            machine.run(p, X if values else {}, values=values, **options)
        for part in parts:
            assert part in str(caught.value), f"{part!r} not in {str(caught.value)!r}"
    return str(caught.value)


BAD_LOADS = {
    "reads outside every buffer": (" dset d1.base, 0x3000\n dma d0, d1", ["stream ld0, word 4: dma d0, d1", "bytes 12288..12289", "map"]),
    "reads behind its buffer": (" dset d0.n0, 16\n dset d1.base, 4080\n dma d0, d1", ["outside every buffer", "buffer 'x' + 4080"]),
    "below zero": (" dset d0.n0, 2\n dset d0.s0, -1\n dma d0, d1", ["out of the bounds"]),
    "base beyond every memory": (" li r1, 1\n shli r1, r1, 60\n dsetr d1.base, r1, 0\n dma d0, d1", ["beyond every memory"]),
    "negative extent": (" dset d0.n1, -1\n dma d0, d1", ["negative extent"]),
    "huge extent": (" li r1, 1\n shli r1, r1, 40\n dsetr d0.n1, r1, 0\n dma d0, d1", ["extent or stride"]),
    "reads what nobody wrote": (" dset d0.base, 64\n dset d1.space, sram\n dma d0, d1", ["nobody wrote", "sram bytes 0..1", "'s' + 0"]),
    "reads an unwritten output": (" dset d1.base, 0x1000\n dma d0, d1", ["nobody wrote", "buffer 'y' + 0"]),
    "widths differ": (" dset d1.fmt, fp32\n dma d0, d1", ["equally wide"]),
    "transfer of 32 MiB": (" dset d0.n0, 2048\n dset d0.n1, 8192\n dset d0.s1, 0\n dma d0, d1", ["16 MiB", "several instructions"]),
    "no such core": (" dset d0.space, peer\n dset d0.core, 2\n dma d0, d1", ["names no core"]),
    "parameter that is not there": (" ldpx r1, r0, 3", ["parameter index out of range"]),
    "negative loop": (" li r1, -1\n loopr r1, e\n nop\ne:", ["negative loop count"]),
    "lds of ordinary data": (" lds r1, r0, 0", ["role index"]),
    "scalar loop without end": (" li r1, 1\nl:\n nop\n bne r1, r0, l", ["run on"]),
}  # fmt: skip



@pytest.mark.parametrize("name", BAD_LOADS)
def test_a_bad_load(name):
    body, parts = BAD_LOADS[name]
    refused(ld(body, PLAIN), *parts)


def test_tokens_left_over():
    p = program(".stream ld0\n signal full, 2\n halt\n.stream mm\n wait full, 1\n halt\n", HEAD.replace(".sem 2 free 1\n", ""))
    refused(p, "core 0", "'full'", "+1", "balance")


def test_deadlock_says_who_waits_for_what():
    text = ".stream ld0\n wait free, 2\n signal full, 1\n halt\n.stream mm\n wait full, 1\n signal free, 1\n halt\n"
    refused(program(text), "deadlock", "core 0, stream ld0, word 0", "'free'", "core 0, stream mm, word 0", "'full'", "core 1")


def test_deadlock_at_a_barrier():
    text = ".barrier 3 ld0,mm\n.stream ld0\n bar 3\n halt\n.stream mm\n cid r1\n beq r1, r0, l\n bar 3\nl:\n nop\n halt\n"
    refused(program(text, PLAIN), "deadlock", "barrier 3", "core 1, stream mm")


BAD_MM = {
    "m": (" dset d0.n1, 65\n dset d1.n1, 65", ["mm has more rows"]),
    "n": (" dset d0.n0, 9\n dset d2.n0, 9", ["more columns"]),
    "k": (" dset d1.n0, 9\n dset d2.n1, 9", ["longer k"]),
    "a and c differ": (" dset d1.n1, 7", ["same rows"]),
    "b and k differ": (" dset d2.n1, 7", ["b must be k x n"]),
    "accumulators in sram": (" dset d0.space, sram\n dset d0.base, 4096", ["space acc"]),
    "a from hbm": (" dset d1.space, hbm", ["no port"]),
    "a from another core": (" dset d1.space, peer", ["only DMA"]),
    "accumulate in bf16": (" dset d0.fmt, bf16", ["accumulator format"]),
    "int8 by bf16": (" dset d1.fmt, int8\n dset d0.fmt, int32", ["cannot be multiplied"]),
    "int32 operands": (" dset d1.fmt, int32", ["no such format"]),
}


@pytest.mark.parametrize("name", BAD_MM)
def test_a_bad_matrix_instruction(name):
    body, parts = BAD_MM[name]
    text = refused(mm(body, PLAIN), *parts)
    assert "stream mm" in text and "mm d0, d1, d2" in text


def test_a_format_this_chip_lacks():
    chip = emu.chip("tiny").vary({"core.matrix.rate": {"fp32": 1}})
    refused(mm("", PLAIN), "no such format", machine=emu.Machine(chip))


def test_illegal_words_do_not_run():
    good = ld(" nop", PLAIN)
    for word in (0xFF << 56, 0x50 << 56, 0x00FF_FFFF_FFFF_FFFF, (0x1C << 56) | (100 << 30)):
        bad = isa.Program.from_bytes(good.to_bytes())
        bad.streams["ld0"].insert(3, word)
        for verify in (True, False):
            refused(bad, "ld0", verify=verify)


def test_an_undeclared_semaphore_is_refused_without_the_loader_too():
    bad = ld(" nop", HEAD)
    bad.streams["ld0"].insert(3, isa.encode("wait", sem=9, imm=1))
    refused(bad, "not declared", verify=False)


BAD_INPUTS = {
    "none": ({}, "'x' not given"),
    "another name": (X | {"z": np.zeros(1)}, "no input 'z'"),
    "shape": ({"x": np.zeros((2, 1024), ml_dtypes.bfloat16)}, "shape (2, 1024)"),
    "objects": ({"x": np.array([object()] * 2048)}, "dtype object"),
    "text": ({"x": np.array(["a"] * 2048)}, "dtype <U1"),
    "complex": ({"x": np.zeros(2048, complex)}, "dtype complex128"),
    "ragged": ({"x": [[1], [2, 3]]}, "'x'"),
    "dates": ({"x": np.zeros(2048, "M8[s]")}, "dtype datetime64[s]"),
}


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_a_bad_input(name):
    given, part = BAD_INPUTS[name]
    p = ld(" dma d0, d1", PLAIN.replace(".buffer y hbm 0x1000 4096 out bf16 2048\n", ""))
    with pytest.raises(emu.ProgramError) as caught:
        TINY.run(p, given)
    assert part in str(caught.value)


def test_a_program_that_does_not_fit():
    p = ld(" nop", HEAD.replace(".cores 2", ".cores 5").replace(".sem 1 full 0\n.sem 2 free 1\n", ""))
    refused(p, "needs 5 cores, tiny has 4")
    big = isa.assemble(".program big\n.buffer t sram 0 70000 temp\n.stream mm\n halt\n")
    refused(big, "buffer 't' ends at byte 70000 of sram, tiny has 65536")
    stream = isa.assemble(".program s\n.stream ld3\n halt\n")
    refused(stream, "ld3", "tiny does not have", error=emu.UnsupportedError)


def test_memory_limit():
    with pytest.raises(emu.CapacityError, match="max_memory.*values=False"):
        TINY.run(ld(" dma d0, d1", PLAIN), X, max_memory=4096)


def test_too_many_instructions():
    refused(ld(" loop 1000, e\n dma d0, d1\ne:", PLAIN), "raise max_instructions", max_instructions=100)
