"""Is a broken program, whatever is broken in it, refused or run to an end, and nothing else?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from fuzz_support import bounded, edited
from hypothesis import given
from hypothesis import strategies as st

import emu
import isa
from emu.cli.files import read_program
from emu.testing import checked, inputs_for, programs
from isa.words import instructions

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.s"))
FILES = tuple(isa.assemble(path.read_text()).to_bytes() for path in EXAMPLES)
MACHINE = emu.Machine(emu.chip("tiny").vary({"core.matrix.scales": ["mx"], "core.matrix.rate.fp4_e2m1": 4}), check=True)
LIMIT = {"max_instructions": 5000, "max_memory": 64 << 20}
WAYS = ({"values": True}, {"values": False}, {"values": False, "check": False, "folding": True, "fast_forward": True})


def run(program: isa.Program, **how: bool) -> str:
    """The kind of error a run ends with, or an empty word."""
    small = sum(b.bytes for b in program.buffers) < 1 << 22
    try:
        MACHINE.run(program, inputs_for(program) if small and how["values"] else {}, **LIMIT, **how)
    except emu.EmuError as error:
        return type(error).__name__
    return ""


@checked(300)
@given(st.one_of(st.sampled_from(FILES), programs().map(isa.Program.to_bytes)).flatmap(lambda data: edited(data, FILES)))
def test_bytes(data: bytes) -> None:
    with bounded():
        try:
            program = isa.Program.from_bytes(data)
        except isa.IsaError:
            return
        assert program.to_bytes() == data
        for how in WAYS:
            run(program, **how)


@checked(60)
@given(st.one_of(st.sampled_from(FILES), st.sampled_from([p.read_bytes() for p in EXAMPLES])).flatmap(lambda data: edited(data, FILES)))
def test_files(tmp_path_factory, data: bytes) -> None:
    """As the shell reads them: binary or text."""
    path = tmp_path_factory.getbasetemp() / "fuzzed"
    path.write_bytes(data)
    with bounded():
        try:
            read_program(path)
        except emu.EmuError:
            pass


@st.composite
def broken_words(draw: st.DrawFn) -> isa.Program:
    """A program of which some words became any word at all: what the loader's proofs would refuse, the core must bear."""
    program = isa.Program.from_bytes(draw(st.sampled_from(FILES)))
    opcodes = st.sampled_from([spec.opcode << 56 for spec in instructions().values()])
    for _ in range(draw(st.integers(1, 4))):
        words = program.streams[draw(st.sampled_from(sorted(program.streams)))]
        at, kind = draw(st.integers(0, len(words) - 1)), draw(st.sampled_from(["bit", "any", "opcode", "twice", "drop", "number"]))
        if kind == "bit":
            words[at] ^= 1 << draw(st.integers(0, 63))
        elif kind == "number":  # the constant of the word: what dset, li, loops and branches go by
            words[at] = words[at] & ~0xFFFFFFFF | draw(st.sampled_from([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFF]))
        elif kind == "twice":
            words.insert(at, words[at])
        elif kind == "drop":
            words[at] = 0
        else:
            low = draw(st.integers(0, (1 << 56) - 1))
            words[at] = (words[at] >> 56 << 56 if kind == "any" else draw(opcodes)) | low
    return program


def test_words_that_no_loader_has_seen() -> None:
    ends: dict[str, int] = {}

    @checked(400)
    @given(broken_words())
    def refused_or_run(program: isa.Program) -> None:
        with bounded():
            for how in WAYS:
                end = run(program, verify=False, **how)
                ends[end] = ends.get(end, 0) + 1

    refused_or_run()
    assert ends.get("", 0) > 20 and ends.get("ProgramError", 0) > 100, ends  # neither everything nor nothing is refused


@checked(100)
@given(st.lists(st.integers(0, (1 << 64) - 1), min_size=1, max_size=12), st.sampled_from(["mm", "vec", "ld0", "st0"]))
def test_any_words_at_all(words: list[int], stream: str) -> None:
    buffers = [isa.Buffer("x", "hbm", 0, 4096, "in", "int8", (4096,)), isa.Buffer("s", "sram", 0, 4096), isa.Buffer("a", "acc", 0, 4096)]
    program = isa.Program("any", 2, buffers, streams={stream: [*words, isa.encode("halt")]})
    with bounded():
        for how in WAYS:
            run(program, verify=False, **how)
        assert np.isfinite(1.0)
