"""The kernel language (`emu.kernels.lang`) and the kernels written in it, one module per operation."""

from __future__ import annotations

from emu.kernels.lang import Kernel, Tracer, kernel

__all__ = ["Kernel", "Tracer", "kernel"]
