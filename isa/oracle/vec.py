"""The vec instructions. Elementwise functions take and give fp32 arrays; `compute` converts around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isa.oracle import transcendental as t
from isa.oracle.dither import stochastic
from isa.oracle.formats import from_fp32, to_fp32

F = NDArray[np.float32]
LANES = 32


def vmov(x: F) -> F:
    return x


def vneg(x: F) -> F:
    return -x


def vabs(x: F) -> F:
    return np.abs(x)


def vsqrt(x: F) -> F:
    return np.sqrt(x)


def vrsqrt(x: F) -> F:
    root: F = np.sqrt(x)
    return np.float32(1) / root


def vrcp(x: F) -> F:
    return np.float32(1) / x


def vadd(x: F, y: F) -> F:
    return x + y


def vsub(x: F, y: F) -> F:
    return x - y


def vmul(x: F, y: F) -> F:
    return x * y


def vdiv(x: F, y: F) -> F:
    return x / y


def vmax(x: F, y: F) -> F:
    return np.where(np.isnan(x) | np.isnan(y), np.float32(np.nan), np.where(x >= y, x, y))


def vmin(x: F, y: F) -> F:
    return np.where(np.isnan(x) | np.isnan(y), np.float32(np.nan), np.where(x <= y, x, y))


def vge(x: F, y: F) -> F:
    return np.where(x >= y, np.float32(1), np.float32(0))


def vmac(c: F, x: F, y: F) -> F:
    product = x * y
    return c + product


def vrsum(x: F) -> F:
    """Over the last axis: element j to running sum j mod 32, then halves pairwise."""
    sums = np.zeros((*x.shape[:-1], LANES), np.float32)
    for j in range(x.shape[-1]):
        sums[..., j % LANES] = sums[..., j % LANES] + x[..., j]
    half = LANES // 2
    while half:
        sums = sums[..., :half] + sums[..., half:]
        half //= 2
    return sums


def vrmax(x: F) -> F:
    """Over the last axis, ascending, from -inf."""
    running = np.full(x.shape[:-1], -np.inf, np.float32)
    for j in range(x.shape[-1]):
        running = vmax(running, x[..., j])
    return running[..., None]


def vmask(x: F, scalar: np.float32, diag: int, window: int) -> F:
    """Keep element (i, j) of the last two axes when j <= i + diag and, with a window, j > i + diag - window."""
    i, j = np.arange(x.shape[-2])[:, None], np.arange(x.shape[-1])[None, :]
    keep = j <= i + diag
    if window > 0:
        keep &= j > i + diag - window
    return np.where(keep, x, scalar)


def vtrans(x: NDArray[Any]) -> NDArray[Any]:
    """A copy of bytes: the last two axes of elements change places."""
    return np.swapaxes(x, -1, -2)


UNARY: dict[str, Callable[[F], F]] = {
    "vmov": vmov, "vneg": vneg, "vabs": vabs, "vsqrt": vsqrt, "vrsqrt": vrsqrt, "vrcp": vrcp, "vexp": t.exp, "vexp2": t.exp2,
    "vlog2": t.log2, "vtanh": t.tanh, "verf": t.erf, "vsigmoid": t.sigmoid, "vsin": t.sin, "vcos": t.cos, "vrsum": vrsum, "vrmax": vrmax,
}
BINARY: dict[str, Callable[[F, F], F]] = {
    "vadd": vadd, "vsub": vsub, "vmul": vmul, "vdiv": vdiv, "vmax": vmax, "vmin": vmin, "vge": vge,
}


def compute(mnemonic: str, target: str, sources: list[NDArray[Any]], *, old: NDArray[Any] | None = None, sat: bool = False,
            scalar: int = 0, diag: int = 0, window: int = 0, seed: int | None = None) -> NDArray[Any]:
    """The elements an instruction stores, in format `target`, from the elements it reads (stored ones, or already in fp32).

    Arrays are [n3, n2, n1, n0]. A missing second source is the scalar (fp32 bits); `old` is the destination before, for vmac; with a seed
    the result is rounded stochastically.
    """
    immediate = np.uint32(scalar).view(np.float32)
    x = [to_fp32(source) for source in sources]
    with np.errstate(all="ignore"):
        if mnemonic in UNARY:
            out = UNARY[mnemonic](x[0])
        elif mnemonic in BINARY:
            out = BINARY[mnemonic](x[0], x[1] if len(x) > 1 else np.full_like(x[0], immediate))
        elif mnemonic == "vmac" and old is not None:
            out = vmac(to_fp32(old), x[0], x[1] if len(x) > 1 else np.full_like(x[0], immediate))
        elif mnemonic == "vmask":
            out = vmask(x[0], immediate, diag, window)
        else:
            raise ValueError(f"{mnemonic} is not computed on numbers")
        return from_fp32(out, target, sat) if seed is None else stochastic(out, target, seed, sat)
