"""Streams, semaphores, barriers and descriptor queues of one core of `tiny` without contention, in whole clocks: what docs/machine.md says,
written once more as plainly as possible."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import emu

MOST = 65535
CHIP = emu.chip("tiny").vary({"core.dma.queue": 3})
SEM, BARRIER, STARTUP, LANES, DMA_START, DMA_BYTES, ACCESS, LATENCY, QUEUE = 1, 4, 4, 16, 20, 32, 64, 100, 3


@dataclass(frozen=True)
class Word:
    """`kind`: nop, op, wait, signal, fence, bar. An op works on `size` elements (vec) or bytes (ld) and may take and give a token."""

    kind: str
    sem: int = 0
    count: int = 1
    size: int = 0
    wait: int = 0
    signal: int = 0


@dataclass
class Stream:
    """Where a stream stands, and what its engine does."""

    name: str
    words: list[Word] = field(default_factory=list)
    pc: int = 0
    t: int = 0
    free: int = 0
    complete: int = 0
    starts: list[int] = field(default_factory=list)  # of data phases
    arrived: bool = False


@dataclass
class Semaphore:
    """Tokens in the order in which they were made, each with the clock of its signal (-1: there at first), and who took them when."""

    initial: int
    tokens: deque[int] = field(default_factory=deque)
    signals: list[tuple[int, int]] = field(default_factory=list)
    takes: list[tuple[int, int]] = field(default_factory=list)

    @property
    def overflows(self) -> bool:
        """Whether at some signal more tokens were there than a counter holds: those taken later were still there."""
        made = self.initial
        for clock, count in self.signals:
            made += count
            if made - sum(n for taken, n in self.takes if taken <= clock) > MOST:
                return True
        return False


class Network:
    """Runs streams as far as they go. `blocked` then says who waits: (stream, pc, on, has, wants)."""

    def __init__(self, code: dict[str, list[Word]], initial: dict[int, int]) -> None:
        self.streams = [Stream(name, words) for name, words in code.items()]
        self.sems = {number: Semaphore(count, deque([-1] * count)) for number, count in initial.items()}
        self.moved = True
        while self.moved:
            self.moved = False
            for s in self.streams:
                while s.pc < len(s.words) and self._step(s, s.words[s.pc]):
                    s.pc += 1
                    self.moved = True

    def _step(self, s: Stream, w: Word) -> bool:
        if w.kind == "nop":
            s.t += 1
        elif w.kind == "wait":
            return self._take(s, w.sem, w.count)
        elif w.kind == "signal":
            self._signal(w.sem, w.count, max(s.t, s.complete))
        elif w.kind == "fence":
            s.t = max(s.t, s.complete)
        elif w.kind == "bar":
            return self._meet(s)
        else:
            return self._op(s, w)
        return True

    def _take(self, s: Stream, number: int, count: int) -> bool:
        sem = self.sems[number]
        if len(sem.tokens) < count:
            return False
        last = [sem.tokens.popleft() for _ in range(count)][-1]
        if last >= 0:
            s.t = max(s.t, last + SEM)
        sem.takes.append((s.t, count))
        return True

    def _signal(self, number: int, count: int, clock: int) -> None:
        self.sems[number].tokens.extend([clock] * count)
        self.sems[number].signals.append((clock, count))

    def _meet(self, s: Stream) -> bool:
        if not s.arrived:
            s.arrived, s.t = True, max(s.t, s.complete)
        together = [x for x in self.streams if x.arrived]
        if len(together) < len(self.streams):
            return False
        release = max(x.t for x in together) + BARRIER
        for x in together:
            x.arrived, x.t = False, release
            if x is not s:
                x.pc += 1
        self.moved = True
        return True

    def _op(self, s: Stream, w: Word) -> bool:
        if w.wait and not self._take(s, w.wait, 1):
            return False
        if s.name == "vec":
            start = max(s.t, s.free)
            s.free = s.complete = start + STARTUP + -(-w.size // LANES)
            s.t = start + 1
        else:
            issue = max(s.t, s.starts[-QUEUE]) if len(s.starts) >= QUEUE else s.t
            start = max(issue + DMA_START, s.free)
            s.starts.append(start)
            s.free = start + -(-(-(-w.size // ACCESS) * ACCESS) // DMA_BYTES)
            s.complete = max(s.complete, s.free + LATENCY)
            s.t = issue + 1
        if w.signal:
            self._signal(w.signal, 1, s.complete)
        return True

    @property
    def blocked(self) -> list[tuple[str, int, str, int, int]]:
        """Streams that have not run to their end."""
        rows = []
        for s in self.streams:
            if s.pc == len(s.words):
                continue
            w = s.words[s.pc]
            if w.kind == "bar":
                rows.append((s.name, s.pc, "barrier 0", sum(x.arrived for x in self.streams), len(self.streams)))
            else:
                number, wants = (w.sem, w.count) if w.kind == "wait" else (w.wait, 1)
                rows.append((s.name, s.pc, f"s{number}", len(self.sems[number].tokens), wants))
        return rows

    @property
    def end(self) -> int:
        return max(max(s.t, s.complete) for s in self.streams)

    @property
    def leftover(self) -> dict[int, int]:
        """Semaphores that do not end with what they began with, and by how much."""
        return {n: len(s.tokens) - s.initial for n, s in self.sems.items() if len(s.tokens) != s.initial}
