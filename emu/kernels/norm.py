"""RMS norm and layer norm, as an operation of its own and as the way into a gemm."""

from __future__ import annotations

from dataclasses import dataclass

from emu.errors import UnsupportedError
from emu.kernels.lang import Tensor, Tile, Tracer, View, kernel
from emu.kernels.shard import grid


@dataclass(frozen=True)
class Norm:
    """What to normalise by: kind `rms` or `layer`, the scale gamma [D], the shift beta [D] of layer norm, epsilon."""

    kind: str
    gamma: Tensor
    beta: Tensor | None = None
    eps: float = 1e-5


@dataclass(frozen=True)
class RowTiling:
    """Rows a core takes at a time, and over how many cores the rows are split (0: all)."""

    tile_m: int
    split: int = 0
    depth: int = 2


class NormInput:
    """The vectors of a norm, loaded once, and its application to tiles of rows."""

    def __init__(self, k: Tracer, norm: Norm, width: int, space: str = "sram") -> None:
        if norm.kind not in ("rms", "layer"):
            raise UnsupportedError(f"unknown norm {norm.kind!r}; expected rms or layer")
        self.norm = norm
        self.width, self.space = width, space
        self.gamma = k.fetch(norm.gamma.at((0,), (width,)), name="gamma", space=space)
        self.beta = k.fetch(norm.beta.at((0,), (width,)), name="beta", space=space) if norm.beta is not None else None

    def apply(self, k: Tracer, x: Tile, depth: int, fmt: str | None = None) -> Tile:
        """A tile with the normalised rows of x; in the scratchpad it may be an operand of the matrix engine."""
        out = k.tile(x.shape, fmt or x.fmt, self.space, depth, x.valid, "normed")
        rows, valid = x.shape[0], x.valid[0]
        stat = k.tile((rows, 1), "fp32", self.space, valid=(valid, 1), name="stat")
        wide = k.tile(x.shape, "fp32", self.space, valid=x.valid, name="wide")
        source: Tile | View = x
        if self.norm.kind == "layer":
            centred = k.tile(x.shape, "fp32", self.space, valid=x.valid, name="centred")
            k.rsum(stat, x)
            k.mul(stat, stat, 1 / self.width)
            k.sub(centred, x, stat)
            source = centred
        k.mul(wide, source, source)
        k.rsum(stat, wide)
        k.mul(stat, stat, 1 / self.width)
        k.add(stat, stat, self.norm.eps)
        k.rsqrt(stat, stat)
        k.mul(wide, source, stat)
        k.mul(out if self.beta is None else wide, wide, self.gamma)
        if self.beta is not None:
            k.add(out, wide, self.beta)
        return out


@kernel
def norm(k: Tracer, x: Tensor, out: Tensor, how: Norm, tiling: RowTiling) -> None:
    """out[m, :] = norm(x[m, :]); rows are split over cores."""
    rows, width = x.shape
    (share,) = grid(k, (-(-rows // tiling.tile_m),), (tiling.split or k.cores,))
    vectors = NormInput(k, how, width, "work")
    for i in k.loop(share.count):
        row = share.unit(i) * tiling.tile_m
        tile = k.fetch(x.at((row, 0), (tiling.tile_m, width)), tiling.depth, name="x")
        k.store(out.at((row, 0), (tiling.tile_m, width)), vectors.apply(k, tile, tiling.depth, out.fmt))


__all__ = ["Norm", "NormInput", "RowTiling", "norm"]
