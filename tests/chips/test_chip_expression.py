"""Are conditions read as they are written, and is everything else refused at the right place?"""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.chip.expression import MAX_TEXT, ExpressionError, parse

NAMES = {"a": 3, "b": -2, "c.d": 5, "e.0.f": 7}
ARITHMETIC = {"+": lambda x, y: x + y, "-": lambda x, y: x - y, "*": lambda x, y: x * y}
COMPARISON = {"<": lambda x, y: x < y, "<=": lambda x, y: x <= y, "==": lambda x, y: x == y, "!=": lambda x, y: x != y}

numbers = st.one_of(
    st.integers(0, 99).map(lambda n: (str(n), Fraction(n))), st.sampled_from(sorted(NAMES)).map(lambda n: (n, Fraction(NAMES[n])))
)


def joined(parts):
    (left, x), sign, (right, y) = parts
    return f"({left} {sign} {right})", ARITHMETIC[sign](x, y)


sums = st.recursive(
    numbers,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(sorted(ARITHMETIC)), inner).map(joined),
        inner.map(lambda part: (f"-{part[0]}", -part[1])),
        st.tuples(inner, inner).map(lambda two: (f"max({two[0][0]}, {two[1][0]})", max(two[0][1], two[1][1]))),
    ),
    max_leaves=8,
)
comparisons = st.tuples(sums, st.sampled_from(sorted(COMPARISON)), sums).map(
    lambda p: (f"{p[0][0]} {p[1]} {p[2][0]}", COMPARISON[p[1]](p[0][1], p[2][1]))
)
conditions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda two: (f"({two[0][0]}) and ({two[1][0]})", two[0][1] and two[1][1])),
        st.tuples(inner, inner).map(lambda two: (f"({two[0][0]}) or ({two[1][0]})", two[0][1] or two[1][1])),
        inner.map(lambda part: (f"not ({part[0]})", not part[1])),
    ),
    max_leaves=4,
)


@given(sums)
def test_sums_are_exact(case):
    text, value = case
    if len(text) <= MAX_TEXT:
        assert parse(text).value(NAMES.__getitem__) == value


@given(conditions)
def test_conditions(case):
    text, value = case
    if len(text) <= MAX_TEXT:
        found = parse(text)
        assert found.holds(NAMES.__getitem__) is value
        assert set(found.names) <= set(NAMES)


@given(st.lists(st.sampled_from(["+", "-", "*"]), min_size=1, max_size=5), st.lists(st.integers(0, 9), min_size=6, max_size=6))
def test_signs_bind_as_everywhere(signs, numbers_):
    """Against Python's own reading of the same text, which holds digits and signs and nothing else."""
    text = str(numbers_[0]) + "".join(f" {sign} {n}" for sign, n in zip(signs, numbers_[1:]))
    assert set(text) <= set("0123456789 +-*")
    assert parse(text).value(NAMES.__getitem__) == eval(text)


@pytest.mark.parametrize(("text", "value"), [
    ("1 MiB", 1 << 20), ("3.35 TB/s", 3_350_000_000_000), ("2 * 1.5 GHz", 3_000_000_000), ("8 GB == 8000 MB", True), ("1 < 2 < 2", False),
    ("1 < 2 <= 2", True), ("7 // 2", 3), ("7 / 2", 3.5), ("7 % 4", 3), ("'fp8' == \"fp8\"", True), ("'a' != 'b'", True), ("true", True),
    ("not false and true", True), ("1 == 1 or 1 / 0 == 1", True), ("2 < 1 and 1 / 0 == 1", False), ("min(3, 1, 2)", 1), ("3 and_not", None),
])
def test_examples(text, value):
    if value is None:
        with pytest.raises(ExpressionError):
            parse(text)
    else:
        found = parse(text).value(NAMES.__getitem__)
        assert found == value and type(found) is type(value)


@pytest.mark.parametrize(("text", "wanted"), [
    ("", "expected a condition"), ("a <", "the end"), ("(a", "expected ')'"), ("a b", "'b' is not expected"), ("3 KB", "KiB"),
    ("__import__('os')", "is not expected"), ("a.b.", "cannot read '.'"), ("a[0]", "cannot read"), ("lambda: 1", "cannot read"),
    ("3 parsec", "no quantity"), ("and", "expected a number"), ("(" * 40 + "1" + ")" * 40, "nested"), ("-" * 40 + "1", "nested"),
    ("x" * 501, "at most 500"), ("max()", "expected a number"), ("max(1", "expected ')'"), ("1 ** 9", "expected a number"),
])
def test_what_cannot_be_read(text, wanted):
    with pytest.raises(ExpressionError, match=wanted.replace("(", r"\(").replace(")", r"\)").replace("[", r"\[")):
        parse(text)


@pytest.mark.parametrize(("text", "wanted"), [
    ("1 / 0 == 1", "division by zero"), ("a", "not a condition"), ("a and true", "not a condition"), ("'x' < 3", "not a number"),
    ("true + 1", "not a number"), ("-'x' == 1", "not a number"),
])
def test_what_makes_no_sense(text, wanted):
    with pytest.raises(ExpressionError, match=wanted):
        parse(text).holds(NAMES.__getitem__)


def test_floats_from_names_stay_floats():
    assert math.isclose(parse("x * 3").value({"x": 0.1}.__getitem__), 0.3)
