"""Block-scaled tensors: MX (a power of two for 32 elements) and NVFP4 (an e4m3 number for 16 elements, and one fp32 for the tensor)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emu.errors import UnsupportedError, did_you_mean
from emu.num.casting import cast, values_of
from emu.num.formats import dtype, row_bytes

MX_BLOCK, NVFP4_BLOCK = 32, 16
MX_FORMATS = {"fp8_e4m3": 8, "fp8_e5m2": 15, "fp6_e2m3": 2, "fp6_e3m2": 4, "fp4_e2m1": 2}
"""Element formats of OCP MX, and the exponent of each one's largest number."""
FP4_LARGEST, E4M3_LARGEST = np.float32(6), np.float32(448)


@dataclass(frozen=True)
class Blocks:
    """A tensor whose blocks along `axis` share scales. An element stands for value x scale x tensor_scale.

    values: elements, in the format's own dtype. scales: one for each block; the same shape but for `axis`, which is ceil(extent / block).
    """

    values: NDArray[Any]
    scales: NDArray[Any]
    fmt: str
    block: int
    axis: int
    tensor_scale: np.float32 = np.float32(1)

    @property
    def nbytes(self) -> int:
        """Of elements, packed along `axis`, and scales, as a memory holds them."""
        along = self.values.shape[self.axis]
        return self.values.size // max(along, 1) * row_bytes(self.fmt, along) + self.scales.nbytes

    def dequantize(self) -> NDArray[np.float32]:
        """fp32 numbers: value x scale, rounded, x tensor scale, rounded."""
        wide = np.repeat(self.scales.astype(np.float32), self.block, self.axis)
        wide = np.take(wide, range(self.values.shape[self.axis]), self.axis)
        with np.errstate(all="ignore"):
            return (self.values.astype(np.float32) * wide) * self.tensor_scale


def _blocks(x: ArrayLike, axis: int, block: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The tensor in fp32 with `axis` last, and the largest magnitude of each block; a block with a NaN or an infinity has NaN."""
    array = values_of(x).astype(np.float32)
    if array.ndim < 1 or not -array.ndim <= axis < array.ndim:
        raise UnsupportedError(f"axis {axis}: the tensor has {array.ndim} dimensions")
    moved = np.ascontiguousarray(np.moveaxis(array, axis, -1))
    last = moved.shape[-1]
    padded = np.zeros((*moved.shape[:-1], -(-last // block) * block), np.float32)
    padded[..., :last] = np.abs(moved)
    most = padded.reshape(*moved.shape[:-1], padded.shape[-1] // block, block).max(-1, initial=np.float32(0))
    return moved, np.where(np.isfinite(most), most, np.float32(np.nan))


def _whole(moved: NDArray[np.float32], scale: NDArray[np.float32], block: int) -> NDArray[np.float32]:
    """A scale for every element."""
    return np.repeat(scale, block, -1)[..., : moved.shape[-1]]


def quantize_mx(x: ArrayLike, fmt: str = "fp8_e4m3", *, axis: int = -1) -> Blocks:
    """OCP MX: blocks of 32 along `axis`, scale 2^(floor(log2 amax) - emax) in e8m0, elements to nearest even, saturating.

    fmt: fp8_e4m3, fp8_e5m2, fp6_e2m3, fp6_e3m2 or fp4_e2m1. The exponent is kept within e8m0's -127..127; a block of zeros has 2^-127, one
    with a NaN or an infinity the scale NaN and zeros. Raises UnsupportedError for another format or axis.
    Source: OCP Microscaling Formats (MX) v1.0, section 6.3.
    """
    if fmt not in MX_FORMATS:
        raise UnsupportedError(f"format {str(fmt)[:80]!r} is none of MX; {did_you_mean(str(fmt), MX_FORMATS)}")
    moved, most = _blocks(x, axis, MX_BLOCK)
    exponent = np.clip(np.frexp(np.where(most > 0, most, np.float32(2.0**-149)))[1] - 1 - MX_FORMATS[fmt], -127, 127)
    codes = np.where(np.isnan(most), 255, exponent + 127).astype(np.uint8)
    whole = _whole(moved, np.where(np.isnan(most), np.nan, np.ldexp(1.0, exponent)), MX_BLOCK)
    with np.errstate(all="ignore"):
        scaled = (moved.astype(np.float64) / whole).astype(np.float32)  # a power of two: what fp32 holds, it holds exactly
    values = cast(np.where(np.isnan(whole), np.float32(0), scaled), fmt, saturate=True)
    return Blocks(np.moveaxis(values, -1, axis), np.moveaxis(codes.view(dtype("e8m0")), -1, axis), fmt, MX_BLOCK, axis)


def quantize_nvfp4(x: ArrayLike, *, tensor_scale: float | None = None, axis: int = -1) -> Blocks:
    """NVFP4: blocks of 16 along `axis` in fp4_e2m1, scale amax / 6 in e4m3, and one fp32 scale for the tensor.

    tensor_scale: amax of the tensor / (6 x 448) unless given, 1 for a tensor of zeros. All in fp32: a block's scale is
    (amax / 6) / tensor_scale to nearest even, saturating; an element is x / (scale x tensor_scale), to nearest even, saturating; 0 where
    the scale is 0. A block with a NaN or an infinity has the scale NaN and zeros. Raises UnsupportedError for a tensor scale that is not
    positive and finite.
    Source: NVIDIA, "Introducing NVFP4 for efficient and accurate low-precision inference" (scale of 16, e4m3, and fp32 for the tensor).
    """
    moved, most = _blocks(x, axis, NVFP4_BLOCK)
    if tensor_scale is None:
        top = np.float32(np.nanmax(most, initial=0))
        tensor = top / (FP4_LARGEST * E4M3_LARGEST) if top else np.float32(1)
        tensor = tensor if tensor > 0 else np.float32(2.0**-149)
    else:
        tensor = np.float32(tensor_scale)
    if not (np.isfinite(tensor) and tensor > 0):
        raise UnsupportedError(f"tensor_scale {tensor_scale}: expected a positive fp32 number")
    with np.errstate(all="ignore"):
        scales = cast((most / FP4_LARGEST) / tensor, "fp8_e4m3", saturate=True)
        whole = _whole(moved, scales.astype(np.float32) * tensor, NVFP4_BLOCK)
        scaled = np.where(whole > 0, moved / whole, np.float32(0))
    return Blocks(np.moveaxis(cast(scaled, "fp4_e2m1"), -1, axis), np.moveaxis(scales, -1, axis), "fp4_e2m1", NVFP4_BLOCK, axis, tensor)
