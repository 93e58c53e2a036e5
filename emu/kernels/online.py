"""Online softmax: the running maximum, sum and output of a block of query rows while tiles of keys pass by."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from emu.kernels.lang import Ring, Tile, Tracer, Value, View, format_bytes

LOWEST = -1e30  # below every score; finite, so that a difference of two of them is 0 and not NaN


INT8_ONE = 127.0  # a probability of 1 in int8; the factor cancels when the sum divides


def sum_format(fmt: str) -> str:
    """The format in which the matrix engine sums products of operands in `fmt`."""
    return "int32" if fmt == "int8" else "fp32"


def multiply(k: Tracer, product: Tile, p: Tile, value: View, turned: Ring | None) -> None:
    """product += p @ value [keys, dim]; by way of a slot of `turned` if the matrix engine takes [dim, keys] only."""
    if turned is None:
        k.mm(product, p, value)
        return
    keys, dim = value.dims
    across = k.next(turned, (dim.size, keys.size), value.fmt, (dim.extent, keys.extent))
    k.turn(across, value)
    k.mm(product, p, across, bt=True)


class Scratch:
    """Rings shared by all places that process a tile of keys: scores in fp32, probabilities in the matrix engine's format."""

    def __init__(self, k: Tracer, rows: Sequence[int], keys: int, fmt: str, depth: int) -> None:
        size = prod(rows) * keys
        self.fmt = fmt
        self.scores: Ring = k.ring("scores", size * 4, space="work")
        self.p: Ring = k.ring("p", size * format_bytes(fmt), depth, "work")


class Online:
    """State of one block of rows [.., rows]; all of it private to the vector engine except the probabilities.

    `in_place`: scores are worked on where products left them, and products are summed in the accumulators themselves.
    `queries`: as many as rows are of, each with the same number one after another, and how many of them are valid; nothing: a row each."""

    def __init__(
        self, k: Tracer, rows: Sequence[int], valid: Sequence[Value], dim: int, scale: float, scratch: Scratch, in_place: bool = False,
        queries: tuple[int, Value] | None = None,
    ) -> None:
        self.k, self.rows, self.valid, self.scale, self.scratch = k, tuple(rows), tuple(valid), scale, scratch
        self.queries = queries
        self.in_place = in_place
        self.top = self._column("top")
        self.seen = self._column("seen")
        self.factor = self._column("factor")
        self.sum = self._column("sum")
        k.fill(self.top, LOWEST)
        k.fill(self.sum, 0.0)
        if not in_place:
            self.o = k.tile((*self.rows, dim), "fp32", valid=(*self.valid, dim), name="o")
            k.fill(self.o, 0.0)

    def _column(self, name: str) -> Tile:
        return self.k.tile((*self.rows, 1), "fp32", valid=(*self.valid, 1), name=name)

    def step(self, s: Tile, p: Tile, diag: Value | None = None, window: int = 0) -> None:
        """p = probabilities (not yet normalised) of a tile of scores; `diag` masks what a causal query must not see."""
        k = self.k
        scores = s if self.in_place else k.next(self.scratch.scores, s.shape, "fp32", s.valid)
        x: Tile = s
        if diag is not None:
            k.mask(self._by_query(scores), self._by_query(s), diag, LOWEST, window)
            x = scores
        k.rmax(self.seen, x)
        k.mul(self.seen, self.seen, self.scale)
        k.max(self.seen, self.seen, self.top)
        k.sub(self.factor, self.top, self.seen)
        k.exp(self.factor, self.factor)
        k.mov(self.top, self.seen)
        k.mul(scores, x, self.scale)
        k.sub(scores, scores, self.top)
        if p.fmt == "int8":
            k.exp(scores, scores)
            k.mul(p, scores, INT8_ONE)
        else:
            k.exp(p, scores)
        k.rsum(self.seen, p)
        k.mul(self.sum, self.sum, self.factor)
        k.add(self.sum, self.sum, self.seen)

    def _by_query(self, tile: Tile) -> Tile | View:
        """[rows, keys] as [rows of a query, queries, keys], in which a mask counts queries."""
        if self.queries is None:
            return tile
        (most, valid), (rows, keys) = self.queries, tile.shape
        return tile.reshape((most, rows // most, keys), (valid, rows // most, tile.valid[1])).as_dims(1, 0, 2)

    def add(self, product: Tile) -> None:
        """o = o * factor + p @ v, right after the step."""
        self.k.mul(self.o, self.o, self.factor)
        self.k.add(self.o, self.o, product)

    def add_late(self, product: Tile) -> None:
        """o = (o + the product of the tile before) * factor: the product may be a step late, so that it overlaps with this one."""
        self.add_last(product)
        self.k.mul(self.o, self.o, self.factor)

    def add_last(self, product: Tile) -> None:
        """o = o + the product of the last tile; in place, the product is the whole sum."""
        if self.in_place:
            self.o = product
        else:
            self.k.add(self.o, self.o, product)

    def result(self, out: Tile | View) -> None:
        """out = o / sum."""
        self.k.div(out, self.o, self.sum)

    def piece(self, out: Tile | View, first: Value, count: int) -> None:
        """out = o / sum of `count` rows from `first`."""
        self.k.div(out, self.o[first : first + count], self.sum[first : first + count])
