"""Does a quantity mean exactly what it says, and is what is ambiguous refused?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.chip.units import KINDS, parse, plain, show


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("3.35 TB/s", "bytes_per_s", 3_350_000_000_000),
        ("800 Gbit/s", "bytes_per_s", 100 * 10**9),
        ("80 GiB", "bytes", 80 << 30),
        ("80GB", "bytes", 80 * 10**9),
        ("1.83 GHz", "hz", 1_830_000_000),
        ("500 ns", "s", 5e-7),
        ("6.7 us", "s", 6.7e-6),
        ("0.6 pJ", "pj", 0.6),
        ("600 fJ", "pj", 0.6),
        ("1.73 kW", "w", 1730.0),
        ("128 B/clk", "bytes_per_clk", 128),
        ("1_000 clk", "cycles", 1000),
        ("1979 TOP/s", "flops", 1.979e15),
    ],
)
def test_known(text: str, kind: str, value: float) -> None:
    assert parse(text, kind) == value
    assert isinstance(parse(text, kind), int) == KINDS[kind].whole


@pytest.mark.parametrize(
    ("value", "kind", "says"),
    [
        (3, "hz", "3 has no unit.*GHz"),
        (3.5e12, "bytes_per_s", "has no unit"),
        ("3.35", "bytes_per_s", "has no unit"),
        ("3 GHz", "bytes", "unit of hz"),
        ("8 KB", "bytes", "kB for 1000 or KiB for 1024"),
        ("8 Gb/s", "bytes_per_s", "bits or bytes"),
        ("-3 GB", "bytes", "negative"),
        ("0.3 B", "bytes", "not a whole number"),
        ("three GB", "bytes", "not a number"),
        ("1e999 GB", "bytes", "physical range"),
        ("1e9999 GB", "bytes", "physical range|not a number"),
        ("nan GB", "bytes", "not a number"),
        ("9" * 1000 + " GB", "bytes", "characters"),
        (True, "w", "expected text"),
        (None, "w", "expected text"),
        (["1 W"], "w", "expected text"),
    ],
)
def test_refused(value: object, kind: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse(value, kind)


@given(st.sampled_from(sorted(KINDS)), st.integers(0, 1 << 60), st.integers(0, 12))
def test_round_trip(kind: str, digits: int, shift: int) -> None:
    value = digits if KINDS[kind].whole else float(digits) / 10**shift
    text = show(value, kind)
    assert parse(text, kind) == value
    assert show(parse(text, kind), kind) == text


@given(st.sampled_from(sorted(KINDS)), st.decimals(0, 10**6, places=3, allow_nan=False))
def test_a_unit_is_its_factor(kind: str, number: object) -> None:
    for unit, factor in KINDS[kind].units.items():
        try:
            value = parse(f"{number} {unit}", kind)
        except ValueError:
            assert KINDS[kind].whole
            continue
        from fractions import Fraction

        assert value == pytest.approx(float(Fraction(str(number)) * factor), rel=1e-15)


@given(st.one_of(st.text(max_size=80), st.integers(), st.floats(), st.none(), st.booleans()), st.sampled_from(sorted(KINDS)))
def test_anything_else_is_a_value_error(value: object, kind: str) -> None:
    try:
        parsed = parse(value, kind)
    except ValueError as error:
        assert 10 < len(str(error)) < 600
    else:
        assert parsed >= 0


def test_plain_numbers() -> None:
    assert plain(4.0, whole=True) == 4 and isinstance(plain(4.0, whole=False), int)
    for bad in ("4", True, None, float("nan"), float("inf"), 10**30):
        with pytest.raises(ValueError):
            plain(bad, whole=False)
    with pytest.raises(ValueError, match="whole"):
        plain(1.5, whole=True)
