"""Setting a dotted key in a chip's document, and naming the key that was meant when there is none."""

from __future__ import annotations

from typing import Any

from emu.chip import document, explain
from emu.chip.provenance import is_figure, leaves
from emu.chip.schema import Chip
from emu.errors import did_you_mean

# Tables that a description may leave out, so that a key in them may be new.
OPTIONAL = ("cost", "area", "stack", "published", "accumulate", "toggling", "formats")
SECTIONS = (
    "core", "core.sram", "core.acc", "core.matrix", "core.vector", "core.dma", "hbm", "noc", "sync", "power", "power.dvfs",
    "process", "cost", "area", "server",
)


def assign(node: Any, parts: list[str], value: Any) -> None:
    """Set a dotted key; list entries go by number or by name. Only the last part may be new: the schema judges it. Else LookupError."""
    for part in parts[:-1]:
        node = _step(node, part)
    last = parts[-1]
    if isinstance(node, list):
        node[_index(node, last)] = value
    elif isinstance(node, dict):
        node[last] = {"value": value, "tag": "assumed", "source": "chip.vary"}
    else:
        raise LookupError(last)


def _step(node: Any, part: str) -> Any:
    if isinstance(node, list):
        return node[_index(node, part)]
    if not isinstance(node, dict):
        raise LookupError(part)
    if part not in node and part in OPTIONAL:
        node[part] = {}
    node[part] = document.spread(node[part])
    return node[part]["value"] if is_figure(node[part]) else node[part]


def _index(entries: list[Any], part: str) -> int:
    names = [entry.get("name") if isinstance(entry, dict) else None for entry in entries]
    if part in names:
        return names.index(part)
    if part.isascii() and part.isdigit() and len(part) < 6 and int(part) < len(entries):
        return int(part)
    raise LookupError(part)


def unknown(base: Chip, key: str) -> str:
    """What to say about a key that leads nowhere."""
    stated = [name for name, _ in leaves(base._stated)]
    could = [f"{section}.{name}" for section in SECTIONS for name in explain.keys(Chip, section.split("."))]
    return f"unknown key; {did_you_mean(key, {*stated, *could})}"
