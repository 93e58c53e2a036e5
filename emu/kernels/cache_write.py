"""Keys and values of new tokens into the cache, as a kernel of its own: one thread block per token, which only copies."""

from __future__ import annotations

from collections.abc import Sequence

from emu.kernels.heads import Attention, Heads
from emu.kernels.lang import Tensor, Tile, Tracer, Value, View, kernel
from emu.kernels.shard import grid


@kernel
def write_cache(k: Tracer, keys: Heads, values: Heads, k_cache: Heads, v_cache: Heads, shape: Attention, resident: int = 1) -> None:
    """All heads of a token from keys and values [batch * q_len, heads * dim] to its place in the caches, behind shape.past tokens of its
    sequence; `resident` tokens are under way on a core at a time."""
    s = shape
    b_split = min(s.batch, k.cores)
    b_share, t_share = grid(k, (s.batch, s.q_len), (b_split, max(1, min(s.q_len, k.cores // b_split))))
    for i in k.loop(b_share.count, resident=resident):
        for j in k.loop(t_share.count, resident=resident):
            b, token = b_share.unit(i), t_share.unit(j)
            for source, cache in ((keys, k_cache), (values, v_cache)):
                _copy(k, source.at(b, 0, s.kv_heads, token, 1, 1), cache.at(b, 0, s.kv_heads, token + s.past, 1, 1), resident)


def look_up(k: Tracer, table: Tensor, place: Value, times: Value) -> None:
    """`times` reads of memory, each after the one before has been used: what a block finds out before it can load anything.

    One slot holds what is read, so the next read waits for the vector engine to be done with it, and later loads of the queue behind it."""
    if times != 0:
        for _ in k.loop(times + 1):
            entry = k.fetch(table.at((place,), (1,)), name="entry")
            k.mov(k.tile((1,), table.fmt, name="known"), entry)


def passed_over(scanned: int, mine: Sequence[Sequence[int]], r: int) -> int:
    """Reads, each of the lengths of `scanned` sequences, on the way to a core's r-th work item; items begin with their sequence."""
    if not scanned or r >= len(mine):
        return 0
    return mine[r][0] // scanned - (mine[r - 1][0] // scanned if r else 0)


@kernel
def convert_rows(k: Tracer, x: Heads, out: Heads, shape: Attention, resident: int = 1) -> None:
    """The queries [batch * q_len, heads * dim] in another format, one thread block per token."""
    heads, tokens = shape.kv_heads * shape.group, shape.batch * shape.q_len
    (share,) = grid(k, (tokens,), (k.cores,))
    for i in k.loop(share.count, resident=resident):
        token = share.unit(i)
        _copy(k, x.at(0, 0, heads, token, 1, 1), out.at(0, 0, heads, token, 1, 1), resident)


def _copy(k: Tracer, source: View, target: View, depth: int) -> None:
    tile = k.fetch(source, 2 * depth, name="new")
    k.store(target, tile if tile.fmt == target.fmt else _converted(k, tile, target.fmt, depth))


def _converted(k: Tracer, tile: Tile, fmt: str, depth: int) -> Tile:
    out = k.tile(tile.shape, fmt, "work", 2 * depth, tile.valid, "converted")
    k.mov(out, tile)
    return out
