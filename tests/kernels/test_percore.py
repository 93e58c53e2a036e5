"""Do integers that differ between cores obey Python's arithmetic, core by core?"""

from __future__ import annotations

import operator
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.errors import UnsupportedError
from emu.kernels.lang.percore import PerCore, ceil_div, column, highest, larger, less, lowest, never_above, smaller, uniform

CORES = 5
NUMBERS = st.one_of(st.integers(-3, 3), st.integers(-(1 << 31), 1 << 31))
COLUMNS = st.lists(NUMBERS, min_size=CORES, max_size=CORES)
CONSTS = st.one_of(NUMBERS, COLUMNS.map(uniform))
LIVE = st.one_of(st.sampled_from((0, 1)), st.lists(st.sampled_from((0, 1)), min_size=CORES, max_size=CORES).map(uniform))
ARITHMETIC = {"+": operator.add, "-": operator.sub, "*": operator.mul, "//": operator.floordiv, "%": operator.mod}
FUNCTIONS = {"smaller": (smaller, min), "larger": (larger, max), "less": (less, lambda a, b: int(a < b))}


@pytest.mark.parametrize("name", ARITHMETIC)
@given(a=CONSTS, b=CONSTS)
def test_operators(name, a, b):
    function = ARITHMETIC[name]
    if name in ("//", "%") and 0 in column(b, CORES):
        with pytest.raises(ZeroDivisionError):
            function(a, b)
        return
    assert column(function(a, b), CORES) == tuple(map(function, column(a, CORES), column(b, CORES)))


@pytest.mark.parametrize("name", FUNCTIONS)
@given(a=CONSTS, b=CONSTS)
def test_functions(name, a, b):
    ours, theirs = FUNCTIONS[name]
    assert column(ours(a, b), CORES) == tuple(map(theirs, column(a, CORES), column(b, CORES)))


@given(CONSTS, CONSTS, LIVE)
def test_questions_ask_live_cores_only(a, b, live):
    pairs = [(x, y) for x, y, alive in zip(column(a, CORES), column(b, CORES), column(live, CORES)) if alive]
    assert never_above(a, b, live) == all(x <= y for x, y in pairs)
    assert lowest(a, live) == min((x for x, _ in pairs), default=0)
    assert highest(a, live) == max((x for x, _ in pairs), default=0)


@given(COLUMNS, COLUMNS)
def test_equal_values_are_equal_keys(a, b):
    one, other = uniform(a), uniform(b)
    assert (one == other) == (a == b)
    assert hash(one) == hash(uniform(list(a)))
    assert {one: 1}.get(uniform(tuple(a))) == 1
    assert pickle.loads(pickle.dumps(one)) == one


@given(COLUMNS)
def test_what_agrees_is_a_plain_int(a):
    value = uniform(a)
    assert isinstance(value, PerCore) == (len(set(a)) > 1)
    assert column(value, CORES) == tuple(a)
    assert column(-value, CORES) == tuple(-v for v in a)
    assert value - value == 0
    assert column(ceil_div(value, 7), CORES) == tuple(-(-v // 7) for v in a)


@pytest.mark.parametrize("big", [
    lambda c: c + (1 << 63) - 1,
    lambda c: c * (1 << 62),
    lambda c: c + (1 << 70),
    lambda c: uniform([1 << 63, 0]),
    lambda c: (c - 2 - (1 << 62) * 2 + 1) // -1,
    lambda c: -(c - 2 - (1 << 62) * 2 + 1),
    lambda c: smaller(c, 1 << 64),
])  # fmt: skip
def test_what_leaves_64_bits_is_refused(big):
    with pytest.raises(UnsupportedError, match="does not fit 64 bits"):
        big(uniform([1, 2, 3]))


def test_numbers_of_different_chips_do_not_mix():
    with pytest.raises(ValueError, match="numbers of 3 and of 2 cores"):
        uniform([1, 2, 3]) + uniform([1, 2])
    with pytest.raises(TypeError):
        uniform([1, 2]) + 1.5
    with pytest.raises(TypeError):
        smaller(uniform([1, 2]), 1.5)
