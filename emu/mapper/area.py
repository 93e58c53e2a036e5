"""How a core's scratchpad is divided between the weight ring, which runs ahead across operations, and everything else."""

from __future__ import annotations

from dataclasses import dataclass

from emu.chip.schema import Chip
from emu.kernels.lang import format_bytes

RING_SHARE = 0.5
"""Of the scratchpad. The ring hides the memory's latency and the barriers between operations; tiles of activations need the rest."""
MOST_SLOTS = 32


@dataclass(frozen=True)
class Area:
    """Bytes of one slot of the weight ring, its slots, and what is left for activations; `block` columns lie together in device memory."""

    slot_bytes: int
    slots: int
    free_bytes: int
    acc_bytes: int
    block: int


def divide(chip: Chip, fmt: str) -> Area:
    """The division for gemms in `fmt`."""
    matrix, sram = chip.core.matrix, chip.core.sram.capacity_bytes
    least = matrix.max_k * matrix.max_n * format_bytes(fmt)
    ring = int(sram * RING_SHARE)
    slot = max(least, ring // MOST_SLOTS // least * least)
    slots = max(2, ring // slot)
    return Area(slot, slots, sram - slot * slots, chip.core.acc.capacity_bytes, block_columns(chip))


def block_columns(chip: Chip) -> int:
    """Half an array's columns: small enough to deal out evenly, wide enough for contiguous runs of a kilobyte and more along k."""
    matrix = chip.core.matrix
    return max(8, min(64, matrix.max_n // 8))
