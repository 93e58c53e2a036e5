"""Number formats: stored elements to fp32 and back."""

from __future__ import annotations

from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from isa.tables import load

Array = NDArray[Any]
_CANONICAL_NAN = {"fp32": 0x7FC00000, "bf16": 0x7FC0, "fp16": 0x7E00, "fp8_e4m3": 0x7F, "fp8_e5m2": 0x7E}


@cache
def dtype(name: str) -> np.dtype[Any]:
    """The storage type of a format."""
    storage = load().formats[name].storage
    return np.dtype(getattr(ml_dtypes, storage, None) or storage)


@cache
def size(name: str) -> int:
    """Bytes of an element."""
    return load().formats[name].bits // 8


def is_float(name: str) -> bool:
    """True for the float formats."""
    return load().formats[name].kind == "float"


def canonical(x: Array, name: str) -> Array:
    """Every NaN replaced by the canonical one of the format."""
    nan = np.array(_CANONICAL_NAN[name], f"u{size(name)}").view(dtype(name))
    return np.where(np.isnan(x), nan, x)


def to_fp32(x: Array) -> Array:
    """Exact, except that int32 rounds to nearest even."""
    return x.astype(np.float32)


def from_fp32(x: Array, name: str, sat: bool = False) -> Array:
    """Round to nearest even. Overflow gives inf (NaN where the format has none), with sat the largest finite value.

    Infinite values saturate too: after the arithmetic an overflow and an infinity are the same. Integers always saturate, NaN gives 0.
    """
    target = dtype(name)
    if not is_float(name):
        info = np.iinfo(target)
        whole = np.rint(np.where(np.isnan(x), np.float32(0), x).astype(np.float64))
        return np.clip(whole, info.min, info.max).astype(target)
    with np.errstate(all="ignore"):
        out = x.astype(target)
    if sat:
        largest = np.array(ml_dtypes.finfo(target).max, target)
        overflow = ~np.isnan(x) & ~np.isfinite(out.astype(np.float32))
        out = np.where(overflow, np.where(np.signbit(x), -largest, largest), out)
    return canonical(out, name)
