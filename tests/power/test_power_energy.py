"""Are joules linear in events and time, do components sum exactly, and is nothing silently free?"""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import emu
from emu.chip.schema import Chip
from emu.chip.vocabulary import EVENTS, PRICED_EVENTS
from emu.power import at_clock, energy

CHIPS = [emu.chip(n) for n in ("tiny", "h100", "jalapeno")]
PRICED = {c.name: sorted(set(c.energy)) for c in CHIPS}
chips = st.sampled_from(CHIPS)
counts = st.dictionaries(st.sampled_from(PRICED_EVENTS), st.integers(0, 1 << 62), max_size=len(PRICED_EVENTS))
times = st.one_of(st.just(0.0), st.floats(1e-12, 1e6))


def _priced(chip: Chip, counters: dict[str, int]) -> dict[str, int]:
    return {e: n for e, n in counters.items() if e in chip.energy}


@given(chips, counts, times)
def test_components_sum_exactly_in_any_order(chip: Chip, counters: dict[str, int], seconds: float) -> None:
    report = energy(chip, _priced(chip, counters), seconds)
    values = list(report.components.values())
    assert report.joules == math.fsum(values) == sum(values) == sum(reversed(values))
    assert list(report.components) == [*EVENTS, "static"]
    exact = sum(report.attojoules.values())
    assert report.joules == pytest.approx(exact / 10**18, rel=1e-13, abs=0)
    assert sum(report.events.values()) + report.attojoules["static"] == exact


@given(chips, counts, counts, times, st.integers(1, 1000))
def test_linear_in_events(chip: Chip, a: dict[str, int], b: dict[str, int], seconds: float, factor: int) -> None:
    a, b = _priced(chip, a), _priced(chip, b)
    both = {e: a.get(e, 0) + b.get(e, 0) for e in {*a, *b}}
    first, second, joined = (energy(chip, c, seconds).attojoules for c in (a, b, both))
    scaled = energy(chip, {e: n * factor for e, n in a.items()}, seconds).attojoules
    for component in EVENTS:
        assert first[component] + second[component] == joined[component]
        assert first[component] * factor == scaled[component]
    assert first["static"] == joined["static"]


@given(chips, st.floats(1e-9, 1e3), counts)
def test_twice_the_run_is_exactly_twice_the_joules(chip: Chip, seconds: float, counters: dict[str, int]) -> None:
    counters = _priced(chip, counters)
    once, twice = energy(chip, counters, seconds), energy(chip, {e: 2 * n for e, n in counters.items()}, 2 * seconds)
    assert twice.attojoules["matrix"] == 2 * once.attojoules["matrix"]
    assert abs(twice.attojoules["static"] - 2 * once.attojoules["static"]) <= 1
    assert twice.watts == pytest.approx(once.watts, rel=1e-9)  # a nanosecond is 10^11 attojoules, cut to whole ones


@given(chips, counts, st.sampled_from(PRICED_EVENTS), st.integers(1, 1000))
def test_more_events_never_cost_less(chip: Chip, counters: dict[str, int], event: str, more: int) -> None:
    counters = _priced(chip, counters)
    extra = _priced(chip, {event: more})
    fewer = energy(chip, counters, 1e-3)
    greater = energy(chip, {**counters, **{e: counters.get(e, 0) + n for e, n in extra.items()}}, 1e-3)
    assert all(greater.attojoules[c] >= fewer.attojoules[c] for c in fewer.attojoules)


def test_by_hand() -> None:
    report = energy(CHIPS[0], {"array_macs_bf16": 10**9, "useful_macs_bf16": 10**9, "hbm_burst_bytes": 10**6, "vec_exp": 3}, 0.25)
    assert report.attojoules["matrix"] == 10**15 and report.attojoules["hbm"] == 32 * 10**12
    assert report.attojoules["vector"] == 24 * 10**6 and report.attojoules["static"] == 125 * 10**15
    assert report.joules == pytest.approx(0.126032000024)
    assert report.watts == pytest.approx(4 * 0.126032000024)
    assert energy(CHIPS[0], {}, 0.0).watts == 0.0


def test_a_missing_price_is_refused() -> None:
    with pytest.raises(emu.ChipError, match="energy.shared_bytes: 7 of these happened"):
        energy(emu.chip("jalapeno"), {"shared_bytes": 7, "vec_add": 1}, 1e-6)
    assert energy(emu.chip("jalapeno"), {"shared_bytes": 0, "array_macs_int32": 0}, 1e-6).joules > 0
    with pytest.raises(emu.EmuError, match="did you mean 'vec_add'"):
        energy(CHIPS[0], {"vec_ad": 1}, 1.0)
    for counters, seconds in (({"vec_add": -1}, 1.0), ({}, -1.0), ({}, math.inf), ({}, math.nan)):
        with pytest.raises(emu.EmuError):
            energy(CHIPS[0], counters, seconds)


def test_free_events_must_say_why() -> None:
    assert emu.chip("h100").energy["stationary_bytes"] == 0.0
    with pytest.raises(emu.ChipError, match="says why it costs nothing"):
        emu.chip("tiny").vary({"energy.vec_add": {"value": "0 pJ"}})


def test_above_tdp_is_said() -> None:
    calm = energy(CHIPS[0], {}, 1.0)
    assert calm.above_tdp == "" and calm.to_dict()["above_tdp"] == ""
    hot = energy(CHIPS[0], {"array_macs_bf16": 10**13}, 1.0)
    assert hot.watts > 5 and "above the TDP of 5 W" in hot.above_tdp and "tiny" in hot.above_tdp


def test_h100_board_totals() -> None:
    """What board power identifies: 0.64-0.74 pJ per bf16 FLOP all-in, 60-72 pJ per byte of HBM, 140 W static."""
    full = emu.chip("h100")
    nominal = full.power.dvfs.nominal_hz  # type: ignore[union-attr] - what boards run at under load; more volts at full clock
    chip, product = at_clock(full, nominal), emu.gemm(full, 4096, 4096, 4096, stack="vllm", clock=nominal)
    assert 0.64 <= (product.joules - product.energy["static"]) / product.flops * 1e12 <= 0.74
    copied = {"hbm_burst_bytes": 10**9, "hbm_read_bytes": 10**9, "shared_bytes": 10**9, "sram_write_bytes": 10**9, "sram_read_bytes": 10**9}
    assert 60 <= energy(chip, copied, 0.0).joules / 10**9 * 1e12 <= 72
    assert 135 <= energy(full, {}, 1.0).joules <= 145


def test_jalapeno_meets_its_power_limit() -> None:
    """Full memory rate fits the TDP; full fp8 rate passes it by less than a tenth (and says so)."""
    chip = emu.chip("jalapeno")
    rate = int(chip.hbm.bandwidth_bytes_per_s * chip.hbm.achieved_fraction)
    stream = energy(chip, {"hbm_burst_bytes": rate, "hbm_read_bytes": rate, "sram_write_bytes": rate, "sram_read_bytes": rate}, 1.0)
    assert 700 < stream.watts < 1000
    macs = int(chip.peak_flops("fp8_e4m3") / 2)
    busy = energy(chip, {"array_macs_fp8_e4m3": macs, "acc_read_bytes": macs // 32, "acc_write_bytes": macs // 32}, 1.0)
    assert 700 < busy.watts < 1100
