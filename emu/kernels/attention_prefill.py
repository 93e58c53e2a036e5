"""softmax(q k^T) v for many queries per sequence, causal or not: the queries of a group of heads move, keys and values are stationary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from emu.errors import UnsupportedError
from emu.kernels.heads import Attention, Heads
from emu.kernels.lang import Tile, Tracer, Value, format_bytes, kernel
from emu.kernels.online import Online, Scratch
from emu.kernels.shard import Share, grid


@dataclass(frozen=True)
class PrefillTiling:
    """Queries and keys per tile (one must divide the other if causal) and the grid of cores: sequences x kv heads x query tiles."""

    tile_q: int
    tile_kv: int
    split_b: int = 1
    split_h: int = 1
    split_q: int = 1
    depth_kv: int = 2
    depth_acc: int = 1


@dataclass(frozen=True)
class Span:
    """Key tiles of a query tile: `full` that every query sees, then `edge` that need a mask, the first of them shifted by `diag`."""

    full: Value
    edge: Value
    diag: Value


class _Rings:
    """On-chip memory that every query tile and both kinds of key tiles share."""

    def __init__(self, k: Tracer, q: Heads, keys: Heads, values: Heads, s: Attention, t: PrefillTiling) -> None:
        rows = s.group * t.tile_q
        self.scratch = Scratch(k, (s.group, t.tile_q), t.tile_kv, q.tensor.fmt, 2)
        self.k = k.ring("k", t.tile_kv * s.head_dim * format_bytes(keys.tensor.fmt), t.depth_kv)
        self.v = k.ring("v", t.tile_kv * s.head_dim * format_bytes(values.tensor.fmt), t.depth_kv)
        self.s = k.ring("s", rows * t.tile_kv * 4, t.depth_acc, "acc")
        self.pv = k.ring("pv", rows * s.head_dim * 4, t.depth_acc, "acc")


@dataclass(frozen=True)
class _Queries:
    """A tile of queries of the heads of one group, and the keys and values it passes."""

    keys: Heads
    values: Heads
    shape: Attention
    tiling: PrefillTiling
    rings: _Rings
    b: Value
    h: Value
    valid: Value
    rows: Tile
    state: Online

    def step(self, k: Tracer, j: Value, diag: Value | None) -> None:
        """The j-th key tile."""
        s, t, rings = self.shape, self.tiling, self.rings
        count = k.maximum(k.minimum(t.tile_kv, s.kv_len - j * t.tile_kv), 0)
        key = k.fetch(self.keys.at(self.b, self.h, 1, j * t.tile_kv, t.tile_kv, count), ring=rings.k)[0]
        value = k.fetch(self.values.at(self.b, self.h, 1, j * t.tile_kv, t.tile_kv, count), ring=rings.v)[0]
        scores = k.next(rings.s, (s.group, t.tile_q, t.tile_kv), "fp32", (s.group, self.valid, count))
        k.mm(scores, self.rows, key, bt=True)
        p = self.state.step(scores, diag, s.window if diag is not None else 0)
        product = k.next(rings.pv, (s.group, t.tile_q, s.head_dim), "fp32", (s.group, self.valid, s.head_dim))
        k.mm(product, p, value)
        self.state.add(product)


@kernel
def attention_prefill(k: Tracer, q: Heads, keys: Heads, values: Heads, out: Heads, shape: Attention, tiling: PrefillTiling) -> None:
    """out = softmax(scale * q keys^T) values per head. A core takes every split_q-th query tile, so causal work is even."""
    t, s = tiling, shape
    per_block = _tiles_per_block(s, t)
    tiles = min(per_block, -(-s.q_len // t.tile_q))
    split_tiles = min(t.split_q, tiles)
    shares = grid(
        k, (s.batch, s.kv_heads, -(-s.q_len // (t.tile_q * per_block)), tiles),
        (t.split_b, t.split_h, t.split_q // split_tiles, split_tiles), interleaved=(2, 3),
    )
    rings = _Rings(k, q, keys, values, s, t)
    for b, h, block, tile in _work(k, shares):
        span = _span(k, s, t, block, tile, per_block)
        q0 = (block * per_block + tile) * t.tile_q
        valid = k.maximum(k.minimum(t.tile_q, s.q_len - q0), 0)
        rows = k.fetch(q.at(b, h * s.group, s.group, q0, t.tile_q, valid), 2, name="q")
        state = Online(k, (s.group, t.tile_q), (s.group, valid), s.head_dim, s.softmax_scale, rings.scratch)
        queries = _Queries(keys, values, s, t, rings, b, h, valid, rows, state)
        for j in k.loop(span.full):
            queries.step(k, j, None)
        for e in k.loop(span.edge):
            queries.step(k, span.full + e, span.diag - e * t.tile_kv)
        o = k.tile((s.group, t.tile_q, s.head_dim), out.tensor.fmt, "sram", 2, (s.group, valid, s.head_dim), "out")
        state.result(o)
        k.store(out.at(b, h * s.group, s.group, q0, t.tile_q, valid), o)


def _work(k: Tracer, shares: list[Share]) -> Iterator[tuple[Value, Value, Value, Value]]:
    """The loops over this core's sequences, heads, blocks of query tiles, and query tiles in a block."""
    b, h, block, tile = shares
    for i in k.loop(b.count):
        for j in k.loop(h.count):
            for m in k.loop(block.count):
                for n in k.loop(tile.count):
                    yield b.unit(i), h.unit(j), block.unit(m), tile.unit(n)


def _tiles_per_block(s: Attention, t: PrefillTiling) -> int:
    """Query tiles as wide together as one key tile (1 if a query tile is at least that wide), so that loop bounds stay affine."""
    if not s.causal or t.tile_q % t.tile_kv == 0:
        return 1
    if t.tile_kv % t.tile_q:
        raise UnsupportedError(f"causal attention needs tile_q and tile_kv to divide one another; got {t.tile_q} and {t.tile_kv}")
    return t.tile_kv // t.tile_q


def _span(k: Tracer, s: Attention, t: PrefillTiling, block: Value, tile: Value, per_block: int) -> Span:
    total = -(-s.kv_len // t.tile_kv)
    if not s.causal:
        return Span(total, 0, 0)
    if per_block == 1:
        seen = block * (t.tile_q // t.tile_kv)  # key tiles up to the first query, had there been no past
        full, count = (s.past + 1) // t.tile_kv, -(-(t.tile_q + s.past) // t.tile_kv)
        shift: Value = 0
    else:
        seen = block
        full = s.past // t.tile_kv
        count = full + (1 if s.past % t.tile_kv == 0 else 2)
        shift = tile * t.tile_q
    if 0 < s.window < s.kv_len:
        return Span(0, k.minimum(total, seen + count), seen * t.tile_kv + shift + s.past)
    edge = k.maximum(k.minimum(count - full, total - full - seen), 0)
    return Span(seen + full, edge, shift + (s.past - full * t.tile_kv))
