"""Short-cuts stay exact where a program has instructions of the user's own."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from test_shortcuts import COMPARED, SHORTCUTS
from test_shortcuts_random import EXAMPLES, answer, eager

import emu
from emu.testing.loops import loops

MINE = emu.InstructionSet("mine")


@emu.instruction(MINE, cycles="max(3, elements / 1.7)", energy="elements * 0.3 pJ + 0.7 fJ * rows")
def vnext(x):
    """d0 = d1 + 1"""
    return x + 1


@emu.instruction(MINE, operands="d0:w, d1:r", per="row", cycles="rows + ceil(width / 3) * rows", energy="out")
def vfirst(out, x):
    """d0 = the first element of d1"""
    out[:] = x[0]


@emu.instruction(MINE, operands="d0:w, d1:r", engine="mm", cycles="elements / 5", energy="elements * vec_add_pj")
def mcopy(x):
    """d0 = d1"""
    return x


VECTOR = loops(("vnext d0, d1", "vfirst d0, d1"), MINE)


@given(VECTOR)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_random_loops_are_the_same_in_all_ways(program):
    long = answer(program)
    for how in SHORTCUTS:
        assert answer(program, **how) == long
    with eager():
        for how in SHORTCUTS[1:]:
            assert answer(program, **how) == long


@emu.kernel
def stages(k, tiles: int, width: int, ragged: int) -> None:
    """Products, a user's instruction on the matrix engine, one on the vector engine, tile after tile."""
    x, y = (k.hbm(name, (tiles * k.cores * 8, width), "bf16", role) for name, role in (("x", "in"), ("y", "out")))
    w = k.fetch(k.hbm("w", (width, width), "bf16", "weight"), space="sram", name="w")
    first = k.per_core([c * tiles for c in range(k.cores)])
    for i in k.loop(k.per_core([tiles - ragged * (c % 2) for c in range(k.cores)])):
        row = (i + first) * 8
        a = k.fetch(x.at((row, 0), (8, width)), 2, space="sram", name="a")
        acc = k.tile((8, width), "fp32", "acc", 2, name="acc")
        copy = k.tile((8, width), "fp32", "acc", 2, name="copy")
        out = k.tile((8, width), "bf16", "sram", 2, name="out")
        k.mm(acc, a, w)
        mcopy(k, copy, acc)
        vnext(k, out, copy)
        k.store(y.at((row, 0), (8, width)), out)


@pytest.mark.parametrize("ragged", [0, 3])
def test_loops_of_a_kernel_are_skipped_and_all_the_same(ragged):
    program = stages.trace(emu.chip("tiny"), tiles=600, width=8, ragged=ragged)
    machine = emu.Machine("tiny")
    long = machine.run(program, values=False)
    for how in SHORTCUTS:
        run = machine.run(program, values=False, **how)
        assert {what: run.raw[what] for what in COMPARED} == {what: long.raw[what] for what in COMPARED}
        assert run.joules == long.joules and run.energy["user"] > 0
        assert run.skipped_fraction > 0.5 or "fast_forward" not in how
