"""Integers that may differ between cores: every core runs the same words, so what differs is a row of parameters.

Arithmetic is exact and done while tracing, in csrc/map/percore.c; what leaves 64 bits is an UnsupportedError. A value equal on all cores
is a plain int, so `isinstance(c, PerCore)` means that it differs."""

from __future__ import annotations

from emu._map import PerCore, highest, larger, less, lowest, never_above, smaller, uniform

Const = int | PerCore


def ceil_div(a: Const, b: int) -> Const:
    """a / b rounded up, core by core."""
    return -((-a) // b)


def column(a: Const, cores: int) -> tuple[int, ...]:
    """The value of every core."""
    return a.values if isinstance(a, PerCore) else (a,) * cores


__all__ = ["Const", "PerCore", "ceil_div", "column", "highest", "larger", "less", "lowest", "never_above", "smaller", "uniform"]
