"""Do the figures say what they claim, is every way past a bound found, and are the plain models fitted as well as they can be?"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from emu.study.validate.reference import linear_power, reference, roofline
from emu.study.validate.rows import Row
from emu.study.validate.statistics import MANY, Bound, Outcome, by_decade, exceeded, figures
from emu.study.validate.suites import SUITES


def row(m: int = 64, n: int = 64, k: int = 64, seconds: float = 1e-5, kind: str = "gemm", watts: float = 0.0) -> Row:
    key = (("dtype", "bf16"), ("m", m), ("n", n), ("k", k))
    return Row(kind, "h100" if kind == "gemm" else "h200", key, watts or seconds, seconds, 700.0 if watts else 0.0)


def off(error: float, m: int = 64) -> Outcome:
    return Outcome(row(m), 1e-5 * (1 + error))


def test_figures() -> None:
    f = figures([-0.3, 0.1, 0.2, 0.0, 0.05, -0.05, 0.1, 0.1, 0.4, 0.02])
    assert f.rows == 10 and f.mape == pytest.approx(0.132) and f.median == pytest.approx(0.075) and f.p90 == pytest.approx(0.3)
    assert figures([0.5]).p90 == 0.5 and figures([]).rows == 0


@pytest.mark.parametrize("predicted", [0.0, -1.0, math.nan, math.inf])
def test_what_is_no_prediction_is_all_wrong(predicted: float) -> None:
    assert Outcome(row(), predicted).error == -1.0
    assert Outcome(row(), 1e-5, failure="why").error == -1.0


def test_each_way_past_a_bound() -> None:
    bound = Bound(0.10, 0.03, 0.20)
    fine = [off(0.02), off(-0.02)] * 20
    assert exceeded(bound, fine) == []
    (mape,) = exceeded(Bound(0.10), [off(0.11)])
    (median,) = exceeded(bound, [off(0.04)] * 3)
    (tail,) = exceeded(bound, [*fine, *[off(0.25)] * 3, *[off(-0.25)] * 3])
    assert "MAPE 11.0%" in mape and "median +4.0%" in median and "90th percentile 25.0%" in tail
    assert exceeded(bound, []) == ["no rows"]
    assert exceeded(bound, [replace(off(0.0), failure="why")])


def test_a_decade_is_judged_where_it_has_many_rows() -> None:
    small, large = [off(0.01)] * 500, [off(0.2, 6400), off(-0.2, 6400)] * (MANY // 2)
    (said,) = exceeded(Bound(0.10), small + large)
    assert "10^7" in said and list(by_decade(small + large)) == [5, 7]
    assert exceeded(Bound(0.10), small + large[:-1]) == []


def test_the_roofline_finds_its_own_constants() -> None:
    from emu.chip import chip

    peak, bandwidth = chip("h100").peak_flops("bf16"), chip("h100").hbm.bandwidth_bytes_per_s
    shapes = [(m, n, k) for m in (1, 64, 512, 4096) for n in (128, 1024, 8192) for k in (64, 1024, 8192)]
    rows = [row(*s) for s in shapes]
    rows = [replace(r, measured=3e-6 + max(r.flops / (0.8 * peak), r.bytes / (0.7 * bandwidth))) for r in rows]
    error, found = roofline(rows)
    assert error < 1e-3
    assert found == pytest.approx({"launch_s": 3e-6, "tensor_fraction": 0.8, "bandwidth_fraction": 0.7}, rel=0.02)


def test_the_linear_model_of_power_finds_its_own_constants() -> None:
    rows = [row(m, n, 1024, s, "power", 1.0) for m, n, s in ((16, 8192, 2e-5), (4096, 4096, 1e-4), (256, 256, 1e-4), (8, 8192, 1e-5))]
    rows = [replace(r, measured=140 + 0.6e-12 * r.flops / r.seconds + 60e-12 * r.bytes / r.seconds) for r in rows * 2]
    error, found = linear_power(rows)
    assert error < 5e-3 and found["static_w"] == pytest.approx(140, rel=0.05)


def test_too_few_rows_for_a_fit() -> None:
    assert math.isnan(reference([row()])[0])


def test_the_bounds_that_are_promised() -> None:
    promised = {name: (s.bound.mape, s.bound.median, s.bound.p90) for name, s in SUITES.items()}
    assert promised == {
        "gemm-h100": (0.07, 0.02, 0.16), "gemm-a100": (0.10, 0.03, 0.22), "gemm-fp8-h100": (0.13, 0.07, 0.35),
        "prefill-a100": (0.09, 0.03, 0.18), "prefill-h100": (0.09, 0.03, 0.18), "decode-a100": (0.10, 0.03, 0.20),
        "decode-h100": (0.09, 0.03, 0.20), "decode-fp8kv-h100": (0.13, None, None), "prefill-fp8kv-h100": (0.18, None, None),
        "collectives-a100": (0.08, 0.02, 0.16), "collectives-h100": (0.08, 0.02, 0.16),
        "all-reduce-a100": (0.07, None, None), "all-reduce-h100": (0.07, None, None),
        "power-h200": (0.10, None, None), "power-cap-h200": (0.04, None, None), "power-all-h200": (0.27, None, None),
        "instruction-b200": (0.03, None, None), "instruction-trainium1": (0.0, None, None),
        "latency-a100": (0.05, None, 0.10), "latency-gh200": (0.05, None, 0.10), "latency-mi300x": (0.05, None, 0.10),
        "bandwidth-a100": (0.08, None, 0.12), "bandwidth-gh200": (0.08, None, 0.12), "bandwidth-mi300x": (0.08, None, 0.12),
        "bandwidth-mall-mi300x": (0.10, None, None),
        "dma-b200": (0.05, None, 0.10), "dma-trainium2": (0.05, None, 0.10), "dma-rate-trainium2": (0.05, None, 0.10),
    }  # fmt: skip
