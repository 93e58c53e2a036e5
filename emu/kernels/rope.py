"""Rotary embedding of queries and keys (rotate-half), and appending keys and values to the cache."""

from __future__ import annotations

from dataclasses import dataclass

from emu.kernels.heads import Attention, Heads
from emu.kernels.lang import Tensor, Tile, Tracer, Value, View, kernel
from emu.kernels.shard import grid


@dataclass(frozen=True)
class Rope:
    """cos and sin of the angles, [positions, head_dim / 2] each."""

    cos: Tensor
    sin: Tensor


@dataclass(frozen=True)
class RopeTiling:
    """Tokens per tile and the grid of cores: sequences x kv heads x token tiles."""

    tile_t: int
    split_b: int = 1
    split_h: int = 1
    split_t: int = 1
    depth: int = 2


@kernel
def rope_append(
    k: Tracer, q: Heads, keys: Heads, values: Heads, q_out: Heads, k_cache: Heads, v_cache: Heads, shape: Attention, tiling: RopeTiling,
    rope: Rope | None = None,
) -> None:
    """Rotates q and keys by their position (shape.past onwards), writes q_out, and appends keys and values to the cache there.

    Without `rope` nothing is rotated, and q is left where it is if it has q_out's format already."""
    t, s = tiling, shape
    b_share, h_share, t_share = grid(k, (s.batch, s.kv_heads, -(-s.q_len // t.tile_t)), (t.split_b, t.split_h, t.split_t))
    for n in k.loop(t_share.count):
        token = t_share.unit(n) * t.tile_t
        valid = k.minimum(t.tile_t, s.q_len - token)
        tables = _tables(k, rope, token + s.past, valid, s, t) if rope is not None else None
        for i in k.loop(b_share.count):
            for j in k.loop(h_share.count):
                b, h = b_share.unit(i), h_share.unit(j)
                if tables is not None or q.tensor.fmt != q_out.tensor.fmt:
                    source = k.fetch(q.at(b, h * s.group, s.group, token, t.tile_t, valid), t.depth, name="q")
                    turned = _rotated(k, source, tables, q_out.tensor.fmt, t.depth, "q_turned")
                    k.store(q_out.at(b, h * s.group, s.group, token, t.tile_t, valid), turned)
                key = k.fetch(keys.at(b, h, 1, token, t.tile_t, valid), t.depth, name="k")
                key = _rotated(k, key, tables, k_cache.tensor.fmt, t.depth, "k_turned")
                k.store(k_cache.at(b, h, 1, token + s.past, t.tile_t, valid), key)
                value = k.fetch(values.at(b, h, 1, token, t.tile_t, valid), t.depth, name="v")
                value = _rotated(k, value, None, v_cache.tensor.fmt, t.depth, "v_cast")
                k.store(v_cache.at(b, h, 1, token + s.past, t.tile_t, valid), value)


def _tables(k: Tracer, rope: Rope, position: Value, valid: Value, s: Attention, t: RopeTiling) -> tuple[Tile, Tile]:
    half = s.head_dim // 2
    origin, shape = (position, 0), (t.tile_t, half)
    cos = k.fetch(rope.cos.at(origin, shape, (valid, None)), t.depth, name="cos")
    return cos, k.fetch(rope.sin.at(origin, shape, (valid, None)), t.depth, name="sin")


def _rotated(k: Tracer, x: Tile, tables: tuple[Tile, Tile] | None, fmt: str, depth: int, name: str) -> Tile:
    """x [heads, rows, dim] turned: (x1 cos - x2 sin, x2 cos + x1 sin); x itself if there is nothing to do."""
    if tables is None and x.fmt == fmt:
        return x
    out = k.tile(x.shape, fmt, "work", depth, x.valid, name)
    if tables is None:
        k.mov(out, x)
        return out
    cos, sin = tables
    half = x.shape[-1] // 2
    first: View = x[:, :, :half]
    second: View = x[:, :, half:]
    a = k.tile(first.shape, "fp32", valid=first.extents, name="a")
    b = k.tile(first.shape, "fp32", valid=first.extents, name="b")
    k.mul(a, first, cos)
    k.mul(b, second, sin)
    k.sub(out[:, :, :half], a, b)
    k.mul(a, second, cos)
    k.mul(b, first, sin)
    k.add(out[:, :, half:], a, b)
    return out
