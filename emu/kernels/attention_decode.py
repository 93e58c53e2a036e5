"""softmax(q k^T) v for one query per sequence over a cache. A long cache is split over cores; a second operation merges the parts."""

from __future__ import annotations

from dataclasses import dataclass

from emu.errors import UnsupportedError
from emu.kernels.heads import Attention, Heads
from emu.kernels.lang import Tensor, Tile, Tracer, Value, View, kernel
from emu.kernels.norm import RowTiling
from emu.kernels.online import Online, Scratch, sum_format
from emu.kernels.shard import grid


@dataclass(frozen=True)
class DecodeTiling:
    """Keys per tile and the grid of cores: sequences x kv heads x parts of the cache."""

    tile_kv: int
    split_b: int = 1
    split_h: int = 1
    split_kv: int = 1
    depth_kv: int = 2
    depth_acc: int = 2


@dataclass(frozen=True)
class Parts:
    """Partial results of a split cache: o [parts, batch * heads, dim], its maximum and sum [parts, batch * heads], all fp32."""

    o: Tensor
    top: Tensor
    sum: Tensor


def partials(k: Tracer, shape: Attention, split_kv: int, name: str = "attention") -> Parts:
    """Tensors for the partial results."""
    heads = shape.batch * shape.kv_heads * shape.group
    o = k.hbm(f"{name}_parts", (split_kv, heads, shape.head_dim), "fp32")
    return Parts(o, k.hbm(f"{name}_tops", (split_kv, heads), "fp32"), k.hbm(f"{name}_sums", (split_kv, heads), "fp32"))


@kernel
def attention_decode(
    k: Tracer, q: Heads, keys: Heads, values: Heads, out: Heads | Parts, shape: Attention, tiling: DecodeTiling,
) -> None:
    """The group's queries move past tiles of keys and values. `out` is Parts exactly if split_kv > 1; then attention_merge follows."""
    t, s = tiling, shape
    if s.q_len != 1 or isinstance(out, Parts) != (t.split_kv > 1):
        raise UnsupportedError("decode takes one query per sequence, and writes Parts exactly if split_kv > 1")
    first = max(0, s.kv_len - s.window) if s.window else 0  # keys before it have left the window
    tiles = -(-(s.kv_len - first) // t.tile_kv)
    kv, b_share, h_share = grid(k, (tiles, s.batch, s.kv_heads), (t.split_kv, t.split_b, t.split_h))
    scratch = Scratch(k, (s.group,), t.tile_kv, q.tensor.fmt, 2)
    for i in k.loop(b_share.count):
        for j in k.loop(h_share.count):
            b, h = b_share.unit(i), h_share.unit(j)
            rows = k.fetch(q.at(b, h * s.group, s.group, 0, 1, 1).as_dims(0, 2), 2, name="q")
            state = Online(k, (s.group,), (s.group,), s.head_dim, s.softmax_scale, scratch)
            for n in k.loop(kv.count):
                token = kv.unit(n) * t.tile_kv + first
                count = k.minimum(t.tile_kv, s.kv_len - token)
                k_tile = _fetch(k, keys, b, h, token, count, t, "k")
                v_tile = _fetch(k, values, b, h, token, count, t, "v")
                scores = k.tile((s.group, t.tile_kv), sum_format(rows.fmt), "acc", t.depth_acc, (s.group, count), "s")
                k.mm(scores, rows, k_tile[0], bt=True)
                p = k.next(scratch.p, scores.shape, scratch.fmt, scores.valid)
                state.step(scores, p)
                product = k.tile((s.group, s.head_dim), sum_format(p.fmt), "acc", t.depth_acc, name="pv")
                k.mm(product, p, v_tile[0])
                state.add(product)
            if isinstance(out, Parts):
                store_part(k, state, out, kv.place, b * (s.kv_heads * s.group) + h * s.group, s)
            else:
                o = k.tile((s.group, s.head_dim), out.tensor.fmt, "work", 2, name="out")
                state.result(o)
                k.store(out.at(b, h * s.group, s.group, 0, 1, 1).as_dims(0, 2), o)


def _fetch(k: Tracer, heads: Heads, b: Value, h: Value, token: Value, count: Value, t: DecodeTiling, name: str) -> Tile:
    return k.fetch(heads.at(b, h, 1, token, t.tile_kv, count), t.depth_kv, name=name, space="sram")


def store_part(k: Tracer, state: Online, out: Parts, part: Value, head: Value, s: Attention) -> None:
    """Copies of the running state go out, because the state itself belongs to the vector engine alone; its first rows are the group's."""
    for source, tensor, width in ((state.o, out.o, s.head_dim), (state.top, out.top, 0), (state.sum, out.sum, 0)):
        copy = k.tile((s.group, source.shape[1]), "fp32", "work", 2, name="part")
        k.mov(copy, source[: s.group])
        if width:
            k.store(tensor.at((part, head, 0), (1, s.group, width)), copy)
        else:
            k.store(tensor.at((part, head), (1, s.group)), copy)


@kernel
def attention_merge(k: Tracer, parts: Parts, out: Tensor, tiling: RowTiling, in_turn: bool = False) -> None:
    """out [batch, heads * dim]: the parts weighted by e^(their maximum - the maximum), summed in order, over the weighted sums.

    `in_turn`: a part is loaded when the one before it has been added, and not all at once."""
    count, heads, dim = parts.o.shape
    rows = tiling.tile_m
    target = out.reshape((heads, dim))
    (share,) = grid(k, (-(-heads // rows),), (tiling.split or k.cores,))
    for i in k.loop(share.count):
        head = share.unit(i) * rows
        tops = k.fetch(parts.top.at((0, head), (count, rows)), tiling.depth, name="tops")
        sums = k.fetch(parts.sum.at((0, head), (count, rows)), tiling.depth, name="sums")
        valid = tops.valid[1]
        top = k.tile((rows, 1), "fp32", valid=(valid, 1))
        total = k.tile((rows, 1), "fp32", valid=(valid, 1))
        weight = k.tile((count, rows), "fp32", valid=tops.valid)
        result = k.tile((rows, dim), out.fmt, "work", tiling.depth, (valid, dim))
        k.rmax(top, tops.view.as_dims(1, 0))
        k.sub(weight, tops, top[:, 0])
        k.exp(weight, weight)
        joined = (_one_by_one if in_turn else _at_once)(k, parts, head, rows, weight, tiling.depth)
        k.mul(weight, weight, sums)
        k.rsum(total, weight.view.as_dims(1, 0))
        k.div(result, joined, total)
        k.store(target.at((head, 0), (rows, dim)), result)


def _at_once(k: Tracer, parts: Parts, head: Value, rows: int, weight: Tile, depth: int) -> View:
    """The weighted parts of `rows` heads, added."""
    count, _, dim = parts.o.shape
    o = k.fetch(parts.o.at((0, head, 0), (count, rows, dim)), depth, name="o")
    scaled = k.tile((count, rows, dim), "fp32", valid=o.valid)
    joined = k.tile((rows, dim, 1), "fp32", valid=(o.valid[1], dim, 1))
    k.mul(scaled, o, weight.view.as_dims(0, 1, None))
    k.rsum(joined, scaled.view.as_dims(1, 2, 0))
    return joined[:, :, 0]


def _one_by_one(k: Tracer, parts: Parts, head: Value, rows: int, weight: Tile, depth: int) -> View:
    """The same, each part's load waiting for the sum of those before it; the first sum is onto zero."""
    count, _, dim = parts.o.shape
    joined = k.tile((rows, dim), "fp32", valid=(weight.valid[1], dim))
    scaled = k.tile((1, rows, dim), "fp32", valid=(1, weight.valid[1], dim))
    k.fill(joined, 0.0)
    for p in k.loop(count):
        o = k.fetch(parts.o.at((p, head, 0), (1, rows, dim)), name="o")
        k.mul(scaled, o, weight[p : p + 1].as_dims(0, 1, None))
        k.add(joined, joined, scaled[0])
    return joined.view


__all__ = ["DecodeTiling", "Parts", "attention_decode", "attention_merge", "partials", "store_part"]
