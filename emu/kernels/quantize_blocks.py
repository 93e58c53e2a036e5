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
class Codes:
    """What rows become: the format of elements, that of the scales of their blocks ("-": none), and whether each row has a factor of its
    own, so that its largest element becomes the largest of the format."""

    fmt: str
    scale_fmt: str = "-"
    dynamic: bool = False

    @property
    def largest(self) -> float:
        """What the largest magnitude of a row becomes."""
        return largest_of(self.fmt, self.scale_fmt)

    @property
    def block(self) -> int:
        """Elements that share a scale; 0 for none."""
        return 0 if self.scale_fmt == "-" else kind_of(self.scale_fmt)[1]


@dataclass(frozen=True)
class Quantized:
    """Where quantised rows go: their elements [M, K], whose blocks may have scales (`values.scales`, as `grouped_shape` has them). The
    factors of `rows`, [M, 1] in fp32, are written. Instead `fixed` [1, 1] in fp32 may be read: one factor, known before."""

    values: Tensor
    rows: Tensor | None = None
    fixed: Tensor | None = None

    @property
    def codes(self) -> Codes:
        scales = self.values.scales
        return Codes(self.values.fmt, "-" if scales is None else scales.fmt, self.rows is not None)


def largest_of(fmt: str, scale_fmt: str = "-") -> float:
    """The largest element, times the largest scale of a block where these are numbers."""
    if fmt not in LARGEST:
        raise UnsupportedError(f"rows are not quantised to {fmt}; {did_you_mean(fmt, LARGEST)}")
    return LARGEST[fmt] * LARGEST.get(scale_fmt, 1.0)


@kernel
def quantize(k: Tracer, x: Tensor, to: Quantized, tiling: RowTiling, norm: Norm | None = None) -> None:
    """x [M, K], or its norm, as `to` says; a norm is rounded to x's format first, as if it were an operation of its own."""
    rows, width = x.shape
    (share,) = grid(k, (-(-rows // tiling.tile_m),), (tiling.split or k.cores,))
    vectors = NormInput(k, norm, width, "work") if norm is not None else None
    scales = to.values.scales
    encode = Encoder(k, to.codes, to.fixed, "work", scales.shape[2] if scales is not None else 1)
    for i in k.loop(share.count):
        row = share.unit(i) * tiling.tile_m
        tile = k.fetch(x.at((row, 0), (tiling.tile_m, width)), tiling.depth, name="x")
        tile = vectors.apply(k, tile, 1) if vectors is not None else tile
        codes, factors = encode.apply(k, tile, tiling.depth)
        if to.rows is not None and factors is not None:
            k.store(to.rows.at((row, 0), (tiling.tile_m, 1)), factors)
        if scales is not None and codes.scales is not None:
            groups, _, group = scales.shape
            k.store(scales.at((0, row, 0), (groups, tiling.tile_m, group)), codes.scales.in_blocks(group).as_dims(1, 0, 2))
        k.store(to.values.at((row, 0), (tiling.tile_m, width)), codes)


class Encoder:
    """The factor of a tensor, loaded once, and the quantisation of tiles of rows; what it works on lies in `space`. Scales of blocks are
    made in groups of `group`, the last of which is padded with the smallest."""

    def __init__(self, k: Tracer, codes: Codes, fixed: Tensor | None, space: str, group: int = 1) -> None:
        self.codes, self.space, self.group = codes, space, group
        self.inverse: Tile | None = None
        if fixed is not None:
            given = k.fetch(fixed.at((0, 0), (1, 1)), name="fixed", space=space)
            self.inverse = k.tile((1, 1), "fp32", space, name="inverse")
            k.rcp(self.inverse, given)

    def apply(self, k: Tracer, x: Tile, depth: int) -> tuple[Tile, Tile | None]:
        """The codes of x [rows, K], their scales behind them, and the factors [rows, 1] of its rows if these have some."""
        inverse, factors = self.inverse, None
        size = k.tile(x.shape, "fp32", self.space, valid=x.valid, name="size") if self.codes.dynamic or self.codes.block else x
        if self.codes.dynamic:
            factors, inverse = self._factors(k, x, size, depth)
        if self.codes.block:
            return self._in_blocks(k, x, size, inverse, depth), factors
        codes = k.tile(x.shape, self.codes.fmt, self.space, depth, x.valid, "codes")
        if inverse is None:
            k.mov(codes, x)
        else:
            k.mul(codes, x, inverse)
        return codes, factors

    def _factors(self, k: Tracer, x: Tile, size: Tile, depth: int) -> tuple[Tile, Tile]:
        """max |x[i, :]| / largest of every row, and its inverse; `size` is scratch."""
        shape, valid = (x.shape[0], 1), (x.valid[0], 1)
        most = k.tile(shape, "fp32", self.space, valid=valid, name="most")
        factors = k.tile(shape, "fp32", self.space, depth, valid, "factors")
        inverse = k.tile(shape, "fp32", self.space, valid=valid, name="inverse")
        k.abs(size, x)
        k.rmax(most, size)
        k.max(most, most, LEAST)
        k.mul(factors, most, 1.0 / self.codes.largest)
        k.rcp(inverse, factors)
        return factors, inverse

    def _in_blocks(self, k: Tracer, x: Tile, size: Tile, inverse: Tile | None, depth: int) -> Tile:
        """Codes and, behind them, the scales of their blocks, of x * inverse; `size` is scratch."""
        of, value = self.codes, x
        count = -(-x.shape[1] // of.block)
        blocks = (x.shape[0], -(-count // self.group) * self.group)
        codes = scaled_tile(k, x.shape, of.fmt, x.valid, blocks, of.scale_fmt, (x.valid[0], blocks[1]), depth, "codes", self.space)
        scales = codes.scales
        assert scales is not None
        if inverse is not None:
            value = k.tile(x.shape, "fp32", self.space, valid=x.valid, name="value")
            k.mul(value, x, inverse)
        most = k.tile(blocks, "fp32", self.space, valid=scales.extents, name="block_most")
        k.abs(size, value)
        if blocks[1] > count:
            k.fill(most, 0.0)
        for part, top in _blocks(size, most.view, of.block):
            k.rmax(top, part)
        if of.scale_fmt == "e8m0":  # 2^(floor(log2 most) - emax): the nearest power of two to 3/4 of a number is the one below the number
            k.max(most, most, LEAST_BLOCK["e8m0"])
            k.mul(scales, most, 0.75 * 2.0 ** -MX_FORMATS[of.fmt])
        else:
            k.div(most, most, LARGEST[of.fmt])
            k.max(most, most, LEAST_BLOCK[of.scale_fmt])
            k.mov(scales, most)
        k.rcp(most, scales)
        for (out, by), (part, _) in zip(_blocks(codes, most.view, of.block), _blocks(value, most.view, of.block)):
            k.mul(out, part, by)
        return codes


def _blocks(x: Tile, scales: View, block: int) -> Iterator[tuple[View, View]]:
    """x [m, K] as [m, blocks, block] with its scales as [m, blocks, 1]: the whole blocks, then a short one if there is one."""
    width = x.shape[1]
    whole = width // block
    if whole:
        yield x[:, : whole * block].in_blocks(block), scales[:, :whole].as_dims(0, 1, None)
    if width % block:
        yield x[:, whole * block :].as_dims(0, None, 1), scales[:, whole : whole + 1].as_dims(0, 1, None)


__all__ = ["LARGEST", "LEAST", "LEAST_BLOCK", "Codes", "Encoder", "Quantized", "largest_of", "quantize"]
