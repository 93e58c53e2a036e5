"""Integers that may differ between cores: every core runs the same words, so what differs is a row of parameters.

Arithmetic is exact and done while tracing. A value equal on all cores is a plain int, so
`isinstance(c, PerCore)` means that it differs."""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable, Iterable


class PerCore:
    """One integer per core, not all equal."""

    __slots__ = ("values",)

    def __init__(self, values: tuple[int, ...]) -> None:
        self.values = values

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PerCore) and self.values == other.values

    def __hash__(self) -> int:
        return hash(self.values)

    def __repr__(self) -> str:
        return f"per_core({list(self.values)})"

    def __add__(self, other: Const) -> Const:
        return combine(operator.add, self, other) if isinstance(other, (int, PerCore)) else NotImplemented

    __radd__ = __add__

    def __sub__(self, other: Const) -> Const:
        return combine(operator.sub, self, other) if isinstance(other, (int, PerCore)) else NotImplemented

    def __rsub__(self, other: int) -> Const:
        return combine(operator.sub, other, self)

    def __mul__(self, other: Const) -> Const:
        return combine(operator.mul, self, other) if isinstance(other, (int, PerCore)) else NotImplemented

    __rmul__ = __mul__

    def __floordiv__(self, other: Const) -> Const:
        return combine(operator.floordiv, self, other)

    def __rfloordiv__(self, other: int) -> Const:
        return combine(operator.floordiv, other, self)

    def __mod__(self, other: Const) -> Const:
        return combine(operator.mod, self, other)

    def __neg__(self) -> Const:
        return uniform(-v for v in self.values)


Const = int | PerCore


def uniform(values: Iterable[int]) -> Const:
    """A plain int if all cores agree."""
    column = tuple(values)
    first = column[0]
    return first if column.count(first) == len(column) else PerCore(column)


def combine(function: Callable[[int, int], int], a: Const, b: Const) -> Const:
    """The function applied core by core."""
    if isinstance(a, PerCore):
        right = b.values if isinstance(b, PerCore) else (b,) * len(a.values)
        return uniform(map(function, a.values, right))
    if isinstance(b, PerCore):
        return uniform(map(function, (a,) * len(b.values), b.values))
    return function(a, b)


def smaller(a: Const, b: Const) -> Const:
    """The minimum, core by core."""
    return combine(builtins.min, a, b)


def larger(a: Const, b: Const) -> Const:
    """The maximum, core by core."""
    return combine(builtins.max, a, b)


def ceil_div(a: Const, b: int) -> Const:
    """a / b rounded up, core by core."""
    return -((-a) // b)


def lowest(a: Const) -> int:
    """The least value of any core."""
    return builtins.min(a.values) if isinstance(a, PerCore) else a


def highest(a: Const) -> int:
    """The greatest value of any core."""
    return builtins.max(a.values) if isinstance(a, PerCore) else a


def column(a: Const, cores: int) -> tuple[int, ...]:
    """The value of every core."""
    return a.values if isinstance(a, PerCore) else (a,) * cores
