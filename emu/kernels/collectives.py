"""Collectives as programs: what every chip sends to whom, in which order, and what it adds.

Each queue of each core of each chip is a lane and carries a part of every shard along a ring, a tree or straight to its reader; lanes do not
wait for each other. A shard is what one of n chips contributes or keeps. Sums are rounded to the tensor's format at each addition (in the
switch: once), and every shard is added up in one place only, so all chips hold the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from emu.errors import UnsupportedError
from emu.kernels.lang import Tensor, Tracer
from emu.kernels.lang.expr import Value, clamp
from emu.kernels.lang.memory import View, format_bytes
from emu.kernels.lang.percore import Const, uniform
from emu.kernels.lang.sync import Token

UNIT = 8
"""Elements to which parts of lanes are rounded up."""
TABLE = 64
"""Most chips whose rings are walked without a table."""


@dataclass(frozen=True)
class Wiring:
    """How a collective is run: `cores` of each chip and `queues` of each core send, `chunk` elements at a time, over `protocol`.

    `staged`: what arrives last is first written to a buffer and copied from there, as protocols that flag their lines must. `dims` are the
    sizes of a torus that is walked dimension by dimension; () is one ring over all chips. `both`: half of the lanes go the other way.
    `shortest`: each way carries whole shards half around instead."""

    cores: int = 1
    queues: int = 1
    chunk: int = 1 << 20
    protocol: str = "simple"
    staged: bool = False
    both: bool = False
    shortest: bool = False

    @property
    def lanes(self) -> int:
        return self.cores * self.queues


@dataclass(frozen=True)
class Lane:
    """One queue of all cores: its part of each shard, and its way round the ring (1 or -1 on every core and chip)."""

    queue: int
    start: Const
    length: Const
    longest: int
    way: tuple[int, ...]
    steps: Const
    """Chips that a shard is passed on to."""


@dataclass(frozen=True)
class Group:
    """Chips that form a ring: `members` at distance `stride` among all of them."""

    chips: int
    members: int
    stride: int = 1

    def place(self, chip: int) -> int:
        return chip // self.stride % self.members

    def chip(self, chip: int, place: int) -> int:
        """The chip of `chip`'s ring at a place, counted round."""
        return chip + (place % self.members - self.place(chip)) * self.stride


def lanes_of(k: Tracer, shard: int, wiring: Wiring, members: int) -> list[Lane]:
    """How a shard of so many elements is divided among lanes."""
    two = wiring.both or wiring.shortest
    count = wiring.lanes // 2 if wiring.shortest else wiring.lanes
    part = -(-shard // max(count, 1) // UNIT) * UNIT or UNIT
    part = -(-(-(-shard // max(count, 1))) // UNIT) * UNIT
    found = []
    for queue in range(wiring.queues):
        number = [core * wiring.queues + queue for core in range(wiring.cores)]
        mine = [n // 2 if wiring.shortest else n for n in number]
        starts = [min(n * part, shard) for n in mine]
        lengths = [min(part, shard - s) for s in starts]
        ways = tuple(-1 if two and n % 2 else 1 for n in number)
        far = members - 1
        steps = [(far + 1) // 2 if w > 0 else far // 2 for w in ways] if wiring.shortest else [far] * wiring.cores
        found.append(Lane(queue, k.per_core(starts), k.per_core(lengths), max(lengths), ways, k.per_core(steps)))
    return found


def by_lane(k: Tracer, lane: Lane, group: Group, place_of: int, offset: int) -> Const:
    """The chip (place_of 0) or the place in its ring (1) that lies `offset` ahead of each chip in each core's own way."""
    def one(chip: int, core: int) -> int:
        at = group.place(chip) + offset * lane.way[core]
        return at % group.members if place_of else group.chip(chip, at)

    return uniform(one(chip, core) for chip in range(k.chips) for core in range(k.cores))


def pieces(k: Tracer, lane: Lane, wiring: Wiring) -> Iterator[tuple[Value, int, Value]]:
    """Chunk after chunk of a lane's part: where it begins in the shard, its size, its valid elements."""
    chunk = min(wiring.chunk, max(lane.longest, 1))
    for i in k.loop(-(-lane.longest // chunk)):
        yield lane.start + i * chunk, chunk, clamp(lane.length - i * chunk, 0, chunk)


def rows(tensor: Tensor, shards: int) -> Tensor:
    """A tensor as [shards, the rest]."""
    return tensor.reshape((shards, prod(tensor.shape) // shards))


def piece(tensor: Tensor, row: Value, at: Value, chunk: int, valid: Value) -> View:
    """The chunk of one shard of [shards, elements]."""
    return tensor.at((row, at), (1, chunk), (1, valid))


def ring_gather(k: Tracer, y: Tensor, x: Tensor, group: Group, wiring: Wiring, stage: Tensor | None) -> None:
    """Every chip's x into row `place` of every y of its ring: shards are passed on round the ring."""
    for lane in lanes_of(k, x.shape[1], wiring, group.members):
        full = k.channel(f"gathered{lane.queue}", lane.queue)
        own, ahead = by_lane(k, lane, group, 1, 0), by_lane(k, lane, group, 0, 1)
        for at, chunk, valid in pieces(k, lane, wiring):
            last = stage if stage is not None and group.members == 2 else y
            _send(k, lane, wiring, piece(last, own, at, chunk, valid).on(ahead), piece(x, 0, at, chunk, valid), None, full, 0)
            if not wiring.shortest or lane.queue % 2 == 0:
                k.copy(piece(y, own, at, chunk, valid), piece(x, 0, at, chunk, valid))
            _pass_on(k, lane, group, wiring, y, stage, full, 0, at, chunk, valid)


def _send(
    k: Tracer, lane: Lane, wiring: Wiring, dst: View, src: View, wait: Token | None, signal: Token | None, step: int,
) -> None:
    """A transfer of the step-th round, by lanes that have one."""
    for _ in k.loop(_has(lane, step)):
        k.send(dst, src, wait=wait, signal=signal, protocol=wiring.protocol, queue=lane.queue)


def _has(lane: Lane, step: int) -> Const:
    """1 on cores whose lane goes on for more than `step` rounds."""
    steps = lane.steps
    return int(steps > step) if isinstance(steps, int) else uniform(int(s > step) for s in steps.values)


def _pass_on(
    k: Tracer, lane: Lane, group: Group, wiring: Wiring, y: Tensor, stage: Tensor | None, full: Token, first: int,
    at: Value, chunk: int, valid: Value,
) -> None:
    """What the one behind has sent goes on to the one ahead, round after round; what nobody needs any more ends here."""
    ahead = by_lane(k, lane, group, 0, 1)
    rounds = lane.steps + (-1)
    rest = rounds + (-1) if stage is not None else rounds  # the last one is staged
    table = [by_lane(k, lane, group, 1, -1 - t) for t in range(max(group.members - 2, 1))]
    for t in k.loop(clamp(rest, 0)):
        row = k.lookup(t, table)
        k.send(
            piece(y, row, at, chunk, valid).on(ahead), piece(y, row, at, chunk, valid), wait=full, signal=full,
            protocol=wiring.protocol, queue=lane.queue,
        )
    if stage is None:
        for _ in k.loop(_has(lane, 0)):
            k.take(full)
        return
    if group.members > 2:
        row = by_lane(k, lane, group, 1, 2 - group.members)
        k.send(
            piece(stage, row, at, chunk, valid).on(ahead), piece(y, row, at, chunk, valid), wait=full, signal=full,
            protocol=wiring.protocol, queue=lane.queue,
        )
    row = by_lane(k, lane, group, 1, 1 - group.members)
    k.send(piece(y, row, at, chunk, valid), piece(stage, row, at, chunk, valid), wait=full, protocol=wiring.protocol, queue=lane.queue)


def ring_scatter(k: Tracer, y: Tensor, x: Tensor, sums: Tensor, group: Group, wiring: Wiring) -> None:
    """Row `place` of the sum of all x of a ring into y: a sum goes round and each chip adds its own."""
    n = group.members
    for lane in lanes_of(k, x.shape[1], wiring, n):
        full = k.channel(f"summed{lane.queue}", lane.queue)
        for at, chunk, valid in pieces(k, lane, wiring):
            _sum_round(k, lane, group, wiring, x, sums, None, full, at, chunk, valid)
            own = by_lane(k, lane, group, 1, 0)
            k.send_sum(
                piece(y, 0, at, chunk, valid), piece(sums, n - 2, at, chunk, valid), piece(x, own, at, chunk, valid), wait=full,
                protocol=wiring.protocol, queue=lane.queue,
            )


def _sum_round(
    k: Tracer, lane: Lane, group: Group, wiring: Wiring, x: Tensor, sums: Tensor, final: Tensor | None, full: Token,
    at: Value, chunk: int, valid: Value,
) -> None:
    """n - 1 rounds: the sum of a shard goes on to the one ahead, into row `round` of `sums`; at last, if wanted, into its row of `final`."""
    n, ahead = group.members, by_lane(k, lane, group, 0, 1)

    def target(t: Value, row: Value) -> View:
        return piece(sums, t, at, chunk, valid).on(ahead)

    def finally_at(t: int, row: Value) -> View:
        return target(t, row) if final is None else piece(final, row, at, chunk, valid).on(ahead)

    first = by_lane(k, lane, group, 1, -1)
    k.send(
        (finally_at if n == 2 else target)(0, first), piece(x, first, at, chunk, valid), signal=full, protocol=wiring.protocol, queue=lane.queue,
    )
    table = [by_lane(k, lane, group, 1, -2 - t) for t in range(max(n - 2, 1))]

    def add(dst: View, t: Value, row: Value) -> None:
        k.send_sum(
            dst, piece(sums, t, at, chunk, valid), piece(x, row, at, chunk, valid), wait=full, signal=full, protocol=wiring.protocol,
            queue=lane.queue,
        )

    for t in k.loop(n - 3 if final is not None else n - 2):
        row = k.lookup(t, table)
        add(target(t + 1, row), t, row)
    if final is not None and n > 2:
        add(finally_at(n - 2, table[n - 3]), n - 3, table[n - 3])


def ring_reduce(k: Tracer, y: Tensor, x: Tensor, sums: Tensor, group: Group, wiring: Wiring, stage: Tensor | None) -> None:
    """The sum of all x into all y: round the ring once to add, once more to tell."""
    for lane in lanes_of(k, x.shape[1], wiring, group.members):
        full = k.channel(f"reduced{lane.queue}", lane.queue)
        own, ahead = by_lane(k, lane, group, 1, 0), by_lane(k, lane, group, 0, 1)
        for at, chunk, valid in pieces(k, lane, wiring):
            _sum_round(k, lane, group, wiring, x, sums, y, full, at, chunk, valid)
            last = stage if stage is not None and group.members == 2 else y
            k.send_sum(
                piece(last, own, at, chunk, valid).on(ahead), piece(y, own, at, chunk, valid), piece(x, own, at, chunk, valid), keep=True,
                wait=full, signal=full, protocol=wiring.protocol, queue=lane.queue,
            )
            _pass_on(k, lane, group, wiring, y, stage, full, 1, at, chunk, valid)


def refuse_small(lanes: int, wiring: Wiring) -> None:
    """Two directions need two lanes."""
    if (wiring.both or wiring.shortest) and lanes % 2:
        raise UnsupportedError(f"both ways round a ring need an even number of lanes, not {lanes}: two cores, or links.queues = 2 in the chip")


__all__ = ["Group", "Wiring", "format_bytes", "ring_gather", "ring_reduce", "ring_scatter"]
