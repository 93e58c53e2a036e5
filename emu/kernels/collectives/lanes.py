"""Who carries what: lanes, the pieces of their parts, and the chips that form a ring."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, prod

from emu.errors import UnsupportedError
from emu.kernels.lang import Tensor, Tracer
from emu.kernels.lang.expr import Value, clamp
from emu.kernels.lang.memory import View
from emu.kernels.lang.percore import Const, uniform
from emu.kernels.lang.sync import Token

UNIT = 8
"""Elements to which parts of lanes are rounded up."""


@dataclass(frozen=True)
class Wiring:
    """How a collective is run: `cores` of each chip and `queues` of each core send, `chunk` elements at a time, over `protocol`.

    `staged`: what arrives last is first written to a buffer and copied from there, as protocols that flag their lines must. `both`: every
    other lane goes round the other way. `shortest`: each way carries whole shards half around instead."""

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
    """One queue of all cores: its part of each shard, and its way round the ring (1 or -1)."""

    queue: int
    start: Const
    length: Const
    longest: int
    way: tuple[int, ...]
    steps: Const
    """Chips that a shard is passed on to."""


@dataclass(frozen=True)
class Sender:
    """A queue of the net engine that sends as the wiring says."""

    k: Tracer
    wiring: Wiring
    queue: int = 0

    def send(self, dst: View, src: View, wait: Token | None = None, signal: Token | None = None, reverse: bool = False) -> None:
        self.k.send(dst, src, wait=wait, signal=signal, protocol=self.wiring.protocol, queue=self.queue, reverse=reverse)

    def send_sum(self, dst: View, a: View, b: View, wait: Token | None = None, signal: Token | None = None, keep: bool = False) -> None:
        self.k.send_sum(dst, a, b, wait=wait, signal=signal, keep=keep, protocol=self.wiring.protocol, queue=self.queue)


@dataclass(frozen=True)
class Group:
    """Chips that form a ring: `members` at distance `stride` among all of them."""

    members: int
    stride: int = 1

    def place(self, chip: int) -> int:
        return chip // self.stride % self.members

    def chip(self, chip: int, place: int) -> int:
        """The chip of `chip`'s ring at a place, counted round."""
        return chip + (place % self.members - self.place(chip)) * self.stride


def part_of(shard: int, lanes: int) -> int:
    """Elements of a lane's part of a shard."""
    each = ceil(shard / lanes)
    return -(-each // UNIT) * UNIT


def lanes_of(k: Tracer, shard: int, wiring: Wiring, members: int) -> list[Lane]:
    """How a shard of so many elements is divided among lanes."""
    two = wiring.both or wiring.shortest
    if two and wiring.lanes % 2:
        raise UnsupportedError(f"both ways round a ring need an even number of lanes, not {wiring.lanes}: two cores, or two links.queues")
    part = part_of(shard, wiring.lanes // 2 if wiring.shortest else wiring.lanes)
    found = []
    for queue in range(wiring.queues):
        number = [core * wiring.queues + queue for core in range(wiring.cores)]
        starts = [min((n // 2 if wiring.shortest else n) * part, shard) for n in number]
        lengths = [min(part, shard - s) for s in starts]
        ways = tuple(-1 if two and n % 2 else 1 for n in number)
        far = members - 1
        steps = [(far + 1) // 2 if w > 0 else far // 2 for w in ways] if wiring.shortest else [far] * wiring.cores
        found.append(Lane(queue, k.per_core(starts), k.per_core(lengths), max(lengths), ways, k.per_core(steps)))
    return found


def ring_place(k: Tracer, lane: Lane, group: Group, ahead: int) -> Const:
    """The place in its ring that lies so far ahead of each chip in each core's own way."""
    return uniform((group.place(chip) + ahead * way) % group.members for chip in range(k.chips) for way in lane.way)


def ring_chip(k: Tracer, lane: Lane, group: Group, ahead: int) -> Const:
    """The chip there."""
    return uniform(group.chip(chip, group.place(chip) + ahead * way) for chip in range(k.chips) for way in lane.way)


def pieces(k: Tracer, start: Const, length: Const, longest: int, most: int) -> Iterator[tuple[Value, int, Value]]:
    """Piece after piece of a part: where it begins in the shard, its size, its valid elements."""
    chunk = max(1, min(most, longest))
    for i in k.loop(-(-longest // chunk)):
        yield start + i * chunk, chunk, clamp(length - i * chunk, 0, chunk)


def by_rows(tensor: Tensor, shards: int) -> Tensor:
    """A tensor as [shards, the rest]."""
    return tensor.reshape((shards, prod(tensor.shape) // shards))


def piece(tensor: Tensor, row: Value, at: Value, chunk: int, valid: Value) -> View:
    """A piece of one shard of [shards, elements]."""
    return tensor.at((row, at), (1, chunk), (1, valid))
