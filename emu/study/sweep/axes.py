"""The values a setting takes: a list, or a range in equal steps or equal factors.

    ["bf16", "fp8"]    {log = ["1 TB/s", "8 TB/s"], points = 7}    {linear = [1, 9], points = 5}    {range = [128, 1024], step = 128}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from emu.chip import units
from emu.errors import EmuError, did_you_mean

MOST_VALUES = 10_000
DIGITS = 6
"""Significant digits of the values inside a range that need not be whole."""
OBJECTS = ("chip", "model")
"""Settings whose values may also be chips and models themselves."""
RANGES = {"log": "points", "linear": "points", "range": "step"}
"""What is given by its ends, and the word that says how finely."""


def values_of(key: str, given: Any) -> list[Any]:
    """The values of one axis, in order, each once. EmuError says what is wrong with them."""
    if isinstance(given, Mapping):
        found = _ranged(key, given)
    elif isinstance(given, Sequence) and not isinstance(given, (str, bytes)):
        found = list(given)
    else:
        raise EmuError(f"vary.{key} = {given!r}: expected a list of values, or a range: {{log = [1, 64], points = 7}}")
    if not 1 <= len(found) <= MOST_VALUES:
        raise EmuError(f"vary.{key}: {len(found)} values; expected 1 to {MOST_VALUES}")
    for value in found if key not in OBJECTS else ():
        if value is not None and not isinstance(value, (str, int, float)) or isinstance(value, float) and not abs(value) < float("inf"):
            raise EmuError(f"vary.{key}: {value!r}: expected numbers, texts, true or false")
    return [value for _, value in {(type(value), value): (0, value) for value in found}.values()]


def _ranged(key: str, given: Mapping[str, Any]) -> list[Any]:
    kinds = [name for name in given if name in RANGES]
    if len(kinds) != 1:
        raise EmuError(f"vary.{key}: expected one of {', '.join(RANGES)}, got {', '.join(map(str, given)) or 'nothing'}")
    kind = kinds[0]
    for name in given:
        if name not in (kind, RANGES[kind]):
            raise EmuError(f"vary.{key}.{name}: unknown; {did_you_mean(str(name), (kind, RANGES[kind]))}")
    ends = given[kind]
    if isinstance(ends, str) or not isinstance(ends, Sequence) or len(ends) != 2:
        raise EmuError(f"vary.{key}.{kind} = {ends!r}: expected two ends, [first, last]")
    (first, unit), (last, other) = (_number(key, end) for end in ends)
    if unit != other or first >= last or (kind == "log" and first <= 0):
        raise EmuError(f"vary.{key}.{kind} = {list(ends)!r}: expected two like ends, the smaller one first{', above 0' * (kind == 'log')}")
    whole = units.KINDS[unit].whole if unit else first.denominator == last.denominator == 1 and kind != "range"
    return [_written(value, unit, whole) for value in _spaced(key, kind, first, last, given.get(RANGES[kind]))]


def _number(key: str, end: Any) -> tuple[Fraction, str]:
    """In SI, and its kind of quantity; none for a plain number."""
    if isinstance(end, str):
        try:
            return units.exact(end)
        except ValueError as error:
            raise EmuError(f"vary.{key}: {error}") from None
    if isinstance(end, bool) or not isinstance(end, (int, float)) or not abs(end) < float("inf"):
        raise EmuError(f"vary.{key}: {end!r}: expected a number, or a quantity with its unit")
    return Fraction(str(end)), ""


def _spaced(key: str, kind: str, first: Fraction, last: Fraction, how: Any) -> list[Fraction]:
    """Both ends and what is between; a range in steps ends where the next step would pass its end."""
    if kind == "range":
        step = _number(key, how)[0] if how is not None else Fraction(0)
        if step <= 0 or (last - first) / step >= MOST_VALUES:
            raise EmuError(f"vary.{key}.step = {how!r}: expected a step that gives at most {MOST_VALUES} values")
        return [first + j * step for j in range((last - first) // step + 1)]
    if type(how) is not int or not 2 <= how <= MOST_VALUES:
        raise EmuError(f"vary.{key}.points = {how!r}: expected a whole number from 2 to {MOST_VALUES}")
    if kind == "linear":
        return [first + (last - first) * j / (how - 1) for j in range(how)]
    inner = [Fraction(float(first) * float(last / first) ** (j / (how - 1))) for j in range(1, how - 1)]
    return [first, *inner, last]


def _written(value: Fraction, unit: str, whole: bool) -> Any:
    """As it may stand in a chip file or a call."""
    number = round(value) if whole else float(f"{float(value):.{DIGITS}g}")
    if unit and whole and unit != "bytes":  # of bytes, powers of two shall stay such
        number = int(float(f"{number:.{DIGITS}g}"))
    if unit:
        return units.show(number, unit)
    return int(number) if number == int(number) else number
