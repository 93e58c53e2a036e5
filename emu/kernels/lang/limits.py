"""What the compiler needs to know of a chip, and nothing else; a compiled program may be kept as long as these are equal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


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


def limits_of(chip: Any) -> Limits:
    """Read off a chip; limits themselves pass through, so tests need no chip."""
    if isinstance(chip, Limits):
        return chip
    core = chip.core
    matrix = core.matrix
    return Limits(
        chip.name, chip.core_count, matrix.max_m, matrix.max_n, matrix.max_k,
        core.sram.capacity_bytes, core.acc.capacity_bytes, chip.hbm.capacity_bytes,
    )
