"""Does each bit of a word mean one thing?"""

from __future__ import annotations

from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import isa
from isa import build
from isa.codegen_builders import function_name
from isa.strategy import any_instruction
from isa.tables import USER_OPCODES, Spec

SPECS = list(isa.instructions().values())
each_spec = pytest.mark.parametrize("spec", SPECS, ids=[spec.mnemonic for spec in SPECS])
any_bits = st.integers(0, 2**64 - 1)
quick = settings(max_examples=400, deadline=None, derandomize=True, database=None)


def least(spec: Spec) -> dict[str, int]:
    return {operand.name: operand.low for operand in spec.operands}


@each_spec
def test_each_operand_is_read_back_alone_at_both_ends(spec: Spec) -> None:
    for operand in spec.operands:
        for value in (operand.low, operand.high):
            operands = {**least(spec), operand.name: value}
            assert isa.decode(isa.encode(spec.mnemonic, **operands)) == isa.Instruction(spec.mnemonic, operands)


@each_spec
def test_each_bit_is_an_operand_or_refused_by_name(spec: Spec) -> None:
    word = isa.encode(spec.mnemonic, **least(spec))
    for bit in range(56):
        if spec.used_mask >> bit & 1:
            continue
        with pytest.raises(isa.IsaError, match="must be 0") as caught:
            isa.decode(word | 1 << bit)
        assert spec.mnemonic in str(caught.value) or "reserved" in str(caught.value)


@each_spec
def test_values_outside_are_refused(spec: Spec) -> None:
    for operand in spec.operands:
        wrong: tuple[Any, ...] = (operand.low - 1, operand.high + 1, 1.5, None)
        for value in wrong:
            with pytest.raises(isa.IsaError, match=operand.name):
                isa.encode(spec.mnemonic, **{**least(spec), operand.name: value})


@each_spec
def test_builder_gives_the_same_word(spec: Spec) -> None:
    operands = {operand.name: operand.high for operand in spec.operands}
    assert getattr(build, function_name(spec.mnemonic))(**operands) == isa.encode(spec.mnemonic, **operands)


@pytest.mark.parametrize("opcode", range(256))
def test_every_opcode_is_known_or_refused(opcode: int) -> None:
    known = {spec.opcode: spec for spec in SPECS}
    if opcode in known:
        assert isa.decode(isa.encode(known[opcode].mnemonic, **least(known[opcode]))).mnemonic == known[opcode].mnemonic
    else:
        with pytest.raises(isa.IsaError, match="unknown opcode"):
            isa.decode(opcode << 56)


@quick
@given(any_instruction())
def test_encode_then_decode(instruction: isa.Instruction) -> None:
    assert isa.decode(isa.encode(instruction.mnemonic, **instruction.operands)) == instruction


@quick
@given(st.one_of(any_bits, st.builds(lambda spec, bits: spec.opcode << 56 | bits >> 8, st.sampled_from(SPECS), any_bits)))
def test_any_word_decodes_to_itself_or_is_refused(word: int) -> None:
    try:
        instruction = isa.decode(word)
    except isa.IsaError:
        return
    assert isa.encode(instruction.mnemonic, **instruction.operands) == word


@pytest.mark.parametrize("word", [-1, 1 << 64])
def test_words_have_64_bits(word: int) -> None:
    with pytest.raises(isa.IsaError, match="64-bit"):
        isa.decode(word)


def test_messages_name_the_nearest() -> None:
    with pytest.raises(isa.IsaError, match="did you mean 'vadd'"):
        isa.encode("vad", d0=1)
    with pytest.raises(isa.IsaError, match="did you mean 'signal'"):
        isa.encode("mm", d0=1, d1=1, d2=1, singal=1)
    with pytest.raises(isa.IsaError, match="needs operand d1, d2"):
        isa.encode("mm", d0=1)
    with pytest.raises(isa.IsaError, match="did you mean 'base'"):
        isa.encode("dset", d0=0, field="bse", imm=1)


def test_numbers_of_numpy_and_fields_by_name() -> None:
    assert isa.encode("vcos", d0=numpy.int64(31), d1=numpy.uint8(3), signal=numpy.int32(255)) == isa.encode("vcos", d0=31, d1=3, signal=255)
    assert isa.encode("dset", d0=1, field="s1", imm=-4) == isa.encode("dset", d0=1, field=8, imm=-4)


@given(st.integers(-(1 << 63), (1 << 63) - 1))
@quick
def test_li64_loads_any_value(value: int) -> None:
    register = 0
    for word in build.li64(3, value):
        operands = isa.decode(word).operands
        register = (register << 32 | operands["imm"] & 0xFFFFFFFF) if isa.decode(word).mnemonic == "lih" else operands["imm"]
    assert (register + (1 << 63)) % (1 << 64) - (1 << 63) == value


def test_users_instructions() -> None:
    row = "vcube 0xc5 E d0:w,d1:r,wait,signal,sat vec mul d0 = d1 * d1 * d1"
    assert USER_OPCODES.start == 0xC0
    mine = isa.InstructionSet("mine")
    with pytest.raises(isa.IsaError, match="'mine' does not have"):
        mine.decode(0xC5 << 56)
    added = mine.add(row)
    word = mine.encode("vcube", d0=1, d1=2, sat=True)
    assert mine.decode(word).operands["sat"] == 1 and mine.decode(word).spec == added.spec
    assert mine.add(row) == added
    for other in (row.replace("vcube", "vcubic"), row.replace("0xc5", "0xc6"), row.replace("0xc5", "0xc6").replace("vcube", "vadd")):
        with pytest.raises(isa.IsaError, match="is taken by"):
            mine.add(other)
    with pytest.raises(isa.IsaError, match="taken by 'vcube'"):
        mine.add(row, about="another meaning")
    with pytest.raises(isa.IsaError, match="0xc0..0xff"):
        mine.add(row.replace("0xc5", "0xb0").replace("vcube", "vcubic"))
    with pytest.raises(isa.IsaError, match="closed"):
        isa.words.MACHINE.add(row)
    with pytest.raises(isa.IsaError, match="unknown opcode 0xc5"):
        isa.decode(word)  # nothing was remembered elsewhere
    with pytest.raises(isa.IsaError, match="no instruction 'vcube'"):
        isa.encode("vcube", d0=1, d1=2)


def program_of(mine: isa.InstructionSet) -> isa.Program:
    return isa.Program("p", streams={"vec": [mine.encode("vcube", d0=1, d1=2), mine.encode("halt")]}, instructions=mine)


def test_programs_carry_users_instructions_by_name_and_digest() -> None:
    row = "vcube 0xc5 E d0:w,d1:r,wait,signal,sat vec mul d0 = d1 * d1 * d1"
    mine, other, without = (isa.InstructionSet(name) for name in ("mine", "other", "without"))
    mine.add(row, "one meaning")
    other.add(row, "another meaning")
    program = program_of(mine)
    data, text = program.to_bytes(), program.to_text()
    assert isa.Program.from_bytes(data, mine) == program and isa.assemble(text, mine) == program
    assert program.digest != program_of(other).digest
    for read in (isa.Program.from_bytes, isa.assemble):
        source = data if read == isa.Program.from_bytes else text
        with pytest.raises(isa.IsaError, match="needs the user's instruction 'vcube', which the instruction set 'machine' does not have"):
            read(source)
        with pytest.raises(isa.IsaError, match="'vcube', which the instruction set 'without' does not have"):
            read(source, without)
        with pytest.raises(isa.IsaError, match="'vcube' of the instruction set 'other' is not the one the program was made with"):
            read(source, other)
    with pytest.raises(isa.IsaError, match="unknown opcode 0xc5"):
        isa.Program("p", streams=program.streams).check()


def test_every_opcode_of_users_can_be_taken() -> None:
    mine = isa.InstructionSet()
    for number in range(len(USER_OPCODES)):
        mine.add(f"u{number} {mine.free_opcode():#x} E d0:w,d1:r,wait,signal vec user d0 = d1")
    with pytest.raises(isa.IsaError, match="all 64 opcodes"):
        mine.free_opcode()
    for number, opcode in enumerate(USER_OPCODES):
        assert mine.decode(opcode << 56).mnemonic == f"u{number}"
