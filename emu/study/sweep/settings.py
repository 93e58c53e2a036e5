"""What a study may set, by name, and what the names stand for in its conditions.

    chip, model            names or files (or objects, from Python)
    chip.KEY, model.FIELD  a figure of the chip as in its file (chip.hbm.bandwidth), a field of the model (model.layers)
    mapping.PHASE.OP.FIELD a field of a tiling (mapping.decode.qkv.tile_n)
    anything else          an argument of emu.estimate (batch, dtype ...)
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from emu.chip.explain import keys
from emu.chip.fields import toml_key
from emu.chip.schema import Chip
from emu.chip.vary import assign, unknown
from emu.errors import EmuError, did_you_mean
from emu.models import Model
from emu.models.vary import changeable
from emu.study.mapping import PHASES

NOT_SETTINGS = ("model", "chip", "progress", "mapping")
"""Parameters of `estimate` that have names of their own here, or are no matter of the workload."""


@cache
def arguments() -> dict[str, Any]:
    """The arguments of `estimate` that a study may set, with their defaults; a new one there is one here."""
    from emu.study.estimate import estimate

    found = inspect.signature(estimate).parameters
    return {name: p.default for name, p in found.items() if name not in NOT_SETTINGS}


@dataclass(frozen=True)
class Settings:
    """One point, taken apart: which chip and model, what is changed of them, and the call."""

    chip: Chip
    model: Model
    chip_changes: dict[str, Any]
    model_changes: dict[str, Any]
    mapping: dict[str, dict[str, dict[str, Any]]]
    call: dict[str, Any]


def chip_of(name: Any) -> Chip:
    """A chip by name or file; whatever looks like a path is one."""
    from emu.chip import chip, load_chip

    if isinstance(name, Chip):
        return name
    if not isinstance(name, str):
        raise EmuError(f"chip = {name!r}: expected the name of a chip or a chip file, my.toml")
    return load_chip(name) if "/" in name or name.endswith(".toml") else chip(name)


def model_of(name: Any) -> Model:
    """A model by name, or by config.json."""
    from emu.models import model

    if isinstance(name, Model):
        return name
    if not isinstance(name, str):
        raise EmuError(f"model = {name!r}: expected the name of a model or a config.json")
    return model(name)


def check_key(key: str, chips: Sequence[Chip]) -> None:
    """Refuse a setting that does not exist, with the nearest one that does. What one chip has and another lacks is an error of points."""
    head, _, rest = key.partition(".")
    if head == "chip" and rest:
        parts = rest.split(".")
        known = keys(Chip, parts[:-1])
        if known and parts[-1] not in known or not any(_leads(chip, parts) for chip in chips):
            raise EmuError(f"chip.{rest}: {unknown(chips[0], rest)}")
    elif head == "model" and rest:
        if rest not in changeable():
            raise EmuError(f"model.{rest}: unknown field; {did_you_mean(rest, changeable())}")
    elif head == "mapping":
        if len(key.split(".")) != 4 or key.split(".")[1] not in PHASES:
            raise EmuError(f"{key}: expected mapping.PHASE.OPERATION.FIELD, PHASE one of {', '.join(PHASES)}")
    elif key not in ("chip", "model", *arguments()):
        raise EmuError(f"{key}: unknown setting; {did_you_mean(key, _all(chips[0]))}")


def _all(chip: Chip) -> list[str]:
    figures = [f"chip.{f.key}" for f in chip.figures()]
    return ["chip", "model", *arguments(), *figures, *(f"model.{name}" for name in changeable())]


def _leads(chip: Chip, parts: list[str]) -> bool:
    """Whether the key leads somewhere in the description, the last part apart."""
    import copy

    try:
        assign(copy.deepcopy(chip._source), parts, None)
    except (LookupError, TypeError):
        return False
    return True


def taken_apart(point: Mapping[str, Any], chips: Mapping[Any, Chip], models: Mapping[Any, Model]) -> Settings:
    """The settings of a point; `chips` and `models` are those its names stand for."""
    chip_changes: dict[str, Any] = {}
    model_changes: dict[str, Any] = {}
    mapping: dict[str, dict[str, dict[str, Any]]] = {}
    call: dict[str, Any] = {}
    for key, value in point.items():
        head, _, rest = key.partition(".")
        if head == "chip" and rest:
            chip_changes[rest] = value
        elif head == "model" and rest:
            model_changes[rest] = value
        elif head == "mapping":
            phase, op, field = rest.split(".")
            mapping.setdefault(phase, {}).setdefault(op, {})[field] = value
        elif head not in ("chip", "model"):
            call[key] = value
    return Settings(chips[name_of(point["chip"])], models[name_of(point["model"])], chip_changes, model_changes, mapping, call)


def name_of(given: Any) -> str:
    """How a table calls a chip or a model."""
    return given if isinstance(given, str) else str(given.name)


def value_of(name: str, point: Mapping[str, Any], chip: Chip, model: Model) -> Any:
    """What a name stands for in a condition: a setting of the point, or else the figure of the chip or model, in SI."""
    from emu.study.sweep.table import plain

    if name in point:
        return name_of(point[name]) if name in ("chip", "model") else plain(point[name])
    head, _, rest = name.partition(".")
    if head == "chip" and rest:
        return _figure(chip, rest)
    if head == "model" and rest:
        if not hasattr(model.config, rest):
            raise EmuError(f"{name}: unknown field; {did_you_mean(rest, model.to_dict())}")
        return getattr(model.config, rest)
    if name in arguments():
        return arguments()[name]
    raise EmuError(f"{name}: unknown name; {did_you_mean(name, [*point, *_all(chip)])}")


def _figure(chip: Chip, key: str) -> Any:
    """The resolved value under a TOML key, defaults included, in SI."""
    node: Any = chip
    for part in key.split("."):
        if isinstance(node, dict):
            node = node.get(part)
        elif isinstance(node, (list, tuple)):
            named = [entry for entry in node if getattr(entry, "name", None) == part]
            node = named[0] if named else node[int(part)] if part.isdecimal() and int(part) < len(node) else None
        else:
            found = [name for name in getattr(type(node), "model_fields", {}) if part in (toml_key(name), _alias(node, name))]
            node = getattr(node, found[0]) if found else None
    if node is None or not isinstance(node, (bool, int, float, str)):
        raise EmuError(f"chip.{key}: {chip.name} has no such figure; {did_you_mean(key, [f.key for f in chip.figures()])}")
    return node


def _alias(node: Any, name: str) -> str | None:
    alias: str | None = type(node).model_fields[name].alias
    return alias
