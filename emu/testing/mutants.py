"""Programs with less synchronisation than they should have: a check that is worth something notices each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from isa import Program
from isa.disassembler import show
from isa.words import Instruction, decode, encode

ALONE = ("wait", "signal", "rsignal", "bar", "fence")
SIDES = ("wait", "signal")


@dataclass(frozen=True)
class Mutant:
    """A program with a synchronisation less than it should have; `name` says which, `kind` is a key of KINDS."""

    kind: str
    name: str
    program: Program


def one_operation_fewer(program: Program) -> Iterator[Mutant]:
    """One word at a time: a free-standing wait, signal, barrier or fence becomes `nop`, an engine instruction loses its wait or signal."""
    for stream, words in program.streams.items():
        for at, word in enumerate(words):
            where = f"{stream}, word {at}: {show(word, program)}"
            instruction = decode(word)
            if instruction.mnemonic in ALONE:
                yield Mutant("operation", where, _with_words(program, stream, at, encode("nop")))
                continue
            for side in SIDES:
                if instruction.operands.get(side):
                    less = _with_words(program, stream, at, _without(instruction, (side,)))
                    yield Mutant("operation", f"{where} without its {side}", less)


def one_semaphore_fewer(program: Program) -> Iterator[Mutant]:
    """One semaphore at a time, with all its waits and signals: tokens still balance, so only a race can tell."""
    for gone in program.semaphores:
        streams = {name: [_off(word, gone.id) for word in words] for name, words in program.streams.items()}
        rest = [s for s in program.semaphores if s is not gone]
        yield Mutant("semaphore", f"semaphore {gone.name!r}", replace(program, semaphores=rest, streams=streams))


def one_token_more(program: Program) -> Iterator[Mutant]:
    """One more token at the start, one semaphore at a time: its consumer runs ahead by one, and tokens still balance."""
    for more in program.semaphores:
        semaphores = [replace(s, initial=s.initial + 1) if s is more else s for s in program.semaphores]
        yield Mutant("token", f"semaphore {more.name!r} with {more.initial + 1} tokens at first", replace(program, semaphores=semaphores))


KINDS: dict[str, Callable[[Program], Iterator[Mutant]]] = {
    "operation": one_operation_fewer, "semaphore": one_semaphore_fewer, "token": one_token_more,
}  # fmt: skip


def mutants(program: Program, kinds: tuple[str, ...] = tuple(KINDS)) -> Iterator[Mutant]:
    """Every mutant of the named kinds."""
    for kind in kinds:
        yield from KINDS[kind](program)


def _with_words(program: Program, stream: str, at: int, word: int) -> Program:
    words = program.streams[stream]
    return replace(program, streams={**program.streams, stream: [*words[:at], word, *words[at + 1 :]]})


def _without(instruction: Instruction, sides: tuple[str, ...]) -> int:
    return encode(instruction.mnemonic, **(instruction.operands | dict.fromkeys(sides, 0)))


def _off(word: int, semaphore: int) -> int:
    """The word without what it does to a semaphore."""
    instruction = decode(word)
    if instruction.mnemonic in ("wait", "signal", "rsignal"):
        return encode("nop") if instruction.operands["sem"] == semaphore else word
    sides = tuple(side for side in SIDES if instruction.operands.get(side) == semaphore)
    return _without(instruction, sides) if sides else word
