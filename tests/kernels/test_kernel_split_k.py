"""The product with a divided sum against NumPy: any shape, split and tiling; the kernel that adds the parts."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_support import Bench, close

import emu
from emu.kernels.gemm import GemmTiling
from emu.kernels.split_k import add_parts, gemm_parts


@pytest.mark.parametrize("split_k, split_m, split_n", [(1, 2, 2), (2, 1, 2), (3, 1, 1), (4, 1, 1)])
@pytest.mark.parametrize("m, n, kk", [(1, 8, 32), (9, 16, 40), (17, 24, 64)])
def test_parts_sum_to_the_product(m: int, n: int, kk: int, split_k: int, split_m: int, split_n: int) -> None:
    bench = Bench()
    x, w = bench.put("x", (m, kk)), bench.put("w", (kk, n), role="weight")
    parts = bench.k.hbm("parts", (split_k, m, n), "fp32", "out")
    gemm_parts(bench.k, x, w, parts, GemmTiling(8, 8, 8, split_m, split_n, False, 2, chunk_m=4))
    got = bench.run(both=m == 9)["parts"]
    close(got.sum(0), bench.wide("x") @ bench.wide("w"), "fp32")
    slices = kk // 8
    ends = [slices * s // split_k * 8 for s in range(split_k + 1)]
    for s, (lo, hi) in enumerate(zip(ends, ends[1:])):
        close(got[s], bench.wide("x")[:, lo:hi] @ bench.wide("w")[lo:hi], "fp32")


@pytest.mark.parametrize("split_k, m, n, width", [(2, 1, 8, 8), (3, 5, 24, 16), (7, 9, 16, 64)])
def test_parts_are_added_in_order(split_k: int, m: int, n: int, width: int) -> None:
    bench = Bench()
    parts, out = bench.put("parts", (split_k, m, n), "fp32"), bench.k.hbm("y", (m, n), "fp32", "out")
    add_parts(bench.k, parts, out, width)
    want = bench.inputs["parts"][0]
    for part in bench.inputs["parts"][1:]:
        want = want + part
    assert np.array_equal(bench.run(both=True)["y"], want)


def test_more_parts_than_slices_are_refused() -> None:
    bench = Bench()
    x, w = bench.put("x", (8, 16)), bench.put("w", (16, 8), role="weight")
    with pytest.raises(emu.EmuError, match="cannot be split into 3"):
        gemm_parts(bench.k, x, w, bench.k.hbm("parts", (3, 8, 8), "fp32", "out"), GemmTiling(8, 8, 8, a_resident=False))
