"""How a core's scratchpad is divided between the weight ring, which runs ahead across operations, and everything else."""

from __future__ import annotations

from dataclasses import dataclass

from emu.chip.schema import Chip
from emu.kernels.lang.memory import array_bytes
from emu.models import Graph
from emu.models.schemes import Side

RING_SHARE, RING_SHARE_FEW_ROWS = 0.5, 0.75
"""Of the scratchpad. The ring hides the memory's latency and the barriers between operations; tiles of activations need the rest, which is
little where a pass has FEW_ROWS rows or fewer, as in decode."""
FEW_ROWS = 64
FREE_BYTES = 128 << 10
"""Left beside a ring for few rows: single rows of a wide model must still fit, in fp32."""
MOST_SLOTS = 32
"""Slots are made larger while there are this many of them; more would only cost instructions."""


@dataclass(frozen=True)
class Area:
    """Bytes of one slot of the weight ring, its slots, and what is left for activations; `block` columns lie together in device memory."""

    slot_bytes: int
    slots: int
    free_bytes: int
    acc_bytes: int
    block: int
    work_bytes: int
    """Of the space in which the vector engine's tiles lie: the same free bytes, or a register file."""


def area_for(chip: Chip, graph: Graph) -> Area:
    """The division for the gemms of a graph."""
    side = graph.scheme.weights
    return divide(chip, side.fmt, graph.batch * graph.q_len, side.scales)


def divide(chip: Chip, fmt: str, rows: int = FEW_ROWS + 1, scales: str = "none") -> Area:
    """The division for gemms over `rows` rows whose weights are in `fmt`, their blocks of k with such scales."""
    matrix, sram = chip.core.matrix, chip.core.sram.capacity_bytes
    side = Side(fmt, scales)
    elements = array_bytes((matrix.max_k, matrix.max_n), fmt)
    least = elements + (-(-matrix.max_k // side.block) * matrix.max_n if side.block else 0)
    ring = int(sram * RING_SHARE)
    if rows <= FEW_ROWS:
        ring = max(ring, min(int(sram * RING_SHARE_FEW_ROWS), sram - FREE_BYTES))
    slot = least << max(0, (ring // MOST_SLOTS // elements).bit_length() - 1)  # a power of two of whole tiles: narrower tiles fill it too
    slots = max(2, ring // slot)
    free, acc = sram - slot * slots, chip.core.acc.capacity_bytes
    return Area(slot, slots, free, acc, block_columns(chip), acc if chip.core.acc.work else free)


def block_columns(chip: Chip) -> int:
    """Half an array's columns: small enough to deal out evenly, wide enough for contiguous runs of a kilobyte and more along k."""
    matrix = chip.core.matrix
    return max(8, min(64, matrix.max_n // 8))
