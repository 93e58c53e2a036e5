"""Stochastic rounding: a hash of seed and element index decides between the two neighbours of a value."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isa.oracle.formats import from_fp32
from isa.tables import load

A = NDArray[Any]


def mix(x: A) -> A:
    """A bijection of 32-bit words in which every bit depends on every other."""
    x = (x ^ x >> np.uint32(16)) * np.uint32(0x21F0AAAD)
    x = (x ^ x >> np.uint32(15)) * np.uint32(0xD35A2D97)
    return x ^ x >> np.uint32(15)


def draws(seed: int, shape: tuple[int, ...]) -> A:
    """A 32-bit draw for every element of an array [n3, n2, n1, n0], by its index in row-major order."""
    count = 1
    for extent in shape:
        count *= extent
    index = np.arange(count, dtype=np.uint64).reshape(shape)
    with np.errstate(over="ignore"):
        high = mix(np.uint32(seed & 0xFFFFFFFF) + (index >> np.uint64(32)).astype(np.uint32))
        return mix(high ^ (index & np.uint64(0xFFFFFFFF)).astype(np.uint32))


def grid_step(x: A, name: str) -> A:
    """The distance between the neighbours of x in a format, in double; the format is taken to go on above its largest value."""
    form = load().formats[name]
    if form.kind == "int":
        return np.maximum(np.ldexp(1.0, np.frexp(x)[1] - 24), 1.0)  # a float that large has no fraction
    _, exponent = np.frexp(x)
    return np.ldexp(1.0, np.maximum(exponent - 1, 2 - (1 << form.exponent - 1)) - form.mantissa)


def stochastic(x: A, name: str, seed: int, sat: bool = False) -> A:
    """fp32 values in a format: away from 0 where the draw is below the fraction of the step, cut to 32 bits."""
    if load().formats[name].kind == "scale":
        raise ValueError(f"{name} is not rounded stochastically")
    finite = np.isfinite(x)
    magnitude = np.abs(np.where(finite, x, np.float32(0))).astype(np.float64)
    step = grid_step(magnitude, name)
    low = np.floor(magnitude / step)
    fraction = np.floor((magnitude / step - low) * 2.0**32)
    steps = low + (draws(seed, x.shape) < fraction)
    with np.errstate(over="ignore"):
        moved = np.copysign((steps * step).astype(np.float32), x)
    return from_fp32(np.where(finite, moved, x), name, sat)
