"""Loading, varying and looking up chips: documents in, validated `Chip`s out, all problems at once."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from emu.chip import document, explain
from emu.chip.provenance import Figure, is_figure, leaves, lookup, strip
from emu.chip.schema import SCHEMA_VERSION, Chip
from emu.errors import ChipError, did_you_mean

USER = "vary"  # stands for the file of what a study changed


def chips() -> list[str]:
    """Names of the chips that come with emu."""
    return document.preset_names()


def chip(name: str) -> Chip:
    """A chip that comes with emu, by name."""
    return _preset(str(name)).model_copy(deep=True)


def load_chip(path: str | os.PathLike[str]) -> Chip:
    """A chip from a TOML file of yours; docs/decisions/0001-chip-schema.md and the presets show the form."""
    merged, origin = document.resolve(Path(path))
    return build(merged, origin, str(path))


@lru_cache(maxsize=64)
def _preset(name: str) -> Chip:
    return load_chip(document.preset_path(name))


def build(source: dict[str, Any], origin: dict[str, str], file: str, varied: Mapping[str, Any] | None = None) -> Chip:
    """Validate a merged document; ChipError carries every problem found in it."""
    found: list[tuple[str, str]] = []
    figures: dict[str, Figure] = {}
    sources = source.get("sources", {})
    if not (isinstance(sources, dict) and all(isinstance(v, str) for v in sources.values())):
        found.append(("sources", "expected a table of short names and texts"))
        sources = {}
    body = {k: v for k, v in source.items() if k != "sources"}
    values = strip(body, sources, found, figures)
    if values.get("schema_version", SCHEMA_VERSION) != SCHEMA_VERSION:
        raise ChipError(f"{file}: schema_version: this emu reads version {SCHEMA_VERSION}, got {values['schema_version']!r:.60}")
    made: Chip | None = None
    try:
        made = Chip.model_validate(values)
    except ValidationError as error:
        found += explain.problems(error, Chip)
    except RecursionError:
        found.append(("", "nested too deeply"))
    if made is None or found:
        raise _report(found, origin, file)
    made._figures.update(figures)
    made._source.update(source)
    made._origin.update(origin)
    made._varied.update(varied or {})
    object.__setattr__(made, "_file", file)
    _free_of_charge(made)
    return made


def _report(found: list[tuple[str, str]], origin: dict[str, str], file: str) -> ChipError:
    lines = []
    for key, sentence in found:
        parts = key.split(".")
        at = next((origin[k] for n in range(len(parts), 0, -1) if (k := ".".join(parts[:n])) in origin), file)
        lines.append(f"{at}: {key or 'chip'}: {sentence}")
    head = f"{lines[0]}" if len(lines) == 1 else f"{file}: {len(lines)} problems\n  " + "\n  ".join(lines)
    return ChipError(head, lines)


def _free_of_charge(made: Chip) -> None:
    """An event may cost 0 pJ only for a stated reason: an accidental zero would vanish from every report."""
    lines = [f"{made._origin_of(f'energy.{event}')}: energy.{event}: 0 pJ needs a `source` that says why it costs nothing"
             for event, pj in made.energy.items()
             if pj == 0 and not ((f := lookup(made._figures, f"energy.{event}")) and f.source)]
    if lines:
        raise ChipError("\n  ".join(lines), lines)


def vary(base: Chip, changes: Mapping[str, Any]) -> Chip:
    """A changed copy (`Chip.vary`). Published peaks are dropped where the cores change: they describe another chip."""
    source, origin = copy.deepcopy(base._source), dict(base._origin)
    lines: list[str] = []
    for key, value in changes.items():
        try:
            _assign(source, str(key).split("."), value)
            origin[str(key)] = USER
        except (KeyError, IndexError, TypeError):
            lines.append(f"{USER}: {str(key)[:200]}: {_unknown(base, str(key))}")
    if lines:
        raise ChipError("\n  ".join(lines), lines)
    if any(str(key).startswith("core") for key in changes):
        source.pop("published", None)
        source.pop("published_conflict", None)
    return build(source, origin, base._file, {**base.varied, **{str(k): v for k, v in changes.items()}})


def _assign(node: Any, parts: list[str], value: Any) -> None:
    """Set a dotted key in a document; list entries go by number or by name. Only the last part may be new (the schema judges it)."""
    for i, part in enumerate(parts):
        last = i == len(parts) - 1
        if isinstance(node, list):
            index = int(part) if part.isascii() and part.isdigit() else [_name(entry) for entry in node].index(part) if part in map(_name, node) else -1
            if not 0 <= index < len(node):
                raise IndexError(part)
            if last:
                node[index] = value
                return
            node = node[index]
            continue
        if last:
            node[part] = {"value": value, "tag": "assumed", "source": "chip.vary"}
            return
        node[part] = document.spread(node.get(part, {}) if _optional(part) else node[part])
        node = node[part]["value"] if is_figure(node[part]) else node[part]
        if not isinstance(node, (dict, list)):
            raise TypeError(part)


def _optional(part: str) -> bool:
    return part in ("cost", "stack", "published", "accumulate")


def _name(entry: Any) -> Any:
    return entry.get("name") if isinstance(entry, dict) else None


def known_keys(base: Chip) -> list[str]:
    """Dotted keys that this chip's description states or could state, for messages."""
    stated = [key for key, _ in leaves(strip(base._source, {}, [], {}))]
    sections = [s for s in ("core", "core.sram", "core.acc", "core.matrix", "core.vector", "core.dma", "hbm", "noc", "sync", "power", "process", "cost")]
    could = [f"{s}.{k}" for s in sections for k in explain._keys(Chip, s.split("."))]
    return sorted({*stated, *could})


def _unknown(base: Chip, key: str) -> str:
    return f"unknown key; {did_you_mean(key, known_keys(base))}"


def provenance(base: Chip, key: str) -> Figure:
    """The figure under a TOML key (`Chip.provenance`)."""
    values = dict(leaves(strip(base._source, {}, [], {})))
    if key not in values:
        if key in base._figures:
            return base._figures[key]
        raise ChipError(f"{base._file}: {key[:200]}: not stated in this chip's description; {did_you_mean(key, values)}")
    return base._figure(key, values[key])
