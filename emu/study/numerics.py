"""What the bits of a mapped pass depend on, for the reference that computes the same ones (`emu.models.exact`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from emu.chip.schema import Chip
from emu.errors import UnsupportedError
from emu.kernels.attention_decode import DecodeTiling
from emu.kernels.shard import dealt
from emu.mapper import choose
from emu.mapper.area import area_for
from emu.mapper.lower import pool_tokens
from emu.models import Attention, Graph, Pool
from emu.models.exact import Keys, Numerics
from isa.oracle.mm import Accumulate


def numerics(graph: Graph, chip: Chip, choice: Mapping[str, Any]) -> Numerics:
    """Of a pass that is mapped so. Raises UnsupportedError for a cache split over all cores, whose shares follow from the whole program."""
    rule = chip.core.matrix.accumulate
    keys = {op.name: _keys(op, chip, choice[op.name]) for op in graph.layer if isinstance(op, Attention)}
    pooled = [pool_tokens(area_for(chip, graph), op) for op in graph.post if isinstance(op, Pool)]
    accumulate = Accumulate(rule.order, rule.block_k, rule.join, rule.width_bits, rule.inner_fraction_bits, rule.inner_rounding)
    return Numerics(accumulate, chip.core.matrix.max_k, keys, *pooled)


def _keys(op: Attention, chip: Chip, tiling: Any) -> Keys:
    parts = tiling.split_kv if isinstance(tiling, DecodeTiling) else 1
    if parts == 1:
        return Keys(tiling.tile_kv)
    if parts == chip.core_count:
        raise UnsupportedError(f"{op.name}: a cache split over all {parts} cores is dealt out by turns; choose another split")
    tiles = -(-(op.kv_len - op.first_key) // tiling.tile_kv)
    first, count = dealt(tiles, parts, parts - tiles % parts)
    return Keys(tiling.tile_kv, tuple(zip(first, count)))


def chosen(chip: Chip) -> Callable[[Graph], Numerics]:
    """For passes that are mapped as `choose` does it."""
    return lambda graph: numerics(graph, chip, choose(graph, chip))
