"""The kernel language: Python functions traced once into one program of all engines' instruction streams."""

from __future__ import annotations

from emu.kernels.lang.decorator import Kernel, kernel
from emu.kernels.lang.expr import Value
from emu.kernels.lang.limits import Limits, limits_of
from emu.kernels.lang.memory import Ring, Tensor, Tile, View, format_bytes
from emu.kernels.lang.percore import Const, PerCore, ceil_div, larger, smaller
from emu.kernels.lang.tracer import Tracer

__all__ = [
    "Const", "Kernel", "Limits", "PerCore", "Ring", "Tensor", "Tile", "Tracer", "Value", "View", "ceil_div", "format_bytes", "kernel",
    "larger", "limits_of", "smaller",
]
