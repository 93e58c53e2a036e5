"""Through a torus dimension by dimension, each queue beginning with another one and going its own way round, so that all links are used.

A tensor of shards is seen as [z, y, x, shard]. Gathering along a dimension passes on blocks of what is gathered already; adding up goes the
dimensions in the other order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from emu.kernels.collectives.lanes import Lane, Sender, Wiring, lanes_of, pieces
from emu.kernels.lang import Tensor, Tracer
from emu.kernels.lang.expr import Value
from emu.kernels.lang.memory import View
from emu.kernels.lang.percore import Const, uniform

AXES = 3


@dataclass(frozen=True)
class Walk:
    """One lane in one phase: along dimension `axis`, with the dimensions in `whole` not divided among chips."""

    sizes: tuple[int, ...]
    axis: int
    whole: frozenset[int]
    lane: Lane

    def coordinate(self, k: Tracer, axis: int, ahead: int = 0) -> Const:
        """Of each chip along a dimension, moved so far ahead in each core's way."""
        stride, size = prod(self.sizes[:axis]), self.sizes[axis]
        return uniform((chip // stride + ahead * way) % size for chip in range(k.chips) for way in self.lane.way)

    def next(self, k: Tracer) -> Const:
        """The chip ahead."""
        stride, size = prod(self.sizes[: self.axis]), self.sizes[self.axis]

        def one(chip: int, way: int) -> int:
            here = chip // stride % size
            return chip + ((here + way) % size - here) * stride

        return uniform(one(chip, way) for chip in range(k.chips) for way in self.lane.way)

    def block(self, k: Tracer, tensor: Tensor, place: Value, where: tuple[Value, int, Value]) -> View:
        """What lies at a place of the dimension that is walked."""
        at, chunk, valid = where
        origin, shape = [], []
        for axis in reversed(range(AXES)):
            all_of_it = axis in self.whole and axis != self.axis
            origin.append(place if axis == self.axis else 0 if all_of_it else self.coordinate(k, axis))
            shape.append(self.sizes[axis] if all_of_it else 1)
        return tensor.at((*origin, at), (*shape, chunk), (*shape, valid))


def cells(tensor: Tensor, dims: Sequence[int]) -> Tensor:
    """A tensor of shards as [z, y, x, shard]."""
    sizes = padded(dims)
    return tensor.reshape((*reversed(sizes), prod(tensor.shape) // prod(sizes)))


def padded(dims: Sequence[int]) -> tuple[int, ...]:
    return (*dims, *([1] * (AXES - len(dims))))


def _walks(k: Tracer, dims: Sequence[int], shard: int, wiring: Wiring, phase: int, gathers: bool) -> list[Walk]:
    """The lanes of a phase; the first one of adding up is the last one of gathering."""
    sizes, axes = padded(dims), [a for a, size in enumerate(padded(dims)) if size > 1]
    found = []
    for lane in lanes_of(k, shard, wiring, 2):
        first = lane.queue // 2
        order = [axes[(first + p) % len(axes)] for p in range(len(axes))]
        at = phase if gathers else len(axes) - 1 - phase
        found.append(Walk(sizes, order[at], frozenset(order[:at]), lane))
    return found


def phases(dims: Sequence[int]) -> int:
    return sum(size > 1 for size in dims)


def torus_gather(k: Tracer, y: Tensor, x: Tensor | None, dims: Sequence[int], wiring: Wiring) -> None:
    """Every chip's shard into every y; without x it is in y already."""
    y4 = cells(y, dims)
    x4 = None if x is None else x.reshape((1, 1, 1, prod(x.shape)))
    for phase in range(phases(dims)):
        with k.op(f"gather{phase}"):
            for walk in _walks(k, dims, y4.shape[3], wiring, phase, True):
                _gather_along(k, y4, x4 if phase == 0 else None, walk, wiring)


def _gather_along(k: Tracer, y: Tensor, x: Tensor | None, walk: Walk, wiring: Wiring) -> None:
    lane, size = walk.lane, walk.sizes[walk.axis]
    full, sender = k.channel(f"full{lane.queue}", lane.queue), Sender(k, wiring, lane.queue)
    ahead, own = walk.next(k), walk.coordinate(k, walk.axis)
    table = [walk.coordinate(k, walk.axis, -1 - t) for t in range(max(size - 2, 1))]
    for where in pieces(k, lane.start, lane.length, lane.longest, wiring.chunk):
        mine = walk.block(k, y, own, where)
        source = mine if x is None else x.at((0, 0, 0, where[0]), (1, 1, 1, where[1]), (1, 1, 1, where[2]))
        sender.send(mine.on(ahead), source, signal=full)
        if x is not None:
            k.copy(mine, source)
        for t in k.loop(size - 2):
            passed = walk.block(k, y, k.lookup(t, table), where)
            sender.send(passed.on(ahead), passed, full, full)
        k.take(full)


def torus_scatter(
    k: Tracer, y: Tensor, x: Tensor, sums: Sequence[Tensor], partial: Tensor, dims: Sequence[int], wiring: Wiring, into_all: bool
) -> None:
    """The sum of this chip's shard of all x into y, at its own place of [chips, shard] if `into_all`.

    `sums`, one for each dimension: a chip may still be in one phase when a neighbour sends it what belongs to the next."""
    x4, y4 = cells(x, dims), cells(y, dims) if into_all else y.reshape((1, 1, 1, prod(y.shape)))
    partial4 = cells(partial, dims)
    for phase in range(phases(dims)):
        last = phase == phases(dims) - 1
        with k.op(f"add{phase}"):
            out, source, rows = y4 if last else partial4, x4 if phase == 0 else partial4, cells(sums[phase], dims)
            for walk in _walks(k, dims, x4.shape[3], wiring, phase, False):
                _add_along(k, out, source, rows, walk, wiring, last and not into_all)


def _add_along(k: Tracer, out: Tensor, source: Tensor, sums: Tensor, walk: Walk, wiring: Wiring, alone: bool) -> None:
    """A block's sum goes round and lies, until it goes on, at the block's own place of `sums`."""
    lane, size = walk.lane, walk.sizes[walk.axis]
    full, sender = k.channel(f"full{lane.queue}", lane.queue), Sender(k, wiring, lane.queue)
    ahead, own = walk.next(k), walk.coordinate(k, walk.axis)
    table = [walk.coordinate(k, walk.axis, -2 - t) for t in range(max(size - 2, 1))]
    for where in pieces(k, lane.start, lane.length, lane.longest, wiring.chunk):
        first = walk.coordinate(k, walk.axis, -1)
        sender.send(walk.block(k, sums, first, where).on(ahead), walk.block(k, source, first, where), signal=full)
        for t in k.loop(size - 2):
            row = k.lookup(t, table)
            here = walk.block(k, sums, row, where)
            sender.send_sum(here.on(ahead), here, walk.block(k, source, row, where), full, full)
        target = out.at((0, 0, 0, where[0]), (1, 1, 1, where[1]), (1, 1, 1, where[2])) if alone else walk.block(k, out, own, where)
        sender.send_sum(target, walk.block(k, sums, own, where), walk.block(k, source, own, where), full)
