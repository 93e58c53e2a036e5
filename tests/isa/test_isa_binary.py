"""Do bytes give the program back, and does no file, however broken, do more than be refused?"""

from __future__ import annotations

import dataclasses
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import isa
from isa.binary import SECTIONS
from isa.strategy import programs

quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)
TEXT = """.program p
.cores 3
.buffer x hbm 0 64 in fp32 4x4
.sem 1 s 2
.barrier 0 mm,ld0
.label 0 first
.param 0 1,-2,3
.param 1 9
.stream mm
wait s, 1
bar 0
halt
.stream ld0
signal s, 1
bar 0
halt
"""
PROGRAM = isa.assemble(TEXT)
DATA = PROGRAM.to_bytes()


@quick
@given(programs())
def test_bytes_give_the_program_back(program: isa.Program) -> None:
    data = program.to_bytes()
    again = isa.Program.from_bytes(data)
    assert again == program and again.to_bytes() == data


def test_every_cut_is_refused() -> None:
    for length in range(len(DATA)):
        if DATA[length:].startswith(b"STRM"):
            continue  # a whole program that lacks a stream: refused for its semaphore or barrier
        with pytest.raises(isa.IsaError):
            isa.Program.from_bytes(DATA[:length])


def test_every_flipped_bit_is_refused_or_is_another_program() -> None:
    for at in range(len(DATA)):
        for bit in (0, 3, 7):
            data = bytearray(DATA)
            data[at] ^= 1 << bit
            try:
                other = isa.Program.from_bytes(bytes(data))
            except isa.IsaError:
                continue
            assert other != PROGRAM and other.to_bytes() == data


@settings(quick, max_examples=200)
@given(st.lists(st.tuples(st.integers(40, len(DATA) - 1), st.binary(min_size=0, max_size=9)), min_size=1, max_size=4), st.booleans())
def test_mutations_are_refused_or_canonical(changes: list[tuple[int, bytes]], insert: bool) -> None:
    data = DATA
    for at, raw in changes:
        data = data[:at] + raw + data[at if insert else at + len(raw) :]
    try:
        program = isa.Program.from_bytes(data)
    except isa.IsaError:
        return
    assert program.to_bytes() == data


def test_what_the_header_says_is_compared() -> None:
    for at, raw, message in (
        (0, b"ELF!", "not EMUP"),
        (4, b"\1\0", "version 1"),
        (6, b"\1\0", "reserved bytes"),
        (8, bytes(32), "another instruction set"),
        (40, b"XXXX", "section NAME expected"),
    ):
        with pytest.raises(isa.IsaError, match=message):
            isa.Program.from_bytes(DATA[:at] + raw + DATA[at + len(raw) :])
    with pytest.raises(isa.IsaError, match="cut short"):
        isa.Program.from_bytes(DATA + b"!")
    with pytest.raises(isa.IsaError, match="bytes expected"):
        isa.Program.from_bytes("EMUP")  # type: ignore[arg-type]


def section(tag: bytes, payload: bytes) -> bytes:
    return tag + struct.pack("<I", len(payload)) + payload


def with_sections(**payloads: bytes) -> bytes:
    """A file of empty sections but for those given."""
    known = {"NAME": b"\1\0p\1\0\0\0\1\0\0\0", **payloads}
    return DATA[:40] + b"".join(section(tag, known.get(tag.decode(), b"")) for tag in SECTIONS)


def test_sizes_in_a_file_are_not_believed() -> None:
    assert isa.Program.from_bytes(with_sections()) == isa.Program("p")
    huge = struct.pack("<I", 0xFFFFFFFF)
    for data, message in (
        (with_sections(NAME=b"\1\0p" + huge + huge), "cores"),
        (with_sections(NAME=b"\xff\xffp"), "cut short"),
        (with_sections(PARM=huge), "cut short"),
        (with_sections(NAME=b"\1\0p\0\0\1\0\1\0\0\0", PARM=struct.pack("<Iq", 1, 7) * 200), "too many parameter values"),
        (with_sections(PARM=struct.pack("<I", 0)), "0 values for 1 cores"),
        (with_sections(EXTN=b"\4\0vadd\0\0"), "user's instruction 'vadd'"),
        (DATA[:44] + huge + DATA[48:], "cut short"),
        (with_sections() + section(b"STRM", b"\2\0mm"), "not the one binary form"),
        (with_sections() + section(b"STRM", b"\2\0mm\0"), "1 bytes too many"),
        (with_sections() + section(b"STRM", b"\2\0mn" + struct.pack("<Q", isa.encode("halt"))), "no stream 'mn'"),
    ):
        with pytest.raises(isa.IsaError, match=message):
            isa.Program.from_bytes(data)
    with pytest.raises(isa.IsaError, match="at most"):
        isa.Program.from_bytes(bytes((1 << 26) + 1))


def test_digest_is_of_what_runs_and_not_of_its_source() -> None:
    bare = dataclasses.replace(PROGRAM, lines={})
    assert bare == PROGRAM and bare.digest == PROGRAM.digest
    assert dataclasses.replace(PROGRAM, cores=3, labels=["other"]).digest != PROGRAM.digest


def test_values_that_do_not_fit_are_refused_when_written() -> None:
    with pytest.raises(isa.IsaError, match="does not fit the binary form"):
        dataclasses.replace(PROGRAM, cores=-1).to_bytes()
