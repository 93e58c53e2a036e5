"""Quantities as people write them ("3.35 TB/s", "80 GiB", "500 ns") to SI numbers and back, exactly.

Decimal arithmetic throughout, so "3.35 TB/s" is 3350000000000 B/s and nothing near it. What is ambiguous is refused: "KB" is
1000 to some and 1024 to others, "Gb/s" is a bit or a typing error."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

_DECIMAL = {"": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50}
_SMALL = {"": 0, "m": -3, "u": -6, "µ": -6, "n": -9, "p": -12, "f": -15, "a": -18}
_NUMBER = re.compile(r"\s*([+-]?(?:\d+(?:_?\d+)*)(?:\.\d+)?(?:[eE][+-]?\d{1,3})?)\s*(.*?)\s*\Z", re.ASCII)
_HINTS = {
    "KB": "write kB for 1000 or KiB for 1024 bytes",
    "KB/s": "write kB/s for 1000 or KiB/s for 1024 bytes",
}
MAX_TEXT = 64  # characters; a quantity is short, and a hostile one must not cost time
MAX_MAGNITUDE = 30  # powers of ten


def _prefixed(prefixes: dict[str, int], base: int, unit: str, scale: Fraction = Fraction(1)) -> dict[str, Fraction]:
    return {p + unit: Fraction(base) ** e * scale for p, e in prefixes.items()}


_BYTES = _prefixed(_DECIMAL, 10, "B") | _prefixed(_BINARY, 2, "B")
_BITS = _prefixed(_DECIMAL, 10, "bit", Fraction(1, 8))


@dataclass(frozen=True)
class Kind:
    """A physical dimension: its units with their factors, and whether the SI value must be whole."""

    name: str
    example: str
    units: dict[str, Fraction]
    whole: bool = False


KINDS: dict[str, Kind] = {
    k.name: k
    for k in (
        Kind("bytes", "80 GiB", _BYTES, whole=True),
        Kind("bytes_per_s", "3.35 TB/s", {u + "/s": f for u, f in (_BYTES | _BITS).items()}, whole=True),
        Kind("bytes_per_clk", "128 B/clk", {"B/clk": Fraction(1), "KiB/clk": Fraction(1024)}, whole=True),
        Kind("hz", "1.83 GHz", _prefixed({k: _DECIMAL[k] for k in ("", "k", "M", "G")}, 10, "Hz"), whole=True),
        Kind("s", "500 ns", _prefixed({k: e for k, e in _SMALL.items() if k != "a"}, 10, "s")),
        Kind("cycles", "20 clk", {"clk": Fraction(1), "cycles": Fraction(1)}, whole=True),
        Kind("pj", "0.6 pJ", _prefixed(_SMALL, 10, "J", Fraction(10) ** 12)),
        Kind("w", "700 W", _prefixed({"": 0, "m": -3, "k": 3}, 10, "W")),
        Kind("nm", "4 nm", {"nm": Fraction(1)}),
        Kind("mm2", "814 mm2", {"mm2": Fraction(1), "mm²": Fraction(1)}),
        Kind("um2", "0.021 um2", {"um2": Fraction(1), "µm²": Fraction(1)}),
        Kind("mm", "300 mm", {"mm": Fraction(1)}),
        Kind("per_cm2", "0.1 /cm2", {"/cm2": Fraction(1)}),
        Kind("bits", "32 bit", {"bit": Fraction(1)}, whole=True),
        Kind("flops", "989 TFLOP/s", _prefixed(_DECIMAL, 10, "FLOP/s") | _prefixed(_DECIMAL, 10, "OP/s")),
        Kind("usd", "19400 USD", {"USD": Fraction(1)}),
        Kind("usd_per_hour", "2.35 USD/h", {"USD/h": Fraction(1)}),
        Kind("usd_per_gb", "12 USD/GB", {"USD/GB": Fraction(1)}),
        Kind("usd_per_mm2", "0.2 USD/mm2", {"USD/mm2": Fraction(1)}),
        Kind("usd_per_w", "0.5 USD/W", {"USD/W": Fraction(1)}),
        Kind("usd_per_kwh", "0.08 USD/kWh", {"USD/kWh": Fraction(1)}),
        Kind("degc", "60 degC", {"degC": Fraction(1)}),
        Kind("v", "0.75 V", {"V": Fraction(1), "mV": Fraction(1, 1000)}),
    )
}


def parse(value: object, kind: str) -> int | float:
    """The SI value of a quantity of this kind. ValueError says what was expected."""
    k = KINDS[kind]
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f'expected text such as "{k.example}", got {_shown(value)}')
    if not isinstance(value, str):
        raise ValueError(f'{_shown(value)} has no unit; write text such as "{k.example}" (units: {", ".join(k.units)})')
    number, unit = _split(value, k)
    if unit not in k.units:
        raise ValueError(_unknown_unit(value, number, unit, k))
    exact = Fraction(Decimal(number)) * k.units[unit]
    if exact < 0:
        raise ValueError(f"{value!r} is negative")
    if k.whole and exact.denominator != 1:
        raise ValueError(f"{value!r} is {float(exact)} in {next(iter(k.units))}, which is not a whole number")
    return int(exact) if k.whole else float(exact)


def exact(value: str) -> tuple[Fraction, str]:
    """The SI value of a quantity of whatever kind its unit is of, and that kind. ValueError if it is none."""
    match = _NUMBER.match(value) if len(value) <= MAX_TEXT else None
    kind = None if match is None else next((k for k in KINDS.values() if match[2] in k.units), None)
    if match is None or kind is None or abs(Decimal(match[1]).adjusted()) > MAX_MAGNITUDE:
        known = "units are those of a chip file: MiB, GB/s, ns, GHz, W ..."
        raise ValueError(f"{_shown(value)} is no quantity; {_HINTS.get(match[2], known) if match else 'expected a number and a unit'}")
    return Fraction(Decimal(match[1])) * kind.units[match[2]], kind.name


def _split(value: str, k: Kind) -> tuple[str, str]:
    if len(value) > MAX_TEXT:
        raise ValueError(f'a quantity of {len(value)} characters; expected text such as "{k.example}"')
    match = _NUMBER.match(value)
    if match is None:
        raise ValueError(f'{value!r} is not a number with a unit; write text such as "{k.example}"')
    number = match[1].replace("_", "")
    if abs(Decimal(number).adjusted()) > MAX_MAGNITUDE and Decimal(number) != 0:
        raise ValueError(f"{value!r} is out of any physical range")
    return number, match[2]


def _unknown_unit(value: str, number: str, unit: str, k: Kind) -> str:
    if not unit:
        return f'{value!r} has no unit; write text such as "{number} {k.example.split()[-1]}"'
    if unit in _HINTS:
        return f"{value!r}: {_HINTS[unit]}"
    if "b/s" in unit and k.name == "bytes_per_s":
        prefix = unit[: unit.index("b/s")]
        return f"{value!r}: is that bits or bytes? write {prefix}bit/s or {prefix}B/s"
    other = next((o for o in KINDS.values() if unit in o.units), None)
    meant = f"{unit!r} is a unit of {other.name}" if other else f"unknown unit {unit!r}"
    return f'{value!r}: {meant}; expected text such as "{k.example}" (units: {", ".join(k.units)})'


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= MAX_TEXT else f"a {type(value).__name__} of {len(text)} characters"


def plain(value: object, *, whole: bool) -> int | float:
    """A count or a ratio: a bare number, no unit."""
    if isinstance(value, str):
        raise ValueError(f"expected a plain number without a unit, got {_shown(value)}")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"expected a number, got {_shown(value)}")
    if value != value or abs(value) > 1e18:
        raise ValueError(f"{_shown(value)} is not a usable number")
    if whole and value != int(value):
        raise ValueError(f"expected a whole number, got {value!r}")
    return int(value) if whole or value == int(value) else float(value)


def show(value: int | float, kind: str) -> str:
    """The shortest text that parses back to exactly this value: the largest unit that keeps it exact, at least one of it."""
    k = KINDS[kind]
    exact = Fraction(value) if isinstance(value, int) else Fraction(Decimal(repr(value)))
    for unit, factor in sorted(k.units.items(), key=lambda item: -item[1]):
        if "bit/" not in unit and exact >= factor and (text := _decimal_text(exact / factor)) is not None:
            return f"{text} {unit}"
    unit, factor = next((u, f) for u, f in k.units.items() if f == 1)
    return f"{_decimal_text(exact / factor, 60)} {unit}"


def _decimal_text(ratio: Fraction, digits: int = 12) -> str | None:
    """Plain decimal notation, or None if it needs more than `digits` places."""
    scaled = ratio * 10**digits
    if scaled.denominator != 1:
        return None
    whole, part = divmod(int(scaled), 10**digits)
    return f"{whole}.{part:0{digits}d}".rstrip("0").rstrip(".") if part else str(whole)
