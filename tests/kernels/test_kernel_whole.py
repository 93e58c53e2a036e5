"""Do instructions of a fixed shape take the time and energy of the whole tile, and compute what is valid and nothing else?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kernel_support import Bench, attention, close

import emu
from emu.kernels.attention_prefill import PrefillTiling, attention_prefill
from emu.kernels.decode_blocks import DecodeBlocks, decode_blocks
from emu.kernels.heads import Attention, Heads

VECTOR = ("add", "mul", "exp", "compare", "convert", "reduce")
GRID = st.tuples(st.integers(1, 12), st.integers(1, 20), st.integers(1, 20))


def product(valid: tuple[int, int, int], shape: tuple[int, int, int], whole: bool):
    """exp(x w) of which only some rows, columns and elements of a sum are valid."""
    bench, (m, n, k), (tall, wide, deep) = Bench(cores=1), valid, shape
    x, w = bench.put("x", (m, k)), bench.put("w", (k, n))
    y = bench.k.hbm("y", (m, n), "fp32", "out")
    with bench.k.op("product", whole=whole):
        for i in bench.k.loop(2):  # the extents depend on the loop, so that they are registers and not constants
            rows = bench.k.minimum(m, m + 5 - 5 * i)
            a = bench.k.tile((tall, deep), "bf16", valid=(rows, k), name="a")
            b = bench.k.tile((deep, wide), "bf16", valid=(k, n), name="b")
            bench.k.load(a[:m, :k], x.at((0, 0), (m, k), (rows, None)))
            bench.k.load(b[:k, :n], w.at((0, 0), (k, n)))
            acc = bench.k.tile((tall, wide), "fp32", "acc", valid=(rows, n), name="acc")
            bench.k.mm(acc, a, b)
            out = bench.k.tile((tall, wide), "fp32", valid=(rows, n), name="out")
            bench.k.exp(out, acc)
            bench.k.store(y.at((0, 0), (m, n), (rows, None)), out[:m, :n])
    return bench


@given(GRID, st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)))
@example((1, 1, 1), (0, 0, 8))  # one of two pieces of k
@example((3, 2, 9), (5, 9, 3))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_masked_lanes_cost_and_do_nothing(valid, more):
    shape = tuple(min(v + extra, -(-v // 8) * 8) for v, extra in zip(valid, more))  # tiny takes eights: a piece without valid lanes is free
    benches = {whole: product(valid, shape, whole) for whole in (False, True)}
    runs = {w: emu.Machine(b.chip).run(b.k.program(), b.inputs, check=True) for w, b in benches.items()}
    assert np.array_equal(runs[True].outputs["y"], runs[False].outputs["y"])
    assert runs[True].counters["useful_macs_bf16"] == runs[False].counters["useful_macs_bf16"] == 2 * np.prod(valid)
    assert runs[True].counters["vec_exp"] == 2 * shape[0] * shape[1]
    assert runs[True].counters["array_macs_bf16"] >= runs[False].counters["array_macs_bf16"]
    assert runs[True].end_fs >= runs[False].end_fs
    matrix = benches[True].chip.core.matrix  # an instruction of which nothing is valid is not there; all others have their whole shape
    there = tuple(min(s, -(-v // most) * most) for v, s, most in zip(valid, shape, (matrix.max_m, matrix.max_n, matrix.max_k)))
    full = product(there, there, False)  # where all is valid, there is nothing more to pay
    lanes = emu.Machine(full.chip).run(full.k.program(), values=False).counters
    assert runs[True].counters["array_macs_bf16"] == lanes["array_macs_bf16"]


def prefill_of(shape: Attention, tiling: PrefillTiling, whole: bool = True):
    bench = Bench()
    heads, cache = shape.kv_heads * shape.group, (shape.batch, shape.kv_heads, shape.kv_len, shape.head_dim)
    q = bench.put("q", (shape.batch * shape.q_len, heads * shape.head_dim))
    keys, values = bench.put("k", cache), bench.put("v", cache)
    out = bench.k.hbm("y", (shape.batch * shape.q_len, heads * shape.head_dim), "bf16", "out")
    at = [Heads(t, shape.batch, shape.head_dim) for t in (q, keys, values, out)]
    with bench.k.op("attention", whole=whole):
        if shape.q_len == 1 and isinstance(tiling, DecodeBlocks):
            decode_blocks(bench.k, *at, shape, tiling)
        else:
            attention_prefill(bench.k, *at, shape, tiling)
    want = attention(
        bench.wide("q").reshape(shape.batch, shape.q_len, heads, shape.head_dim).swapaxes(1, 2), bench.wide("k"), bench.wide("v"),
        shape.causal,
    )
    return bench, want.swapaxes(1, 2).reshape(shape.batch * shape.q_len, -1)


@given(
    st.integers(1, 2), st.integers(1, 3), st.integers(1, 3), st.integers(1, 40), st.integers(0, 9), st.booleans(), st.booleans(),
    st.sampled_from([(8, 8), (5, 8), (8, 12), (24, 8)]),
)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_dealt_tiles_of_any_size_give_attention(batch, kv_heads, group, q_len, past, causal, turned, tile):
    """Tiles that divide nothing, heads of a group packed query by query, values turned on chip or not."""
    shape = Attention(batch, kv_heads, group, 8, q_len, q_len + past, causal)
    bench, want = prefill_of(shape, PrefillTiling(*tile, resident=1, dealt=True, in_place=True, turned=turned))
    close(bench.run(both=True)["y"], want, "bf16")


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 40), st.integers(0, 9), st.booleans())
@settings(max_examples=15, deadline=None, derandomize=True)
def test_decode_in_tiles_of_more_rows_than_heads(batch, kv_heads, group, kv_len, rows, turned):
    shape = Attention(batch, kv_heads, group, 8, 1, kv_len)
    bench, want = prefill_of(shape, DecodeBlocks(8, 1, rows=rows, turned=turned))
    close(bench.run(both=True)["y"], want, "bf16")


def test_a_ragged_tile_takes_as_long_as_a_full_one():
    """48 of 64 rows: the same products and vector instructions as for 64, and fewer bytes."""
    runs = {}
    for q_len in (6, 8):
        bench, _ = prefill_of(Attention(1, 1, 8, 8, q_len, 8, causal=False), PrefillTiling(8, 8, resident=1, dealt=True, in_place=True))
        runs[q_len] = emu.Machine(bench.chip).run(bench.k.program(), bench.inputs)
    for what in ("array_macs_bf16", "vec_exp", "vec_reduce"):
        assert runs[6].counters[what] == runs[8].counters[what], what
    assert runs[6].counters["useful_macs_bf16"] * 4 == runs[8].counters["useful_macs_bf16"] * 3
    assert runs[6].counters["hbm_read_bytes"] < runs[8].counters["hbm_read_bytes"]


def test_fewer_lanes_than_are_valid_are_refused():
    from isa import assemble

    bench = product((4, 4, 4), (8, 8, 8), True)
    text = bench.k.program().to_text()
    assert ".w1, 8" in text
    with pytest.raises(emu.ProgramError, match="w0 to w3"):
        emu.Machine(bench.chip).run(assemble(text.replace(".w1, 8", ".w1, 1")), bench.inputs)
