"""out = residual + activation(x @ w + bias), with an optional gate (SwiGLU) and an optional norm of x on the way in."""

from __future__ import annotations

from dataclasses import dataclass

from emu.errors import UnsupportedError
from emu.kernels.activation import activate
from emu.kernels.lang import Ring, Tensor, Tile, Tracer, Value, View, kernel
from emu.kernels.lang.matops import kind_of
from emu.kernels.lang.memory import exactly
from emu.kernels.norm import Norm, NormInput
from emu.kernels.quantize_blocks import Codes, Encoder
from emu.kernels.scaled import blocks_of, scaled_tile, slice_of, weight_bytes
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
    """What happens to the accumulator on its way out: out = residual + activation(acc * scale + bias), times the gate's branch.

    Quantised operands: acc is first multiplied by the scale of its column (of w, [N] in fp32), then by that of its row (of x, [M, 1])."""

    bias: Tensor | None = None
    activation: str = "none"
    gate: Tensor | None = None  # weights of the gate: out = activation(x @ gate) * (x @ w)
    residual: Tensor | None = None
    scale: float | None = None
    columns: Tensor | None = None
    gate_columns: Tensor | None = None
    rows: Tensor | None = None


@dataclass(frozen=True)
class OnTheWay:
    """Rows of x are quantised on chip, in front of the products; `fixed` is their factor where it is known before, [1, 1] in fp32."""

    codes: Codes
    fixed: Tensor | None = None


@kernel
def gemm(
    k: Tracer, x: Tensor, w: Tensor, out: Tensor, tiling: GemmTiling, epilogue: Epilogue = Epilogue(), norm: Norm | None = None,
    normed_fmt: str = "", encode: OnTheWay | None = None,
) -> None:
    """x [M, K]; w [K, N] or blocked [N / nb][K][nb] with nb dividing tile_n; out [M, N]. `norm` is applied to the rows of x first,
    whose result is in `normed_fmt` (that of w unless given). `encode`: they are then quantised, and their factors multiply the products.

    Blocks of k of x and w may have scales (`Tensor.scales`)."""
    t = tiling
    (rows, depth), columns = x.shape, out.shape[1]
    _check(x, w, out, t, epilogue, norm, encode)
    ring = k.weights or k.weight_ring(weight_bytes(w, t.tile_k, t.tile_n), t.depth_w)
    m, n = grid(k, (-(-rows // t.tile_m), -(-columns // t.tile_n)), (t.split_m, t.split_n))
    normed = NormInput(k, norm, depth) if norm is not None else None
    encoder = Encoder(k, encode.codes, encode.fixed, "sram") if encode is not None else None
    if t.by_columns:
        for j in k.loop(n.count):
            for i in k.loop(m.count):
                _tile(k, x, w, out, ring, t, epilogue, None, m.unit(i) * t.tile_m, n.unit(j))
        return
    for i in k.loop(m.count):
        row = m.unit(i) * t.tile_m
        a = factors = None
        if t.a_resident:
            a = fetch_rows(k, x, (row, 0), (t.tile_m, depth), t.depth_a)
            a = normed.apply(k, a, 1 if encoder else t.depth_a, normed_fmt or w.fmt) if normed else a
            a, factors = encoder.apply(k, a, t.depth_a) if encoder else (a, None)
        for j in k.loop(n.count):
            _tile(k, x, w, out, ring, t, epilogue, a, row, n.unit(j), factors)


def _tile(
    k: Tracer, x: Tensor, w: Tensor, out: Tensor, ring: Ring, t: GemmTiling, epilogue: Epilogue, rows: Tile | None, row: Value,
    block: Value, factors: Tile | None = None,
) -> None:
    """One output tile: its products and its epilogue. `rows`: x, if it is kept; `factors` of its rows, if they are on chip."""
    depth, columns = x.shape[1], out.shape[1]
    acc = _accumulator(k, w, out, row, block * t.tile_n, t, "acc")
    gate = _accumulator(k, w, out, row, block * t.tile_n, t, "gate") if epilogue.gate is not None else None
    for s in k.loop(-(-depth // t.tile_k)):
        k0 = s * t.tile_k
        if rows is None:
            tile = fetch_rows(k, x, (row, k0), (t.tile_m, t.tile_k), t.depth_a)
            part, scales = tile.view, tile.scales
        else:
            part, scales = rows[:, k0 : k0 + t.tile_k], slice_of(rows.scales, k0, t.tile_k)
        for into, weights in ((acc, w), (gate, epilogue.gate)):
            if into is not None and weights is not None:
                b = fetch_weights(k, ring, weights, k0, block, t.tile_k, t.tile_n, columns)
                k.mm(into, part, b, a_scales=scales, b_scales=b.scales)
    _finish(k, acc, gate, out, row, block * t.tile_n, t, epilogue, factors)


def _check(x: Tensor, w: Tensor, out: Tensor, t: GemmTiling, epilogue: Epilogue, norm: Norm | None, encode: OnTheWay | None) -> None:
    for weights in (w, epilogue.gate):
        if weights is not None and weights.shape[-2] != x.shape[1]:
            raise UnsupportedError(f"{weights.name} {weights.shape} does not fit {x.name} {x.shape}: both must have the same K")
    if t.split_k > 1:
        raise UnsupportedError(f"split_k {t.split_k}: a divided sum takes two passes, gemm_divided")
    if t.by_columns and t.a_resident:
        raise UnsupportedError("by_columns: rows of x cannot stay on chip (a_resident) while other rows are worked on")
    if (norm is not None or encode is not None) and not t.a_resident:
        raise UnsupportedError("a norm or a quantisation in front of a gemm needs whole rows on chip: a_resident=True")
    if t.tile_m % (t.chunk_m or t.tile_m):
        raise UnsupportedError(f"chunk_m {t.chunk_m} must divide tile_m {t.tile_m}")
    if len(w.shape) == 3 and t.tile_n % w.shape[2]:
        raise UnsupportedError(f"tile_n {t.tile_n} must be a multiple of the width of {w.name}'s blocks, {w.shape[2]}")
    for operand in (x, w):
        if operand.scales is not None and t.tile_k % kind_of(operand.scales.fmt)[1]:
            raise UnsupportedError(f"tile_k {t.tile_k} must be whole blocks of {operand.name}, which has scales for {operand.scales.fmt}")


def _accumulator(k: Tracer, w: Tensor, out: Tensor, row: Value, col: Value, t: GemmTiling, name: str) -> Tile:
    valid = out.at((row, col), (t.tile_m, t.tile_n)).extents
    fmt = "int32" if w.fmt == "int8" else "fp32"
    return k.tile((t.tile_m, t.tile_n), fmt, "acc", t.depth_acc, valid, name)


def fetch_rows(k: Tracer, x: Tensor, origin: tuple[Value, Value], shape: tuple[int, int], depth: int) -> Tile:
    """Rows of x [M, K] from `origin`, in the scratchpad, with the scales of their blocks if they have some (`grouped_shape`)."""
    source = x.at(origin, shape)
    if x.scales is None:
        return k.fetch(source, depth, name="a", space="sram")
    first, blocks = blocks_of(x.scales, origin[1], shape[1])
    group = x.scales.shape[2]
    groups = min(-(-blocks // group), x.scales.shape[0])
    scales = x.scales.at((exactly(first, group, f"groups of {group} scales"), origin[0], 0), (groups, shape[0], group))
    lying, valid = (shape[0], groups * group), (source.extents[0], scales.extents[0] * group)
    tile = scaled_tile(k, shape, x.fmt, source.extents, lying, x.scales.fmt, valid, depth, "a", "sram")
    assert tile.scales is not None
    k.load(tile, source)
    k.load(tile.scales.in_blocks(group, scales.extents[0]).as_dims(1, 0, 2), scales)
    return tile


def fetch_weights(k: Tracer, ring: Ring, w: Tensor, k0: Value, block: Value, tile_k: int, tile_n: int, columns: int) -> Tile:
    """The weight tile [tile_k, tile_n] of a block of columns, through ld0; from one contiguous run if w is blocked by tile_n."""
    depth = w.shape[-2]
    valid = Tensor("", (depth, columns), w.fmt, "", 0).at((k0, block * tile_n), (tile_k, tile_n)).extents
    tile = k.next(ring, (tile_k, tile_n), w.fmt, valid)
    _load_block(k, tile.view, w, k0, block)
    if w.scales is not None:
        first, count = blocks_of(w.scales, k0, tile_k)
        extents = Tensor("", (w.scales.shape[-2], columns), w.scales.fmt, "", 0).at((first, block * tile_n), (count, tile_n)).extents
        tile.scales = tile.behind((count, tile_n), w.scales.fmt, extents)
        _load_block(k, tile.scales, w.scales, first, block)
    return tile


def _load_block(k: Tracer, target: View, w: Tensor, row: Value, block: Value) -> None:
    """Fills [rows, tile_n] with rows from `row` of the block-th tile_n columns of w."""
    (rows, tile_n), (k_valid, n_valid) = target.shape, target.extents
    if len(w.shape) == 2:
        k.load(target, w.at((row, block * tile_n), (rows, tile_n)), "ld0")
        return
    width = w.shape[2]
    group = tile_n // width
    if group == 1:
        k.load(target.as_dims(None, 0, 1), w.at((block, row, 0), (1, rows, width), (1, k_valid, n_valid)), "ld0")
        return
    source = w.at((block * group, row, 0), (group, rows, width))  # whole blocks: the last one is padded, and products leave the padding out
    k.load(target.grouped(group, source.extents), source, "ld0")


def _finish(
    k: Tracer, acc: Tile, gate: Tile | None, out: Tensor, row: Value, col: Value, t: GemmTiling, e: Epilogue, factors: Tile | None,
) -> None:
    """From the accumulators to device memory, a few rows at a time so that scratch stays small."""
    chunk = t.chunk_m or t.tile_m
    columns = acc.valid[1]

    def vector(of: Tensor | None, name: str) -> Tile | None:
        return None if of is None else k.fetch(of.at((col,), (t.tile_n,), (columns,)), t.depth_out, name=name, space="sram")

    bias, of_columns, of_gate = vector(e.bias, "bias"), vector(e.columns, "columns"), vector(e.gate_columns, "gate_columns")
    of_rows = k.fetch(e.rows.at((row, 0), (t.tile_m, 1)), t.depth_out, name="rows", space="sram") if e.rows is not None else factors
    for c in k.loop(t.tile_m // chunk):
        r0 = c * chunk
        x: View = acc[r0 : r0 + chunk]
        place = out.at((row + r0, col), (chunk, t.tile_n), x.extents)
        o = k.tile((chunk, t.tile_n), out.fmt, "sram", t.depth_out, x.extents, "o")
        after = e.residual is not None or gate is not None
        value: View = k.tile((chunk, t.tile_n), "fp32", "sram", valid=x.extents, name="value").view if after else o.view
        shared = _factors(e.scale, of_rows[r0 : r0 + chunk] if of_rows is not None else None)
        x = _affine(k, x, [*_factors(of_columns), *shared], bias)
        scratch = k.tile((chunk, t.tile_n), "fp32", "sram", valid=x.extents, name="scratch")
        if gate is not None:
            g: View = gate[r0 : r0 + chunk]
            activate(k, e.activation, value, _affine(k, g, [*_factors(of_gate), *shared], None), scratch)
            target: View = value if e.residual is not None else o.view
            k.mul(target, value, x)
        else:
            activate(k, e.activation, value, x, scratch)
        if e.residual is not None:
            residual = e.residual.at((row + r0, col), (chunk, t.tile_n), x.extents)
            k.add(o, value, k.fetch(residual, t.depth_out, name="residual", space="sram"))
        k.store(place, o)


def _factors(*some: Tile | View | float | None) -> list[Tile | View | float]:
    return [one for one in some if one is not None]


def _affine(k: Tracer, x: View, factors: list[Tile | View | float], bias: Tile | None) -> View:
    """x times each of the factors, plus bias, in fp32; x itself if there are none."""
    if not factors and bias is None:
        return x
    y = k.tile(x.shape, "fp32", "sram", valid=x.extents, name="affine").view
    for factor in factors:
        k.mul(y, x, factor)
        x = y
    if bias is not None:
        k.add(y, x, bias)
    return y
