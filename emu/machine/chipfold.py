"""Folding over chips: chips that must take the same time are simulated once (SOUNDNESS 14).

All chips run the same words. What differs is their columns of the parameter table: addresses, which no time depends on (a run of several
chips has no cache), and whom they talk to. If every parameter that can matter otherwise (csrc/engine/relevance.c) is the same on all
chips, and every one that names a chip names one equally far away in a group of moves under which the links look the same, then each chip
does at every moment what chip 0 does there, moved. So chip 0 sends to itself what it would get from others, over links that stand for
their class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from emu import _core
from emu.extension.table import declared
from emu.machine.fabric import Fabric

if TYPE_CHECKING:
    from emu.machine.image import Packed

Move = Callable[[int, int], int]
"""Where a chip's peer is, relative to the chip."""


@dataclass(frozen=True)
class ChipFolding:
    """How many chips the simulated one stands for, its columns of the parameter table, and how far away a peer is from a chip."""

    chips: int
    cores: int
    params: tuple[tuple[int, ...], ...]
    move: Move


def moves(fabric: Fabric) -> list[Move]:
    """The groups under which the links look the same from every chip."""
    n = fabric.chips
    if not fabric.one_domain:
        return []
    if fabric.kind == "torus":
        return [_translation(fabric.dims)] if all(fabric.wraps) else []
    return [lambda chip, peer: (peer - chip) % n, *([lambda chip, peer: peer ^ chip] if n & (n - 1) == 0 else [])]


def _translation(dims: tuple[int, ...]) -> Move:
    def move(chip: int, peer: int) -> int:
        far, stride = 0, 1
        for size in dims:
            far += (peer // stride - chip // stride) % size * stride
            stride *= size
        return far

    return move


def chip_folding(packed: Packed, fabric: Fabric) -> ChipFolding | None:
    """The folding, or None where the chips cannot be proved equal."""
    chips, cores = packed.chips, packed.cores // packed.chips
    groups = moves(fabric)
    if chips < 2 or not groups:
        return None
    found = _core.relevant_params(packed.code, len(packed.params), packed.labels, declared(packed.extensions), True)
    if found is None:
        return None
    same, peers = found
    if any(row[c * cores : (c + 1) * cores] != row[:cores] for row in (packed.params[j] for j in same) for c in range(1, chips)):
        return None
    named = [packed.params[j] for j in peers]
    if any(not 0 <= peer < chips for row in named for peer in row):
        return None
    group = next((move for move in groups if _equally_far(named, move, chips, cores)), None)
    return None if group is None else ChipFolding(chips, cores, tuple(row[:cores] for row in packed.params), group)


def _equally_far(named: list[tuple[int, ...]], move: Move, chips: int, cores: int) -> bool:
    return all(move(c, row[c * cores + k]) == row[k] for row in named for c, k in product(range(chips), range(cores)))


def unfolded(raw: dict[str, Any], folding: ChipFolding, fabric: Fabric) -> dict[str, Any]:
    """The core's answer as if every chip had been simulated."""
    n, every = folding.chips, dict(raw)
    every["counters"] = [[n * count for count in row] for row in raw["counters"]]
    every["label_stalls"] = [[[n * fs for fs in row] for row in of] for of in raw["label_stalls"]]
    every["instructions"] = n * raw["instructions"]
    for which in ("stalls", "root_stalls"):
        every[which] = {(c * folding.cores + core, kind): row for c in range(n) for (core, kind), row in raw[which].items()}
    outer = 2
    inner = raw["links"][: len(raw["links"]) - outer]
    if fabric.kind == "mesh":
        links = [inner[folding.move(c, to)] for c in range(n) for to in range(n)]
    else:
        links = inner * n
    every["links"] = links + raw["links"][len(inner) :] * n
    return every


__all__ = ["ChipFolding", "chip_folding", "unfolded"]
