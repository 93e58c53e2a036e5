"""Latencies as people write them: `CL + BL + 2 - CWL`, `max(4 clk, 7.5 ns)`, in the grammar of emu.formula.

Every quantity is in clocks, exactly. Times in ns are rounded up to whole clocks where they stand, as a memory controller's registers
take them; a bare number is clocks."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from emu.errors import did_you_mean
from emu.formula import FormulaError, Parser

_NS = {"ns": Fraction(1), "us": Fraction(1000)}


class _Clocks(Parser[Fraction]):
    units = ("clk", "ns", "us")
    signs = "+-*"
    example = "a latency such as '20 clk', '7.5 ns' or 'CL + BL'"
    what = "a timing"

    def __init__(self, text: object, names: Mapping[str, Fraction], period_ns: Fraction) -> None:
        self.names, self.period_ns = names, period_ns
        super().__init__(text)

    def number(self, text: str, unit: str) -> Fraction:
        value = Fraction(text)
        if unit not in _NS:
            return value
        clocks = value * _NS[unit] / self.period_ns
        return Fraction(-(-clocks.numerator // clocks.denominator))

    def name(self, name: str) -> Fraction:
        if name not in self.names:
            raise FormulaError(f"no timing is named {name!r}; {did_you_mean(name, self.names)}")
        return self.names[name]

    def combine(self, sign: str, a: Fraction, b: Fraction) -> Fraction:
        return a * b if sign == "*" else a + b if sign == "+" else a - b

    def call(self, function: str, values: list[Fraction]) -> Fraction:
        return max(values) if function == "max" else min(values)


def evaluate(text: object, names: Mapping[str, Fraction], period_ns: Fraction) -> Fraction:
    """Clocks that a formula stands for; `names` are timings in clocks. FormulaError says what is wrong, with the nearest name."""
    if isinstance(text, int) and not isinstance(text, bool):
        return Fraction(text)
    return _Clocks(text, names, period_ns).parse()


__all__ = ["FormulaError", "evaluate"]
