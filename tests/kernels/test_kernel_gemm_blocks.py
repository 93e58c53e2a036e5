"""The product by thread blocks against NumPy and, bit for bit, the gemm that is one long program: any shape, tile and residency."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_support import Bench, close, run

import emu
from emu.kernels.gemm import GemmTiling, gemm
from emu.kernels.gemm_blocks import BlockTiling, gemm_blocks, gemm_in_blocks, walk


@pytest.mark.parametrize("resident, stages, panel, persistent", [(1, 2, 1, False), (2, 1, 2, False), (1, 3, 8, True)])
@pytest.mark.parametrize("m, n, kk", [(1, 8, 8), (9, 16, 40), (33, 40, 64), (64, 24, 17)])
def test_blocks_make_the_product(m: int, n: int, kk: int, resident: int, stages: int, panel: int, persistent: bool) -> None:
    bench = Bench()
    x, w, out = bench.put("x", (m, kk)), bench.put("w", (kk, n), role="weight"), bench.k.hbm("y", (m, n), "fp32", "out")
    gemm_blocks(bench.k, x, w, out, BlockTiling(8, 8, 8, stages, resident, 1, panel, persistent, 1 + persistent))
    got = bench.run(both=m == 9)["y"]
    close(got, bench.wide("x") @ bench.wide("w"), "fp32")
    other = Bench()
    x, w, out = other.put("x", (m, kk)), other.put("w", (kk, n), role="weight"), other.k.hbm("y", (m, n), "fp32", "out")
    gemm(other.k, x, w, out, GemmTiling(8, 8, 8, a_resident=False))
    assert np.array_equal(other.run()["y"], got)


@pytest.mark.parametrize("m, n, kk, persistent", [(16, 8, 8, False), (9, 16, 40, True), (40, 40, 64, False), (70, 24, 17, True)])
def test_two_cores_share_the_loads_of_weights(m: int, n: int, kk: int, persistent: bool) -> None:
    chip = emu.chip("tiny")
    got, read = [], []
    for cluster in (1, 2):
        bench = Bench(chip, cores=2)
        x, w, out = bench.put("x", (m, kk)), bench.put("w", (kk, n), role="weight"), bench.k.hbm("y", (m, n), "fp32", "out")
        gemm_blocks(bench.k, x, w, out, BlockTiling(8, 8, 8, 3, 1, 1, 2, persistent, cluster=cluster))
        program = bench.k.program()
        got.append(run(program, chip, bench.inputs, both=m == 9)["y"])
        read.append(emu.Machine(chip).run(program, bench.inputs).counters["hbm_read_bytes"])
    close(got[1], bench.wide("x") @ bench.wide("w"), "fp32")
    assert np.array_equal(*got)
    if m == 40:
        x_bytes, w_bytes = 5 * m * kk * 2, kk * n * 2
        assert read == [x_bytes + 5 * w_bytes, x_bytes + 3 * w_bytes]  # five rows of tiles, in three pairs


@pytest.mark.parametrize("kk", [8, 40, 37])
def test_x_in_slices(kk: int) -> None:
    got = []
    for sliced in (False, True):
        bench = Bench()
        x, w = bench.put("x", (17, kk)), bench.put("w", (kk, 16), role="weight")
        if sliced:
            whole = np.zeros((-(-kk // 8), 17, 8), bench.inputs["x"].dtype)
            for s in range(len(whole)):
                part = bench.inputs["x"][:, 8 * s : 8 * s + 8]
                whole[s, :, : part.shape[1]] = part
            x = bench.set("sliced", whole, "bf16")
        out = bench.k.hbm("y", (17, 16), "fp32", "out")
        gemm_blocks(bench.k, x, w, out, BlockTiling(8, 8, 8, 2))
        got.append(bench.run(both=True)["y"])
    assert np.array_equal(*got)


@pytest.mark.parametrize("split_k", [2, 3, 5])
def test_divided_sums(split_k: int) -> None:
    bench = Bench()
    x, w, out = bench.put("x", (17, 40)), bench.put("w", (40, 24), role="weight"), bench.k.hbm("y", (17, 24), "bf16", "out")
    gemm_in_blocks(bench.k, x, w, out, BlockTiling(8, 8, 8, 2, 1, split_k), 64)
    close(bench.run(both=split_k == 3)["y"], bench.wide("x") @ bench.wide("w"), "bf16")


def test_every_tile_once() -> None:
    places = walk(7, 5, BlockTiling(8, 8, 8, 2, split_k=3, panel=4))
    assert sorted(places) == [(p, r, c) for p in range(3) for r in range(7) for c in range(5)]


def test_a_block_waits_for_the_store_before_it() -> None:
    """With one block on a core nothing of the next one is loaded before the last is stored; with two, loads hide behind the other one."""

    def run(resident: int, persistent: bool = False) -> float:
        bench = Bench(cores=1)
        x, w, out = bench.put("x", (64, 64)), bench.put("w", (64, 64), role="weight"), bench.k.hbm("y", (64, 64), "fp32", "out")
        gemm_blocks(bench.k, x, w, out, BlockTiling(16, 16, 16, 2, resident, persistent=persistent))
        program = bench.k.program()
        trace = emu.Machine(bench.chip).run(program, bench.inputs, trace=True)
        return trace.seconds

    assert run(1) > run(2) > 0
    assert run(1) > run(1, True)


def test_parts_must_fit() -> None:
    bench = Bench()
    x, w, out = bench.put("x", (8, 16)), bench.put("w", (16, 8), role="weight"), bench.k.hbm("y", (8, 8), "fp32", "out")
    with pytest.raises(emu.EmuError, match="2 parts of a sum of 2 slices do not fit"):
        gemm_blocks(bench.k, x, w, out, BlockTiling(8, 8, 8, 2, split_k=2))
