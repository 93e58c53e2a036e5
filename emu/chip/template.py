"""A new chip file from an old one: commented, and loading as it stands."""

from __future__ import annotations

import json
import os
import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from emu.chip import document, explain
from emu.chip.provenance import is_figure
from emu.chip.schema import SCHEMA_VERSION, Chip
from emu.errors import ChipError, EmuError, did_you_mean

WIDTH = 138
STARTING_POINTS = ("core_count", "core.clock", "core.sram.capacity", "core.matrix.rows", "core.matrix.cols", "core.matrix.units",
                   "core.vector.lanes", "core.dma.bandwidth", "hbm.capacity", "hbm.bandwidth", "hbm.stacks", "noc.bandwidth", "power.tdp")
NOT_COPIED = ("schema_version", "name", "title", "hypothetical", "published", "published_conflict", "sources")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")


def new_chip(path: Path, like: Chip, base: str, complete: bool = False) -> str:
    """Text of a chip file for `path` that starts from `like` (a preset's name or a file: `base`).

    Short: it extends the base, with the figures that studies change first set out as comments. Complete: every figure of the base with tag
    and source and what it means, nothing left elsewhere. Both load as they stand; nothing that is published of the base is claimed."""
    if path.suffix != ".toml" or not _NAME.match(path.stem):
        raise EmuError(f"{path}: a chip file is NAME.toml, NAME of letters, digits, dots, dashes")
    if not base.endswith(".toml") and base not in document.preset_names():
        raise EmuError(f"{base}: a file to start from must be named NAME.toml; else {did_you_mean(base, document.preset_names())}")
    text = _complete(path.stem, like, base) if complete else _short(path, like, base)
    try:
        document.parse(text.encode(), str(path))
    except ChipError as error:
        raise ChipError(f"{base}: cannot be written out as one file: {error}; leave out --complete") from None
    return text


def _header(name: str, base: str) -> list[str]:
    return [
        f"# {name}: a chip like {_comment(base)}. `emu chips show {name}.toml` draws it;",
        f"# `emu chips diff {_comment(base)} {name}.toml` says what was changed.",
        "# A figure is a value, or {value = ..., tag = \"sourced | reported | recalled | derived | assumed\", source = \"...\"}.",
    ]


def _names(name: str, like: Chip) -> list[str]:
    return [f"name = {_text(name)}", f"title = {_text(f'{name}, after {like.name}')}", "hypothetical = true"]


def _short(path: Path, like: Chip, base: str) -> str:
    where = os.path.relpath(base, path.parent) if base.endswith(".toml") else base
    lines = [*_header(path.stem, base), f"extends = {_text(where)}", *_names(path.stem, like)]
    lines += ["# Nothing is published of this chip.", "published = {value = {}}", "published_conflict = {value = {}}", ""]
    lines += ["# Take away the # before what you change, and before the [section] above it."]
    stated = {f.key: f for f in like.figures()}
    section = ""
    for key in STARTING_POINTS:
        if key not in stated:
            continue
        above, _, last = key.rpartition(".")
        if above != section:
            lines += ["", f"# [{above}]"]
            section = above
        lines += [f"# {last} = {_value(stated[key].value)}{_why(key)}"]
    return "\n".join(lines) + "\n"


def _why(key: str) -> str:
    described = explain.described(Chip, key.split("."))
    return f"  # {_comment(described)}" if described else ""


def _complete(name: str, like: Chip, base: str) -> str:
    source = {k: v for k, v in like._source.items() if k not in NOT_COPIED}
    plain = {k: v for k, v in source.items() if _inline(v)}
    lines = [*_header(name, base), f"schema_version = {SCHEMA_VERSION}", *_names(name, like), *_pairs(plain, "", like)]
    for key, node in source.items():
        if key not in plain:
            lines += _section(key, node, like)
    return "\n".join(lines) + "\n"


def _inline(node: Any) -> bool:
    """Whether a node stands on one line: a value, a figure of one, a list without tables."""
    if is_figure(node):
        return not isinstance(node["value"], (dict, list)) or _inline(node["value"])
    if isinstance(node, list):
        return not any(isinstance(entry, dict) for entry in node)
    return not isinstance(node, dict)


def _section(key: str, node: Any, like: Chip) -> Iterator[str]:
    """A table, a list of tables, or a figure whose value is one of these."""
    if is_figure(node):
        yield from ("", f"[{key}]", *_label(node, like, key), f"value = {_value(node['value'])}")
    elif isinstance(node, list) and any(not _inline(v) for entry in node for v in entry.values()):
        raise ChipError(f"{key}: tables within a list of tables")
    elif isinstance(node, list):
        for i, entry in enumerate(node):
            yield from ("", f"[[{key}]]", *_pairs(entry, f"{key}.{i}", like))
    else:
        here = {k: v for k, v in node.items() if _inline(v)}
        if here or not node:
            yield from ("", f"[{key}]", *_pairs(here, key, like))
        for name, child in node.items():
            if name not in here:
                yield from _section(f"{key}.{_key(name)}", child, like)


def _pairs(entries: Mapping[str, Any], key: str, like: Chip) -> Iterator[str]:
    for name, node in entries.items():
        whole = f"{key}.{name}" if key else name
        described = explain.described(Chip, whole.split("."))
        yield from textwrap.wrap(_comment(described), WIDTH, initial_indent="# ", subsequent_indent="# ") if described else ()
        if is_figure(node):
            label = ", ".join(_label(node, like, whole))
            yield f"{_key(name)} = {{value = {_value(node['value'])}{', ' + label if label else ''}}}"
        else:
            yield f"{_key(name)} = {_value(node)}"


def _label(node: Mapping[str, Any], like: Chip, key: str) -> list[str]:
    """Tag and source as the file means them: short names of sources written out."""
    source = like._figures[key].source if key in like._figures else node.get("source")
    found = {"tag": node.get("tag"), "source": source}
    return [f"{name} = {_text(text)}" for name, text in found.items() if text is not None]


def _key(name: str) -> str:
    return name if _BARE.match(name) else _text(name)


def _value(node: Any) -> str:
    if isinstance(node, bool):
        return "true" if node else "false"
    if isinstance(node, str):
        return _text(node)
    if isinstance(node, (int, float)):
        return repr(node)
    if isinstance(node, list):
        if any(isinstance(entry, (dict, list)) for entry in node):
            return "[\n" + "".join(f"  {_value(entry)},\n" for entry in node) + "]"
        return "[" + ", ".join(map(_value, node)) + "]"
    if isinstance(node, dict):
        return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in node.items()) + "}"
    raise ChipError(f"a {type(node).__name__} is no value of a chip file")


def _text(words: str) -> str:
    """A TOML string: JSON's escapes are among TOML's, but for the one control character that JSON leaves alone."""
    return json.dumps(words, ensure_ascii=False).replace("\x7f", "\\u007f")


def _comment(words: str) -> str:
    return "".join(c if c.isprintable() else " " for c in words)
