"""Are gains the finite differences of the run that they claim to be, and does the roofline add up?"""

from __future__ import annotations

import math

import pytest
import study_support as support

import emu
from emu.study.sensitivity import changed, figures_of


@pytest.fixture(scope="module")
def estimate():
    return emu.estimate(support.llama(), "tiny", batch=2, prompt=16, generate=3)


@pytest.fixture(scope="module")
def whole(estimate):
    return estimate.sensitivity()


def rows_of(result):
    return {row["figure"]: row for row in result.rows}


def test_a_gain_is_the_difference_of_two_estimates(estimate, whole):
    row = rows_of(whole)["hbm.latency"]
    chip = support.chip_named("tiny")
    slower = chip.vary({"hbm.latency": f"{chip.hbm.latency_s * 1.01e9} ns"})
    for mapping, fixed in (("remapped", None), ("frozen", estimate.mapping)):
        after = emu.estimate(support.llama(), slower, batch=2, prompt=16, generate=3, mapping=fixed)
        expected = math.log(after.tokens_per_s / estimate.tokens_per_s) / math.log(1.01)
        assert row[mapping]["tokens_per_s"] == pytest.approx(expected, rel=1e-6)
    assert -1 <= row["frozen"]["tokens_per_s"] < 0 < rows_of(whole)["core.clock"]["frozen"]["tokens_per_s"] <= 1


def test_every_figure_has_gains_or_a_reason(estimate, whole):
    assert set(rows_of(whole)) == set(figures_of(estimate.chip)) and len(whole.rows) > 40
    for row in whole.rows:
        assert ("remapped" in row and "frozen" in row) or row["error"]
        assert math.isfinite(row.get("step_fraction", 0.0))
    order = [abs(g) for g in whole.gains().values()]
    assert order == sorted(order, reverse=True) and "tokens_per_s" in whole.outputs


def test_the_gains_of_all_prices_sum_to_one(whole):
    """Joules are linear in prices and static watts: elasticities sum to 1, less the curvature that a finite step leaves."""
    gains = whole.gains("joules_per_token", "frozen")
    priced = sum(gain for key, gain in gains.items() if key.startswith("energy.")) + gains["power.static"]
    assert priced == pytest.approx(1, abs=0.01)


def test_what_cannot_matter_does_not(whole):
    rows = rows_of(whole)
    for key in ("power.tdp", "energy.array_macs_int8"):
        assert rows[key]["frozen"]["tokens_per_s"] == 0
    assert all(rows[key]["frozen"]["tokens_per_s"] == 0 for key in rows if key.startswith("energy."))


def test_counts_move_by_one_and_cores_by_rows():
    tiny, jalapeno = support.chip_named("tiny"), support.chip_named("jalapeno")
    assert changed(tiny, "core_count", 0.01) == ({"core_count": 5, "noc.x": 5}, 1.25)
    assert changed(jalapeno, "core_count", 0.01) == ({"core_count": 40, "noc.y": 5}, 1.25)
    changes, factor = changed(jalapeno, "core.matrix.rate.bf16", 0.01)
    assert jalapeno.vary(changes).peak_flops("bf16") / jalapeno.peak_flops("bf16") == pytest.approx(factor, rel=1e-12)
    changes, factor = changed(support.chip_named("jalapeno"), "core.matrix.accumulate.width", 0.01)
    assert factor < 1  # 33 bits are refused, so one less is tried


def test_a_prefill_alone_has_gains_too():
    gpt = support.gpt2()
    only = emu.estimate(gpt, "tiny", prompt=8, generate=1).sensitivity(["hbm.bandwidth"])
    assert only.order in ("ttft", "joules") and only.rows[0]["remapped"]


@pytest.mark.parametrize(("figures", "step", "wanted"), [
    (["hbm.bandwith"], 0.01, "did you mean 'hbm.bandwidth'"), (None, 0, "expected a fraction"), (["hbm.kind"], 0.01, "not a number"),
])
def test_mistakes(estimate, figures, step, wanted):
    with pytest.raises(emu.EmuError, match=wanted):
        result = estimate.sensitivity(figures, step)
        raise emu.EmuError(result.rows[0]["error"])
    with pytest.raises(emu.EmuError, match="no such result"):
        estimate.sensitivity(["hbm.latency"]).gains("speed")


def test_threads_and_processes_give_the_same(estimate):
    from concurrent.futures import ThreadPoolExecutor

    keys = ["hbm.bandwidth", "core.clock", "hbm.latency"]
    with ThreadPoolExecutor(2) as executor:
        assert estimate.sensitivity(keys, executor=executor).to_dict() == estimate.sensitivity(keys).to_dict()


def test_the_roofline_adds_up(estimate):
    result = estimate.roofline().to_dict()
    for name, phase in estimate.phases.items():
        rows = [row for row in result["rows"] if row["phase"] == name]
        ops, total = rows[:-1], rows[-1]
        assert total["name"] is None and sum(row["seconds"] for row in ops) == pytest.approx(phase.seconds)
        assert sum(row["flops"] for row in ops) == pytest.approx(phase.flops) == pytest.approx(total["flops"])
        moved = sum(p.weight * p.sample.graph.compulsory_bytes for p in phase.passes)
        assert total["compulsory_bytes"] == pytest.approx(moved)
        assert 0.99 * moved < sum(row["compulsory_bytes"] for row in ops) <= moved  # a norm inside a gemm has no row
        assert total["roof_share"] == pytest.approx(phase.bound_s / phase.seconds) and total["roof_share"] <= 1
        for row in ops:
            assert row["roof_flops_per_s"] <= estimate.chip.peak_flops("bf16") * (1 + 1e-12)
            if row["flops_per_byte"] and row["flops"]:
                assert row["flops_per_s"] / row["roof_flops_per_s"] == pytest.approx(row["roof_share"])


def test_they_print_and_export(estimate, whole):
    for result in (whole, estimate.roofline()):
        text = str(result)
        assert max(map(len, text.split("\n"))) <= 100 and "tiny" in text and result.to_csv().count("\n") == len(result.rows) + 1
        assert "<table>" in result._repr_html_() and result.to_markdown().startswith("## ")
    assert "hbm.bandwidth" in str(whole) and "whole phase" in str(estimate.roofline())
