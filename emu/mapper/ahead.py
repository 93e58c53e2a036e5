"""How far the loaders of weights can be ahead of the layer that is being computed: they alone do not stop at barriers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emu.chip.schema import Chip
from emu.mapper.area import area_for
from emu.models import Gemm, Graph


def layers_ahead(graph: Graph, chip: Chip, choice: Mapping[str, Any]) -> int:
    """At least 1: when a layer ends, every core still has weights to fetch of the layer this far behind it, for its ring holds no more.

    A core that holds no weights of a layer at all is not counted: it never waits for the ring, wherever it is."""
    slots = area_for(chip, graph).slots
    fewest = [n for n in _weight_tiles(graph, chip, choice) if n]
    return 1 + max((slots // n for n in fewest), default=0)


def _weight_tiles(graph: Graph, chip: Chip, choice: Mapping[str, Any]) -> list[int]:
    """Tiles of weights that each core fetches for one layer, at least (who gets a tile more is not asked)."""
    tiles = [0] * chip.core_count
    for op in graph.layer:
        if not isinstance(op, Gemm):
            continue
        t = choice[op.name]
        parts = getattr(t, "split_k", 1)
        steps = max(1, -(-op.k // t.tile_k) // parts) * len(op.weights)
        mine = max(1, -(-op.m // t.tile_m) // t.split_m) * max(1, -(-op.n // t.tile_n) // t.split_n)
        for core in range(chip.core_count - t.split_m * t.split_n * parts, chip.core_count):
            tiles[core] += mine * steps
    return tiles
