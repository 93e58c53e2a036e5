"""Small operations on rows: softmax, the sum of two tensors, the last token of each sequence, mean pooling."""

from __future__ import annotations

from emu.errors import UnsupportedError
from emu.kernels.lang import Tensor, Tracer, kernel
from emu.kernels.norm import RowTiling
from emu.kernels.shard import grid


@kernel
def softmax(k: Tracer, x: Tensor, out: Tensor, tiling: RowTiling) -> None:
    """out[m, :] = softmax(x[m, :])."""
    rows, width = x.shape
    (share,) = grid(k, (-(-rows // tiling.tile_m),), (tiling.split or k.cores,))
    for i in k.loop(share.count):
        row = share.unit(i) * tiling.tile_m
        tile = k.fetch(x.at((row, 0), (tiling.tile_m, width)), tiling.depth, name="x")
        stat = k.tile((tiling.tile_m, 1), "fp32", valid=(tile.valid[0], 1))
        wide = k.tile(tile.shape, "fp32", valid=tile.valid)
        y = k.tile(tile.shape, out.fmt, "work", tiling.depth, tile.valid)
        k.rmax(stat, tile)
        k.sub(wide, tile, stat)
        k.exp(wide, wide)
        k.rsum(stat, wide)
        k.div(y, wide, stat)
        k.store(out.at((row, 0), (tiling.tile_m, width)), y)


@kernel
def add(k: Tracer, a: Tensor, b: Tensor, out: Tensor, tiling: RowTiling) -> None:
    """out = a + b, all [rows, D]."""
    rows, width = a.shape
    if b.shape != a.shape or out.shape != a.shape:
        raise UnsupportedError(f"add needs equal shapes; got {a.shape}, {b.shape} and {out.shape}")
    (share,) = grid(k, (-(-rows // tiling.tile_m),), (tiling.split or k.cores,))
    for i in k.loop(share.count):
        origin, shape = (share.unit(i) * tiling.tile_m, 0), (tiling.tile_m, width)
        left = k.fetch(a.at(origin, shape), tiling.depth, name="a")
        right = k.fetch(b.at(origin, shape), tiling.depth, name="b")
        y = k.tile(shape, out.fmt, "work", tiling.depth, left.valid)
        k.add(y, left, right)
        k.store(out.at(origin, shape), y)


@kernel
def take_last(k: Tracer, x: Tensor, out: Tensor) -> None:
    """out[b, :] = the row of the last token of sequence b; x [batch * tokens, D], out [batch, D]."""
    batch, width = out.shape
    tokens = x.shape[0] // batch
    (share,) = grid(k, (batch,), (k.cores,))
    for i in k.loop(share.count):
        b = share.unit(i)
        tile = k.fetch(x.at((b * tokens + (tokens - 1), 0), (1, width)), 2, name="x")
        k.store(out.at((b, 0), (1, width)), tile)


@kernel
def pool(k: Tracer, x: Tensor, out: Tensor, tile_t: int = 64, normalise: bool = True) -> None:
    """out[b, :] = the mean over the tokens of sequence b, of length 1 if `normalise`; x [batch * tokens, D], out [batch, D]."""
    batch, width = out.shape
    tokens = x.shape[0] // batch
    rows = x.reshape((batch, tokens, width))
    (share,) = grid(k, (batch,), (k.cores,))
    for i in k.loop(share.count):
        b = share.unit(i)
        total = k.tile((width,), "fp32")
        part = k.tile((width, 1), "fp32")
        norm = k.tile((1,), "fp32")
        y = k.tile((width,), out.fmt, "work", 2)
        k.fill(total, 0.0)
        for n in k.loop(-(-tokens // tile_t)):
            tile = k.fetch(rows.at((b, n * tile_t, 0), (1, tile_t, width))[0], 2, name="x")
            k.rsum(part, tile.view.as_dims(1, 0))
            k.add(total, total, part[:, 0])
        k.mul(total, total, 1 / tokens)
        if normalise:
            k.mul(part[:, 0], total, total)
            k.rsum(norm, part[:, 0])
            k.max(norm, norm, 1e-24)
            k.rsqrt(norm, norm)
            k.mul(y, total, norm)
        else:
            k.mov(y, total)
        k.store(out.at((b, 0), (1, width))[0], y)
