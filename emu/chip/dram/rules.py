"""Rules of a device: one line each, `level: preceding -> following = latency [window n] [other]`.

`bank: ACT -> RD RDA = RCDRD` reads: a RD or RDA comes no earlier than RCDRD behind an ACT of the same bank. `window 4` counts from the
fourth-last preceding command instead of the last (tFAW); `other` is about the other nodes under the same parent (another rank)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from emu.chip.dram.formula import FormulaError, evaluate
from emu.errors import did_you_mean

LEVELS = ("channel", "pseudo", "rank", "group", "bank")
COMMANDS = ("ACT", "PRE", "RD", "WR", "RDA", "WRA", "PREA", "REF", "REFB")
OF_RANK = ("PREA", "REF")  # go to all banks of a rank
MAX_WINDOW = 64
MAX_PAIRS = 1024
MAX_WINDOWS = 32  # pairs with a window
_LINE = re.compile(r"\s*(\w+)\s*:\s*([\w ]+?)\s*->\s*([\w ]+?)\s*=\s*(.+?)(?:\s+window\s+(\d{1,3}))?(\s+other)?\s*\Z", re.ASCII)


@dataclass(frozen=True)
class Rule:
    """One line of the table. `ticks` is its latency in ticks of the device's clock."""

    level: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    latency: str
    window: int
    other: bool
    ticks: int

    def __str__(self) -> str:
        window = f" window {self.window}" if self.window > 1 else ""
        return f"{self.level}: {' '.join(self.before)} -> {' '.join(self.after)} = {self.latency}{window}{' other' if self.other else ''}"


def parse(text: object, names: Mapping[str, Fraction], period_ns: Fraction, ticks_per_clock: int) -> Rule:
    """A rule from its line, or FormulaError with what is wrong and the nearest name."""
    found = _LINE.match(text) if isinstance(text, str) and len(text) <= 400 else None
    if not found:
        raise FormulaError(f"expected 'level: ACT -> RD RDA = RCD [window 4] [other]', got {text!r:.80}")
    level, before, after, latency, window, other = found.groups()
    if level not in LEVELS:
        raise FormulaError(f"{level!r} is no level; {did_you_mean(level, LEVELS)}")
    for name in (*before.split(), *after.split()):
        if name not in COMMANDS:
            raise FormulaError(f"{name!r} is no command; {did_you_mean(name, COMMANDS)}")
        if name in OF_RANK and level in ("group", "bank"):
            raise FormulaError(f"{name} goes to a whole rank, so a rule about it cannot be at level {level}; write it at level rank")
    if other and level in ("channel", "bank"):
        raise FormulaError(f"`other` is for levels pseudo, rank and group, not {level}")
    if window and not 1 <= int(window) <= MAX_WINDOW:
        raise FormulaError(f"window {window}: expected 1 to {MAX_WINDOW}")
    ticks = in_ticks(latency, names, period_ns, ticks_per_clock)
    return Rule(level, tuple(before.split()), tuple(after.split()), latency, int(window or 1), bool(other), ticks)


def in_ticks(latency: object, names: Mapping[str, Fraction], period_ns: Fraction, ticks_per_clock: int) -> int:
    """A formula in whole ticks, at least 0 and below 2**40."""
    value = evaluate(latency, names, period_ns) * ticks_per_clock
    if value.denominator != 1:
        raise FormulaError(f"{latency!r} is {float(value)} ticks of 1/{ticks_per_clock} clock; it must be whole")
    if not 0 <= value < 1 << 40:
        raise FormulaError(f"{latency!r} is {int(value)} ticks; it must be at least 0 and below 2**40")
    return int(value)
