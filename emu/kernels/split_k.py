"""A product whose sum over K is divided among cores: parts in fp32, and the kernel that adds them in order."""

from __future__ import annotations

from emu.errors import UnsupportedError
from emu.kernels.gemm import Epilogue, GemmTiling, fetch_weights
from emu.kernels.lang import Tensor, Tracer, format_bytes, kernel
from emu.kernels.shard import grid


@kernel
def gemm_parts(k: Tracer, x: Tensor, w: Tensor, parts: Tensor, tiling: GemmTiling) -> None:
    """parts[s] = x[:, share s of K] @ w[share s of K, :], fp32; x [M, K] and w as `gemm` takes them, parts [S, M, N]."""
    t = tiling
    (rows, depth), (split_k, _, columns) = x.shape, parts.shape
    slices = -(-depth // t.tile_k)
    if split_k > slices:
        raise UnsupportedError(f"a sum over {depth} in slices of {t.tile_k} cannot be split into {split_k}")
    ring = k.weights or k.weight_ring(t.tile_k * t.tile_n * format_bytes(w.fmt), t.depth_w)
    units, splits = (split_k, -(-rows // t.tile_m), -(-columns // t.tile_n)), (split_k, t.split_m, t.split_n)
    part, m, n = grid(k, units, splits)
    first, end = part.place * slices // split_k, (part.place + 1) * slices // split_k
    chunk = t.chunk_m or t.tile_m
    for i in k.loop(m.count):
        row = m.unit(i) * t.tile_m
        for j in k.loop(n.count):
            block = n.unit(j)
            valid = parts.at((0, row, block * t.tile_n), (1, t.tile_m, t.tile_n))[0].extents
            acc = k.tile((t.tile_m, t.tile_n), "fp32", "acc", t.depth_acc, valid, "acc")
            for s in k.loop(end - first):
                k0 = (s + first) * t.tile_k
                a = k.fetch(x.at((row, k0), (t.tile_m, t.tile_k)), t.depth_a, name="a")
                k.mm(acc, a.view, fetch_weights(k, ring, w, k0, block, t.tile_k, t.tile_n, columns))
            for c in k.loop(t.tile_m // chunk):
                piece = acc[c * chunk : c * chunk + chunk]
                o = k.tile((chunk, t.tile_n), "fp32", "sram", t.depth_out, piece.extents, "o")
                k.mov(o, piece)
                k.store(parts.at((part.place, row + c * chunk, block * t.tile_n), (1, chunk, t.tile_n), (1, *piece.extents))[0], o)


@kernel
def add_parts(k: Tracer, parts: Tensor, out: Tensor, width: int) -> None:
    """out = parts[0] + parts[1] + ..., in this order; tiles of `width` elements, dealt out over all cores."""
    split_k, rows, columns = parts.shape
    flat, target = parts.reshape((split_k, rows * columns)), out.reshape((rows * columns,))
    (share,) = grid(k, (-(-rows * columns // width),), (k.cores,))
    for i in k.loop(share.count):
        at = share.unit(i) * width
        tile = k.fetch(flat.at((0, at), (split_k, width)), 2, name="parts")
        total = k.tile((width,), "fp32", valid=tile.valid[1:], name="total")
        y = k.tile((width,), out.fmt, "sram", 2, tile.valid[1:], name="y")
        k.mov(total, tile[0])
        for s in k.loop(split_k - 1):
            k.add(total, total, tile[s + 1])
        k.mov(y, total)
        k.store(target.at((at,), (width,)), y)


def gemm_divided(k: Tracer, x: Tensor, w: Tensor, out: Tensor, tiling: GemmTiling, width: int, epilogue: Epilogue | None = None) -> None:
    """x @ w in `tiling.split_k` parts and, behind a barrier, their sum in the order of K: two operations, "gemm" and "add".

    `width` elements are added at a time. The order of the additions is fixed by split_k and tile_k, so the bits are too; they are not those
    of an undivided sum."""
    fused = [name for name in ("bias", "gate", "residual", "scale") if getattr(epilogue, name, None) is not None]
    if epilogue is not None and epilogue.activation != "none":
        fused.append(epilogue.activation)
    if fused:
        raise UnsupportedError(f"split_k {tiling.split_k}: the pass that adds the parts cannot take over {' and '.join(fused)}")
    parts = k.hbm("parts", (tiling.split_k, *out.shape), "fp32")
    with k.op("gemm"):
        gemm_parts(k, x, w, parts, tiling)
    with k.op("add"):
        add_parts(k, parts, out, width)
