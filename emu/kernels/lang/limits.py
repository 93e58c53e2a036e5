"""What the compiler needs to know of a chip, and nothing else; a compiled program may be kept as long as these are equal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from emu.errors import UnsupportedError


@dataclass(frozen=True)
class Limits:
    """Sizes of one chip: cores, largest matrix instruction, bytes on chip."""

    name: str
    cores: int
    max_m: int
    max_n: int
    max_k: int
    sram_bytes: int
    acc_bytes: int
    hbm_bytes: int
    work: str = "sram"
    """The space of tiles that only vector engine and DMA touch."""


def limits_of(chip: Any) -> Limits:
    """Read off a chip; limits themselves pass through, so tests need no chip."""
    if isinstance(chip, Limits):
        return chip
    core = chip.core
    if core.dma.load_queues < 2 or core.dma.store_queues < 1:
        raise UnsupportedError(
            f"{chip.name}: kernels need two load queues (weights, activations) and a store queue; "
            f"it has {core.dma.load_queues} and {core.dma.store_queues}",
        )
    matrix = core.matrix
    return Limits(
        chip.name, chip.core_count, matrix.max_m, matrix.max_n, matrix.max_k,
        core.sram.capacity_bytes, core.acc.capacity_bytes, chip.hbm.capacity_bytes,
        "acc" if core.acc.work else "sram",
    )
