"""The figures that area and cost stand on: a chip's own, else those of tables.toml for its node and memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from emu.chip import document
from emu.chip.economy import Area, Cost
from emu.chip.provenance import Figure, leaves, lookup, stripped
from emu.chip.schema import Chip
from emu.errors import ChipError, UnsupportedError

TABLES = Path(__file__).parent / "tables.toml"
NOT_ASSUMED = ("area.cores_made", "area.level_made", "area.memory_sites", "area.dies", "cost.price", "cost.rental")  # what a chip is


@dataclass(frozen=True)
class Ground:
    """Everything assumed for one die: sections with no gaps, and where each figure comes from."""

    area: Area
    cost: Cost
    figures: tuple[Figure, ...]


@lru_cache(maxsize=1)
def _tables() -> tuple[dict[str, Any], dict[str, Figure]]:
    found: list[tuple[str, str]] = []
    figures: dict[str, Figure] = {}
    values = stripped(document.read(TABLES), found, figures)
    if found:
        raise ChipError(f"{TABLES}: {found[0][0]}: {found[0][1]}")
    return values, figures


def nodes() -> list[str]:
    """Process nodes that the tables know."""
    return [f"{n} nm" for n in _tables()[0]["nodes"]]


def ground(chip: Chip, node_nm: float | None = None) -> Ground:
    """What is assumed for the chip's compute dies, or for a die of another node in its package.

    UnsupportedError where a node or a memory is in no table and the chip's file does not say what the table would."""
    values, figures = _tables()
    own = {name: chip._stated.get(name, {}) for name in ("area", "cost")}
    node = f"{chip.process.node_nm if node_nm is None else node_nm:g}"
    if node_nm is not None and node_nm != chip.process.node_nm:  # what the file says of its own node is not true of another
        own = {"area": {k: v for k, v in own["area"].items() if k not in ("logic", "bit")},
               "cost": {k: v for k, v in own["cost"].items() if k not in ("wafer", "defects")}}
    # The tables name HBM3E before HBM3, so that the first name that fits is the longest.
    memory = next((name for name in values["memories"] if chip.hbm.kind.upper().startswith(name)), "")
    layers = [("", values), (f"nodes.{node}.", values["nodes"].get(node, {})), (f"memories.{memory}.", values["memories"].get(memory, {}))]
    merged: dict[str, dict[str, Any]] = {}
    origin: dict[str, Figure] = {}
    for section in ("area", "cost"):
        merged[section] = {}
        for prefix, layer in layers:
            _lay(merged[section], layer.get(section, {}))
            for key, value in leaves(layer.get(section, {}), section):
                source = lookup(figures, prefix + key)
                origin[key] = Figure(key, value, source.tag if source else None, source.source if source else None, TABLES.name)
        _lay(merged[section], own[section])
        for key, value in leaves(own[section], section):
            origin[key] = chip._figure(key, value)
    _complete(chip, merged, node)
    wanted = tuple(f for key, f in origin.items() if not key.startswith(NOT_ASSUMED))
    return Ground(Area.model_validate(merged["area"]), Cost.model_validate(merged["cost"]), wanted)


def _lay(into: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        into[key] = {**into[key], **value} if isinstance(value, dict) and isinstance(into.get(key), dict) else value


def _complete(chip: Chip, merged: Mapping[str, Mapping[str, Any]], node: str) -> None:
    for section, key in (("area", "logic"), ("area", "bit"), ("cost", "wafer"), ("cost", "defects")):
        if key not in merged[section]:
            known = ", ".join(nodes())
            raise UnsupportedError(f"{chip.name}: process.node: no {section}.{key} is known for {node} nm; known nodes: {known}. "
                                   f"Give {section}.{key} in the chip's file")
    for section, key in (("area", "memory_interface"), ("area", "stack"), ("cost", "memory")):
        if key not in merged[section]:
            known = ", ".join(_tables()[0]["memories"])
            raise UnsupportedError(f"{chip.name}: hbm.kind: no {section}.{key} is known for {chip.hbm.kind!r}; known memories: {known}. "
                                   f"Give {section}.{key} in the chip's file")
