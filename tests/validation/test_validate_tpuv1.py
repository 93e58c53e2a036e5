"""Do TPU v1's workloads divide their cycles as its counters say, and answer to memory and clock as its paper says?"""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

import emu
from emu.study.validate import tpuv1

CHIP = emu.chip("tpu-v1")
ROOT = Path(__file__).parents[2]
# Table 1 of the paper: weights in millions, operations per weight, batch.
TABLE_1 = {"MLP0": (20, 200), "MLP1": (5, 168), "LSTM0": (52, 64), "LSTM1": (34, 96), "CNN0": (8, 2888), "CNN1": (100, 1750)}
MATRICES = {"MLP0": 5, "MLP1": 4, "LSTM0": 24, "LSTM1": 37, "CNN0": 16, "CNN1": 76}


@pytest.fixture(scope="module")
def shares() -> dict[str, dict[str, float]]:
    return {name: tpuv1.shares(tpuv1.run(CHIP, name)) for name in tpuv1.SHAPES}


def test_shapes_meet_the_published_totals() -> None:
    for name, w in tpuv1.SHAPES.items():
        if w.kind == "lstm":
            width = 678 if name == "LSTM1" else w.width  # before it is padded to whole tiles
            parts = [(2 * width * width, w.batch)] * (4 * w.layers + 1) + [(width * width, w.batch)] * (w.dense - 1)
        elif w.kind == "cnn":
            parts = [(9 * w.width**2, w.batch * w.side**2)] * w.layers + [(w.wide**2, w.batch)] * w.dense
        else:
            parts = [(w.width**2, w.batch)] * w.layers
        weights, per_weight = TABLE_1[name]
        total = sum(size for size, _ in parts)
        assert len(parts) == MATRICES[name]
        assert total == pytest.approx(weights * 1e6, rel=0.17), name
        assert sum(size * uses for size, uses in parts) / total == pytest.approx(per_weight, rel=0.04), name


def test_shares_are_whole_and_near_the_counters(shares: dict[str, dict[str, float]]) -> None:
    measured = tpuv1.counters()
    assert set(measured) == set(shares) == set(TABLE_1)
    for found in shares.values():
        assert sum(found.values()) == pytest.approx(1, abs=1e-12) and min(found.values()) >= 0
    off = {name: tpuv1.difference(found, measured[name]) for name, found in shares.items()}
    assert sum(off.values()) / len(off) <= 0.06, off
    assert max(off.values()) <= 0.09, off


def test_active_cycles_are_those_of_the_products(shares: dict[str, dict[str, float]]) -> None:
    """The engine's busy time is useful work and its padding: macs over the rate, by the counters."""
    for name in ("MLP0", "LSTM1", "CNN0"):
        done = tpuv1.run(CHIP, name)
        rate = tpuv1.chip_for(CHIP, name).core.matrix.macs_per_clk["int8"]
        assert shares[name]["active"] == pytest.approx(done.counters["array_macs_int8"] / rate / done.cycles, rel=0.02)


def test_memory_and_clock_four_times_as_fast() -> None:
    memory, clock = CHIP.vary({"hbm.bandwidth": "136 GB/s"}), CHIP.vary({"core.clock": "2.8 GHz"})
    gain = {n: [tpuv1.run(CHIP, n).seconds / tpuv1.run(c, n).seconds for c in (memory, clock)] for n in tpuv1.SHAPES}
    bound_by_weights = [gain[n] for n in ("MLP0", "MLP1", "LSTM0", "LSTM1")]
    assert 2.5 <= sum(g[0] for g in bound_by_weights) / 4 <= 3.5
    assert all(0.95 <= g[1] <= 1.2 for g in bound_by_weights)
    assert all(gain[n][0] < 1.5 and gain[n][1] > 1.8 for n in ("CNN0", "CNN1"))


def test_the_page_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))  # as when the script runs by itself
    script = runpy.run_path(str(ROOT / "benchmarks" / "tpuv1.py"))
    assert (ROOT / "docs" / "tpu-v1.md").read_text() == script["page"]()
