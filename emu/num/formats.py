"""The number formats by name: what numpy calls them, and how elements below 8 bits lie packed in bytes (docs/machine.md, "Values")."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from emu.errors import UnsupportedError, did_you_mean
from isa.tables import NumberFormat, load

NAMES = tuple(form.name for form in sorted(load().formats.values()))
"""Every format, in the order of the instruction set's numbers."""
_STORAGE: dict[str, np.dtype[Any]] = {
    name: np.dtype(getattr(ml_dtypes, form.storage, None) or form.storage) for name, form in load().formats.items()
}
_BY_STORAGE = {storage: name for name, storage in _STORAGE.items() if name != "tf32"}


def known(fmt: str) -> NumberFormat:
    """The instruction set's entry; UnsupportedError names the nearest format when there is none."""
    form = load().formats.get(fmt)
    if form is None:
        raise UnsupportedError(f"format {str(fmt)[:80]!r} is not known; {did_you_mean(str(fmt), NAMES)}")
    return form


def number(fmt: str) -> int:
    """The instruction set's number of a format."""
    return known(fmt).id


def dtype(fmt: str) -> np.dtype[Any]:
    """The numpy type that holds one element of a format in each item (4- and 6-bit elements a byte each; tf32 as float32)."""
    known(fmt)
    return _STORAGE[fmt]


def format_of(array: NDArray[Any]) -> str:
    """The format whose elements an array holds, by its dtype; float32 is fp32 (name tf32 yourself)."""
    found = _BY_STORAGE.get(array.dtype)
    if found is None:
        raise UnsupportedError(f"dtype {array.dtype} is no format of the machine; cast it to one of: {', '.join(NAMES)}")
    return found


def row_bytes(fmt: str, count: int) -> int:
    """Bytes of a row of `count` elements; packed rows end at a byte."""
    return (count * known(fmt).bits + 7) // 8


def pack(values: NDArray[Any], fmt: str) -> NDArray[np.uint8]:
    """Elements [..., n] of the format's own dtype as bytes [..., row_bytes]; element 0 in the lowest bits, what is left over 0."""
    values = np.ascontiguousarray(values, dtype(fmt))
    bits, last = known(fmt).bits, values.shape[-1]
    if bits >= 8:
        return values[..., None].view(np.uint8).reshape(*values.shape[:-1], last * values.itemsize)
    group = 2 if bits == 4 else 4  # elements that fill whole bytes
    codes = (values.astype(np.int8).view(np.uint8) if fmt == "int4" else values.view(np.uint8)) & (1 << bits) - 1
    padded = np.zeros((*values.shape[:-1], -(-last // group), group), np.uint32)
    padded.reshape(*values.shape[:-1], padded.shape[-2] * group)[..., :last] = codes
    word = np.zeros(padded.shape[:-1], np.uint32)
    for i in range(group):
        word |= padded[..., i] << np.uint32(bits * i)
    parts = [(word >> np.uint32(8 * i) & np.uint32(255)).astype(np.uint8) for i in range(group * bits // 8)]
    return np.ascontiguousarray(np.stack(parts, -1).reshape(*values.shape[:-1], len(parts) * word.shape[-1])[..., : row_bytes(fmt, last)])


def unpack(raw: NDArray[np.uint8], fmt: str, count: int) -> NDArray[Any]:
    """Bytes [..., row_bytes] as elements [..., count] of the format's own dtype."""
    raw = np.ascontiguousarray(raw, np.uint8)
    bits = known(fmt).bits
    if count < 0 or raw.ndim < 1 or raw.shape[-1] != row_bytes(fmt, count):
        raise UnsupportedError(f"{raw.shape[-1] if raw.ndim else 0} bytes in a row are not {count} elements of {fmt}, which take "
                               f"{row_bytes(fmt, max(count, 0))}")
    if bits >= 8:
        return raw.view(dtype(fmt))
    group = 2 if bits == 4 else 4
    whole = np.zeros((*raw.shape[:-1], -(-count // group), group * bits // 8), np.uint32)
    whole.reshape(*raw.shape[:-1], whole.shape[-2] * whole.shape[-1])[..., : raw.shape[-1]] = raw
    word = np.zeros(whole.shape[:-1], np.uint32)
    for i in range(whole.shape[-1]):
        word |= whole[..., i] << np.uint32(8 * i)
    codes = np.stack([(word >> np.uint32(bits * i) & np.uint32((1 << bits) - 1)).astype(np.uint8) for i in range(group)], -1)
    codes = np.ascontiguousarray(codes.reshape(*raw.shape[:-1], group * word.shape[-1])[..., :count])
    return ((codes.view(np.int8) ^ 8) - 8).astype(dtype(fmt)) if fmt == "int4" else codes.view(dtype(fmt))
