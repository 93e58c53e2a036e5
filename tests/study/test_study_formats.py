"""Estimates and single products in formats with scales: bytes, peak and joules of the format, and bounds that nothing beats."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import study_support as support
from hypothesis import Phase as Phase_
from hypothesis import given, settings
from hypothesis import strategies as st

import emu
from emu.mapper import choose
from emu.mapper.area import divide
from emu.models import Gemm, Quantize
from emu.models.schemes import SCHEMES, scheme_of
from emu.study.bound import op_bound, pass_bound

QUICK = [Phase_.explicit, Phase_.generate]  # a failing case is shown as found: to shrink it would run hundreds of programs
SCALED = ["int8", "mxfp8", "mxfp4", "nvfp4", "mxfp4_a8", "mxfp4_a16", "nvfp4_a16"]
SIZES = st.one_of(st.integers(1, 20), st.sampled_from([31, 63, 64, 65, 97, 128, 129, 256, 700]))


def stored(side, rows, k):
    """Bytes of an operand whose rows lie along n or m: elements packed, a scale for each block of k."""
    bits = {"fp4_e2m1": 4, "fp6_e2m3": 6, "bf16": 16}.get(side.fmt, 8)
    return rows * k * bits // 8 + (rows * -(-k // side.block) if side.block else 0)


@settings(max_examples=30, deadline=None, derandomize=True, phases=QUICK)
@given(st.sampled_from(["jalapeno", "b200"]), SIZES, SIZES, st.sampled_from([2, 32, 48, 64, 100, 256, 1000]), st.sampled_from(SCALED))
def test_a_product(name, m, n, k, dtype):
    """Never below the bound; the array multiplies in the format of x, and every byte of both operands crosses the pins at least once."""
    chip, scheme = support.chip_named(name), scheme_of(dtype)
    x, w = scheme.activations, scheme.weights
    fast = emu.gemm(chip, m, n, k, dtype)
    ideal = emu.gemm(chip, m, n, k, dtype, fidelity="ideal")
    assert fast.bound_s <= ideal.seconds <= fast.seconds
    assert 0 < fast.mfu <= 1 and 0 < fast.mbu <= 1
    c, block = fast.run.counters, divide(chip, w.fmt, scales=w.scales).block
    wide = -(-n // block) * block
    assert c[f"useful_macs_{x.fmt}"] == m * wide * k and sum(v for key, v in c.items() if key.startswith("useful_macs")) == m * wide * k
    least = stored(x, m, k) + stored(w, wide, k)
    assert c["hbm_read_bytes"] >= least if not chip.levels else c["hbm_burst_bytes"] >= stored(w, wide, k)
    bound = fast.bound.hbm_s * chip.hbm.bandwidth_bytes_per_s
    assert bound >= stored(x, m, k) + stored(w, n, k) + m * n * 2 - 2


def test_a_narrower_format_moves_and_takes_less():
    """Where memory binds, bytes of the format; where the array does, its rate and its joules."""
    few = {dtype: emu.gemm("jalapeno", 8, 8192, 8192, dtype) for dtype in ("bf16", "mxfp8", "nvfp4", "mxfp4")}
    read = [few[dtype].run.counters["hbm_read_bytes"] for dtype in few]
    assert read == sorted(read, reverse=True) and read[0] > 1.9 * read[1] > 1.9 * 1.8 * read[3]
    many = {dtype: emu.gemm("jalapeno", 2048, 4096, 4096, dtype) for dtype in ("bf16", "mxfp8", "mxfp4")}
    assert many["bf16"].seconds > 1.3 * many["mxfp8"].seconds > 1.3 * 1.3 * many["mxfp4"].seconds
    assert many["bf16"].joules > many["mxfp8"].joules > many["mxfp4"].joules
    chip = support.chip_named("jalapeno")
    assert many["mxfp4"].bound.compute_s == pytest.approx(2 * 2048 * 4096**2 / chip.peak_flops("fp4_e2m1"))


@settings(max_examples=12, deadline=None, derandomize=True, phases=QUICK)
@given(support.models(), st.integers(1, 3), st.integers(1, 30), st.integers(1, 6), st.sampled_from([*SCALED, "fp8"]),
       st.sampled_from(["dynamic", "static"]), st.sampled_from([None, "fp8"]))
def test_an_estimate(model, batch, prompt, generate, dtype, scales, kv_dtype):
    """Phases against their bounds, sums of operations against phases; the same question has the same answer."""
    ask = {"batch": batch, "prompt": prompt, "generate": generate, "dtype": dtype, "scales": scales, "kv_dtype": kv_dtype}
    one = emu.estimate(model, "jalapeno", **ask).to_dict()
    for phase in one["phases"].values():
        assert phase["bound_s"] <= phase["seconds"]
        assert phase["seconds"] == pytest.approx(sum(op["seconds"] for op in phase["ops"]), rel=1e-9)
        assert 0 < phase["mfu"] <= 1 and 0 < phase["mbu"] <= 1
        assert phase["joules"] == pytest.approx(sum(phase["energy"].values()))
    assert one["scales"] == scales and one["kv_dtype"] == (kv_dtype or ("fp8" if dtype == "fp8" else "bf16"))
    graph = model.graph("prefill", batch, prompt, prompt, dtype, kv_dtype, scales=scales)
    assert one["memory"]["weights_bytes"] == graph.weight_bytes
    assert emu.estimate(model, "jalapeno", **ask).to_dict() == one


@settings(max_examples=10, deadline=None, derandomize=True, phases=QUICK)
@given(support.models(2), st.integers(1, 3), st.integers(2, 40), st.sampled_from(SCALED), st.sampled_from(["jalapeno", "b200"]))
def test_work_of_every_operation(model, batch, tokens, dtype, name):
    """A layer's products are done once each in the format of their activations, no operation is quicker than its bound, and a quantisation
    that a gemm does itself leaves no operation behind."""
    chip, graph = support.chip_named(name), model.graph("prefill", batch, tokens, dtype=dtype)
    s = support.everything(model, graph, chip, choose(graph, chip), "fast")
    assert s.fs >= pass_bound(graph, chip).seconds * 1e15
    asked = sum(op.m * op.n * op.k * len(op.weights) for op in graph.layer if isinstance(op, Gemm)) * graph.layers
    counted = s.counters[f"useful_macs_{graph.dtype}"]
    assert counted == asked if graph.dtype != "bf16" else counted > asked  # attention and logits are in bf16
    for op, times in graph.ops():
        if op.name in s.op_fs and not isinstance(op, Gemm):
            assert op_bound(op, graph, chip, times).compute_s * 1e15 <= s.op_fs[op.name]
    steps = [op for op in graph.layer if isinstance(op, Quantize)]
    assert len(steps) == (0 if dtype.endswith("a16") else 4)


@pytest.mark.parametrize("dtype", ["mxfp4", "nvfp4", "int8"])
def test_a_real_size(dtype):
    """llama-3-8b: weights as many as the format says; a step is bound by memory and quicker than in bf16, for fewer joules."""
    wide, narrow = (emu.estimate("llama-3-8b", "jalapeno", batch=4, prompt=256, generate=4, dtype=d).to_dict() for d in ("bf16", dtype))
    matrices = 32 * (4096 * 6144 + 4096 * 4096 + 3 * 4096 * 14336)
    bits = {"mxfp4": 4 + 8 / 32, "nvfp4": 4 + 8 / 16, "int8": 8}[dtype]
    factors = 0 if dtype == "mxfp4" else 32 * 4 * (6144 + 2 * 4096 + 2 * 14336)
    assert wide["memory"]["weights_bytes"] - narrow["memory"]["weights_bytes"] == matrices * (16 - bits) / 8 - factors
    assert narrow["tpot_s"] < 0.85 * wide["tpot_s"] and narrow["joules_per_token"] < 0.7 * wide["joules_per_token"]
    assert narrow["phases"]["decode"]["bound_by"] == "hbm"


@pytest.mark.parametrize("chip, dtype", [("h200", "int8"), ("jalapeno", "nvfp4")])
def test_wide_rows_fit(chip, dtype):
    """Rows of 28,672 numbers, llama-3-70b's, are quantised whole: in registers of 256 KiB too."""
    model = emu.model("llama-3-70b")
    found = emu.estimate(replace(model, config=replace(model.config, layers=2)), chip, prompt=64, generate=2, dtype=dtype).to_dict()
    assert found["phases"]["prefill"]["bound_s"] <= found["ttft_s"] < 3 * found["phases"]["prefill"]["bound_s"]


@pytest.mark.parametrize("batch, joined", [(4, False), (1, True)])
def test_a_quantisation_joins_a_gemm_only_where_it_spoils_no_tiling(batch, joined):
    """512 rows of bert-base are quantised by an operation of their own, 16 by the gemm, which is slower than in bf16 only by that."""
    ask = {"batch": batch, "prompt": 128 if batch > 1 else 16}
    wide, narrow = ({op["name"]: op for op in emu.estimate("bert-base", "jalapeno", dtype=d, **ask).to_dict()["phases"]["encode"]["ops"]}
                    for d in ("bf16", "mxfp8"))
    steps = {name for name in narrow if name.endswith("_quantize")}
    assert steps == (set() if joined else {"qkv_quantize", "attn_out_quantize", "up_quantize", "down_quantize"})
    for name in ("qkv", "attn_out", "up", "down"):
        assert narrow[name]["seconds"] < (1.6 if joined else 1.0) * wide[name]["seconds"], name


def test_refused():
    """Chips without the formats, stacks whose libraries have no such kernels."""
    with pytest.raises(emu.UnsupportedError, match="h100 multiplies no fp8_e4m3 with mx scales"):
        emu.gemm("h100", 64, 64, 64, "mxfp8")
    with pytest.raises(emu.UnsupportedError, match="tiny: the matrix engine has no rate for 'fp4_e2m1'"):
        emu.estimate("gpt-2", "tiny", dtype="nvfp4")
    with pytest.raises(emu.UnsupportedError, match="here elements must stand for themselves"):
        emu.attention("b200", dtype="mxfp8")
    stack = next(name for name, s in support.chip_named("b200").stack.items() if s.mode == "kernel-per-op")
    with pytest.raises(emu.UnsupportedError, match="take no scales of blocks"):
        emu.gemm("b200", 64, 64, 64, "mxfp4", stack=stack)
    assert np.all([name == scheme.name for name, scheme in SCHEMES.items()])
