"""gemm against NumPy: ragged shapes, random tilings, formats, epilogues, blocked weights, a norm on the way in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_support import ACTIVATION, Bench, close, rms

import emu
from emu.kernels.gemm import Epilogue, GemmTiling, gemm
from emu.kernels.norm import Norm

dims = st.sampled_from([1, 2, 7, 8, 9, 13, 16, 17, 31, 40])


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    dims, dims, dims, st.sampled_from([(8, 8, 8), (4, 16, 16), (16, 8, 24), (9, 16, 8), (70, 8, 8)]),
    st.sampled_from([(1, 1), (2, 2), (1, 4), (4, 1), (1, 3)]), st.booleans(),
)
def test_any_shape_and_tiling(m, n, kk, tile, split, resident):
    bench = Bench()
    x, w = bench.put("x", (m, kk)), bench.put("w", (kk, n), role="weight")
    out = bench.k.hbm("y", (m, n), "fp32", "out")
    gemm(bench.k, x, w, out, GemmTiling(*tile, *split, a_resident=resident))
    close(bench.run(both=m * n * kk < 600)["y"], bench.wide("x") @ bench.wide("w"), "fp32")


@pytest.mark.parametrize("activation", sorted(ACTIVATION))
@pytest.mark.parametrize("shape", [(8, 16, 24), (11, 17, 19)])
def test_epilogue(activation, shape):
    m, n, kk = shape
    bench = Bench()
    x, w = bench.put("x", (m, kk)), bench.put("w", (kk, n), role="weight", scale=0.3)
    bias, residual = bench.put("bias", (n,)), bench.put("residual", (m, n))
    out = bench.k.hbm("y", (m, n), "bf16", "out")
    gemm(bench.k, x, w, out, GemmTiling(8, 8, 8, 2, 2, chunk_m=4), Epilogue(bias, activation, residual=residual))
    want = ACTIVATION[activation](bench.wide("x") @ bench.wide("w") + bench.wide("bias")) + bench.wide("residual")
    close(bench.run(both=activation == "silu")["y"], want, "bf16")


@pytest.mark.parametrize("m", [1, 9])
def test_swiglu_with_norm(m):
    n, kk = 24, 32
    bench = Bench()
    x, gamma = bench.put("x", (m, kk)), bench.put("gamma", (kk,))
    w, gate = bench.put("w", (kk, n), role="weight", scale=0.3), bench.put("gate", (kk, n), role="weight", scale=0.3)
    out = bench.k.hbm("y", (m, n), "bf16", "out")
    gemm(bench.k, x, w, out, GemmTiling(8, 8, 16, 1, 3), Epilogue(activation="silu", gate=gate), Norm("rms", gamma))
    rows = rms(bench.wide("x"), bench.wide("gamma"))
    close(bench.run(both=True)["y"], ACTIVATION["silu"](rows @ bench.wide("gate")) * (rows @ bench.wide("w")), "bf16")


@pytest.mark.parametrize("fmt", ["fp16", "fp8_e4m3", "fp8_e5m2", "int8"])
def test_formats(fmt):
    bench = Bench()
    x, w = bench.put("x", (9, 33), fmt), bench.put("w", (33, 17), fmt, "weight")
    out = bench.k.hbm("y", (9, 17), "fp32", "out")
    gemm(bench.k, x, w, out, GemmTiling(8, 8, 16, 2, 2), Epilogue(scale=0.125))
    close(bench.run(both=True)["y"], bench.wide("x") @ bench.wide("w") * 0.125, "fp32")


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("n", [32, 29])
def test_blocked_weights(n, group):
    width, kk, m = 8, 19, 5
    bench = Bench()
    x = bench.put("x", (m, kk))
    flat = np.zeros((kk, 32), np.float32)
    flat[:, :n] = bench.random.standard_normal((kk, n))
    blocked = flat.reshape(kk, 4, width).transpose(1, 0, 2)
    w = bench.set("w", np.ascontiguousarray(blocked.astype(bench.inputs["x"].dtype)), "bf16", "weight")
    out = bench.k.hbm("y", (m, n), "fp32", "out")
    tiling = GemmTiling(8, width * group, 8, 1, 2)
    gemm(bench.k, x, w, out, tiling)
    close(bench.run()["y"], bench.wide("x") @ bench.wide("w").transpose(1, 0, 2).reshape(kk, 32)[:, :n], "fp32")


@settings(max_examples=15, deadline=None, derandomize=True)
@given(dims, dims, dims, st.sampled_from([(1, 1), (2, 2), (1, 4), (3, 1)]), st.booleans())
def test_every_byte_and_product_is_accounted_for(m, n, kk, split, resident):
    bench = Bench()
    x, w = bench.put("x", (m, kk)), bench.put("w", (kk, n), role="weight")
    out = bench.k.hbm("y", (m, n), "fp32", "out")
    gemm(bench.k, x, w, out, GemmTiling(8, 16, 8, *split, a_resident=resident))
    counters = emu.Machine(bench.chip).run(bench.k.program(), bench.inputs).counters
    row_tiles, column_tiles = -(-m // 8), -(-n // 16)
    x_reads = min(split[1], column_tiles) if resident else column_tiles
    assert counters["useful_macs_bf16"] == m * n * kk
    assert counters["hbm_read_bytes"] == 2 * (m * kk * x_reads + kk * n * row_tiles)
    assert counters["hbm_write_bytes"] == 4 * m * n


def test_fp8_output_saturates():
    bench = Bench()
    x, w = bench.put("x", (8, 32), scale=9), bench.put("w", (32, 8), role="weight", scale=9)
    out = bench.k.hbm("y", (8, 8), "fp8_e4m3", "out")
    gemm(bench.k, x, w, out, GemmTiling(8, 8, 16))
    want = np.clip(bench.wide("x") @ bench.wide("w"), -448, 448)
    assert (np.abs(want) == 448).any()
    close(bench.run(both=True)["y"], want, "fp8_e4m3")


def test_eight_bit_weights_behind_a_norm():
    """The residual stream stays bf16; the norm rounds to the format of the weights, so the array runs at its rate."""
    bench = Bench()
    x, gamma, w = bench.put("x", (9, 32)), bench.put("gamma", (32,)), bench.put("w", (32, 16), "fp8_e4m3", "weight")
    out = bench.k.hbm("y", (9, 16), "bf16", "out")
    gemm(bench.k, x, w, out, GemmTiling(8, 8, 16, 1, 2), Epilogue(), Norm("rms", gamma))
    close(bench.run(both=True)["y"], rms(bench.wide("x"), bench.wide("gamma")) @ bench.wide("w"), "fp8_e4m3")
