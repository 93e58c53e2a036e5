"""Folding: cores that must take the same time are simulated once and counted as often as there are (SOUNDNESS 14).

All cores run the same words; what differs is their column of the parameter table. A parameter that only ever becomes an address cannot
change a time in `fast` without a cache: device memory is one fair-share server whatever the address. A backward data-flow analysis over
every stream (csrc/engine/relevance.c) finds the parameters that reach anything else (loop counts, extents, strides, branches); cores that
agree in those are one class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emu.chip.schema import Chip

if TYPE_CHECKING:
    from emu.machine.image import Packed


@dataclass(frozen=True)
class Folding:
    """One core of each class, how many cores it stands for, its column of the parameter table, and the class of every core."""

    cores: tuple[int, ...]
    weights: tuple[int, ...]
    params: tuple[tuple[int, ...], ...]
    class_of: tuple[int, ...]


def addresses_are_free(chip: Chip) -> bool:
    """Whether no time on this chip depends on an address: no cache whose contents do."""
    return not any(level.kind == "cache" for level in chip.levels)


def fold(program: Packed, chip: Chip) -> Folding | None:
    """The classes of equal cores; None if nothing can be folded."""
    return program.classes if addresses_are_free(chip) else None


def classes_of(params: list[tuple[int, ...]], cores: int, relevant: set[int] | None) -> Folding | None:
    """The classes of cores that agree in the relevant parameters; None (a core can learn which one it is) folds nothing."""
    if cores < 2 or relevant is None:
        return None
    columns = [params[j] for j in sorted(relevant)]
    numbers: dict[tuple[int, ...], int] = {}
    first: list[int] = []
    weights: list[int] = []
    class_of: list[int] = []
    for core in range(cores):
        number = numbers.setdefault(tuple([column[core] for column in columns]), len(numbers))
        if number == len(first):
            first.append(core)
            weights.append(0)
        weights[number] += 1
        class_of.append(number)
    if len(first) == cores:
        return None
    return Folding(tuple(first), tuple(weights), tuple(tuple([row[c] for c in first]) for row in params), tuple(class_of))


def unfolded(raw: dict[str, Any], folding: Folding) -> dict[str, Any]:
    """The core's answer as if every core had been simulated: the stalls of each are those of its class."""
    every = dict(raw)
    for which in ("stalls", "root_stalls"):
        rows = raw[which]
        kinds = sorted({kind for _, kind in rows})
        every[which] = {(core, kind): rows[number, kind] for core, number in enumerate(folding.class_of) for kind in kinds}
    return every
