"""Arrays in the instruction set's formats."""
from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from emu.errors import UnsupportedError

STORAGE: dict[str, np.dtype[Any]] = {
    "fp32": np.dtype(np.float32), "bf16": np.dtype(ml_dtypes.bfloat16), "fp16": np.dtype(np.float16),
    "fp8_e4m3": np.dtype(ml_dtypes.float8_e4m3fn), "fp8_e5m2": np.dtype(ml_dtypes.float8_e5m2), "int8": np.dtype(np.int8),
    "int32": np.dtype(np.int32),
}


def cast(values: np.ndarray, fmt: str) -> np.ndarray:
    """Round to nearest even; 8-bit floats saturate instead of becoming NaN or infinite. Integers would need scales and are refused."""
    dtype = STORAGE[fmt]
    if fmt in ("int8", "int32"):
        raise UnsupportedError(f"weights as {fmt} need scales, which are not implemented: use bf16, fp16, fp8 or fp32 to compute values")
    if dtype.itemsize == 1:
        top = float(ml_dtypes.finfo(dtype).max)
        values = np.clip(values.astype(np.float32), -top, top)
    with np.errstate(over="ignore"):  # fp16 of a large value is infinite, as in any framework
        return values.astype(dtype)
