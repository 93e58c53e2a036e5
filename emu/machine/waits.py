"""Who waits for whom when nobody can go on: the wait graph of a deadlock, and a cycle in it.

Whoever waits for a semaphore waits for the stream that signals it: on the same core, or, where the signal comes from another core's
stream (`rsignal`, `dmam`), on any. Whoever waits at a barrier waits for all that have not arrived."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

from emu.machine.config import STREAMS
from isa import IsaError, Program
from isa.check_sync import collect
from isa.words import Instruction, decode

SHOWN = 8
SENDS = ("put", "puta", "putk", "putm")
"""They signal where their bytes arrive."""


class At(NamedTuple):
    """A stream of a core."""

    core: int
    stream: str
    chip: int | None = None
    """None where the program runs on one chip."""

    def __str__(self) -> str:
        chip = "" if self.chip is None else f"chip {self.chip}, "
        return f"{chip}core {self.core}, stream {self.stream}"


@dataclass(frozen=True)
class Blocked:
    """Where a stream stands: at word `pc`, on a semaphore (`has` of `wants` tokens) or at a barrier (`has` of `wants` have arrived)."""

    at: At
    pc: int
    state: str
    on: int
    has: int
    wants: int


@dataclass(frozen=True)
class Edge:
    """`waiting` cannot go on before `wanted` does; `what` says for what."""

    waiting: At
    wanted: At
    what: str


def blocked_of(rows: list[tuple[int, int, int, str, int, int, int]], program: Program) -> list[Blocked]:
    """The core's report of the streams that have not halted; it counts the cores of all chips on."""
    several = program.chips > 1

    def at(core: int, stream: int) -> At:
        return At(core % program.cores, STREAMS[stream], core // program.cores if several else None)

    return [Blocked(at(core, stream), pc, state, on, has, wants) for core, stream, pc, state, on, has, wants in rows]


def semaphore(program: Program, number: int) -> str:
    """`semaphore 'full' (1)`."""
    return next((f"semaphore {s.name!r} ({number})" for s in program.semaphores if s.id == number), f"semaphore {number}")


def code_of(program: Program) -> dict[str, list[Instruction]]:
    """The program's instructions; of a program that nobody has verified, only the words that are some."""
    return {name: [i for i in map(_instruction, words) if i is not None] for name, words in program.streams.items()}


def _instruction(word: int) -> Instruction | None:
    try:
        return decode(word)
    except IsaError:
        return None


def signallers(program: Program) -> dict[int, tuple[str, bool]]:
    """The stream that signals each semaphore, and whether it does so on other cores."""
    code = code_of(program)
    producers = collect(code)[0]
    return {number: (stream := next(iter(streams)), _goes_away(code[stream], number)) for number, streams in producers.items()}


def _goes_away(code: list[Instruction], number: int) -> bool:
    return any(
        (mnemonic in ("rsignal", "csignal") and operands["sem"] == number)
        or ((mnemonic == "dmam" or mnemonic in SENDS) and operands["signal"] == number)
        for mnemonic, operands in code
    )  # fmt: skip


def edges(program: Program, blocked: list[Blocked]) -> Iterator[Edge]:
    """The wait graph; streams that have halted stand in it too, as ends that will never go on."""
    signalled = signallers(program)
    taking_part = {b.id: b.streams for b in program.barriers}
    arrived = {(b.on, b.at) for b in blocked if b.state == "barrier"}
    for b in blocked:
        if b.state == "semaphore" and b.on in signalled:
            stream, away = signalled[b.on]
            every = [(core, chip) for chip in range(program.chips) for core in range(program.cores)]
            for core, chip in every if away else ((b.at.core, b.at.chip),):
                yield Edge(b.at, At(core, stream, None if b.at.chip is None else chip), semaphore(program, b.on))
        elif b.state == "barrier":
            for core in range(program.cores):
                for stream in taking_part.get(b.on, ()):
                    if (b.on, At(core, stream, b.at.chip)) not in arrived:
                        yield Edge(b.at, At(core, stream, b.at.chip), f"barrier {b.on}")


def cycle(graph: list[Edge]) -> list[Edge]:
    """A cycle of the graph, link by link; empty if there is none."""
    between = {(edge.waiting, edge.wanted): edge for edge in reversed(graph)}
    before: dict[At, list[At]] = {}
    for edge in graph:
        before.setdefault(edge.waiting, []).append(edge.wanted)
    try:
        TopologicalSorter(before).prepare()
    except CycleError as error:
        around: list[At] = error.args[1][::-1]  # each stands before the next: turned round, each waits for the next
        return [between[pair] for pair in zip(around, around[1:])]
    return []


def why(program: Program, blocked: list[Blocked]) -> tuple[str, list[Blocked]]:
    """The cycle, link by link, and who stands in it; where there is none, what will never come and who waits for it."""
    graph = list(edges(program, blocked))
    found = cycle(graph)
    at = {b.at: b for b in blocked}
    if found:
        links = "".join(f" -> ({edge.what}) {edge.wanted}" for edge in found)
        return f"a cycle: {found[0].waiting}{links}", [at[edge.waiting] for edge in found]
    over = next((edge for edge in graph if edge.wanted not in at), None)
    if over is not None:
        return f"no cycle: {over.waiting} waits for {over.what}, and {over.wanted}, which must bring it, has halted", [at[over.waiting]]
    orphan = next(b for b in blocked if b.at not in {edge.waiting for edge in graph})
    return f"no cycle: {orphan.at} waits for {semaphore(program, orphan.on)}, which nobody signals", [orphan]


def alike(blocked: list[Blocked]) -> list[list[Blocked]]:
    """Streams of several cores that wait in the same way, together."""
    groups: dict[tuple[object, ...], list[Blocked]] = {}
    for b in blocked:
        groups.setdefault((b.at.stream, b.pc, b.state, b.on, b.has, b.wants), []).append(b)
    return list(groups.values())
