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
from emu.chip.provenance import Figure, leaves, lookup, stripped
from emu.chip.schema import SCHEMA_VERSION, Chip
from emu.errors import ChipError, did_you_mean

MAX_PROBLEMS = 100
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


def build(source: dict[str, Any], origin: dict[str, str], file: str, varied: Mapping[str, Any] | None = None,
          found: list[tuple[str, str]] | None = None) -> Chip:
    """Validate a merged document; ChipError carries every problem in it, those already `found` included."""
    found = list(found or ())
    figures: dict[str, Figure] = {}
    values = stripped(source, found, figures)
    if not isinstance(values, dict):  # a key `value` outside every section makes the whole file look like a figure
        raise ChipError(f"{file}: value: unknown key; a chip file is made of sections, and only a figure in one has a `value`: remove it")
    if values.get("schema_version", SCHEMA_VERSION) != SCHEMA_VERSION:
        raise ChipError(f"{file}: schema_version: this emu reads version {SCHEMA_VERSION}, got {values['schema_version']!r:.60}")
    made: Chip | None = None
    try:
        made = Chip.model_validate(values)
    except ValidationError as error:
        found += explain.problems(error, Chip, MAX_PROBLEMS)
        if error.error_count() > MAX_PROBLEMS:
            found.append(("", f"and {error.error_count() - MAX_PROBLEMS} more problems"))
    except RecursionError:
        found.append(("", "nested too deeply"))
    if made is None or found:
        raise explain.report(found, origin, file, "chip", MAX_PROBLEMS)
    made._figures.update(figures)
    made._source.update(source)
    made._stated.update(values)
    made._origin.update(origin)
    made._varied.update(varied or {})
    made._file = file
    _free_of_charge(made)
    return made


def _free_of_charge(made: Chip) -> None:
    """An event may cost 0 pJ only for a stated reason: an accidental zero would vanish from every report."""
    lines = [f"{made._origin_of(f'energy.{event}')}: energy.{event}: 0 pJ needs a `source` that says why it costs nothing"
             for event, pj in made.energy.items()
             if pj == 0 and not ((f := lookup(made._figures, f"energy.{event}")) and f.source)]
    if lines:
        raise ChipError("\n  ".join(lines), lines)


def vary(base: Chip, changes: Mapping[str, Any]) -> Chip:
    """A changed copy (`Chip.vary`). Published peaks are dropped where the cores change: they describe another chip."""
    from emu.chip.vary import assign, unknown

    source, origin = copy.deepcopy(base._source), dict(base._origin)
    found: list[tuple[str, str]] = []
    for key, value in changes.items():
        origin[str(key)] = USER
        try:
            assign(source, str(key).split("."), value)
        except LookupError:
            found.append((str(key)[:200], unknown(base, str(key))))
    if any(str(key).startswith("core") for key in changes):
        source.pop("published", None)
        source.pop("published_conflict", None)
    return build(source, origin, base._file, {**base.varied, **{str(k): v for k, v in changes.items()}}, found)


def provenance(base: Chip, key: str) -> Figure:
    """The figure under a TOML key (`Chip.provenance`)."""
    if key in base._figures:
        return base._figure(key, base._figures[key].value)
    values = dict(leaves(base._stated))
    if key not in values:
        raise ChipError(f"{base._file}: {key[:200]}: not stated in this chip's description; {did_you_mean(key, values)}")
    return base._figure(key, values[key])
