"""Which accesses of a program race, by brute force: for every two that touch a byte, whether a path of order leads from one to the other.

It shares nothing with the race checker of the core (csrc/engine/race.c), which it is held against: the oracle interprets the program, order
is a graph over the issue and the completion of every instruction, and two race when neither completion leads to the other's issue."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from emu.errors import UnsupportedError
from isa import Program
from isa.oracle.interp import Machine, load_inputs
from isa.oracle.memory import Space
from isa.oracle.mm import Accumulate
from isa.oracle.stream import Pending, Stream


@dataclass
class Event:
    """An instruction of a stream: two nodes of the graph, and the bytes it touched: (space, lo, hi, write)."""

    core: int
    stream: str
    pc: int
    issue: int
    complete: int = -1
    touched: set[tuple[str, int, int, bool]] = field(default_factory=set)

    @property
    def place(self) -> tuple[int, str, int]:
        return self.core, self.stream, self.pc


class Order:
    """A graph whose nodes are numbered in an order that respects it; `before[n]` has a bit for each node that leads to n."""

    def __init__(self) -> None:
        self.before: list[int] = []

    def node(self, *after: int) -> int:
        bits = 0
        for n in after:
            bits |= self.before[n] | 1 << n
        self.before.append(bits)
        return len(self.before) - 1

    def leads(self, a: int, b: int) -> bool:
        return bool(self.before[b] >> a & 1)


def _runs(base: int, n: Any, s: Any, size: int) -> list[tuple[int, int]]:
    """The bytes of an operand as runs that do not touch; n and s innermost first."""
    at = np.full(1, base, np.int64)
    for extent, stride in zip(n, s):
        at = np.add.outer(np.arange(extent) * stride, at).reshape(-1)
    at = np.unique(at)
    ends = np.flatnonzero(np.append(at[1:] > at[:-1] + size, True))
    begins = np.append(0, ends[:-1] + 1)
    return [(int(at[b]), int(at[e]) + size) for b, e in zip(begins, ends)]


class Recorder(Machine):
    """The oracle, which keeps what happened."""

    def __init__(self, program: Program) -> None:
        super().__init__(program, Accumulate(), None, None)
        self.order, self.events = Order(), list[Event]()
        self.now: Event | None = None
        self.tokens: dict[tuple[int, int], deque[int]] = defaultdict(deque)  # the completion that made each token; -1: there from the start
        for core, counts in enumerate(self.counts):
            for number, count in counts.items():
                self.tokens[core, number].extend([-1] * count)
        self.issued: dict[tuple[int, str], int] = {}  # the last node of a stream that its next issue comes behind
        self.completed: dict[tuple[int, str], int] = {}
        self.gathered: dict[int, list[int]] = defaultdict(list)
        self.released: dict[tuple[int, str], list[int]] = {}
        spaces = [*self.memories[0].chip.items(), *((f"{n} {c}", s) for c, of in enumerate(self.memories[0].core) for n, s in of.items())]
        for name, space in spaces:
            self._watch(name, space)

    def _watch(self, name: str, space: Space) -> None:
        plain = space.region

        def region(base: int, n: Any, s: Any, size: int, write: bool) -> Any:
            if self.now is not None:
                self.now.touched |= {(name, lo, hi, write) for lo, hi in _runs(base, n, s, size)}
            return plain(base, n, s, size, write)

        space.region = region  # type: ignore[method-assign]

    def issue(self, stream: Stream, pending: Pending) -> None:
        key = stream.core, stream.name
        event = Event(*key, stream.pc, self.order.node(*self._behind(key)))
        event.complete = self.order.node(event.issue, *([self.completed[key]] if key in self.completed else []))
        self.issued[key] = event.issue if stream.engine == "dma" else event.complete
        self.completed[key] = event.complete
        self.events.append(event)
        self.now = event
        super().issue(stream, pending)
        self.now = None

    def _behind(self, key: tuple[int, str]) -> list[int]:
        return [self.issued[key]] if key in self.issued else []

    def _join(self, key: tuple[int, str], *nodes: int) -> None:
        self.issued[key] = self.order.node(*self._behind(key), *nodes)

    def signal(self, chip: int, core: int, semaphore: int, tokens: int) -> None:
        super().signal(chip, core, semaphore, tokens)
        assert self.now is not None
        self.tokens[core, semaphore].extend([self.now.complete] * tokens)

    def take(self, stream: Stream, semaphore: int, tokens: int) -> bool:
        if not super().take(stream, semaphore, tokens):
            return False
        made = [self.tokens[stream.core, semaphore].popleft() for _ in range(tokens)]
        self._join((stream.core, stream.name), *(n for n in made if n >= 0))
        return True

    def meet(self, stream: Stream, instruction: Any) -> bool:
        key, fence = (stream.core, stream.name), instruction.mnemonic == "fence"
        moved = super().meet(stream, instruction)
        if moved and fence and key in self.completed:
            self._join(key, self.completed[key])
        return moved

    def barrier(self, stream: Stream, number: int) -> bool:
        key, first = (stream.core, stream.name), not stream.arrived
        if first:
            together = self.gathered[number]
            together.append(self.order.node(*self._behind(key), *([self.completed[key]] if key in self.completed else [])))
            self.released[key] = together
            if len(together) == self.participants[number]:
                self.gathered[number] = []
        if not super().barrier(stream, number):
            return False
        self._join(key, *self.released.pop(key))
        return True


def _ordered(order: Order, a: Event, b: Event, b_reads_a: bool) -> bool:
    """`a` came first in this run. Transfers of one stream complete in order; one that reads what another wrote must be issued behind it."""
    if (a.core, a.stream) == (b.core, b.stream) and not b_reads_a:
        return True
    return order.leads(a.complete, b.issue)


def races(program: Program, inputs: Mapping[str, Any]) -> set[frozenset[tuple[int, str, int]]]:
    """Pairs of (core, stream, word) that race, on one chip. Raises OracleError where the program goes wrong in another way."""
    if program.chips != 1:
        raise UnsupportedError(f"{program.name}: races are looked for by brute force on one chip; it runs on {program.chips}")
    machine = Recorder(program)
    load_inputs(machine.memories[0], program.buffers, inputs)
    machine.in_turn(1_000_000)
    machine.check_tokens()
    found: set[frozenset[tuple[int, str, int]]] = set()
    at: dict[str, list[tuple[int, int, bool, int]]] = defaultdict(list)
    for number, event in enumerate(machine.events):
        for space, lo, hi, write in event.touched:
            at[space].append((lo, hi, write, number))
    for accesses in at.values():
        edges = sorted({x for lo, hi, _, _ in accesses for x in (lo, hi)})
        touched: dict[int, set[tuple[int, bool]]] = defaultdict(set)
        index = {x: j for j, x in enumerate(edges)}
        for lo, hi, write, number in accesses:
            for j in range(index[lo], index[hi]):
                touched[j].add((number, write))
        pairs = {(x, y) for of in touched.values() for x, y in combinations(sorted(of), 2) if (x[1] or y[1]) and x[0] != y[0]}
        for (x, wrote), (y, writes) in pairs:
            a, b = machine.events[x], machine.events[y]
            if not _ordered(machine.order, a, b, wrote and not writes):
                found.add(frozenset((a.place, b.place)))
    return found
