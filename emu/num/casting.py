"""Conversions between formats, by the compiled core: the same bits as the machine's vmov."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import ArrayLike, NDArray

from emu import _num
from emu.errors import UnsupportedError, did_you_mean
from emu.num.formats import dtype, format_of, known, number, pack, row_bytes, unpack

ROUNDINGS = ("nearest", "stochastic")
_INTEGERS = (np.dtype(np.int8), np.dtype(ml_dtypes.int4), np.dtype(np.int32))


def values_of(x: ArrayLike) -> NDArray[Any]:
    """An array in a format of the machine. Numbers of any other kind become fp32 if they are fp32 values; others would round twice."""
    array = np.asarray(x)
    if array.dtype in _INTEGERS or array.dtype.kind not in "iufb":
        format_of(array)
        return array
    if array.dtype.itemsize <= 2 or array.dtype == np.float32:
        return array if array.dtype in (np.dtype(np.float16), np.dtype(np.float32)) else array.astype(np.float32)
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float32)
    if not np.array_equal(narrow.astype(array.dtype), array, equal_nan=array.dtype.kind == "f"):
        raise UnsupportedError(f"dtype {array.dtype}: values that fp32 does not hold would be rounded twice; convert to float32 yourself")
    return narrow


def encode(x: ArrayLike, fmt: str, *, rounding: str = "nearest", seed: int = 0, saturate: bool = False) -> NDArray[np.uint8]:
    """Numbers [..., n] as packed bytes [..., row_bytes(fmt, n)], as the machine's memory holds them.

    rounding: `nearest` (ties to even) or `stochastic`, which depends on `seed` (32 bits) and an element's place in row-major order alone.
    saturate: what is too large becomes the largest finite value instead of infinity (e4m3: NaN). Integers, fp6 and fp4 saturate always.
    Raises UnsupportedError for an unknown format or rounding, and for float64 or wide integers that fp32 does not hold.
    """
    if rounding not in ROUNDINGS:
        raise UnsupportedError(f"rounding {str(rounding)[:80]!r} is not known; {did_you_mean(str(rounding), ROUNDINGS)}")
    if rounding == "stochastic" and known(fmt).kind == "scale":
        raise UnsupportedError(f'format {fmt}: a scale is not rounded stochastically; use rounding="nearest"')
    if not 0 <= seed < 1 << 32:
        raise UnsupportedError(f"seed {seed}: expected 0 to 2^32 - 1")
    array = values_of(x)
    source = format_of(array)
    rows = array.reshape(1, 1) if array.ndim == 0 else array
    last, count = rows.shape[-1], int(np.prod(rows.shape[:-1], dtype=np.int64))
    if not rows.size:
        return np.zeros((*rows.shape[:-1], row_bytes(fmt, last)), np.uint8)
    flat = pack(rows, source).reshape(-1)
    raw = _num.convert(flat, number(source), number(fmt), saturate, last, count, seed if rounding == "stochastic" else None)
    return raw.reshape(*rows.shape[:-1], row_bytes(fmt, last)) if array.ndim else raw


def decode(raw: NDArray[np.uint8], fmt: str, count: int) -> NDArray[np.float32]:
    """Packed bytes [..., row_bytes(fmt, count)] as fp32 [..., count]; exact, but for int32 beyond 2^24, which rounds to nearest even.

    Raises UnsupportedError for an unknown format or rows of another length.
    """
    data = np.ascontiguousarray(raw, np.uint8)
    if count < 0 or data.ndim < 1 or data.shape[-1] != row_bytes(fmt, count):
        unpack(data, fmt, count)  # says what is wrong
    if not data.size:
        return np.zeros((*data.shape[:-1], count), np.float32)
    rows = data.size // data.shape[-1]
    return _num.convert(data, number(fmt), number("fp32"), False, count, rows).view(np.float32).reshape(*data.shape[:-1], count)


def cast(x: ArrayLike, fmt: str, *, rounding: str = "nearest", seed: int = 0, saturate: bool = False) -> NDArray[Any]:
    """Numbers in another format, one element in each item (`emu.num.dtype(fmt)`), in the shape of x; arguments as in `encode`."""
    array = np.asarray(x)
    raw = encode(array, fmt, rounding=rounding, seed=seed, saturate=saturate)
    if known(fmt).bits >= 8:
        return raw.reshape(-1).view(dtype(fmt)).reshape(array.shape)
    return unpack(raw, fmt, array.shape[-1] if array.ndim else 1).reshape(array.shape)
