"""Folding: cores that must take the same time are simulated once and counted as often as there are (SOUNDNESS 14).

All cores run the same words; what differs is their column of the parameter table. A parameter that only ever becomes an address cannot
change a time in `fast` without a cache: device memory is one fair-share server whatever the address. A backward data-flow analysis over
every stream (csrc/engine/relevance.c) finds the parameters that reach anything else (loop counts, extents, strides, branches); cores that
agree in those are one class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from emu.chip.schema import Chip
from emu.machine.image import Packed


@dataclass(frozen=True)
class Folding:
    """One core of each class, how many cores it stands for, and the class of every core."""

    cores: tuple[int, ...]
    weights: tuple[int, ...]
    class_of: tuple[int, ...]


def addresses_are_free(chip: Chip) -> bool:
    """Whether no time on this chip depends on an address: no cache whose contents do."""
    return not any(level.kind == "cache" for level in chip.levels)


def fold(program: Packed, chip: Chip) -> Folding | None:
    """The classes of equal cores; None if nothing can be folded."""
    if program.cores < 2 or not addresses_are_free(chip):
        return None
    if program.relevant is None:
        return None
    columns = [program.params[j] for j in sorted(program.relevant)]
    classes: dict[tuple[int, ...], int] = {}
    class_of: list[int] = []
    cores: list[int] = []
    weights: list[int] = []
    for core in range(program.cores):
        key = tuple(column[core] for column in columns)
        number = classes.setdefault(key, len(classes))
        if number == len(cores):
            cores.append(core)
            weights.append(0)
        weights[number] += 1
        class_of.append(number)
    return Folding(tuple(cores), tuple(weights), tuple(class_of)) if len(cores) < program.cores else None


def unfolded(raw: dict[str, Any], folding: Folding) -> dict[str, Any]:
    """The core's answer as if every core had been simulated: the stalls of each are those of its class."""
    for which in ("stalls", "root_stalls"):
        rows = raw[which]
        kinds = sorted({kind for _, kind in rows})
        raw[which] = {(core, kind): rows[number, kind] for core, number in enumerate(folding.class_of) for kind in kinds}
    return raw
