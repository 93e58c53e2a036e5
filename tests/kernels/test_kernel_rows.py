"""Row-wise kernels against NumPy: norms, rope with cache append, embedding, softmax, sums, pooling."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_support import Bench, close, layer, rms, softmax

from emu.kernels.embed import EmbedTiling, Learned, embed
from emu.kernels.heads import Attention, Heads
from emu.kernels.norm import Norm, RowTiling, norm
from emu.kernels.rope import Rope, RopeTiling, rope_append
from emu.kernels.rows import add, pool, take_last
from emu.kernels.rows import softmax as softmax_kernel

ROWS = [1, 3, 7, 8, 17]


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("kind", ["rms", "layer"])
def test_norm(rows, kind):
    bench = Bench()
    x, gamma, beta = bench.put("x", (rows, 37)), bench.put("gamma", (37,)), bench.put("beta", (37,))
    out = bench.k.hbm("y", (rows, 37), "bf16", "out")
    norm(bench.k, x, out, Norm(kind, gamma, beta if kind == "layer" else None), RowTiling(2))
    args = [bench.wide(n) for n in ("x", "gamma", "beta")]
    close(bench.run(both=rows < 8)["y"], rms(*args[:2]) if kind == "rms" else layer(*args), "bf16")


@pytest.mark.parametrize(
    "batch,tokens,past,split", [(1, 1, 0, (1, 2, 1)), (2, 1, 5, (2, 2, 1)), (1, 9, 0, (1, 1, 4)), (2, 5, 3, (1, 2, 2))],
)
@pytest.mark.parametrize("turn", [True, False])
def test_rope_append(batch, tokens, past, split, turn):
    kv, group, dim, capacity = 2, 2, 8, 16
    heads = kv * group
    bench = Bench()
    qkv = bench.put("qkv", (batch * tokens, (heads + 2 * kv) * dim))
    angle = np.arange(capacity)[:, None] * 0.3 ** np.arange(dim // 2)[None]
    cos, sin = bench.set("cos", np.cos(angle).astype(np.float32), "fp32"), bench.set("sin", np.sin(angle).astype(np.float32), "fp32")
    fill = np.zeros((batch, kv, capacity, dim), bench.inputs["qkv"].dtype)
    k_cache, v_cache = bench.set("k_cache", fill, "bf16", "inout"), bench.set("v_cache", fill, "bf16", "inout")
    q_out = bench.k.hbm("q_out", (batch * tokens, heads * dim), "bf16", "out" if turn else "temp")
    rope_append(
        bench.k, Heads(qkv, batch, dim), Heads(qkv, batch, dim, heads * dim), Heads(qkv, batch, dim, (heads + kv) * dim),
        Heads(q_out, batch, dim), Heads(k_cache, batch, dim), Heads(v_cache, batch, dim),
        Attention(batch, kv, group, dim, tokens, past + tokens), RopeTiling(4, *split), Rope(cos, sin) if turn else None,
    )
    got = bench.run(both=True)
    x = bench.wide("qkv").reshape(batch, tokens, heads + 2 * kv, dim).transpose(0, 2, 1, 3)
    a = angle[past : past + tokens]
    x1, x2 = x[..., : dim // 2], x[..., dim // 2 :]
    y = np.concatenate([x1 * np.cos(a) - x2 * np.sin(a), x2 * np.cos(a) + x1 * np.sin(a)], -1) if turn else x
    if turn:
        close(got["q_out"].reshape(batch, tokens, heads, dim).transpose(0, 2, 1, 3), y[:, :heads], "bf16")
    close(got["k_cache"][:, :, past : past + tokens], y[:, heads : heads + kv], "bf16")
    close(got["v_cache"][:, :, past : past + tokens], x[:, heads + kv :], "bf16")
    assert not got["k_cache"][:, :, :past].any() and not got["v_cache"][:, :, past + tokens :].any()


@pytest.mark.parametrize("parts", ["", "p", "s", "ps"])
@pytest.mark.parametrize("batch,tokens,split", [(1, 1, (1, 4)), (2, 9, (2, 2)), (3, 5, (1, 3))])
def test_embed(parts, batch, tokens, split):
    bench = Bench()
    ids = bench.set("ids", bench.random.integers(0, 50, batch * tokens).astype(np.int32), "int32", "index")
    table = bench.put("table", (50, 24), role="weight")
    positions = bench.put("positions", (20, 24)) if "p" in parts else None
    segments = bench.put("segments", (2, 24)) if "s" in parts else None
    out = bench.k.hbm("y", (batch * tokens, 24), "bf16", "out")
    embed(bench.k, ids, table, out, batch, EmbedTiling(4, *split), Learned(positions, segments, 2))
    want = bench.wide("table")[bench.inputs["ids"]].reshape(batch, tokens, 24)
    if positions is not None:
        want = want + bench.wide("positions")[2 : 2 + tokens]
    if segments is not None:
        want = want + bench.wide("segments")[0]
    close(bench.run(both=True)["y"], want.reshape(-1, 24), "bf16")


@pytest.mark.parametrize("rows", ROWS)
def test_softmax_and_add(rows):
    bench = Bench()
    x, z = bench.put("x", (rows, 29), scale=3), bench.put("z", (rows, 29))
    y, total = bench.k.hbm("y", (rows, 29), "fp32", "out"), bench.k.hbm("total", (rows, 29), "bf16", "out")
    softmax_kernel(bench.k, x, y, RowTiling(3))
    add(bench.k, x, z, total, RowTiling(3))
    got = bench.run(both=True)
    close(got["y"], softmax(bench.wide("x")), "fp32")
    close(got["total"], bench.wide("x") + bench.wide("z"), "bf16")


@pytest.mark.parametrize("batch,tokens", [(1, 1), (3, 7), (6, 5)])
def test_pool_and_last(batch, tokens):
    bench = Bench()
    x = bench.put("x", (batch * tokens, 21))
    mean, plain, last = (bench.k.hbm(n, (batch, 21), f, "out") for n, f in (("mean", "fp32"), ("plain", "fp32"), ("last", "bf16")))
    pool(bench.k, x, mean, 3)
    pool(bench.k, x, plain, 64, False)
    take_last(bench.k, x, last)
    got = bench.run(both=True)
    rows = bench.wide("x").reshape(batch, tokens, 21)
    want = rows.mean(1)
    close(got["plain"], want, "fp32")
    close(got["mean"], want / np.linalg.norm(want, axis=-1, keepdims=True), "fp32")
    assert (got["last"] == rows[:, -1]).all()
