"""softmax(q k^T) v for many queries per sequence, causal or not: the queries of a group of heads move, keys and values are stationary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heapreplace

from emu.errors import UnsupportedError
from emu.kernels.cache_write import look_up, passed_over
from emu.kernels.heads import Attention, Heads
from emu.kernels.lang import Tensor, Tile, Tracer, Value, View, format_bytes, kernel
from emu.kernels.lang.tree import Block
from emu.kernels.online import Online, Scratch, multiply, sum_format
from emu.kernels.shard import grid

OUT_BYTES = 16 << 10
"""Of one piece of the output on its way through the scratchpad; two are there at a time."""


@dataclass(frozen=True)
class PrefillTiling:
    """Queries and keys per tile (one must divide the other if causal) and the grid of cores: sequences x kv heads x query tiles.

    depth_acc 2 lets the scores of the next tile be computed while the vector engine works on the present ones."""

    tile_q: int
    tile_kv: int
    split_b: int = 1
    split_h: int = 1
    split_q: int = 1
    depth_kv: int = 2
    depth_acc: int = 2
    resident: int = 0
    """Query tiles are thread blocks, so many of which are on a core at a time; 0: loads run ahead from one to the next."""
    lookups: int = 0
    """Reads of memory, one after another, that each of them begins with."""
    in_order: bool = False
    """Whether the next scores are begun only behind the product of the last probabilities: then no product runs beside a softmax."""
    dealt: bool = False
    """Whether query tiles of all heads and sequences are dealt out one by one, rather than on the grid."""
    ascending: bool = False
    """Whether they are dealt out head by head, from the first query on; else the longest first, sequence by sequence."""
    section: int = 1 << 30
    """Heads of a sequence whose tiles are dealt out together, the longest first; then come the next heads."""
    sharing: int = 1
    """Heads of the shape that have the same keys, one after another: query heads that a library does not take together (if dealt)."""
    scanned: int = 0
    """Sequences it passes with one more such read on its way from one of its tiles to the next; 0: with none."""
    turned: bool = False
    """Whether the queue that loads values also transposes them on chip."""
    in_place: bool = False
    """Scores, their sum of products and one tile of probabilities stay where products left them, queries and output pass through the
    scratchpad: how kernels work whose accumulators are registers."""

    def piece_rows(self, group: int, dim: int, fmt: str) -> int:
        """Rows of the output that leave together: the most that divide the tile and fit OUT_BYTES, at least one."""
        size = group * dim * format_bytes(fmt)
        return next(r for r in range(self.tile_q, 0, -1) if self.tile_q % r == 0 and (r * size <= OUT_BYTES or r == 1))


@dataclass(frozen=True)
class Span:
    """Key tiles of a query tile: tiles 0 .. full - 1 that every query sees, then `more` and a last one, masked if `diag` is given.

    `diag` is how far the first of these lies behind the first query."""

    full: Value
    more: Value
    diag: Value | None

    def shifted(self, e: Value, tile_kv: int) -> Value | None:
        """The mask of the e-th edge tile."""
        return None if self.diag is None else self.diag - e * tile_kv


class _Rings:
    """On-chip memory that every query tile and both kinds of key tiles share."""

    def __init__(self, k: Tracer, q: Heads, keys: Heads, values: Heads, s: Attention, t: PrefillTiling) -> None:
        rows = s.group * t.tile_q
        self.scratch = Scratch(k, (rows,), t.tile_kv, q.tensor.fmt, 1 if t.in_place else 2)
        self.k = k.ring("k", t.tile_kv * s.head_dim * format_bytes(keys.tensor.fmt), t.depth_kv)
        size = t.tile_kv * s.head_dim * format_bytes(values.tensor.fmt)
        self.v = k.ring("v", size, 1 if t.turned else t.depth_kv)
        self.turned = k.ring("v_turned", size, t.depth_kv) if t.turned else None
        self.s = k.ring("s", rows * t.tile_kv * 4, t.depth_acc, "acc")
        self.pv = k.ring("pv", rows * s.head_dim * 4, 1 if t.in_place else t.depth_acc, "acc")


@dataclass(frozen=True)
class _Queries:
    """A tile of queries, each with the heads of its group one after another as rows, and the keys and values it passes."""

    keys: Heads
    values: Heads
    shape: Attention
    tiling: PrefillTiling
    rings: _Rings
    b: Value
    h: Value
    shared: Value
    valid: Value
    """Rows."""
    rows: View
    state: Online
    begin: Block

    def count(self, k: Tracer, j: Value) -> Value:
        """Keys in the j-th tile."""
        return k.maximum(k.minimum(self.tiling.tile_kv, self.shape.kv_len - j * self.tiling.tile_kv), 0)

    def scores(self, k: Tracer, j: Value) -> Tile:
        """Scores of the j-th key tile."""
        s, t, count = self.shape, self.tiling, self.count(k, j)
        key = k.fetch(self.keys.at(self.b, self.shared, 1, j * t.tile_kv, t.tile_kv, count), ring=self.rings.k)[0]
        scores = k.next(self.rings.s, (s.group * t.tile_q, t.tile_kv), sum_format(self.rows.fmt), (self.valid, count))
        k.mm(scores, self.rows, key, bt=True)
        return scores

    def weigh(self, k: Tracer, scores: Tile, diag: Value | None) -> None:
        """The next tile of probabilities."""
        p = k.put(self.rings.scratch.p, scores.shape, self.rings.scratch.fmt, scores.valid)
        self.state.step(scores, p, diag, self.shape.window if diag is not None else 0)

    def value(self, k: Tracer, j: Value) -> View:
        """Values of the j-th tile."""
        size = self.tiling.tile_kv
        return k.fetch(self.values.at(self.b, self.shared, 1, j * size, size, self.count(k, j)), ring=self.rings.v)[0]

    def product(self, k: Tracer, j: Value, value: View | None = None) -> Tile:
        """The oldest probabilities, which are those of the j-th tile, times its values."""
        s, t, count = self.shape, self.tiling, self.count(k, j)
        value = self.value(k, j) if value is None else value
        rows = s.group * t.tile_q
        p = k.get(self.rings.scratch.p, (rows, t.tile_kv), self.rings.scratch.fmt, (self.valid, count))
        shape, valid = (rows, s.head_dim), (self.valid, s.head_dim)
        ring = self.rings.pv
        product = k.resume(ring, self.begin, shape, valid) if t.in_place else k.next(ring, shape, sum_format(p.fmt), valid)
        multiply(k, product, p, value, self.rings.turned)
        return product

    def step(self, k: Tracer, j: Value, diag: Value | None) -> None:
        """Scores of the j-th tile beside the product of tile j + 1, which came before."""
        if self.tiling.in_order:
            product = self.product(k, j + 1)
            scores = self.scores(k, j)
        else:
            early = self.value(k, j + 1) if self.tiling.turned else None  # they come while keys are loaded, and are turned then
            scores, product = self.scores(k, j), self.product(k, j + 1, early)
        self.weigh(k, scores, diag)
        self.state.add_late(product)

    def leave(self, k: Tracer, out: Heads, q0: Value) -> None:
        """The output, whole or in pieces."""
        s, t, fmt = self.shape, self.tiling, out.tensor.fmt
        queries, space = (t.piece_rows(s.group, s.head_dim, fmt), "sram") if t.in_place else (t.tile_q, "work")
        rows = queries * s.group
        for c in k.loop(t.tile_q // queries):
            part = self.state.o[c * rows : c * rows + rows]
            o = k.tile(part.shape, fmt, space, 2, part.extents, "out")
            self.state.piece(o, c * rows, rows)
            first = q0 + c * queries
            valid = _valid(k, s, first, queries)
            by_head = o.reshape((queries, s.group, s.head_dim), (valid, s.group, s.head_dim))
            k.store(_of_group(out, self.b, self.h, s, first, queries, valid), by_head)


@kernel
def attention_prefill(
    k: Tracer, q: Heads, keys: Heads, values: Heads, out: Heads, shape: Attention, tiling: PrefillTiling, table: Tensor | None = None,
) -> None:
    """out = softmax(scale * q keys^T) values per head. A core takes every split_q-th query tile, so causal work is even.
    `table` [batch] is what `lookups` read."""
    t, s = tiling, shape
    if t.in_place and q.tensor.fmt == "int8":
        raise UnsupportedError("attention in place takes floating-point formats: sums of int8 products are no fp32 numbers")
    rings = _Rings(k, q, keys, values, s, t)
    for b, h, shared, q0, span, passed in _dealt(k, s, t) if t.dealt else _work(k, s, t):
        if table is not None:
            look_up(k, table, b, t.lookups + passed)
        valid, many = _valid(k, s, q0, t.tile_q), s.group * t.tile_q
        depth, space = (1, "sram") if t.in_place else (2, "work")
        tile = k.fetch(_of_group(q, b, h, s, q0, t.tile_q, valid), depth, name="q", space=space)
        valid_rows = k.maximum(k.minimum(many, (s.q_len - q0) * s.group), 0)
        rows = tile.reshape((many, s.head_dim), (valid_rows, s.head_dim))
        state = Online(k, (many,), (valid_rows,), s.head_dim, s.softmax_scale, rings.scratch, t.in_place, (t.tile_q, valid))
        queries = _Queries(keys, values, s, t, rings, b, h, shared, valid_rows, rows, state, k.block)
        last = span.more
        queries.weigh(k, queries.scores(k, span.full + last), span.shifted(last, t.tile_kv))
        for e in k.loop(last):
            queries.step(k, span.full + (last - 1) - e, span.shifted(last - 1 - e, t.tile_kv))
        for f in k.loop(span.full):
            queries.step(k, span.full - 1 - f, None)
        state.add_last(queries.product(k, 0))
        queries.leave(k, out, q0)


def _valid(k: Tracer, s: Attention, first: Value, queries: int) -> Value:
    """How many of so many queries from the first there are."""
    return k.maximum(k.minimum(queries, s.q_len - first), 0)


def _of_group(heads: Heads, b: Value, h: Value, s: Attention, first: Value, queries: int, valid: Value) -> View:
    """[queries, group, head_dim]: the heads of a group one after another, query by query."""
    return heads.at(b, h * s.group, s.group, first, queries, valid).as_dims(1, 0, 2)


_Place = tuple[Value, Value, Value, Value, Span, Value]
"""Sequence, head, head of the keys, first query, its keys, and reads on the way there."""


def _work(k: Tracer, s: Attention, t: PrefillTiling) -> Iterator[_Place]:
    """The loops over this core's sequences, heads (and those of their keys), blocks of query tiles, and query tiles in a block."""
    per_block = _tiles_per_block(s, t)
    tiles = min(per_block, -(-s.q_len // t.tile_q))
    split_tiles = min(t.split_q, tiles)
    b, h, block, tile = grid(
        k, (s.batch, s.kv_heads, -(-s.q_len // (t.tile_q * per_block)), tiles),
        (t.split_b, t.split_h, t.split_q // split_tiles, split_tiles), interleaved=(2, 3),
    )
    for i in k.loop(b.count, resident=t.resident):
        for j in k.loop(h.count, resident=t.resident):
            for m in k.loop(block.count, resident=t.resident):
                for n in k.loop(tile.count, resident=t.resident):
                    at, there = block.unit(m), tile.unit(n)
                    yield b.unit(i), h.unit(j), h.unit(j), (at * per_block + there) * t.tile_q, _span(s, t, at, there, per_block), 0


def _dealt(k: Tracer, s: Attention, t: PrefillTiling) -> Iterator[_Place]:
    """The same, tile by tile, each to the core that is free first, a tile of keys taking one unit of time."""
    tiles = -(-s.q_len // t.tile_q)
    spans = [_keys_of(s, t, n) for n in range(tiles)]
    keys = [full + edge for full, edge in spans]
    if t.ascending:
        work = [(b, h, n) for b in range(s.batch) for h in range(s.kv_heads) for n in range(tiles)]
    else:
        longest, step = sorted(range(tiles), key=lambda n: -keys[n]), min(t.section, s.kv_heads)
        heads = [range(h, min(h + step, s.kv_heads)) for h in range(0, s.kv_heads, step)]
        work = [(b, h, n) for b in range(s.batch) for some in heads for n in longest for h in some]
    mine: list[list[tuple[int, ...]]] = [[] for _ in range(k.cores)]
    free = [(0, c) for c in range(k.cores)]
    for b, h, n in work:
        at, core = free[0]
        heapreplace(free, (at + keys[n] + 1, core))
        full, edge = spans[n]
        mine[core].append((b, h, h // t.sharing, n, full, edge - 1))
    rounds = range(max(map(len, mine)))
    tables = [[k.per_core([m[r][axis] if r < len(m) else 0 for m in mine]) for r in rounds] for axis in range(6)]
    passed = [k.per_core([passed_over(t.scanned, m, r) for m in mine]) for r in rounds]
    for i in k.loop(k.per_core([len(m) for m in mine]), resident=t.resident):
        sequence, head, shared, tile, whole, more = (k.lookup(i, table) for table in tables)
        q0 = tile * t.tile_q
        diag = q0 + s.past - whole * t.tile_kv if s.causal else None
        yield sequence, head, shared, q0, Span(whole, more, diag), k.lookup(i, passed) if t.scanned else 0


def _keys_of(s: Attention, t: PrefillTiling, n: int) -> tuple[int, int]:
    """Key tiles that every query of the n-th tile sees, and those behind them that some see: at least one."""
    first = n * t.tile_q + s.past
    last = min(first + t.tile_q, s.kv_len) if s.causal else s.kv_len
    total = -(-last // t.tile_kv)
    full = total - 1 if not s.causal else 0 if 0 < s.window < s.kv_len else min((first + 1) // t.tile_kv, total - 1)
    return full, total - full


def _tiles_per_block(s: Attention, t: PrefillTiling) -> int:
    """Query tiles as wide together as one key tile (1 if a query tile is at least that wide), so that loop bounds stay affine."""
    if not s.causal or t.tile_q % t.tile_kv == 0:
        return 1
    if t.tile_kv % t.tile_q:
        raise UnsupportedError(f"causal attention needs tile_q and tile_kv to divide one another; got {t.tile_q} and {t.tile_kv}")
    return t.tile_kv // t.tile_q


def _span(s: Attention, t: PrefillTiling, block: Value, tile: Value, per_block: int) -> Span:
    """Loop bounds of a query tile; the number of edge tiles is the same for all, at the price of empty ones past the end of the keys."""
    total = -(-s.kv_len // t.tile_kv)
    if not s.causal:
        return Span(total - 1, 0, None)
    if per_block == 1:
        seen = block * (t.tile_q // t.tile_kv)  # key tiles up to the first query, had there been no past
        full, count = s.past // t.tile_kv, -(-(t.tile_q + s.past) // t.tile_kv)
        shift: Value = 0
    else:
        seen = block
        full = s.past // t.tile_kv
        count = full + (1 if s.past % t.tile_kv == 0 else 2)
        shift = tile * t.tile_q
    if 0 < s.window < s.kv_len:
        return Span(0, total - 1, block * (per_block * t.tile_q) + tile * t.tile_q + s.past)
    return Span(seen + full, count - full - 1, shift + (s.past - full * t.tile_kv))
