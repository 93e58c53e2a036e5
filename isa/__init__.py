"""The instruction set of emu as data, with what follows from it: words, text and binary forms of programs, and their proofs."""

from __future__ import annotations

from isa.errors import IsaError
from isa.program import Barrier, Buffer, Program, Semaphore
from isa.words import Extension, Instruction, InstructionSet, decode, encode, instructions


def assemble(text: str, instructions: InstructionSet | None = None) -> Program:
    """The checked program that the text describes; IsaError with line and column otherwise. `instructions`: a set with users' ones."""
    from isa.assembler import assemble as work

    return work(text, instructions)


__all__ = [
    "Barrier", "Buffer", "Extension", "Instruction", "InstructionSet", "IsaError", "Program", "Semaphore", "assemble", "decode", "encode",
    "instructions",
]
