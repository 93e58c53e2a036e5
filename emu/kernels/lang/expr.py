"""Symbolic integers of a traced kernel: affine in loop indices, at most clamped once: `max(lo, min(hi, affine))`.

That is all a kernel needs (addresses are affine, extents of ragged tiles are clamped), and little enough to turn into strided updates."""

from __future__ import annotations

from typing import Any

from emu.errors import UnsupportedError
from emu.kernels.lang.percore import Const, PerCore, highest, larger, less, lowest, never_above, smaller, uniform


class Index:
    """The index of one traced loop. `last` is its greatest value on each core, -1 where the loop never runs; `live` is 1 on cores where it
    runs at least once, and so do all loops around it."""

    __slots__ = ("depth", "last", "live", "loop")

    def __init__(self, depth: int, last: Const, loop: Any) -> None:
        self.depth = depth
        self.last = last
        self.live = smaller(1 if loop.parent_loop is None else loop.parent_loop.index.live, less(-1, last))
        self.loop = loop


class Looked(Index):
    """What a table holds for each iteration of a loop: `table[i]`, a constant of the core; not affine, so loaded at the loop's head."""

    __slots__ = ("register", "table")

    def __init__(self, loop: Any, table: tuple[Const, ...], register: int) -> None:
        greatest: Const = table[0]
        for row in table[1:]:
            greatest = larger(greatest, row)
        super().__init__(loop.depth, greatest, loop)
        self.live = loop.index.live
        self.table = table
        self.register = register


class Expr:
    """An affine form over loop indices with an optional lower and upper clamp. Build with arithmetic, `minimum` and `maximum`."""

    __slots__ = ("const", "terms", "lo", "hi", "_hash", "_bounds")

    def __init__(self, const: Const, terms: tuple[tuple[Index, Const], ...], lo: Const | None = None, hi: Const | None = None) -> None:
        self.const = const
        self.terms = terms
        self.lo = lo
        self.hi = hi
        self._hash: int | None = None
        self._bounds: tuple[Const, Const] | None = None

    @property
    def bounds(self) -> tuple[Const, Const]:
        """Least and greatest value per core, over all iterations; worked out once, for extents are asked again and again."""
        if self._bounds is None:
            self._bounds = self._between()
        return self._bounds

    def _between(self) -> tuple[Const, Const]:
        low = high = self.const
        for index, c in self.terms:
            at_last = c * larger(index.last, 0)
            low = low + smaller(at_last, 0)
            high = high + larger(at_last, 0)
        if self.lo is not None:
            low, high = larger(low, self.lo), larger(high, self.lo)
        if self.hi is not None:
            low, high = smaller(low, self.hi), smaller(high, self.hi)
        return low, high

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash((self.const, self.terms, self.lo, self.hi))
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expr) and (self.const, self.terms, self.lo, self.hi) == (other.const, other.terms, other.lo, other.hi)

    def __repr__(self) -> str:
        parts = [f"{c}*i{index.depth}" for index, c in self.terms] + [str(self.const)]
        return " + ".join(parts) + (f" clamped to {self.lo}..{self.hi}" if self.clamped else "")

    @property
    def clamped(self) -> bool:
        return self.lo is not None or self.hi is not None

    @property
    def deepest(self) -> Index | None:
        """The innermost loop index the value depends on."""
        return self.terms[-1][0] if self.terms else None

    def __add__(self, other: Value) -> Value:
        if isinstance(other, Expr):
            if self.clamped or other.clamped:
                raise UnsupportedError("a minimum or maximum of a loop index can only be added to a constant; clamp after adding")
            return _affine(self.const + other.const, _merge(self.terms, other.terms))
        shift = None if self.lo is None else self.lo + other
        return Expr(self.const + other, self.terms, shift, None if self.hi is None else self.hi + other)

    __radd__ = __add__

    def __neg__(self) -> Value:
        terms = tuple((index, -c) for index, c in self.terms)
        return Expr(-self.const, terms, None if self.hi is None else -self.hi, None if self.lo is None else -self.lo)

    def __sub__(self, other: Value) -> Value:
        return self + (-other)

    def __rsub__(self, other: Const) -> Value:
        return (-self) + other

    def __mul__(self, factor: Const) -> Value:
        if isinstance(factor, Expr):
            raise UnsupportedError("a product of two loop indices is not affine; let an outer loop advance the address")
        if factor == 0:
            return 0
        if self.clamped:
            if not isinstance(factor, int) or factor < 0:
                raise UnsupportedError("a minimum or maximum can only be multiplied by a positive number")
            lo = None if self.lo is None else self.lo * factor
            return Expr(self.const * factor, _scale(self.terms, factor), lo, None if self.hi is None else self.hi * factor)
        return _affine(self.const * factor, _scale(self.terms, factor))

    __rmul__ = __mul__

    def __bool__(self) -> bool:
        raise UnsupportedError("the value of a loop index is not known while tracing; use k.minimum or a loop bound, not `if`")

    def __index__(self) -> int:
        raise UnsupportedError("a loop index is not a Python integer; use k.loop instead of range, views instead of indexing")


Value = int | PerCore | Expr


def _merge(a: tuple[tuple[Index, Const], ...], b: tuple[tuple[Index, Const], ...]) -> tuple[tuple[Index, Const], ...]:
    total = dict(a)
    for index, c in b:
        total[index] = total.get(index, 0) + c
    return tuple(sorted(((i, c) for i, c in total.items() if c != 0), key=lambda term: term[0].depth))


def _scale(terms: tuple[tuple[Index, Const], ...], factor: Const) -> tuple[tuple[Index, Const], ...]:
    return tuple((index, scaled) for index, c in terms if (scaled := c * factor) != 0)


def _affine(const: Const, terms: tuple[tuple[Index, Const], ...]) -> Value:
    return Expr(const, terms) if terms else const


def index_expr(index: Index) -> Expr:
    """The index as a value."""
    return Expr(0, ((index, 1),))


def bounds(value: Value) -> tuple[Const, Const]:
    """Least and greatest value per core, over all iterations; meaningless on cores where a loop it depends on never runs."""
    return value.bounds if isinstance(value, Expr) else (value, value)


def upper(value: Value) -> int:
    """The greatest value on any core that runs; 0 if none does."""
    return highest(bounds(value)[1], _live(value))


def lower(value: Value) -> int:
    """The least value on any core that runs; 0 if none does."""
    return lowest(bounds(value)[0], _live(value))


def _live(value: Value) -> Const:
    """1 on cores where every loop the value depends on runs at least once (enclosing loops of those loops included)."""
    return value.terms[-1][0].live if isinstance(value, Expr) and value.terms else 1


def clamp(value: Value, lo: Const | None = None, hi: Const | None = None) -> Value:
    """max(lo, min(hi, value)), simplified where loop bounds make a side superfluous."""
    if not isinstance(value, Expr):
        value = value if hi is None else smaller(value, hi)
        return value if lo is None else larger(value, lo)
    low, high = bounds(value)
    live = _live(value)
    if lo is not None and never_above(high, lo, live):
        return lo
    if hi is not None and never_above(hi, low, live):
        return hi
    lo = None if lo is not None and never_above(lo, low, live) else lo
    hi = None if hi is not None and never_above(high, hi, live) else hi
    if value.hi is not None:
        hi = value.hi if hi is None else smaller(hi, value.hi)
    if value.lo is not None:
        lo = value.lo if lo is None else larger(lo, value.lo)
    const = value.const if hi is None else _alike(value, low, hi, live)
    return Expr(const, value.terms, lo, hi)


def _alike(value: Expr, low: Const, hi: Const, live: Const) -> Const:
    """The constant of a form clamped from above, the same on all cores that are at the clamp in every iteration: a core far from a ragged
    edge and one that is farther then have equal parameters, and fold."""
    reach: Const = 0  # how far the terms take it down on any core, at most
    for index, c in value.terms:
        reach = reach + smaller(c * larger(index.last, 0), 0)
    level = hi - lowest(reach)
    ragged = smaller(less(low, hi), live)
    return ragged * value.const + (1 - ragged) * level


def minimum(a: Value, b: Value) -> Value:
    """The smaller of two values, one of which is the same in every iteration."""
    if isinstance(a, Expr):
        a, b = b, a
    if isinstance(a, Expr):
        raise UnsupportedError("k.minimum takes at most one value that depends on a loop")
    return clamp(b, hi=a)


def maximum(a: Value, b: Value) -> Value:
    """The larger of two values, one of which is the same in every iteration."""
    if isinstance(a, Expr):
        a, b = b, a
    if isinstance(a, Expr):
        raise UnsupportedError("k.maximum takes at most one value that depends on a loop")
    return clamp(b, lo=a)


def as_const(value: Value, what: str) -> Const:
    """The value if it does not depend on a loop; else an error that names it."""
    if isinstance(value, Expr):
        raise UnsupportedError(f"{what} must not depend on a loop index")
    return value


__all__ = [
    "Const", "Expr", "Index", "Looked", "PerCore", "Value", "as_const", "bounds", "clamp", "index_expr", "lower", "maximum", "minimum",
    "uniform",
    "upper",
]
