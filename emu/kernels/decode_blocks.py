"""Decode attention as thread blocks of a library: parts of all caches, dealt out one by one, each worked on in place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from emu.errors import UnsupportedError
from emu.kernels.attention_decode import Parts, store_part
from emu.kernels.cache_write import look_up, passed_over
from emu.kernels.heads import Attention, Heads
from emu.kernels.lang import Tensor, Tile, Tracer, Value, format_bytes, kernel
from emu.kernels.online import Online, Scratch, multiply


@dataclass(frozen=True)
class DecodeBlocks:
    """Keys per tile, parts of a cache, and how a block works."""

    tile_kv: int
    split_kv: int = 1
    resident: int = 1
    """Blocks on a core at a time."""
    lookups: int = 0
    """Reads of memory, one after another, that each of them begins with."""
    scanned: int = 0
    """Sequences it passes with one more such read on its way from one of its blocks to the next; 0: with none."""
    rows: int = 0
    """Rows of a tile, of which as many are valid as heads share keys; 0: just these."""
    turned: bool = False
    """Whether the queue that loads values also transposes them on chip."""
    in_turn: int = 0
    """Tiles of keys and values there is room for where they take turns: keys, then values, then the next keys, each when a product has
    left a tile. 0: both have two tiles, and the next scores are begun before the product of the last probabilities."""

    def parts(self, keys: int) -> int:
        """Parts that get any of so many keys."""
        tiles = -(-keys // self.tile_kv)
        return -(-tiles // -(-tiles // self.split_kv))


@kernel
def decode_blocks(
    k: Tracer, q: Heads, keys: Heads, values: Heads, out: Heads | Parts, shape: Attention, tiling: DecodeBlocks, table: Tensor | None = None
) -> None:
    """One query per sequence. `out` is Parts exactly if split_kv > 1; then attention_merge follows.
    `table` [batch] is what `lookups` read."""
    t, s = tiling, shape
    if s.q_len != 1 or s.window or isinstance(out, Parts) != (t.split_kv > 1) or t.parts(s.kv_len) != t.split_kv:
        raise UnsupportedError(f"blocks of decode take one query per sequence, no window, and parts that each have keys; got {s}, {t}")
    if q.tensor.fmt == "int8":
        raise UnsupportedError("attention in place takes floating-point formats: sums of int8 products are no fp32 numbers")
    loads = _Loads(k, keys, values, s, t)
    many = max(t.rows, s.group)
    scratch = Scratch(k, (many,), t.tile_kv, q.tensor.fmt, 1)
    scores_ring = k.ring("s", many * t.tile_kv * 4, 1 if t.in_turn else 2, "acc")
    sums = k.ring("pv", many * s.head_dim * 4, 1, "acc")
    for b, h, part, first, steps, reads in _dealt(k, s, t):
        if table is not None:
            look_up(k, table, b, reads)
        rows = k.tile((many, s.head_dim), q.tensor.fmt, "sram", 2, (s.group, s.head_dim), "q")
        k.load(rows[: s.group], q.at(b, h * s.group, s.group, 0, 1, 1).as_dims(0, 2))
        state, begin = Online(k, (many,), (s.group,), s.head_dim, s.softmax_scale, scratch, in_place=True), k.block

        def scores(n: Value) -> Tile:
            key = loads.fetch(loads.keys, "k", b, h, n)  # noqa: B023 - called in this iteration of the trace only
            tile = k.next(scores_ring, (many, t.tile_kv), "fp32", (s.group, loads.count(n)))
            k.mm(tile, rows, key[0], bt=True)  # noqa: B023
            return tile

        def weigh(tile: Tile) -> None:
            state.step(tile, k.put(scratch.p, tile.shape, scratch.fmt, tile.valid))  # noqa: B023

        def product(n: Value, value: Tile | None = None) -> Tile:
            value = loads.fetch(loads.values, "v", b, h, n) if value is None else value  # noqa: B023
            p = k.get(scratch.p, (many, t.tile_kv), scratch.fmt, (s.group, loads.count(n)))
            tile = k.resume(sums, begin, (many, s.head_dim), (s.group, s.head_dim))  # noqa: B023
            multiply(k, tile, p, value[0], loads.turned)
            return tile

        weigh(scores(first))
        for n in k.loop(steps - 1):
            if t.in_turn:
                last, following = product(n + first), scores(n + first + 1)
            else:
                early = loads.fetch(loads.values, "v", b, h, n + first) if t.turned else None  # turned when the next keys are under way
                following, last = scores(n + first + 1), product(n + first, early)
            weigh(following)
            state.add_late(last)
        state.add_last(product(first + steps - 1))
        if isinstance(out, Parts):
            store_part(k, state, out, part, b * (s.kv_heads * s.group) + h * s.group, s)
        else:
            o = k.tile((s.group, s.head_dim), out.tensor.fmt, "work", 2, name="out")
            k.div(o, state.o[: s.group], state.sum[: s.group])
            k.store(out.at(b, h * s.group, s.group, 0, 1, 1).as_dims(0, 2), o)


class _Loads:
    """Tiles of keys and values on chip: both in one ring where they take turns, or each in its own."""

    def __init__(self, k: Tracer, keys: Heads, values: Heads, s: Attention, t: DecodeBlocks) -> None:
        size = t.tile_kv * s.head_dim * format_bytes(keys.tensor.fmt)
        self.k, self.keys, self.values, self.shape, self.tile_kv = k, keys, values, s, t.tile_kv
        names = ("kv", "kv") if t.in_turn else ("k", "v")
        rings = {name: k.ring(name, size, t.in_turn or 2) for name in dict.fromkeys(names)}
        self.rings = {"k": rings[names[0]], "v": rings[names[1]]}
        self.turned = k.ring("v_turned", size, 2) if t.turned else None

    def count(self, n: Value) -> Value:
        """Keys in the n-th tile."""
        return self.k.minimum(self.tile_kv, self.shape.kv_len - n * self.tile_kv)

    def fetch(self, heads: Heads, name: str, b: Value, h: Value, n: Value) -> Tile:
        return self.k.fetch(heads.at(b, h, 1, n * self.tile_kv, self.tile_kv, self.count(n)), ring=self.rings[name])


def _dealt(k: Tracer, s: Attention, t: DecodeBlocks) -> Iterator[tuple[Value, Value, Value, Value, Value, Value]]:
    """Sequence, head, part, first tile, number of tiles, and reads before them, of each of this core's blocks: they go round the cores."""
    work = [(b, h, p) for b in range(s.batch) for h in range(s.kv_heads) for p in range(t.split_kv)]
    mine = [work[c :: k.cores] for c in range(k.cores)]
    tables = [[k.per_core([m[r][axis] if r < len(m) else 0 for m in mine]) for r in range(len(mine[0]))] for axis in range(3)]
    tiles = -(-s.kv_len // t.tile_kv)
    each = -(-tiles // t.split_kv)
    lengths = [k.per_core([min(each, tiles - (m[r][2] if r < len(m) else 0) * each) for m in mine]) for r in range(len(mine[0]))]
    reads = [k.per_core([t.lookups + passed_over(t.scanned, m, r) for m in mine]) for r in range(len(mine[0]))]
    for i in k.loop(k.per_core([len(m) for m in mine]), resident=t.resident):
        b, h = (k.lookup(i, table) for table in tables[:2])
        looks = k.lookup(i, reads) if t.scanned else t.lookups
        if t.split_kv == 1:
            yield b, h, 0, 0, tiles, looks
        else:
            part = k.lookup(i, tables[2])
            yield b, h, part, part * each, k.lookup(i, lengths) if tiles % t.split_kv else each, looks

