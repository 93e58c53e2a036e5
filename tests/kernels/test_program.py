"""Several kernels in one program: a loop over layers, weights fetched ahead of barriers, memory shared by operations."""

from __future__ import annotations

import time

import numpy as np
import pytest
from kernel_support import ACTIVATION, Bench, attention, close, layer, rms

import emu
from emu.errors import ProgramError
from emu.kernels import Tracer
from emu.kernels.attention_prefill import PrefillTiling, attention_prefill
from emu.kernels.gemm import Epilogue, GemmTiling, gemm
from emu.kernels.heads import Attention, Heads
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


def test_many_operations_share_semaphores():
    """A core has 255 semaphores; operations between the same streams take turns with them."""
    bench = Bench()
    k, d, count = bench.k, 16, 30
    h, w, bias = bench.put("h", (9, d), role="inout"), bench.put("w", (count, d, d), role="weight", scale=0.05), bench.put("bias", (d,))
    k.weight_ring(8 * 16 * 2, 3)
    for i in range(count):
        gemm(k, h, w.select(i), h, GemmTiling(8, 16, 8, 2, 1), Epilogue(bias, "silu", residual=h))
    program = k.program()
    assert len(program.semaphores) < 40 and len(program.labels) == count
    want = bench.wide("h")
    for i in range(count):
        want = want + ACTIVATION["silu"](want @ bench.wide("w")[i] + bench.wide("bias"))
    close(bench.run()["h"], want, "bf16")


@pytest.mark.parametrize("tokens", [1, 7, 16, 19])
def test_encoder_layer(tokens):
    """A BERT layer: fused qkv with bias, bidirectional attention straight from its columns, norms after the residuals."""
    bench, batch, heads, dim, f = Bench(), 2, 2, 8, 24
    k, d, rows = bench.k, heads * dim, batch * tokens
    x = bench.put("x", (rows, d))
    w = {n: bench.put(n, s, role="weight", scale=0.25) for n, s in (("wqkv", (d, 3 * d)), ("wo", (d, d)), ("w1", (d, f)), ("w2", (f, d)))}
    v = {n: bench.put(n, (s,), scale=0.5) for n, s in (("bqkv", 3 * d), ("bo", d), ("b1", f), ("b2", d), ("g", d), ("b", d))}
    qkv, a, sum1, h, mid, sum2 = (k.hbm(n, (rows, c), "bf16") for n, c in zip("qkv a sum1 h mid sum2".split(), (3 * d, d, d, d, f, d)))
    out = k.hbm("out", (rows, d), "bf16", "out")
    t, row = GemmTiling(8, 8, 8, 2, 2), RowTiling(2)
    how = Norm("layer", v["g"], v["b"], 1e-12)
    gemm(k, x, w["wqkv"], qkv, t, Epilogue(v["bqkv"]))
    q, keys, values = (Heads(qkv, batch, dim, i * d) for i in range(3))
    shape = Attention(batch, heads, 1, dim, tokens, tokens, causal=False)
    attention_prefill(k, q, keys, values, Heads(a, batch, dim), shape, PrefillTiling(8, 8, 2, 2))
    gemm(k, a, w["wo"], sum1, t, Epilogue(v["bo"], residual=x))
    norm(k, sum1, h, how, row)
    gemm(k, h, w["w1"], mid, t, Epilogue(v["b1"], "gelu_erf"))
    gemm(k, mid, w["w2"], sum2, t, Epilogue(v["b2"], residual=h))
    norm(k, sum2, out, how, row)
    got = bench.run(both=tokens == 7)["out"]
    of = {n: bench.wide(n) for n in bench.inputs}
    y = (of["x"] @ of["wqkv"] + of["bqkv"]).reshape(batch, tokens, 3, heads, dim).transpose(2, 0, 3, 1, 4)
    y = attention(*y, causal=False).transpose(0, 2, 1, 3).reshape(rows, d)
    y = layer(y @ of["wo"] + of["bo"] + of["x"], of["g"], of["b"])
    y = layer(ACTIVATION["gelu_erf"](y @ of["w1"] + of["b1"]) @ of["w2"] + of["b2"] + y, of["g"], of["b"])
    close(got, y, "bf16")
