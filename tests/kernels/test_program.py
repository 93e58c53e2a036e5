"""Several kernels in one program: a loop over layers, weights fetched ahead of barriers, memory shared by operations."""

from __future__ import annotations

import time

import numpy as np
import pytest
from kernel_support import ACTIVATION, Bench, close, rms

import emu
from emu.errors import ProgramError
from emu.kernels import Tracer
from emu.kernels.gemm import Epilogue, GemmTiling, gemm
from emu.kernels.norm import Norm, RowTiling, norm


def mlp(bench: Bench, layers: int, rows: int, fused: bool, order: str = "loop") -> None:
    k, d, f = bench.k, 16, 40
    h = bench.put("h", (rows, d), role="inout")
    up, down = bench.put("up", (layers, d, f), role="weight", scale=0.2), bench.put("down", (layers, f, d), role="weight", scale=0.2)
    gamma = bench.put("gamma", (layers, d), role="weight")
    normed, wide = k.hbm("normed", (rows, d), "bf16"), k.hbm("wide", (rows, f), "bf16")
    k.weight_ring(16 * 8 * 2, 6)
    tiling = GemmTiling(8, 8, 16, 2, 2)
    for i in k.loop(layers):
        how = Norm("rms", gamma.select(i))
        if fused:
            gemm(k, h, up.select(i), wide, tiling, Epilogue(activation="silu"), how)
        else:
            norm(k, h, normed, how, RowTiling(2))
            gemm(k, normed, up.select(i), wide, tiling, Epilogue(activation="silu"))
        gemm(k, wide, down.select(i), h, tiling, Epilogue(residual=h))


def expected(bench: Bench, layers: int) -> np.ndarray:
    h, up, down, gamma = (bench.wide(n) for n in ("h", "up", "down", "gamma"))
    for i in range(layers):
        h = h + ACTIVATION["silu"](rms(h, gamma[i]) @ up[i]) @ down[i]
    return h


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("rows", [1, 7, 16, 21])
@pytest.mark.parametrize("layers", [1, 3])
def test_layers(fused, rows, layers):
    bench = Bench()
    mlp(bench, layers, rows, fused)
    close(bench.run(both=rows == 7)["h"], expected(bench, layers), "bf16")


@pytest.mark.parametrize("seed", range(1, 5))
def test_any_legal_order_gives_the_same_values(seed):
    bench, other = Bench(), Bench()
    mlp(bench, 2, 9, False)
    mlp(other, 2, 9, False)
    assert (bench.run()["h"] == other.run(order_seed=seed)["h"]).all()


def test_program_is_well_formed_and_deterministic():
    programs = []
    for _ in range(2):
        bench = Bench()
        mlp(bench, 3, 9, False)
        programs.append(bench.k.program().check())
    first, second = programs
    assert first.to_bytes() == second.to_bytes() and first.from_bytes(first.to_bytes()).to_text() == first.to_text()
    assert first.labels == ["norm", "gemm", "gemm_2"]
    assert [b.streams for b in first.barriers] == [("mm", "vec", "ld1", "st0")]
    assert {name: len(words) for name, words in first.streams.items()} == {name: len(lines) for name, lines in first.lines.items()}
    assert any("gemm.py" in line and "k.mm" in line for line in first.lines["mm"])


def test_weights_of_the_next_operation_are_fetched_before_the_barrier():
    """With a deep ring the second gemm's weights are on chip when its input is ready; with one slot they are not."""
    cycles = []
    for depth in (1, 12):
        bench = Bench()
        k = bench.k
        x, a, b = bench.put("x", (1, 64)), bench.put("a", (64, 64), role="weight"), bench.put("b", (64, 64), role="weight")
        mid, out = k.hbm("mid", (1, 64), "bf16"), k.hbm("out", (1, 64), "bf16", "out")
        k.weight_ring(32 * 16 * 2, depth)
        gemm(k, x, a, mid, GemmTiling(1, 16, 32, 1, 4))
        gemm(k, mid, b, out, GemmTiling(1, 16, 32, 1, 4))
        cycles.append(emu.Machine(bench.chip).run(k.program(), bench.inputs).cycles)
    assert cycles[1] < cycles[0]


def test_ld0_may_not_read_what_the_program_computes():
    bench = Bench()
    k = bench.k
    x, w = bench.put("x", (8, 8)), bench.put("w", (8, 8), role="weight")
    mid, out = k.hbm("mid", (8, 8), "bf16"), k.hbm("out", (8, 8), "bf16", "out")
    gemm(k, x, w, mid, GemmTiling(8, 8, 8))
    gemm(k, x, mid, out, GemmTiling(8, 8, 8))
    with pytest.raises(ProgramError, match="ld0 runs ahead"):
        k.program()


def test_tracing_is_fast():
    """A layer of a llama, ten operations, in well under the time a person notices (DESIGN asks < 50 ms; machines differ)."""
    chip = emu.chip("jalapeno")

    def build() -> float:
        start = time.process_time()
        k = Tracer(chip, "layer")
        k.weight_ring(128 * 512 * 2, 8)
        h, mid = k.hbm("h", (512, 4096), "bf16", "inout"), k.hbm("mid", (512, 4096), "bf16")
        w, gamma = k.hbm("w", (4, 4096, 4096), "bf16", "weight"), k.hbm("g", (4, 4096), "bf16", "weight")
        for i in k.loop(4):
            for _ in range(5):
                norm(k, h, mid, Norm("rms", gamma.select(i)), RowTiling(4))
                gemm(k, mid, w.select(i), h, GemmTiling(128, 512, 128, 4, 8, a_resident=False), Epilogue(residual=h))
        k.program()
        return time.process_time() - start

    assert min(build() for _ in range(3)) < 0.2
