"""Does every mapping say how far it is from the bound, in the result and in what is printed?"""

from __future__ import annotations

import pytest

import emu
from emu.report.text import render_result

OPS = [
    lambda: emu.gemm("tiny", 16, 64, 128),
    lambda: emu.gemm("jalapeno", 64, 512, 16384),
    lambda: emu.attention("jalapeno", "decode", batch=2, kv_len=256),
    lambda: emu.attention("tiny", "prefill", q_heads=2, kv_heads=1, head_dim=16, q_len=16),
]


@pytest.mark.parametrize("op", OPS)
def test_gap_to_bound(op):
    result = op()
    d = result.to_dict()
    assert d["mapping"]["gap_to_bound"] == pytest.approx(result.seconds / result.bound_s) == pytest.approx(result.ratio)
    assert d["mapping"]["gap_to_bound"] >= 1
    printed = " ".join(render_result(d).split())
    assert f"gap_to_bound {result.ratio:.2f}x" in printed


def test_operations_of_a_model_say_it_too():
    d = emu.estimate("llama-3-8b", "jalapeno", generate=2, prompt=16).to_dict()
    rows = [row for phase in d["phases"].values() for row in phase["ops"] if row["kind"] in ("gemm", "attention")]
    assert len(rows) == 12 and all(row["ratio"] == pytest.approx(row["seconds"] / row["bound_s"]) for row in rows if row["bound_s"])
    printed = render_result(d)
    assert all(f"{row['ratio']:.2f}x" in printed for row in rows if row["ratio"] and row["ratio"] < 100)
