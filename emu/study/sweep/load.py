"""A study from a TOML file.

    question = "What does a megabyte of SRAM buy?"
    model = "llama-3-8b"
    chip = "jalapeno"
    where = ["batch * prompt <= 65536"]
    [workload]
    prompt = 512
    [vary]
    "chip.core.sram.capacity" = ["4 MiB", "8 MiB"]
    batch = {log = [1, 64], points = 7}
    [set]
    "chip.noc.x" = "chip.core_count"
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emu.chip.document import read
from emu.errors import EmuError, did_you_mean
from emu.study.sweep.study import Study

PLAIN = {
    "question": str, "model": str, "chip": str, "where": (str, list), "sample": int, "seed": int, "vary": dict, "set": dict, "cases": list,
    "workload": dict, "search": dict,
}  # fmt: skip


SEARCH = {"minimize": (str, list), "maximize": (str, list), "limits": (str, list), "base": str, "trials": int}


def load_study(path: str | os.PathLike[str], **changes: Any) -> Study:
    """Read a study; `changes` are arguments of Study that stand above the file's. EmuError names the file and the key."""
    return _study(Path(path), read(Path(path)), changes)


def load_search(path: str | os.PathLike[str], **changes: Any) -> tuple[Study, dict[str, Any]]:
    """Read a study and the arguments of `search` in its [search] table."""
    place = Path(path)
    found = read(place)
    if not isinstance(found.get("search"), dict):
        raise EmuError(f"{place}: no [search] table; it names what to minimize or maximize, and limits")
    _check(place, found["search"], SEARCH, "search.")
    return _study(place, found, changes), found["search"]


def _check(place: Path, found: Mapping[str, Any], known: Mapping[str, Any], under: str = "") -> None:
    for key, value in found.items():
        if key not in known:
            raise EmuError(f"{place}: {under}{key}: unknown key; {did_you_mean(key, known)}")
        if not isinstance(value, known[key]) or isinstance(value, bool):
            raise EmuError(f"{place}: {under}{key} = {value!r:.60}: expected {_kind(known[key])}")
        if isinstance(value, list) and key != "cases" and not all(isinstance(text, str) for text in value):
            raise EmuError(f"{place}: {under}{key}: expected texts")


def _study(place: Path, document: Mapping[str, Any], changes: Mapping[str, Any]) -> Study:
    found = dict(document)
    _check(place, found, PLAIN)
    found.pop("search", None)
    workload = found.pop("workload", {})
    for key in sorted(workload.keys() & PLAIN.keys()):
        raise EmuError(f"{place}: workload.{key}: belongs above, outside [workload]")
    found |= {key: _joined(found.get(key, {})) for key in ("vary", "set")}
    if not all(isinstance(text, str) for text in found["set"].values()):
        raise EmuError(f"{place}: set: expected formulas: texts")
    if not all(isinstance(case, dict) for case in found.get("cases", [])):
        raise EmuError(f"{place}: cases: expected tables: [[cases]]")
    found["cases"] = [_joined(case) for case in found.get("cases", [])]
    for name in ("chip", "model"):  # a file beside the study is meant from there
        found = _beside(found, name, place.parent)
    try:
        return Study(**{**found, **workload, **changes})
    except TypeError as error:
        raise EmuError(f"{place}: workload: {error}") from None
    except EmuError as error:
        raise EmuError(f"{place}: {error}") from None


def _kind(wanted: Any) -> str:
    names = {str: "a text", int: "a whole number", dict: "a table", list: "a list"}
    return " or ".join(names[k] for k in (wanted if isinstance(wanted, tuple) else (wanted,)))


def _joined(table: Mapping[str, Any], key: str = "") -> dict[str, Any]:
    """`[vary] chip.hbm.bandwidth = [...]` without quotes is nested in TOML; here every key is dotted. A range is a table and a value."""
    flat: dict[str, Any] = {}
    for name, node in table.items():
        here = f"{key}.{name}" if key else name
        if isinstance(node, dict) and not {"log", "linear", "range"} & node.keys():
            flat |= _joined(node, here)
        else:
            flat[here] = node
    return flat


def _beside(found: dict[str, Any], name: str, folder: Path) -> dict[str, Any]:
    def place(value: Any) -> Any:
        near = isinstance(value, str) and (value.endswith((".toml", ".json")) or "/" in value) and folder / value
        return str(near) if near and near.exists() else value

    if name in found:
        found[name] = place(found[name])
    if isinstance(found["vary"].get(name), list):
        found["vary"][name] = [place(value) for value in found["vary"][name]]
    found["cases"] = [{k: place(v) if k == name else v for k, v in case.items()} for case in found["cases"]]
    return found
