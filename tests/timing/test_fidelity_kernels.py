"""Is `fast` with generated rates within 3 % of `detailed` on the kernels that emu ships? Those that are not are listed, and by how much."""

from __future__ import annotations

import importlib.util
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_shortcuts import COMPARED
from test_shortcuts_random import eager

import emu
from emu.machine import Machine
from emu.machine.rates import generated
from emu.testing.loops import loops

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def _script():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        spec = importlib.util.spec_from_file_location("fidelity", BENCHMARKS / "fidelity.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules["fidelity"] = module
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(BENCHMARKS))


FIDELITY = _script()
BEYOND = {  # docs/detailed.md says why
    ("tiny", "gemm 1 x 2048 x 256"): 0.20,
    ("tiny", "layer, decode"): 0.07,
    ("h100", "decode 16/4 heads, 8 x 300"): 0.055,
    ("h100", "prefill 16/4 heads, 512"): 0.045,
    ("h100", "vllm: gemm 512 x 1024 x 1024"): 0.04,
    ("h100", "vllm: gemm 16 x 1024 x 2048"): 0.05,
    ("a100", "gemm 8 x 2048 x 1024"): 0.065,
    ("a100", "decode 32/8 heads, 1024"): 0.05,
    ("a100", "vllm: gemm 16 x 1024 x 2048"): 0.08,
    ("a100", "vllm: prefill 16/4 heads, 512"): 0.05,
    ("jalapeno", "decode 32/8 heads, 1024"): 0.04,
    ("jalapeno", "gemm 128 x 512 x 512"): 0.055,
}
KERNELS = [(chip, kernel) for chip in ("tiny", "h100", "a100", "mi300x", "jalapeno") for kernel in FIDELITY.KERNELS[chip]]


@pytest.mark.parametrize("chip,kernel", KERNELS)
def test_fast_is_near_detailed(chip, kernel):
    r = FIDELITY.compare(chip, kernel)
    assert r.accesses <= FIDELITY.MOST and r.detailed >= r.ideal
    assert abs(r.error) < BEYOND.get((chip, kernel), FIDELITY.LIMIT)


@pytest.mark.parametrize("chip", ["tiny", "h100", "a100", "mi300x"])
def test_fast_is_near_detailed_over_a_layer(chip):
    for r in FIDELITY.of_layer(chip):
        assert abs(r.error) < BEYOND.get((chip, r.kernel), FIDELITY.LIMIT)


def test_what_is_listed_is_beyond():
    """A list that hides what has come near is a list nobody needs."""
    for chip, kernel in BEYOND:
        if kernel in FIDELITY.KERNELS[chip]:
            assert abs(FIDELITY.compare(chip, kernel).error) >= FIDELITY.LIMIT


@pytest.mark.parametrize("chip", ["tiny", "jalapeno"])
def test_short_cuts_see_generated_rates(chip):
    """Equal cores once and equal periods once give the same femtoseconds with rates by class."""
    c = emu.chip(chip).vary({"hbm.rates": "generated"})
    program = emu.gemm(c, 256, 512, 1024, regime="short").run.program
    long = Machine(c).run(program, values=False)
    short = Machine(c).run(program, values=False, folding=True, fast_forward=True)
    assert (long.end_fs, long.counters) == (short.end_fs, short.counters) and short.stalls_fs() == long.stalls_fs()
    assert long.end_fs > Machine(emu.chip(chip).vary({"hbm.achieved_fraction": 1.0})).run(program, values=False).end_fs


@given(loops(), st.booleans())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_short_cuts_see_generated_rates_in_random_loops(program, at_once):
    machine = Machine(emu.chip("tiny").vary({"hbm.rates": "generated"}))

    def answer(**how):
        try:
            run = machine.run(program, values=False, verify=False, max_instructions=200_000, **how)
        except emu.EmuError as error:
            return str(error)
        return {what: run.raw[what] for what in COMPARED}

    long = answer()
    with eager() if at_once else nullcontext():
        assert answer(folding=True, fast_forward=True) == long


def test_longer_runs_cost_less_and_short_ones_most():
    for chip in ("tiny", "h100", "a100", "mi300x", "jalapeno"):
        c = generated(emu.chip(chip))
        for costs in (c["hbm_cost"][:4], c["hbm_cost"][4:]):
            assert costs[0] == max(costs) > 65536 and all(cost > 65536 for cost in costs)
        assert sorted(c["hbm_runs"]) == c["hbm_runs"] and min(c["hbm_late_fs"]) > 0


def test_generated_rates_need_a_device():
    tiny = emu.chip("tiny")
    stated = {k: v for k, v in tiny._stated["hbm"].items() if k not in ("device", "channels")}
    with pytest.raises(emu.ChipError, match="rates: 'generated' ones are a device's"):
        tiny.vary({"hbm": stated | {"rates": "generated"}})
