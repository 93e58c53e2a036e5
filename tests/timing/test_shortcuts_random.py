"""Short-cuts in random programs: loops in loops, extents and counts that grow and shrink, comparisons that flip, tables, odd strides."""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext

import pytest
from hypothesis import HealthCheck, given, settings
from test_shortcuts import COMPARED, SHORTCUTS

import emu
import isa
from emu import _core
from emu.machine import Machine
from emu.testing import loops

MACHINE = Machine(emu.chip("tiny"))
EXAMPLES = int(os.environ.get("EMU_RANDOM_LOOPS", "150"))
"""More by hand: EMU_RANDOM_LOOPS=5000 pytest tests/timing/test_shortcuts_random.py."""


def answer(program, **how):
    """Everything a run says, or the error it ends with."""
    try:
        run = MACHINE.run(program, values=False, verify=False, max_instructions=200_000, **how)
    except emu.EmuError as error:
        return str(error)
    return {what: run.raw[what] for what in COMPARED}


@given(loops())
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_random_loops_are_the_same_in_all_ways(program):
    long = answer(program)
    for how in SHORTCUTS:
        assert answer(program, **how) == long


@contextmanager
def eager():
    """Fast-forward that remembers states from the first instruction on, whatever it costs (csrc/engine/memo.c)."""
    run = _core.run

    def with_memory(config, *args):
        return run({**config, "forward": 2 * config["forward"]}, *args)

    _core.run = with_memory
    try:
        yield
    finally:
        _core.run = run


@given(loops())
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_what_is_remembered_is_what_would_have_happened(program):
    long = answer(program)
    with eager():
        for how in SHORTCUTS[1:]:
            assert answer(program, **how) == long


@pytest.mark.parametrize(("tokens", "batch"), [(2048, 3), (3000, 2), (8192, 1)])
def test_attention_remembers_its_growing_loops(tokens, batch):
    """Key tiles grow from one tile of queries to the next: nothing repeats as a whole, and yet most of it has been seen."""
    attention = emu.attention("jalapeno", "prefill", q_len=tokens, batch=batch).run
    machine, program = Machine(attention.chip), attention.program
    long = machine.run(program, values=False, verify=False)
    for memory in (nullcontext, eager):
        with memory():
            run = machine.run(program, values=False, verify=False, folding=True, fast_forward=True)
        assert {k: run.raw[k] for k in COMPARED} == {k: long.raw[k] for k in COMPARED}
        assert run.skipped_fraction > (0.9 if tokens >= 8192 else 0.5)


GROWING = """
.program growing
.cores 2
.buffer x hbm 0x0 8192 in fp32 2048
.buffer a sram 0x0 8192 temp
.param 0 {least},{other}
.stream ld0
        dset d0.space, sram
        dset d0.fmt, fp32
        dset d1.fmt, fp32
        ldp r2, 0
        li r1, {start}
        loop 4000, e
        addi r1, r1, {step}
        maxi r10, r1, 1
        min r10, r10, r2
        maxi r10, r10, 1
        dsetr d0.n0, r10, 0
        dsetr d1.n0, r10, 0
        dma d0, d1
e:
        halt
"""


def test_a_clamped_extent_is_skipped_up_to_where_it_is_free():
    """An extent that starts to fall below its clamp after 3,000 turns."""
    program = isa.assemble(GROWING.format(least=8, other=9, start=3009, step=-1))
    machine = MACHINE.run(program, values=False, fast_forward=True)
    long = MACHINE.run(program, values=False)
    assert {k: machine.raw[k] for k in COMPARED} == {k: long.raw[k] for k in COMPARED}
    assert 0.9 < machine.skipped_fraction  # both flat parts: at 8 or 9 elements and at 1


def test_an_extent_that_always_grows_is_never_skipped():
    program = isa.assemble(GROWING.format(least=2000, other=1999, start=-2300, step=1))
    run = MACHINE.run(program, values=False, fast_forward=True)
    long = MACHINE.run(program, values=False)
    assert {k: run.raw[k] for k in COMPARED} == {k: long.raw[k] for k in COMPARED}
    assert 0.5 < run.skipped_fraction < 0.6  # while it is clamped to 1, and no longer
