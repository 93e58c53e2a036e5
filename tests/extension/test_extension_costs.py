"""Does the core work a cost out as exact arithmetic does, and refuse what exact arithmetic refuses?"""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import emu
import isa
from emu.extension.costs import CHIP_NAMES, EXTENTS, Cost
from emu.formula import MAX_TEXT, FormulaError

MACHINE = emu.Machine("tiny")
CHIP = MACHINE.chip


def expressions(kind: str) -> st.SearchStrategy[str]:
    """Texts of the grammar, some of which come to nothing or to too much."""
    unit = st.sampled_from(["", " clk"] if kind == "cycles" else ["", " pJ", " fJ"])
    number = st.builds("{}{}".format, st.decimals(0, 300, places=2, allow_nan=False).map(lambda d: f"{d:f}"), unit)
    names = [name for name in CHIP_NAMES[kind] if kind == "cycles" or name.removesuffix("_pj") in CHIP.energy]
    leaf = st.one_of(number, st.sampled_from(EXTENTS), st.sampled_from(names))
    pair = lambda e: st.builds("{} {} {}".format, e, st.sampled_from("+-*/"), e)  # noqa: E731
    bracket = lambda e: st.builds("({})".format, e)  # noqa: E731
    choose = lambda e: st.builds("{}({}, {})".format, st.sampled_from(["max", "min"]), e, e)  # noqa: E731
    whole = lambda e: st.builds("{}({})".format, st.sampled_from(["ceil", "floor"]), e)  # noqa: E731
    return st.recursive(leaf, lambda e: st.one_of(pair(e), bracket(pair(e)), choose(e), whole(e)), max_leaves=7)


def program(cycles: str, energy: str, rows: int, width: int, times: int = 1) -> isa.Program:
    known = emu.InstructionSet()

    def own(x):
        """Nothing that matters here."""
        return x

    emu.instruction(known, cycles=cycles, energy=energy)(own)
    return isa.assemble(f"""
.program cost
.buffer t acc 0 16384 temp
.stream vec
        dset d0.space, acc
        dset d0.n0, {width}
        dset d0.n1, {rows}
        dset d0.s1, {4 * width}
        dset d1.space, acc
        dset d1.s1, {4 * width}
        vfill d0, d2
        loop {times}, done
        own d0, d0
done:
        halt
""", known)  # fmt: skip


@given(expressions("cycles"), expressions("energy"), st.integers(1, 12), st.integers(1, 40))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_costs_are_exact(cycles, energy, rows, width):
    assume(max(len(cycles), len(energy)) <= MAX_TEXT)
    extents = {"elements": rows * width, "out": rows * width, "rows": rows, "width": width}
    try:
        clocks, pj = (Cost.read(kind, text).value(CHIP, extents) for kind, text in (("cycles", cycles), ("energy", energy)))
    except ZeroDivisionError:
        with pytest.raises(emu.EmuError, match="divide by zero|divides by zero|negative|10 uJ|longer|beyond 64 bits"):
            MACHINE.run(program(cycles, energy, rows, width), values=False)
        return
    try:
        run = MACHINE.run(program(cycles, energy, rows, width), values=False)
    except emu.EmuError as error:
        small = 0 <= clocks < 1 << 40 and 0 <= pj <= 10**7
        assert not small or "beyond 64 bits" in str(error)
        return
    without = MACHINE.run(program(cycles, energy, rows, width, times=0), values=False)
    port = math.ceil(rows * width * 4 / 64)  # bytes each way over the vector engine's port to the accumulators
    assert run.cycles - without.cycles == CHIP.core.vector.startup_cycles + max(math.ceil(clocks), port)
    assert run.counters["user_femtojoules"] == math.floor(pj * 1000 + Fraction(1, 2))


DEEP = "(" * 18 + "1" + ")" * 18


@pytest.mark.parametrize("text", ["", "elements +", "2 elements", "eval(elements)", "elements ** 2", DEEP, "1" * 300, None])
def test_texts_that_are_none(text):
    with pytest.raises(FormulaError):
        Cost.read("cycles", text)
