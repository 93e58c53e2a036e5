"""The file of a tuning: TOML or JSON, with a version, written for people and read with mistrust."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emu.errors import UnsupportedError
from emu.report.json import dumps

VERSION = 1
MAX_BYTES = 16 << 20
_TEXTS = ("kernel", "kernel_digest", "by", "chip", "emu_version", "kind", "fidelity")
_ROW = {"parameters": dict, "seconds": list, "joules": list, "cycles": list, "failed": str}


def written(d: Mapping[str, Any], path: Path) -> str:
    """The file's text."""
    d = {"tuning_version": VERSION, **d}
    if path.suffix == ".json":
        return dumps(d) + "\n"
    if path.suffix != ".toml":
        raise UnsupportedError(f"{path}: a tuning is written to .toml or .json")
    single = {name: value for name, value in d.items() if not isinstance(value, dict) and name != "variants"}
    lines = [f"# {d['kernel']} on {d['chip']}: written by emu.tune, read by emu.Tuning.read"]
    lines += [f"{name} = {_value(value)}" for name, value in single.items()]
    for name in ("best", "digests"):
        lines += ["", f"[{name}]", *(f"{_key(k)} = {_value(v)}" for k, v in d[name].items() if v is not None)]
    for row in d["variants"]:
        lines += ["", "[[variants]]", *(f"{name} = {_value(value)}" for name, value in row.items() if value is not None)]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    return name if name.isidentifier() and name.isascii() else json.dumps(name)


def _value(value: Any) -> str:
    """A TOML value; strings are escaped as JSON escapes them, which TOML reads alike."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)


def read(path: Path) -> dict[str, Any]:
    """What such a file says. UnsupportedError names the file and what is wrong with it."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UnsupportedError(f"{path}: larger than {MAX_BYTES >> 20} MiB, which no tuning is")
        text = path.read_text(encoding="utf-8")
        d: Any = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise UnsupportedError(f"{path}: not a tuning that can be read: {error}") from None
    if not isinstance(d, dict) or d.get("kind") != "tuning" or d.get("tuning_version") != VERSION:
        found = d.get("tuning_version") if isinstance(d, dict) else None
        raise UnsupportedError(f"{path}: not a tuning of version {VERSION} (tuning_version is {found!r:.40}); run emu.tune again")
    if not _good(d):
        raise UnsupportedError(f"{path}: keys are missing or not what emu.tune writes; run it again")
    d["digests"].setdefault("program", None)
    del d["tuning_version"]
    return d


def _good(d: dict[str, Any]) -> bool:
    digests, shapes, variants = d.get("digests"), d.get("shapes"), d.get("variants")
    named = isinstance(digests, dict) and isinstance(digests.get("chip"), str)
    if not named or not all(isinstance(d.get(name), str) for name in _TEXTS):
        return False
    if not isinstance(shapes, list) or not isinstance(variants, list) or not all(_good_row(row, len(shapes)) for row in variants):
        return False
    return any(row.get("ratio") is not None for row in variants)


def _good_row(row: Any, shapes: int) -> bool:
    if not isinstance(row, dict) or not all(isinstance(row.get(name), kind) for name, kind in _ROW.items()):
        return False
    ratio = row.get("ratio")
    if ratio is None:
        return bool(row["failed"])
    figures = [ratio, *row["seconds"], *row["joules"], *row["cycles"]]
    return len(figures) == 1 + 3 * shapes and all(isinstance(x, (int, float)) and not isinstance(x, bool) and x >= 0 for x in figures)
