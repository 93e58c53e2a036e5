"""Attention against NumPy: causal bounds, GQA, ragged lengths, windows, split caches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_support import Bench, attention, close

from emu.errors import UnsupportedError
from emu.kernels.attention_decode import DecodeTiling, attention_decode, attention_merge, partials
from emu.kernels.attention_prefill import PrefillTiling, attention_prefill
from emu.kernels.decode_blocks import DecodeBlocks, decode_blocks
from emu.kernels.heads import Attention, Heads
from emu.kernels.norm import RowTiling


def by_head(x, batch, heads, dim):
    """[batch * tokens, heads * dim] as [batch, heads, tokens, dim]."""
    return x.reshape(batch, -1, heads, dim).transpose(0, 2, 1, 3)


def prefill(shape: Attention, tiling: PrefillTiling, both: bool = False) -> None:
    bench = Bench()
    heads, capacity = shape.kv_heads * shape.group, shape.kv_len + 3
    q = bench.put("q", (shape.batch * shape.q_len, heads * shape.head_dim))
    cache = (shape.batch, shape.kv_heads, capacity, shape.head_dim)
    keys, values = bench.put("k", cache), bench.put("v", cache)
    out = bench.k.hbm("y", (shape.batch * shape.q_len, heads * shape.head_dim), "bf16", "out")

    def at(t):
        return Heads(t, shape.batch, shape.head_dim)

    attention_prefill(bench.k, at(q), at(keys), at(values), at(out), shape, tiling)
    got = by_head(bench.run(both)["y"], shape.batch, heads, shape.head_dim)
    keys_, values_ = (bench.wide(n)[:, :, : shape.kv_len] for n in "kv")
    window = shape.window if shape.causal else 0
    close(got, attention(by_head(bench.wide("q"), shape.batch, heads, shape.head_dim), keys_, values_, shape.causal, window), "bf16")


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("tiles", [(8, 8), (16, 8), (8, 16), (8, 32)])
@pytest.mark.parametrize("lengths", [(1, 1), (7, 7), (8, 8), (9, 9), (33, 33), (16, 24), (5, 40), (9, 23)])
def test_prefill_lengths(causal, tiles, lengths):
    for in_place, group in ((False, 1), (False, 2), (True, 2)):
        prefill(Attention(1, 2, group, 8, *lengths, causal), PrefillTiling(*tiles, 1, 2, 2, in_place=in_place))


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    st.integers(1, 2), st.integers(1, 3), st.integers(1, 4), st.sampled_from([8, 12, 16]), st.integers(1, 30), st.integers(0, 12),
    st.sampled_from([(1, 1, 4), (2, 2, 1), (1, 2, 2), (1, 1, 3)]), st.sampled_from([(8, 8), (8, 16), (16, 8)]),
)
def test_prefill_random(batch, kv_heads, group, dim, q_len, past, split, tiles):
    shape = Attention(batch, kv_heads, group, dim, q_len, q_len + past)
    for in_place in (False, True):
        prefill(shape, PrefillTiling(*tiles, *split, resident=int(in_place), in_place=in_place), both=q_len < 6)


def test_prefill_window():
    for in_place in (False, True):
        prefill(Attention(1, 1, 2, 8, 40, 44, window=11), PrefillTiling(8, 8, 1, 1, 4, in_place=in_place), both=True)


@pytest.mark.parametrize("tiles", [(8, 8), (16, 8), (8, 16)])
def test_prefill_dealt_tile_by_tile(tiles):
    for causal in (False, True):
        for order in ({}, {"ascending": True}, {"section": 2, "scanned": 1}):
            tiling = PrefillTiling(*tiles, resident=1, in_order=True, dealt=True, in_place=causal, **order)
            prefill(Attention(2, 3, 2, 8, 37, 41, causal), tiling, both=True)


def test_prefill_leaves_in_pieces(monkeypatch):
    monkeypatch.setattr("emu.kernels.attention_prefill.OUT_BYTES", 64)
    for q_len in (7, 29):
        prefill(Attention(1, 1, 2, 8, q_len, 33), PrefillTiling(16, 8, resident=1, in_place=True), both=True)


def test_causal_tiles_must_divide():
    with pytest.raises(UnsupportedError, match="divide"):
        prefill(Attention(1, 1, 1, 8, 20, 20), PrefillTiling(12, 8))


def test_causal_skips_hidden_tiles():
    """A causal prefill reads about half of what a full one reads."""
    sizes = []
    for causal in (True, False):
        bench = Bench()
        q, keys, values = (bench.put(n, (1, 1, 64, 8)) for n in "qkv")
        out = bench.k.hbm("y", (64, 8), "bf16", "out")
        at = [Heads(t, 1, 8) for t in (q, keys, values, out)]
        attention_prefill(bench.k, *at, Attention(1, 1, 1, 8, 64, 64, causal), PrefillTiling(8, 8))
        import emu

        sizes.append(emu.Machine(bench.chip).run(bench.k.program(), bench.inputs).counters["hbm_read_bytes"])
    tile = 8 * 8 * 2
    assert sizes[0] == 8 * tile + 2 * tile * 36 and sizes[1] == 8 * tile + 2 * tile * 64


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.sampled_from([8, 12]), st.sampled_from([1, 7, 8, 9, 31, 40]),
    st.sampled_from([(1, 1, 1), (1, 1, 4), (2, 2, 1), (1, 2, 2), (1, 1, 3)]), st.sampled_from([8, 16]),
)
def test_decode(batch, kv_heads, group, dim, kv_len, split, tile):
    bench = Bench()
    shape = Attention(batch, kv_heads, group, dim, 1, kv_len)
    heads = kv_heads * group
    q = bench.put("q", (batch, heads * dim))
    keys, values = (bench.put(n, (batch, kv_heads, kv_len + 2, dim)) for n in "kv")
    out = bench.k.hbm("y", (batch, heads * dim), "bf16", "out")
    at = [Heads(t, batch, dim) for t in (q, keys, values)]
    if split[2] == 1:
        attention_decode(bench.k, *at, Heads(out, batch, dim), shape, DecodeTiling(tile, *split))
    else:
        parts = partials(bench.k, shape, split[2])
        attention_decode(bench.k, *at, parts, shape, DecodeTiling(tile, *split))
        attention_merge(bench.k, parts, out, RowTiling(2))
    got = by_head(bench.run(both=kv_len < 8)["y"], batch, heads, dim)
    want = attention(by_head(bench.wide("q"), batch, heads, dim), *(bench.wide(n)[:, :, :kv_len] for n in "kv"), causal=False)
    close(got, want, "bf16")
    assert np.isfinite(got).all()


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    st.integers(1, 5), st.integers(1, 3), st.integers(1, 4), st.sampled_from([8, 12]), st.sampled_from([1, 7, 8, 9, 31, 40]),
    st.integers(1, 4), st.sampled_from([8, 16]), st.integers(1, 3), st.integers(0, 3), st.integers(0, 2),
)
def test_decode_blocks(batch, kv_heads, group, dim, kv_len, split, tile, repeat, in_turn, scanned):
    """Thread blocks in place, whatever their rings, repeated rows and reads; the merge at once or part by part."""
    bench = Bench()
    shape, heads = Attention(batch, kv_heads, group, dim, 1, kv_len), kv_heads * group
    q = bench.put("q", (batch, heads * dim))
    keys, values = (bench.put(n, (batch, kv_heads, kv_len + 2, dim)) for n in "kv")
    out, table = bench.k.hbm("y", (batch, heads * dim), "bf16", "out"), bench.put("table", (batch,))
    at = [Heads(t, batch, dim) for t in (q, keys, values)]
    t = DecodeBlocks(tile, split, 1 + in_turn % 2, 2, scanned, repeat, in_turn)
    t = replace(t, split_kv=t.parts(kv_len))
    if t.split_kv == 1:
        decode_blocks(bench.k, *at, Heads(out, batch, dim), shape, t, table)
    else:
        parts = partials(bench.k, shape, t.split_kv)
        decode_blocks(bench.k, *at, parts, shape, t, table)
        attention_merge(bench.k, parts, out, RowTiling(2), in_turn=bool(in_turn))
    got = by_head(bench.run(both=kv_len < 8)["y"], batch, heads, dim)
    want = attention(by_head(bench.wide("q"), batch, heads, dim), *(bench.wide(n)[:, :, :kv_len] for n in "kv"), causal=False)
    close(got, want, "bf16")
    assert np.isfinite(got).all()


def test_decode_blocks_refuse_parts_without_keys():
    bench = Bench()
    shape = Attention(1, 1, 1, 8, 1, 9)
    at = [Heads(bench.put(n, (1, 1, 9, 8)), 1, 8) for n in "qkv"]
    with pytest.raises(UnsupportedError, match="parts that each have keys"):
        decode_blocks(bench.k, *at, partials(bench.k, shape, 3), shape, DecodeBlocks(8, 3))
