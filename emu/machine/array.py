"""When the matrix engine has each element of a product: the engine's own rule, which also completes its instructions."""

from __future__ import annotations

import numpy as np

from emu import _core
from emu.chip.schema import Chip
from emu.errors import UnsupportedError, did_you_mean
from emu.machine.config import FORMATS, core_config


def ready_cycles(chip: Chip, m: int, n: int, k: int, dtype: str = "int8") -> np.ndarray:
    """(m, n) int64: clocks from the start of the stream of one repeat of `mm` until each element is in the accumulators.

    The start is what a trace shows; the chip's ports must keep the array fed, or its rows come as late as their operands. One pass
    through the array: an extent beyond the array's is refused (UnsupportedError) unless it streams, and so is a format without a rate.
    Model: csrc/engine/array.h, docs/machine.md, "Time"."""
    matrix = chip.core.matrix
    if dtype not in matrix.macs_per_clk:
        raise UnsupportedError(f"{chip.name}: the matrix engine has no {dtype!r}; {did_you_mean(dtype, matrix.macs_per_clk)}")
    streamed = {"output_stationary": "k", "input_stationary": "n"}.get(matrix.dataflow, "m")
    for axis, extent in (("m", m), ("n", n), ("k", k)):
        most = getattr(matrix, f"max_{axis}")
        if axis != streamed:
            most = min(most, getattr(matrix, f"quantum_{axis}"))
        if not 1 <= extent <= most:
            what = f"{chip.name}: {axis} = {extent} is not one pass through its {matrix.dataflow} array"
            raise UnsupportedError(f"{what}; choose 1 to {most}")
    return np.array(_core.mm_ready(core_config(chip, 1), FORMATS.index(dtype), m, n, k), dtype=np.int64)
