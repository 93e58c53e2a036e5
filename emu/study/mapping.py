"""Mappings that a study fixes: whole tilings (an earlier estimate's, say) or single fields of what the mapper chooses.

    {"prefill": earlier.mapping["prefill"], "decode": {"qkv": {"tile_n": 256}}}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from emu.chip.schema import Chip
from emu.errors import UnsupportedError, did_you_mean
from emu.mapper.choose import choose
from emu.models import Attention, Gemm, Graph

PHASES = ("prefill", "decode", "encode")
Mappings = Mapping[str, Mapping[str, Any]]
"""Phase -> operation -> a tiling, or the fields of one that are changed."""


def chosen(graph: Graph, chip: Chip, wanted: Mappings | None, say: Callable[[str], None] | None = None) -> dict[str, Any]:
    """A tiling for every operation that takes one: what is wanted, and the mapper's choice of the rest.

    Raises UnsupportedError for a phase, operation or field that is not there; that a tiling fits is judged by the kernel it is for."""
    for phase in wanted or {}:
        if phase not in PHASES:
            raise UnsupportedError(f"mapping: no phase {phase!r}; {did_you_mean(str(phase), PHASES)}")
    given = dict((wanted or {}).get(graph.phase, {}))
    ops = [op.name for op, _ in graph.ops() if isinstance(op, (Gemm, Attention))]
    for name in given:
        if name not in ops:
            raise UnsupportedError(f"mapping.{graph.phase}: no operation {name!r}; {did_you_mean(str(name), ops)}")
    whole = {name: tiling for name, tiling in given.items() if is_dataclass(tiling)}
    if len(whole) == len(set(ops)):
        return whole
    found = choose(graph, chip, say) | whole
    for name, changes in given.items():
        if name not in whole:
            found[name] = _changed(found[name], changes, f"mapping.{graph.phase}.{name}")
    return found


def _changed(tiling: Any, changes: Mapping[str, Any], where: str) -> Any:
    known = {f.name: f for f in fields(tiling)}
    for name, value in changes.items():
        if name not in known:
            raise UnsupportedError(f"{where}: no field {name!r}; {did_you_mean(str(name), known)}")
        kind, least = type(getattr(tiling, name)), 0 if known[name].default == 0 else 1  # 0 is a size only where it means "none"
        if type(value) is not kind or (kind is int and value < least):
            expected = "true or false" if kind is bool else f"a whole number, {least} or more"
            raise UnsupportedError(f"{where}.{name} = {value!r}: expected {expected}")
    return replace(tiling, **changes)
