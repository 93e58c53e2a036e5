"""Numbers as people write them: three or four digits and a unit. ``None`` (does not apply) becomes a dash."""

import math

DASH = "-"
_PREFIXES = (
    (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n"), (1e-12, "p"),
    (1e-15, "f"),
)
_BINARY = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def digits(value: float, significant: int = 4) -> str:
    """A plain decimal with that many significant digits and no exponent, integers kept whole."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    rounded = float(f"{value:.{significant - 1}e}")  # first, so that 0.99999 counts as the 1.000 it will be shown as
    return f"{value:.{max(0, significant - 1 - math.floor(math.log10(abs(rounded))))}f}"


def si(value: float | None, unit: str, largest: str = "P") -> str:
    """``si(0.00123, "s")`` is ``"1.230 ms"``; no prefix above ``largest`` is used (nobody says kiloseconds)."""
    if value is None:
        return DASH
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}".rstrip()
    prefixes = _PREFIXES[[p for _, p in _PREFIXES].index(largest) :]
    # A value that would round up to 1000 of one prefix belongs to the next one: 999.99 us is 1.000 ms.
    scale, prefix = next(((s, p) for s, p in prefixes if abs(value) >= s * 0.99995), prefixes[-1])
    return f"{digits(value / scale)} {prefix}{unit}".rstrip()


def seconds(value: float | None) -> str:
    return si(value, "s", largest="")


def watts(value: float | None) -> str:
    return si(value, "W")


def joules(value: float | None) -> str:
    return si(value, "J")


def rate(value: float | None, unit: str = "/s") -> str:
    return DASH if value is None else (f"{digits(value)} {unit}" if value < 1e5 else si(value, unit))


def count(value: float | None) -> str:
    """Counters: exact up to a million, with a prefix above."""
    if value is None:
        return DASH
    return f"{value:,.0f}".replace(",", " ") if abs(value) < 1e6 else si(value, "")


def size(value: float | None) -> str:
    """Bytes, in binary units."""
    if value is None:
        return DASH
    for scale, name in _BINARY:
        if abs(value) >= scale:
            return f"{digits(value / scale)} {name}"
    return f"{value:g} B"


def percent(fraction: float | None) -> str:
    if fraction is None:
        return DASH
    value = 100 * fraction
    return f"{value:.1f} %" if value == 0 or abs(value) >= 0.1 else f"{value:.2g} %"


def times(ratio: float | None) -> str:
    """A ratio to a bound: ``1.07x``."""
    return DASH if ratio is None else f"{ratio:.2f}x" if ratio < 100 else f"{digits(ratio, 3)}x"


def parse_size(text: str) -> int:
    """``"8 GiB"``, ``"500MB"`` or ``"4096"`` (bytes) -> bytes; ValueError otherwise."""
    names = {"": 1, "b": 1} | {n.lower(): s for s, n in _BINARY} | {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
    stripped = text.strip()
    number = stripped.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
    unit = stripped[len(number) :].strip().lower()
    try:
        value = float(number) * names[unit]
    except (ValueError, KeyError):
        raise ValueError(f"{text!r} is not a size; write for example 8GiB, 500MB or a number of bytes") from None
    if not 0 <= value < 2**63:
        raise ValueError(f"{text!r} is not a size between 0 and 2^63 bytes")
    return int(value)
