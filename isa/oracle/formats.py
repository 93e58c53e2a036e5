"""Number formats: stored elements to fp32 and back, and how packed ones lie in bytes."""

from __future__ import annotations

from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from isa.tables import load

Array = NDArray[Any]
_CANONICAL_NAN = {"fp32": 0x7FC00000, "bf16": 0x7FC0, "fp16": 0x7E00, "fp8_e4m3": 0x7F, "fp8_e5m2": 0x7E, "tf32": 0x7FC00000, "e8m0": 0xFF}
_NO_NAN = {"fp6_e2m3": 0x20, "fp6_e3m2": 0x20, "fp4_e2m1": 0x8}  # what ml_dtypes makes of a positive NaN: -0
_TF32 = np.uint32(0xFFFFE000)


@cache
def dtype(name: str) -> np.dtype[Any]:
    """The storage type of a format, one element in each item."""
    storage = load().formats[name].storage
    return np.dtype(getattr(ml_dtypes, storage, None) or storage)


@cache
def bits(name: str) -> int:
    """Bits of an element."""
    return load().formats[name].bits


@cache
def size(name: str) -> int:
    """Bytes of an element; 1 where elements are packed, which then move as whole rows of bytes."""
    return max(bits(name) // 8, 1)


def is_packed(name: str) -> bool:
    """True where several elements share a byte."""
    return bits(name) < 8


def is_float(name: str) -> bool:
    """True for the float formats."""
    return load().formats[name].kind == "float"


def row_bytes(name: str, count: int) -> int:
    """Bytes of an innermost row of `count` elements: it begins and ends at a byte."""
    return (count * bits(name) + 7) // 8


def unpack(raw: NDArray[np.uint8], name: str, count: int) -> Array:
    """Rows of bytes [..., row_bytes] as elements [..., count]; a packed element's lowest bit comes first."""
    if not is_packed(name):
        return raw.view(dtype(name))
    stream = np.unpackbits(raw, axis=-1, bitorder="little")[..., : count * bits(name)]
    codes = np.packbits(stream.reshape(*raw.shape[:-1], count, bits(name)), axis=-1, bitorder="little")[..., 0]
    if name == "int4":
        return ((codes.astype(np.int8) ^ 8) - 8).astype(dtype(name))
    return codes.view(dtype(name))


def pack(values: Array, name: str) -> NDArray[np.uint8]:
    """Elements [..., count] as rows of bytes; the bits behind the last element are 0."""
    values = np.ascontiguousarray(values, dtype(name))
    if not is_packed(name):
        return values[..., None].view(np.uint8).reshape(*values.shape[:-1], values.shape[-1] * values.itemsize)
    codes = (values.astype(np.int8) & 15).view(np.uint8) if name == "int4" else values.view(np.uint8)
    stream = np.unpackbits(codes[..., None], axis=-1, bitorder="little")[..., : bits(name)]
    return np.packbits(stream.reshape(*values.shape[:-1], values.shape[-1] * bits(name)), axis=-1, bitorder="little")


def canonical(x: Array, name: str) -> Array:
    """Every NaN replaced by the canonical one of the format."""
    if name not in _CANONICAL_NAN:
        return x
    nan = np.array(_CANONICAL_NAN[name], f"u{size(name)}").view(dtype(name))
    return np.where(np.isnan(x), nan, x)


def to_fp32(x: Array, name: str = "") -> Array:
    """Exact, except that int32 rounds to nearest even. tf32 is told by its name: its storage has bits that do not count."""
    if name == "tf32":
        return (np.ascontiguousarray(x).view(np.uint32) & _TF32).view(np.float32)
    return x.astype(np.float32)


def largest(name: str) -> Array:
    """The largest finite value."""
    if name == "tf32":
        return np.array(0x7F7FE000, np.uint32).view(np.float32)
    return np.array(ml_dtypes.finfo(dtype(name)).max, dtype(name))


def _nearest(x: Array, name: str) -> Array:
    """fp32 to a float format, to nearest even; a NaN whatever it becomes."""
    if name == "tf32":  # 13 bits go; adding half of them, less one where the last bit that stays is 0, carries as rounding does
        word = np.where(np.isnan(x), np.float32(np.nan), x).astype(np.float32).view(np.uint32)
        return ((word + np.uint32(0xFFF) + (word >> np.uint32(13) & np.uint32(1))) & _TF32).view(np.float32)
    with np.errstate(all="ignore"):
        out = x.astype(dtype(name))
    if name == "e8m0":  # the least power of two is a subnormal of fp32, and ml_dtypes 0.6 takes what is just above it to the next one
        return np.where((x > 0) & (x < np.float32(1.5 * 2.0**-127)), np.zeros(1, np.uint8).view(dtype(name)), out)
    return out


def from_fp32(x: Array, name: str, sat: bool = False) -> Array:
    """Round to nearest even. Overflow gives inf (NaN where the format has none), with sat the largest finite value.

    Infinite values saturate too: after the arithmetic an overflow and an infinity are the same. Integers always saturate, NaN gives 0; so
    do the floats that have neither infinity nor NaN (fp6, fp4), where NaN gives -0. e8m0 has only powers of two: a tie goes to the larger
    one, and what is not positive is NaN.
    """
    target = dtype(name)
    if load().formats[name].kind == "int":
        info = ml_dtypes.iinfo(target)
        whole = np.rint(np.where(np.isnan(x), np.float32(0), x).astype(np.float64))
        return np.clip(whole, float(info.min), float(info.max)).astype(np.int64).astype(target)
    out = _nearest(x, name)
    if name in _NO_NAN:
        return np.where(np.isnan(x), np.array(_NO_NAN[name], np.uint8).view(target), out)
    if sat:
        top = largest(name)
        overflow = ~np.isnan(x) & ~np.isfinite(out.astype(np.float32))
        if name == "e8m0":
            return np.where(overflow & (x > 0), top, out)
        out = np.where(overflow, np.where(np.signbit(x), -top, top), out)
    return canonical(out, name)
