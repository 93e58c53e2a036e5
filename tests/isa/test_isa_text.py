"""Does text give words and words text, and do mistakes get an answer that helps?"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import isa
from isa.disassembler import show
from isa.strategy import any_instruction, programs

quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)
HEAD = """.program p
.cores 2
.buffer x hbm 0 64 in fp32 16
.buffer s sram 256 64 temp
.sem 1 full 0
.sem 2 free 2
.param 0 1,2
.stream ld0
"""
# Each case: one line of ld0, column and message of the error.
MISTAKES = [
    ("dmaa d0, d1", 1, "no instruction 'dmaa'; did you mean 'dma"),
    ("dma d0, d1 wait=ful", 17, "no semaphore 'ful'; did you mean 'full'?"),
    ("dma d0, d1 wiat=full", 12, "did you mean 'wait'?"),
    ("dma d0, d1 wait", 12, "wait needs a semaphore: wait=NAME"),
    ("dma d0, d1 wait=full wait=full", 22, "wait stands twice"),
    ("dma d0, d1 wait=256", 17, "wait must be 0..255, is 256"),
    ("dma d0, d1 sat", 12, "dma takes no 'sat'"),
    ("dma d0", 7, "',' and operand d1 expected"),
    ("dma d0 d1", 8, "',' and operand d1 expected, found 'd1'"),
    ("dma d0, r1", 9, "descriptor expected (d0..d31), found 'r1'"),
    ("dma d0, d32", 9, "descriptor expected (d0..d31), found 'd32'"),
    ("add r1, r2, r03", 13, "register expected (r0..r31), found 'r03'"),
    ("li r1, 0x80000000", 8, "imm must be -2147483648..2147483647, is 2147483648"),
    ("li r1, ten", 8, "'ten' is not a number"),
    ("shli r1, r1, 64", 14, "imm must be 0..63"),
    ("dset d1.bas, 0", 6, "no descriptor field 'bas'; did you mean 'base'?"),
    ("dset d1, 0", 6, "a field is missing: d1.base"),
    ("dset d1.space, hbn", 16, "no space 'hbn'; did you mean 'hbm'?"),
    ("dset d1.fmt, bf61", 14, "no format 'bf61'; did you mean 'bf16'?"),
    ("dset d1.fmt, 13", 1, "fmt must be 0..12, is 13"),
    ("dset d1.base, y", 15, "no buffer 'y'"),
    ("dset d1.base, s+q", 17, "'q' is not a number"),
    ("dset d1.scalar, 1e99", 17, "does not fit fp32"),
    ("wait full, 0", 12, "imm must be 1..65535"),
    ("wait 0, 1", 6, "sem must be 1..255"),
    ("beq r1, r2, nowhere", 13, "no label 'nowhere' in stream ld0"),
    ("bar 3", 1, "no .barrier 3"),
    ("ldp r1, 1", 1, "no .param 1"),
    ("label 0", 1, "no .label 0"),
    ("mm d0, d1, d2", 1, "mm belongs to engine mm, this stream drives dma"),
    ("nop nop", 5, "nop takes no 'nop'"),
    (".sem 3", 7, "a name expected at the end of the line"),
    (".sem 1 full", 8, "'full' stands twice"),
    (".stream ld9", 9, "no stream 'ld9'; did you mean 'ld"),
    (".stream ld0", 9, "'ld0' stands twice"),
    (".strem st0", 1, "no directive '.strem'; did you mean '.stream'?"),
    (".buffer t sram 0 4 tmp", 20, "no role 'tmp'; did you mean 'temp'?"),
    (".buffer t sran 0 4 temp", 11, "did you mean 'sram'?"),
    (".buffer t hbm 0 4 in fp23 1", 22, "no format 'fp23'; did you mean 'fp32'?"),
    (".param 2 1", 8, "the next one is 1"),
    (".label 1 l", 8, "the next one is 0"),
    (".cores 2 2", 10, "nothing more expected"),
]


@pytest.mark.parametrize(("line", "column", "message"), MISTAKES, ids=[line for line, _, _ in MISTAKES])
def test_mistakes_are_explained(line: str, column: int, message: str) -> None:
    with pytest.raises(isa.IsaError) as caught:
        isa.assemble(HEAD + line + "\nhalt\n")
    assert message in caught.value.message
    assert (caught.value.line, caught.value.column) == (9, column)
    assert str(caught.value).startswith("line 9, column ")


def test_mistakes_of_the_whole_text() -> None:
    for text, message in (
        ("", "begin with .program"),
        (".program p\nnop", "needs a .stream"),
        (".program p\nl: .stream mm", "needs a .stream"),
        (HEAD + "l: nop\nl: halt", "label 'l' stands twice"),
        (HEAD.replace("1,2", "1,2,3") + "halt", "3 values for 2 cores"),
        (".program 1p\n", "a name is a letter"),
    ):
        with pytest.raises(isa.IsaError, match=message):
            isa.assemble(text)


@settings(quick, max_examples=300)
@given(any_instruction())
def test_every_instruction_reads_as_it_is_written(instruction: isa.Instruction) -> None:
    """All but branches, which need a label, and words the checker refuses for their context."""
    stream = {"any": "ld0", "dma": "ld0", "net": "net0"}.get(instruction.spec.engine, instruction.spec.engine)
    if "off" in instruction.operands:
        return
    word = isa.encode(instruction.mnemonic, **instruction.operands)
    try:
        program = isa.assemble(f".program p\n.stream {stream}\n{show(word)}\nhalt\n")
    except isa.IsaError as error:
        assert error.message.startswith(f"stream {stream}:"), "the text was read, the program refused"
        return
    assert program.streams[stream][0] == word


@quick
@given(programs())
def test_text_words_text(program: isa.Program) -> None:
    text = program.to_text()
    again = isa.assemble(text)
    assert again == program and again.to_text() == text and again.digest == program.digest


@quick
@given(st.text(st.sampled_from(" \n,;:.=+-x0189rdabmsn_\té\x00"), max_size=80), st.integers(0, 10_000))
def test_nonsense_is_refused_and_no_more(nonsense: str, at: int) -> None:
    base = HEAD + "loop 2, e\ndma d0, d1 wait=free signal=full\nwait full, 1\nsignal free, 1\ne: halt\n"
    at %= len(base)
    for text in (nonsense, base[:at] + nonsense + base[at:]):
        try:
            isa.assemble(text)
        except isa.IsaError:
            pass


def test_ways_to_write_a_constant() -> None:
    program = isa.assemble(HEAD + "dset d1.base, s+8\ndset d1.scalar, -1.5\ndset d1.fmt, 1\ndsetr d1.base, r3, s\nlast: halt ; end")
    assert [isa.decode(word).operands["imm"] for word in program.streams["ld0"][:4]] == [264, 0xBFC00000, 1, 256]
    assert program.params == [(1, 2)] and program.lines["ld0"][0] == "line 9: dset d1.base, s+8"
    assert isa.assemble(HEAD.replace("1,2", "7") + "halt").params == [(7, 7)]
