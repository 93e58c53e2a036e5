"""Is the cap kept, at the highest clock that keeps it, and at no cost where nothing exceeds it?"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import emu
from emu.chip.schema import Chip
from emu.power import at_clock, settle
from emu.power.supply import clocks, static_watts

TINY = emu.chip("tiny")
GRID = clocks(TINY)


@dataclass(frozen=True)
class Law:
    """Work of made-up time and power."""

    seconds: float
    watts: float


def capped(chip: Chip, watts: float) -> Chip:
    return chip.vary({"power.cap": f"{watts} W"})


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 3), min_size=len(GRID), max_size=len(GRID)).map(sorted), st.floats(0.005, 3.5))
def test_the_highest_clock_within_the_cap(watts: list[float], cap: float) -> None:
    """Against a scan of the whole grid, for any power that does not fall with the clock."""
    asked: list[int] = []

    def at(hz: int) -> Law:
        asked.append(hz)
        return Law(1e9 / hz, watts[GRID.index(hz)])

    found = settle(capped(TINY, cap), at)
    kept = [hz for hz, w in zip(GRID, watts) if w <= cap]
    assert found.clock_hz == (kept[-1] if kept else GRID[0])
    assert bool(found.infeasible) == (not kept)
    assert found.capped == (found.clock_hz < GRID[-1])
    assert found.power_stall_s == found.work.seconds - 1e9 / GRID[-1] >= 0
    assert len(asked) == len(set(asked)) == found.tried <= 14
    assert found.clock_hz < GRID[-1] or asked == [GRID[-1]]


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 3), min_size=len(GRID), max_size=len(GRID)), st.floats(0.005, 3.5))
def test_where_power_is_not_monotone_the_next_clock_exceeds_the_cap(watts: list[float], cap: float) -> None:
    found = settle(capped(TINY, cap), lambda hz: Law(1.0, watts[GRID.index(hz)]))
    if found.infeasible:
        assert found.clock_hz == GRID[0] and found.work.watts > cap
    else:
        assert found.work.watts <= cap
        assert found.clock_hz == GRID[-1] or watts[GRID.index(found.clock_hz) + 1] > cap


@settings(max_examples=8, deadline=None)
@given(st.sampled_from([(256, 256, 256), (64, 512, 300), (1, 640, 512), (300, 77, 1000)]), st.floats(0.4, 2.0))
def test_a_gemm_keeps_the_cap_and_a_scan_agrees(shape: tuple[int, int, int], cap: float) -> None:
    chip = capped(TINY.vary({"power.dvfs.step": "50 MHz"}), cap)
    found = emu.gemm(chip, *shape)
    assert found.watts <= cap or found.settled.infeasible
    by_hand = [emu.gemm(chip, *shape, clock=hz) for hz in clocks(chip)]
    kept = [r for r in by_hand if r.watts <= cap]
    best = kept[-1] if kept else by_hand[0]
    assert (found.clock_hz, found.seconds, found.energy) == (best.clock_hz, best.seconds, best.energy)
    times = [r.seconds for r in by_hand]
    assert times == sorted(times, reverse=True)
    assert found.power_stall_s == found.seconds - times[-1]
    assert all(r.run.counters == found.run.counters for r in by_hand)


def test_a_cap_beyond_reach_changes_nothing() -> None:
    for make in (lambda **more: emu.gemm(more.pop("chip"), 256, 256, 256, **more),
                 lambda **more: emu.attention(more.pop("chip"), q_heads=2, kv_heads=1, head_dim=32, q_len=64, **more)):  # fmt: skip
        free = make(chip=TINY, clock="max").to_dict()
        held = make(chip=capped(TINY, 1e6)).to_dict()
        short = make(chip=TINY, regime="short").to_dict()
        supply = ("cap_watts", "regime", "digests", "assumed")
        assert {k: v for k, v in free.items() if k not in supply} == {k: v for k, v in held.items() if k not in supply}
        assert {k: v for k, v in free.items() if k not in supply} == {k: v for k, v in short.items() if k not in supply}
        assert (free["regime"], held["regime"], short["regime"]) == ("locked", "steady", "short")
        assert free["cap_watts"] is short["cap_watts"] is None and held["cap_watts"] == 1e6


def test_an_estimate_holds_each_phase_to_the_cap() -> None:
    asked = {"batch": 2, "prompt": 64, "generate": 4}
    free = emu.estimate("gpt-2", "jalapeno", **asked)
    most = max(p.watts for p in free.phases.values())
    chip = capped(emu.chip("jalapeno"), 0.8 * most)
    held = emu.estimate("gpt-2", chip, **asked)
    slowed = [p for p in held.phases.values() if p.settled.capped]
    assert slowed and all(p.watts <= 0.8 * most for p in held.phases.values())
    for name, p in held.phases.items():
        assert p.settled.power_stall_s == p.seconds - free.phases[name].seconds
        assert p.settled.capped == (free.phases[name].watts > 0.8 * most) == (p.settled.power_stall_s > 0)
        assert sum(op["seconds"] for op in p.ops()) == pytest.approx(p.seconds)
        assert p.counters == free.phases[name].counters


@pytest.mark.parametrize("chip", [chip for chip in map(emu.chip, emu.chips()) if chip.power.dvfs], ids=str)
def test_voltage_and_static_watts_rise_with_the_clock(chip: Chip) -> None:
    grid = clocks(chip)
    assert grid[-1] == chip.core.clock_hz and len(grid) > 20
    some = [at_clock(chip, hz) for hz in (*grid[:: len(grid) // 4], grid[-1])]
    watts = [static_watts(c) for c in some]
    assert watts == sorted(watts) and watts[0] < watts[-1]
    dvfs = chip.power.dvfs
    assert dvfs is not None
    assert [dvfs.volts(c.core.clock_hz) for c in some] == sorted(dvfs.volts(c.core.clock_hz) for c in some)
    assert at_clock(chip, dvfs.nominal_hz).power.static_w == pytest.approx(static_watts(at_clock(chip, dvfs.nominal_hz)))
    warm = chip.vary({"power.dvfs.temperature": "90 degC"})
    assert static_watts(warm) > static_watts(chip)


def test_what_shares_the_cores_clock_follows_it() -> None:
    chip = emu.chip("h100")
    half = at_clock(chip, 915_000_000)
    assert half.core.clock_hz == 915_000_000
    for before, after in zip(chip.levels, half.levels):
        assert after.bandwidth_bytes_per_s == before.bandwidth_bytes_per_s // 2
        assert (after.latency_s, after.far_s) == pytest.approx((2 * before.latency_s, 2 * before.far_s), rel=1e-12)
    assert half.noc.bisection_bytes_per_s == chip.noc.bisection_bytes_per_s // 2
    assert half.hbm == chip.hbm and half.links == chip.links
    assert at_clock(chip, chip.core.clock_hz) is chip


def test_what_is_refused_by_name() -> None:
    with pytest.raises(emu.UnsupportedError, match="did you mean 'steady'"):
        emu.gemm(TINY, 64, 64, 64, regime="stedy")
    for clock in ("2 GHz", "10 MHz", "1 GB", -1.0, float("nan"), "fast"):
        with pytest.raises(emu.UnsupportedError, match="clock"):
            emu.gemm(TINY, 64, 64, 64, clock=clock)
    curve = [{"clock": "1 GHz", "voltage": "0.8 V"}, {"clock": "2 GHz", "voltage": "0.7 V"}]
    with pytest.raises(emu.ChipError, match="voltage must not fall"):
        TINY.vary({"power.dvfs.curve": curve})
    with pytest.raises(emu.ChipError, match="clocks must rise"):
        TINY.vary({"power.dvfs.curve": curve[::-1]})
    with pytest.raises(emu.ChipError, match="no level of this chip; .*noc"):
        TINY.vary({"power.dvfs.with_core": ["l2"]})
    with pytest.raises(emu.ChipError, match="parts of static"):
        TINY.vary({"power.dvfs.leakage": "0.4 W"})


def test_a_chip_without_a_curve_keeps_its_clock(tmp_path) -> None:
    text = open(emu.chip("tiny")._file).read()
    begin, end = text.index("[power.dvfs]"), text.index("[energy]")
    path = tmp_path / "plain.toml"
    path.write_text(text[:begin].replace('tdp = "5 W"', 'tdp = "1 W"').replace('idle = "0.2 W"', 'idle = "0.1 W"') + text[end:])
    chip = emu.load_chip(path)
    result = emu.gemm(chip, 512, 512, 512)
    assert result.watts > 1 and not result.capped and result.clock_hz == 10**9
    assert result.to_dict()["above_tdp"] and result.to_dict()["cap_watts"] is None
    with pytest.raises(emu.ChipError, match="cap: without"):
        chip.vary({"power.cap": "0.5 W"})
