"""Straight to the reader: every lane has a peer, so that tokens of one peer never meet those of another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod

from emu.errors import UnsupportedError
from emu.kernels.collectives.lanes import Sender, Wiring, lanes_of, part_of, piece, pieces
from emu.kernels.lang import Tensor, Tracer
from emu.kernels.lang.percore import Const, uniform

MOST_ROUNDS = 60


@dataclass(frozen=True)
class Call:
    """What a queue of all cores sends in one round: to whom, and which part. `ahead`: how far round each core's peer is; 0 is nobody."""

    queue: int
    round: int
    ahead: tuple[int, ...]
    part: tuple[int, ...]
    parts: int

    def peer(self, k: Tracer, back: bool = False) -> Const:
        """The chip that each core sends to, or with `back` hears from."""
        return uniform((chip + (-a if back else a)) % k.chips for chip in range(k.chips) for a in self.ahead)

    def talks(self, k: Tracer) -> Const:
        """1 on cores that have a peer."""
        return k.per_core([int(a > 0) for a in self.ahead])


def calls(k: Tracer, wiring: Wiring) -> Iterator[Call]:
    """Lanes among the other chips: several share a peer where there are more lanes, otherwise there are several rounds."""
    others = k.chips - 1
    parts = max(1, wiring.lanes // others)
    rounds = -(-others * parts // wiring.lanes)
    if rounds > MOST_ROUNDS:
        limit = f"at most {MOST_ROUNDS}: use more cores, or a ring"
        raise UnsupportedError(f"{others} peers take {rounds} rounds of {wiring.lanes} lanes, {limit}")
    for r in range(rounds):
        for queue in range(wiring.queues):
            number = [r * wiring.lanes + core * wiring.queues + queue for core in range(wiring.cores)]
            ahead = tuple(1 + n % others if n < others * parts else 0 for n in number)
            yield Call(queue, r, ahead, tuple(n // others for n in number), parts)


def exchange(k: Tracer, y: Tensor, x: Tensor, wiring: Wiring, counts: Callable[[int, int], int]) -> None:
    """Every chip's counts(from, to) elements for each chip, one after the other in x, in the order of where they came from in y."""
    n = k.chips
    before = {(a, b): sum(counts(a, j) for j in range(b)) for a in range(n) for b in range(n)}
    above = {(a, b): sum(counts(j, b) for j in range(a)) for a in range(n) for b in range(n)}
    flat_y, flat_x = y.reshape((1, prod(y.shape))), x.reshape((1, prod(x.shape)))
    _own(k, flat_y, flat_x, wiring, [counts(c, c) for c in range(n)], [above[c, c] for c in range(n)], [before[c, c] for c in range(n)])
    for call in calls(k, wiring):
        here, out = k.channel(f"here{call.queue}_{call.round}", call.queue), Sender(k, wiring, call.queue)
        sizes = {(a, b): part_of(counts(a, b), call.parts) for a in range(n) for b in range(n)}
        ends = [
            (chip, (chip + ahead) % n, part, ahead > 0) for chip in range(n) for ahead, part in zip(call.ahead, call.part)
        ]
        start = [min(part * sizes[a, b], counts(a, b)) for a, b, part, _ in ends]
        length = [min(sizes[a, b], counts(a, b) - s) if talks else 0 for (a, b, _, talks), s in zip(ends, start)]
        origin = uniform(before[a, b] + s for (a, b, _, _), s in zip(ends, start))
        move = uniform(above[a, b] - before[a, b] for a, b, _, _ in ends)
        peer, longest = call.peer(k), max(length)
        for at, chunk, valid in pieces(k, origin, uniform(length), longest, wiring.chunk):
            for _ in k.loop(call.talks(k)):
                out.send(piece(flat_y, 0, at + move, chunk, valid).on(peer), piece(flat_x, 0, at, chunk, valid), signal=here)
        for _, _, _ in pieces(k, origin, uniform(length), longest, wiring.chunk):
            for _ in k.loop(call.talks(k)):
                k.take(here)


def _own(k: Tracer, y: Tensor, x: Tensor, wiring: Wiring, counts: list[int], at_y: list[int], at_x: list[int]) -> None:
    """What a chip has for itself: by the cores that send, before they do, where a library moves it like the rest; else by store queues."""
    part = part_of(max(counts), k.cores)
    first = k.per_core([core * part for core in range(k.cores)])
    length = uniform(max(0, min(part, count - core * part)) for count in counts for core in range(k.cores))
    to, origin = (uniform(at for at in where for _ in range(k.cores)) for where in (at_y, at_x))
    for at, chunk, valid in pieces(k, first, length, part, wiring.chunk):
        target, source = piece(y, 0, at + to, chunk, valid), piece(x, 0, at + origin, chunk, valid)
        if wiring.staged:
            Sender(k, wiring).send(target, source)
        else:
            k.copy(target, source)


def send_to_all(k: Tracer, rows: Tensor, x: Tensor, wiring: Wiring, whole: bool) -> None:
    """Into row `own` of every chip's `rows`: x itself if `whole`, or else the row of x that is the reader's."""
    n, shard = k.chips, rows.shape[1]
    own = k.per_chip(range(n))
    for call in calls(k, wiring):
        here, out = k.channel(f"here{call.queue}_{call.round}", call.queue), Sender(k, wiring, call.queue)
        part = part_of(shard, call.parts)
        start = k.per_core([min(p * part, shard) for p in call.part])
        length = k.per_core([min(part, shard - min(p * part, shard)) for p in call.part])
        peer = call.peer(k)
        for at, chunk, valid in pieces(k, start, length, part, wiring.chunk):
            for _ in k.loop(call.talks(k)):
                out.send(piece(rows, own, at, chunk, valid).on(peer), piece(x, 0 if whole else peer, at, chunk, valid), signal=here)
        for _, _, _ in pieces(k, start, length, part, wiring.chunk):
            for _ in k.loop(call.talks(k)):
                k.take(here)
    part = part_of(shard, k.cores)
    first = k.per_core([min(c * part, shard) for c in range(k.cores)])
    rest = k.per_core([max(0, min(part, shard - c * part)) for c in range(k.cores)])
    for at, chunk, valid in pieces(k, first, rest, part, wiring.chunk):
        k.copy(piece(rows, own, at, chunk, valid), piece(x, 0 if whole else own, at, chunk, valid))


def in_switch(k: Tracer, y: Tensor, x: Tensor, wiring: Wiring) -> None:
    """The sum of all x into all y, [chips, shard]: each chip has the switch add up its shard and copy the sum to all.

    Every other core begins with half a piece, so that sums and copies of different cores use both directions of the links at once."""
    n = k.chips
    own = k.per_chip(range(n))
    done = [k.channel(f"done{t}") for t in range(1, n)]
    for lane in lanes_of(k, x.shape[1], wiring, n):
        lengths = _column(lane.length, k.cores)
        half = k.per_core([min(length, wiring.chunk) // 2 * (core % 2) for core, length in enumerate(lengths)])
        for first, size, most in ((lane.start, half, wiring.chunk // 2), (lane.start + half, lane.length - half, wiring.chunk)):
            longest = max(_column(size, k.cores))
            if not longest:
                continue
            for at, chunk, valid in pieces(k, first, size, longest, most):
                k.get_sum(piece(y, own, at, chunk, valid), piece(x, own, at, chunk, valid), protocol=wiring.protocol)
                k.settle()
                k.send_all(piece(y, own, at, chunk, valid), piece(y, own, at, chunk, valid), protocol=wiring.protocol)
    k.settle()
    for t, token in enumerate(done, 1):
        k.tell(token, k.per_chip([(c + t) % n for c in range(n)]))
    for token in done:
        k.take(token)


def _column(value: Const, cores: int) -> list[int]:
    return [value] * cores if isinstance(value, int) else list(value.values[:cores])


def send_receive(k: Tracer, y: Tensor, x: Tensor, wiring: Wiring, source: int, target: int) -> None:
    """x of one chip into y of another. Every other lane crosses a torus last dimension first, so that two ways are used."""
    sends = k.per_chip([int(c == source) for c in range(k.chips)])
    reads = k.per_chip([int(c == target) for c in range(k.chips)])
    for lane in lanes_of(k, x.shape[1], wiring, 2):
        here, out = k.channel(f"here{lane.queue}", lane.queue), Sender(k, wiring, lane.queue)
        for at, chunk, valid in pieces(k, lane.start, lane.length, lane.longest, wiring.chunk):
            for _ in k.loop(sends):
                out.send(piece(y, 0, at, chunk, valid).on(target), piece(x, 0, at, chunk, valid), signal=here, reverse=lane.queue % 2 == 1)
            for _ in k.loop(reads):
                k.take(here)
