"""out = residual + activation(x @ w + bias), with an optional gate (SwiGLU) and an optional norm of x on the way in."""

from __future__ import annotations

from dataclasses import dataclass

from emu.errors import UnsupportedError
from emu.kernels.activation import activate
from emu.kernels.lang import Ring, Tensor, Tile, Tracer, Value, View, format_bytes, kernel
from emu.kernels.norm import Norm, NormInput
from emu.kernels.shard import grid


@dataclass(frozen=True)
class GemmTiling:
    """Tile sizes, the grid of cores (rows x columns), and how much is in flight.

    a_resident: all of K of a row tile is loaded once and kept for all column tiles; else x is streamed with the weights.
    chunk_m: rows the epilogue works on at a time (0: tile_m); it must divide tile_m.
    by_columns: a core goes through its tiles column by column, not row by row; x is then streamed.
    split_k: parts of the sum over K, each on a grid of its own; the kernel is then `gemm_divided`.
    depth_w counts if the kernel makes its own weight ring."""

    tile_m: int
    tile_n: int
    tile_k: int
    split_m: int = 1
    split_n: int = 1
    a_resident: bool = True
    depth_a: int = 2
    depth_w: int = 4
    depth_acc: int = 2
    depth_out: int = 2
    chunk_m: int = 0
    split_k: int = 1
    by_columns: bool = False


@dataclass(frozen=True)
class Epilogue:
    """What happens to the accumulator on its way out: out = residual + activation(acc * scale + bias), times the gate's branch."""

    bias: Tensor | None = None
    activation: str = "none"
    gate: Tensor | None = None  # weights of the gate: out = activation(x @ gate) * (x @ w)
    residual: Tensor | None = None
    scale: float | None = None


@kernel
def gemm(
    k: Tracer, x: Tensor, w: Tensor, out: Tensor, tiling: GemmTiling, epilogue: Epilogue = Epilogue(), norm: Norm | None = None,
) -> None:
    """x [M, K]; w [K, N] or blocked [N / nb][K][nb] with nb dividing tile_n; out [M, N]. `norm` is applied to the rows of x first."""
    t = tiling
    (rows, depth), columns = x.shape, out.shape[1]
    _check(x, w, out, t, epilogue, norm)
    ring = k.weights or k.weight_ring(t.tile_k * t.tile_n * format_bytes(w.fmt), t.depth_w)
    m, n = grid(k, (-(-rows // t.tile_m), -(-columns // t.tile_n)), (t.split_m, t.split_n))
    normed = NormInput(k, norm, depth) if norm is not None else None
    if t.by_columns:
        for j in k.loop(n.count):
            for i in k.loop(m.count):
                _tile(k, x, w, out, ring, t, epilogue, None, m.unit(i) * t.tile_m, n.unit(j))
        return
    for i in k.loop(m.count):
        row = m.unit(i) * t.tile_m
        a = None
        if t.a_resident:
            a = k.fetch(x.at((row, 0), (t.tile_m, depth)), t.depth_a, name="a", space="sram")
            a = normed.apply(k, a, t.depth_a, w.fmt) if normed else a
        for j in k.loop(n.count):
            _tile(k, x, w, out, ring, t, epilogue, a, row, n.unit(j))


def _tile(
    k: Tracer, x: Tensor, w: Tensor, out: Tensor, ring: Ring, t: GemmTiling, epilogue: Epilogue, rows: Tile | None, row: Value, block: Value
) -> None:
    """One output tile: its products and its epilogue. `rows`: x, if it is kept."""
    depth, columns = x.shape[1], out.shape[1]
    acc = _accumulator(k, w, out, row, block * t.tile_n, t, "acc")
    gate = _accumulator(k, w, out, row, block * t.tile_n, t, "gate") if epilogue.gate is not None else None
    for s in k.loop(-(-depth // t.tile_k)):
        k0 = s * t.tile_k
        if rows is None:
            part = k.fetch(x.at((row, k0), (t.tile_m, t.tile_k)), t.depth_a, name="a", space="sram").view
        else:
            part = rows[:, k0 : k0 + t.tile_k]
        k.mm(acc, part, fetch_weights(k, ring, w, k0, block, t.tile_k, t.tile_n, columns))
        if gate is not None and epilogue.gate is not None:
            k.mm(gate, part, fetch_weights(k, ring, epilogue.gate, k0, block, t.tile_k, t.tile_n, columns))
    _finish(k, acc, gate, out, row, block * t.tile_n, t, epilogue)


def _check(x: Tensor, w: Tensor, out: Tensor, t: GemmTiling, epilogue: Epilogue, norm: Norm | None) -> None:
    for weights in (w, epilogue.gate):
        if weights is not None and weights.shape[-2] != x.shape[1]:
            raise UnsupportedError(f"{weights.name} {weights.shape} does not fit {x.name} {x.shape}: both must have the same K")
    if t.split_k > 1:
        raise UnsupportedError(f"split_k {t.split_k}: a divided sum takes two passes, gemm_divided")
    if t.by_columns and t.a_resident:
        raise UnsupportedError("by_columns: rows of x cannot stay on chip (a_resident) while other rows are worked on")
    if norm is not None and not t.a_resident:
        raise UnsupportedError("a norm in front of a gemm needs whole rows on chip: a_resident=True")
    if t.tile_m % (t.chunk_m or t.tile_m):
        raise UnsupportedError(f"chunk_m {t.chunk_m} must divide tile_m {t.tile_m}")
    if len(w.shape) == 3 and t.tile_n % w.shape[2]:
        raise UnsupportedError(f"tile_n {t.tile_n} must be a multiple of the width of {w.name}'s blocks, {w.shape[2]}")


def _accumulator(k: Tracer, w: Tensor, out: Tensor, row: Value, col: Value, t: GemmTiling, name: str) -> Tile:
    valid = out.at((row, col), (t.tile_m, t.tile_n)).extents
    fmt = "int32" if w.fmt == "int8" else "fp32"
    return k.tile((t.tile_m, t.tile_n), fmt, "acc", t.depth_acc, valid, name)


def fetch_weights(k: Tracer, ring: Ring, w: Tensor, k0: Value, block: Value, tile_k: int, tile_n: int, columns: int) -> Tile:
    """The weight tile [tile_k, tile_n] of a block of columns, through ld0; from one contiguous run if w is blocked by tile_n."""
    col = block * tile_n
    if len(w.shape) == 2:
        return k.fetch(w.at((k0, col), (tile_k, tile_n)), queue="ld0", ring=ring)
    blocks, depth, width = w.shape
    group = tile_n // width
    k_valid, n_valid = Tensor("", (depth, columns), w.fmt, "", 0).at((k0, col), (tile_k, tile_n)).extents
    tile = k.next(ring, (tile_k, tile_n), w.fmt, (k_valid, n_valid))
    if group == 1:
        k.load(tile.view.as_dims(None, 0, 1), w.at((block, k0, 0), (1, tile_k, width), (1, k_valid, n_valid)), "ld0")
        return tile
    if columns % width:
        raise UnsupportedError(f"{w.name}: tiles of several blocks need whole blocks; {columns} columns are no multiple of {width}")
    source = w.at((block * group, k0, 0), (group, tile_k, width))
    k.load(tile.grouped(group, source.extents), source, "ld0")
    return tile


def _finish(k: Tracer, acc: Tile, gate: Tile | None, out: Tensor, row: Value, col: Value, t: GemmTiling, e: Epilogue) -> None:
    """From the accumulators to device memory, a few rows at a time so that scratch stays small."""
    chunk = t.chunk_m or t.tile_m
    columns = acc.valid[1]
    bias = k.fetch(e.bias.at((col,), (t.tile_n,), (columns,)), t.depth_out, name="bias", space="sram") if e.bias is not None else None
    for c in k.loop(t.tile_m // chunk):
        r0 = c * chunk
        x: View = acc[r0 : r0 + chunk]
        place = out.at((row + r0, col), (chunk, t.tile_n), x.extents)
        o = k.tile((chunk, t.tile_n), out.fmt, "sram", t.depth_out, x.extents, "o")
        after = e.residual is not None or gate is not None
        value: View = k.tile((chunk, t.tile_n), "fp32", "sram", valid=x.extents, name="value").view if after else o.view
        if e.scale is not None or bias is not None:
            x = _affine(k, x, bias, e.scale)
        scratch = k.tile((chunk, t.tile_n), "fp32", "sram", valid=x.extents, name="scratch")
        if gate is not None:
            g: View = gate[r0 : r0 + chunk]
            activate(k, e.activation, value, g if e.scale is None else _affine(k, g, None, e.scale), scratch)
            target: View = value if e.residual is not None else o.view
            k.mul(target, value, x)
        else:
            activate(k, e.activation, value, x, scratch)
        if e.residual is not None:
            residual = e.residual.at((row + r0, col), (chunk, t.tile_n), x.extents)
            k.add(o, value, k.fetch(residual, t.depth_out, name="residual", space="sram"))
        k.store(place, o)


def _affine(k: Tracer, x: View, bias: Tile | None, scale: float | None) -> View:
    """x * scale + bias in fp32."""
    y = k.tile(x.shape, "fp32", "sram", valid=x.extents, name="affine").view
    if scale is not None:
        k.mul(y, x, scale)
    if bias is not None:
        k.add(y, x if scale is None else y, bias)
    return y
