"""Do the proofs of the loader refuse tables in which a bit could mean two things, or nothing?"""

from __future__ import annotations

import pytest

from isa import IsaError
from isa.tables import load, parse, read_texts

BAD = [
    ("word", "E         d2      45  41  0", "E         d2      46  41  0", "bit 46 belongs to 'd1' and to 'd2'"),
    ("word", "E         imm16   15   0  0", "E         imm16   14   0  0", "bit 15 belongs to no field"),
    ("word", "R         op      63  56  0", "R         oq      63  56  0", "opcode must be bits 63..56"),
    ("word", "Y         imm     31   0  0", "Y         sem     31   0  0", "'sem' stands twice"),
    ("word", "L         imm     29   0  0", "L         imm     0   29  0", "bits 0..29"),
    ("word", "E         imm16   15   0  0", "E         imm     15   0  0", "both a field and a flag"),
    ("word", "F         imm     40   0  1", "F         imm     40   0", "5 columns expected, 4 found"),
    ("word", "F         imm     40   0  1", "F         imm     40   x  1", "'x' is not a number"),
    ("scalar", "sub         0x05", "sub         0x04", "opcode 0x04 belongs to 'add' and to 'sub'"),
    ("scalar", "sub         0x05", "add         0x05", "'add' stands twice"),
    ("scalar", "sub         0x05", "sub         0x105", "does not fit 8 bits"),
    ("scalar", "sub         0x05", "sub         0xc5", "reserved for users"),
    ("scalar", "sub         0x05    R       rd,ra,rb ", "sub         0x05    R       rd,ra,ra ", "'ra' stands twice"),
    ("scalar", "sub         0x05    R       rd,ra,rb ", "sub         0x05    R       rd,ra,rc ", "'rc' does not exist in word format R"),
    ("scalar", "sub         0x05    R ", "sub         0x05    Q ", "unknown word format 'Q'"),
    ("scalar", "rd,ra,imm:0..63  any    scalar   rd = ra <<", "rd,ra,imm:0..0x80000000 any scalar rd = ra <<", "does not fit 32 bits"),
    ("dma", "d0:w,d1:r,wait,signal        dma ", "d0:w,d1:r,wait,signal        dna ", "unknown engine 'dna'; did you mean 'dma'"),
    ("dma", "dma     copy ", "dma     copy: ", "'copy:' is not a name"),
    ("dma", "d0:w,d1:r,wait,signal ", "d0:w,d1:q,wait,signal ", "cannot have access 'q'"),
    ("dma", "d0:w,d1:r,wait,signal ", "wait,signal,d0:w,d1:r ", "must follow the other operands"),
    ("scalar", "nop         0x00    R       - ", "nop         0x00    R       zero ", "cannot be an operand"),
    ("fields", "2    fmt ", "3    fmt ", "should be 2"),
    ("fields", "3    n0          1 ", "3    n0          0x10000000000 ", "does not fit the F word"),
    ("spaces", "2    acc ", "2    sram ", "'sram' stands twice"),
    ("flags", "2     sat ", "2     imm ", "'imm' stands twice"),
    ("formats", "2    fp16      16    float  5        10 ", "2    fp16      16    float  5        9 ", "do not add up"),
]


@pytest.mark.parametrize(("file", "old", "new", "message"), BAD, ids=[f"{file}-{message}" for file, _, _, message in BAD])
def test_bad_tables_are_refused(file: str, old: str, new: str, message: str) -> None:
    texts = read_texts()
    assert texts[file].count(old) >= 1, "the test no longer fits the table"
    texts[file] = texts[file].replace(old, new, 1)
    with pytest.raises(IsaError) as caught:
        parse(texts)
    assert message in str(caught.value)


def test_digest_follows_meaning_and_not_spacing() -> None:
    texts = read_texts()
    texts["spaces"] = "# another comment\n" + texts["spaces"].replace("  ", "   ")
    assert parse(texts).digest == load().digest
    texts["vec"] = texts["vec"].replace("0x60", "0x6f")
    assert parse(texts).digest != load().digest


def test_bits_left_for_users_and_no_format_is_dead() -> None:
    tables = load()
    assert all(spec.opcode < 0xC0 for spec in tables.specs.values())
    assert {spec.format for spec in tables.specs.values()} == tables.words.keys()
    used = {operand.name for spec in tables.specs.values() for operand in spec.operands if operand.kind == "flag"}
    assert used == tables.flags.keys()
