"""A gemm as a grid of thread blocks: one output tile each, dealt out one by one, with loads, products and write-back of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from emu.errors import UnsupportedError
from emu.kernels.gemm import fetch_weights
from emu.kernels.lang import Const, Tensor, Tracer, Value, View, format_bytes, kernel
from emu.kernels.split_k import add_parts

OUT_BYTES = 16 << 10
"""Of one piece of the output on its way through the scratchpad; two are there at a time."""


@dataclass(frozen=True)
class BlockTiling:
    """Output tile of a block, depth of one step along k, steps that a block keeps in flight, and how many blocks share a core.

    split_k: parts of the sum over k, each a block of its own. panel: rows of tiles that are walked together, column by column.
    persistent: a core's blocks are one long one, whose loads run ahead over the write-back of the tile before."""

    tile_m: int
    tile_n: int
    tile_k: int
    stages: int
    resident: int = 1
    split_k: int = 1
    panel: int = 8
    persistent: bool = False
    accumulators: int = 1
    """Of a persistent block: with two, a tile is written back beside the products of the next one."""
    cluster: int = 1
    """Cores that work on tiles one below the other and share the weights' loads, by multicast."""

    def chunk_rows(self, fmt: str) -> int:
        """Rows of the tile that leave together: the most that divide it and fit OUT_BYTES."""
        size = self.tile_n * format_bytes(fmt)
        return next(r for r in range(self.tile_m, 0, -1) if self.tile_m % r == 0 and (r * size <= OUT_BYTES or r == 1))


Place = tuple[int, int, int]
"""Part of the sum, row and column of tiles."""


def walk(rows: int, columns: int, t: BlockTiling) -> list[Place]:
    """All blocks in the order in which they are handed to cores that are free; a cluster's last may be one without rows."""
    rows, panel = (-(-n // t.cluster) * t.cluster for n in (rows, t.panel))
    tops = range(0, rows, panel)
    return [(p, r, c) for p in range(t.split_k) for top in tops for c in range(columns) for r in range(top, min(top + panel, rows))]


@kernel
def gemm_blocks(k: Tracer, x: Tensor, w: Tensor, out: Tensor, tiling: BlockTiling, scale: Tensor | float | None = None) -> None:
    """out = x @ w, or its `split_k` parts if out is [split_k, M, N]; x [M, K] or sliced [K / tile_k][M][tile_k], w [K, N] or blocked
    [N / nb][K][nb] as for `gemm`. `scale` is a number, or a tensor [M, 1] of one for each row of x.

    Block b goes to core b mod cores: blocks of equal length are dealt out so by hardware that gives each free core the next one."""
    t = tiling
    parts = out if len(out.shape) == 3 else out.reshape((1, *out.shape))
    rows, depth, columns = x.shape[-2], w.shape[-2], out.shape[-1]
    slices = -(-depth // t.tile_k)
    if parts.shape[0] != t.split_k or t.split_k > slices:
        raise UnsupportedError(f"{t.split_k} parts of a sum of {slices} slices do not fit {out.name} {out.shape}")
    blocks = walk(-(-rows // t.tile_m), -(-columns // t.tile_n), t)
    waves = [blocks[j : j + k.cores] for j in range(0, len(blocks), k.cores)]
    many = len(waves)
    slots = t.stages * (min(t.resident, many) if not t.persistent else 1)
    ring = k.weight_ring(t.tile_k * t.tile_n * format_bytes(w.fmt), slots, t.cluster)
    depth_acc = t.accumulators if t.persistent else t.resident
    count = k.per_core([sum(c < len(wave) for wave in waves) for c in range(k.cores)])
    for b in k.loop(count, resident=0 if t.persistent else t.resident):
        row, block = k.lookup(b, _entries(k, waves, 1)) * t.tile_m, k.lookup(b, _entries(k, waves, 2))
        part, first, steps = _share(k, b, waves, slices, t.split_k)
        place = parts.at((part, row, block * t.tile_n), (1, t.tile_m, t.tile_n))[0]
        acc = k.tile((t.tile_m, t.tile_n), "int32" if w.fmt == "int8" else "fp32", "acc", depth_acc, place.extents, "acc")
        for s in k.loop(steps):
            k0 = (s + first) * t.tile_k
            a = k.fetch(_rows(x, row, s + first, t, rows, depth), slots, name="a", space="sram")
            k.mm(acc, a, fetch_weights(k, ring, w, k0, block, t.tile_k, t.tile_n, columns))
        chunk = t.chunk_rows(out.fmt)
        for c in k.loop(t.tile_m // chunk):
            piece = acc[c * chunk : c * chunk + chunk]
            o = k.tile((chunk, t.tile_n), out.fmt, "sram", 2, piece.extents, "o")
            _leave(k, o.view, piece, scale.at((row + c * chunk, 0), (chunk, 1)) if isinstance(scale, Tensor) else scale)
            k.store(parts.at((part, row + c * chunk, block * t.tile_n), (1, chunk, t.tile_n), (1, *piece.extents))[0], o)


def _rows(x: Tensor, row: Value, s: Value, t: BlockTiling, rows: int, depth: int) -> View:
    """Slice s of the rows of a tile."""
    if len(x.shape) == 2:
        return x.at((row, s * t.tile_k), (t.tile_m, t.tile_k))
    if x.shape[2] != t.tile_k:
        raise UnsupportedError(f"{x.name}: slices of {x.shape[2]} do not fit steps of {t.tile_k}")
    valid = Tensor("", (rows, depth), x.fmt, "", 0).at((row, s * t.tile_k), (t.tile_m, t.tile_k)).extents
    return x.at((s, row, 0), (1, t.tile_m, t.tile_k), (1, *valid))[0]


def _leave(k: Tracer, out: View, piece: View, scale: View | float | None) -> None:
    """Out of the accumulators, scaled."""
    if scale is None:
        k.mov(out, piece)
    else:
        k.mul(out, piece, scale if isinstance(scale, float) else k.fetch(scale, 2, name="scale"))


def _entries(k: Tracer, waves: Sequence[Sequence[Place]], axis: int) -> list[Const]:
    """One coordinate of the blocks of each wave; a core without one repeats the first core's, which it never uses."""
    return [k.per_core([(wave[c] if c < len(wave) else wave[0])[axis] for c in range(k.cores)]) for wave in waves]


def _share(k: Tracer, b: Value, waves: Sequence[Sequence[Place]], slices: int, split_k: int) -> tuple[Value, Value, Value]:
    """The block's part of the sum, its first slice and its number of slices."""
    if split_k == 1:
        return 0, 0, slices
    ends = [slices * p // split_k for p in range(split_k + 1)]
    of = [[(wave[c] if c < len(wave) else wave[0])[0] for c in range(k.cores)] for wave in waves]
    part = k.lookup(b, [k.per_core(wave) for wave in of])
    first = k.lookup(b, [k.per_core([ends[p] for p in wave]) for wave in of])
    if slices % split_k == 0:
        return part, first, slices // split_k
    return part, first, k.lookup(b, [k.per_core([ends[p + 1] - ends[p] for p in wave]) for wave in of])


def gemm_in_blocks(
    k: Tracer, x: Tensor, w: Tensor, out: Tensor, tiling: BlockTiling, width: int, scale: Tensor | float | None = None
) -> None:
    """The whole product: where the sum is divided, parts in fp32 and, behind a barrier, their sum in the order of k; `width` elements are
    added at a time."""
    if tiling.split_k == 1:
        gemm_blocks(k, x, w, out, tiling, scale)
        return
    parts = k.hbm("parts", (tiling.split_k, *out.shape), "fp32")
    with k.op("gemm"):
        gemm_blocks(k, x, w, parts, tiling, scale)
    with k.op("add"):
        add_parts(k, parts, out, width)
