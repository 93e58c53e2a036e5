"""Dynamic quantisation against NumPy, alone and in front of a product."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from kernel_support import Bench, close

import emu
from emu.kernels.gemm_blocks import BlockTiling, gemm_in_blocks
from emu.kernels.quantize import quantize_rows


@pytest.mark.parametrize("m, kk, width, resident", [(1, 8, 8192, 1), (9, 100, 32, 2), (5, 64, 64, 1)])
def test_rows_by_their_largest(m: int, kk: int, width: int, resident: int) -> None:
    bench = Bench()
    x = bench.put("x", (m, kk), scale=3.0)
    out, scale = bench.k.hbm("y", (m, kk), "fp8_e4m3", "out"), bench.k.hbm("scale", (m, 1), "fp32", "out")
    quantize_rows(bench.k, x, out, scale, width, resident)
    got = bench.run(both=m == 9)
    want = np.abs(bench.wide("x")).max(1, keepdims=True) * np.float32(1 / 448)
    assert np.array_equal(got["scale"], want)
    assert np.array_equal(got["y"], (bench.wide("x") / want).astype(ml_dtypes.float8_e4m3fn).astype(np.float32))


def test_a_row_of_zeros_stays_one() -> None:
    bench = Bench()
    x = bench.set("x", np.zeros((2, 16), ml_dtypes.bfloat16), "bf16")
    out, scale = bench.k.hbm("y", (2, 16), "fp8_e4m3", "out"), bench.k.hbm("scale", (2, 1), "fp32", "out")
    quantize_rows(bench.k, x, out, scale)
    assert not bench.run()["y"].any()


@pytest.mark.parametrize("split_k", [1, 2])
def test_a_quantised_product(split_k: int) -> None:
    """Two or three kernels behind each other, the second one's weights not fetched before the first has ended."""
    chip = emu.chip("h100")
    bench = Bench(chip, cores=3)
    bench.k.runs_ahead = False
    x, w = bench.put("x", (17, 96)), bench.put("w", (96, 64), "fp8_e4m3", "weight")
    small, scale = bench.k.hbm("small", (17, 96), "fp8_e4m3"), bench.k.hbm("scale", (17, 1), "fp32")
    out = bench.k.hbm("y", (17, 64), "bf16", "out")
    with bench.k.op("quantize"):
        quantize_rows(bench.k, x, small, scale)
    if split_k == 1:
        with bench.k.op("gemm"):
            gemm_in_blocks(bench.k, small, w, out, BlockTiling(16, 32, 32, 2), 64, scale)
    else:
        gemm_in_blocks(bench.k, small, w, out, BlockTiling(16, 32, 32, 2, 1, split_k), 64, scale)
    close(bench.run()["y"], bench.wide("x") @ bench.wide("w"), "fp8_e4m3")


def test_other_formats_are_refused() -> None:
    bench = Bench()
    x, scale = bench.put("x", (2, 8)), bench.k.hbm("scale", (2, 1), "fp32")
    with pytest.raises(emu.EmuError, match="not int8"):
        quantize_rows(bench.k, x, bench.k.hbm("y", (2, 8), "int8", "out"), scale)
