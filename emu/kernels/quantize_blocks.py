"""Quantisation of activations in front of a product: whole rows on chip, read once, with a norm on their way if there is one.

A number stands for its code times the scale of its block of k (MX, NVFP4) times the scale of its row, or one for the tensor, where there
are such. Everything is computed by vector instructions in fp32; docs/decisions/0018-quantised-models.md says in which order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from emu.errors import UnsupportedError, did_you_mean
from emu.kernels.lang import Tensor, Tile, Tracer, View, kernel
from emu.kernels.lang.matops import kind_of
from emu.kernels.norm import Norm, NormInput, RowTiling
from emu.kernels.quantize import LARGEST as EIGHT
from emu.kernels.quantize import LEAST
from emu.kernels.scaled import scaled_tile
from emu.kernels.shard import grid
from emu.num.blocks import MX_FORMATS

LARGEST = {**EIGHT, "int8": 127.0, "fp6_e2m3": 7.5, "fp6_e3m2": 28.0, "fp4_e2m1": 6.0}
LEAST_BLOCK = {"e8m0": 2.0**-126, "fp8_e4m3": 2.0**-9}
"""Of a block's largest magnitude in MX, whose smallest scale is 2^-127; of the scale itself in NVFP4, e4m3's smallest number: no scale is
zero, and a block of zeros stays one."""


@dataclass(frozen=True)
class Quantized:
    """Where quantised rows go: their elements [M, K], whose blocks may have scales (`values.scales`, [M, blocks]). `rows` [M, 1] in fp32
    is written: a scale for each row, so that its largest element becomes the largest of the format. Instead `fixed` [1, 1] in fp32 may be
    read: one scale, known before."""

    values: Tensor
    rows: Tensor | None = None
    fixed: Tensor | None = None


def largest_of(fmt: str, scale_fmt: str = "-") -> float:
    """What the largest magnitude of a row becomes: the largest element, times the largest scale of a block where these are numbers."""
    if fmt not in LARGEST:
        raise UnsupportedError(f"rows are not quantised to {fmt}; {did_you_mean(fmt, LARGEST)}")
    return LARGEST[fmt] * LARGEST.get(scale_fmt, 1.0)


@kernel
def quantize(k: Tracer, x: Tensor, to: Quantized, tiling: RowTiling, norm: Norm | None = None) -> None:
    """x [M, K], or its norm, as `to` says; a norm is rounded to x's format first, as if it were an operation of its own."""
    rows, width = x.shape
    scales = to.values.scales
    top = largest_of(to.values.fmt, scales.fmt if scales is not None else "-")
    (share,) = grid(k, (-(-rows // tiling.tile_m),), (tiling.split or k.cores,))
    vectors = NormInput(k, norm, width, "work") if norm is not None else None
    fixed = k.fetch(to.fixed.at((0, 0), (1, 1)), name="fixed") if to.fixed is not None else None
    for i in k.loop(share.count):
        row = share.unit(i) * tiling.tile_m
        tile = k.fetch(x.at((row, 0), (tiling.tile_m, width)), tiling.depth, name="x")
        tile = vectors.apply(k, tile, 1) if vectors is not None else tile
        scale = fixed
        size = k.tile(tile.shape, "fp32", valid=tile.valid, name="size")
        if to.rows is not None:
            scale = _row_scales(k, tile, size, top, tiling.depth)
            k.store(to.rows.at((row, 0), (tiling.tile_m, 1)), scale)
        place = to.values.at((row, 0), (tiling.tile_m, width))
        if scales is None:
            codes = k.tile(tile.shape, to.values.fmt, "work", tiling.depth, tile.valid, "codes")
            _divide(k, codes, tile, scale)
        else:
            of_blocks = scales.at((row, 0), (tiling.tile_m, scales.shape[1]))
            codes = scaled_tile(k, (tiling.tile_m, width), to.values.fmt, tile.valid, of_blocks, tiling.depth, "codes", "work")
            _in_blocks(k, codes, tile, size, scale)
            assert codes.scales is not None
            k.store(of_blocks, codes.scales)
        k.store(place, codes)


def _divide(k: Tracer, out: Tile, x: Tile, scale: Tile | None) -> None:
    if scale is None:
        k.mov(out, x)
    else:
        k.div(out, x, scale)


def _row_scales(k: Tracer, x: Tile, size: Tile, top: float, depth: int) -> Tile:
    """max |x[i, :]| / top for every row; `size` is scratch."""
    most = k.tile((x.shape[0], 1), "fp32", valid=(x.valid[0], 1), name="most")
    scale = k.tile((x.shape[0], 1), "fp32", "work", depth, (x.valid[0], 1), "scale")
    k.abs(size, x)
    k.rmax(most, size)
    k.max(most, most, LEAST)
    k.mul(scale, most, 1.0 / top)
    return scale


def _in_blocks(k: Tracer, codes: Tile, x: Tile, size: Tile, scale: Tile | None) -> None:
    """Codes and, behind them, the scales of their blocks, of x / scale; `size` is scratch."""
    assert codes.scales is not None
    value = x
    if scale is not None:
        value = k.tile(x.shape, "fp32", valid=x.valid, name="value")
        k.div(value, x, scale)
    most = k.tile(codes.scales.shape, "fp32", valid=codes.scales.extents, name="block_most")
    k.abs(size, value)
    block = kind_of(codes.scales.fmt)[1]
    for part, top in _blocks(size, most.view, block):
        k.rmax(top, part)
    if codes.scales.fmt == "e8m0":  # 2^floor(log2 most) / 2^emax: e8m0 takes the nearest power, and to 3/4 of a number that is the one below
        k.max(most, most, LEAST_BLOCK["e8m0"])
        k.mul(codes.scales, most, 0.75 * 2.0 ** -MX_FORMATS[codes.fmt])
    else:
        k.div(most, most, LARGEST[codes.fmt])
        k.max(most, most, LEAST_BLOCK[codes.scales.fmt])
        k.mov(codes.scales, most)
    for (out, by), (part, _) in zip(_blocks(codes, codes.scales, block), _blocks(value, codes.scales, block)):
        k.div(out, part, by)


def _blocks(x: Tile, scales: View, block: int) -> Iterator[tuple[View, View]]:
    """x [m, K] as [m, blocks, block] with its scales as [m, blocks, 1]: the whole blocks, then a short one if there is one."""
    width = x.shape[1]
    whole = width // block
    if whole:
        yield x[:, : whole * block].in_blocks(block), scales[:, :whole].as_dims(0, 1, None)
    if width % block:
        yield x[:, whole * block :].as_dims(0, None, 1), scales[:, whole : whole + 1].as_dims(0, 1, None)


__all__ = ["LARGEST", "LEAST", "LEAST_BLOCK", "Quantized", "largest_of", "quantize"]
