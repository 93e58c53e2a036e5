"""Figures: a value with where it comes from. A TOML figure is either a plain value or {value = ..., tag = "...", source = "..."}.

The schema sees only the values; the provenance is kept beside them under the same dotted keys. The value may itself be a table or
a list (all rates of a vector engine, say): then its provenance holds for everything below it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from emu.chip.vocabulary import TAGS
from emu.errors import did_you_mean

Entry = TypeVar("Entry")

FIGURE_KEYS = {"value", "tag", "source"}
# What names a thing rather than measuring it needs no source.
NAMING_KEYS = frozenset(("schema_version", "name", "title", "vendor", "status", "hypothetical", "note", "mode", "engine", "space"))


@dataclass(frozen=True)
class Figure:
    """One figure as the file wrote it. `tag` is None where the file says nothing about its origin."""

    key: str
    value: Any
    tag: str | None = None
    source: str | None = None
    file: str | None = None

    def __str__(self) -> str:
        return f"{self.key} = {self.value}  [{self.tag or 'no tag'}] {self.source or 'no source'}"


def is_figure(node: object) -> bool:
    """Whether a table is a figure with provenance rather than a section."""
    return isinstance(node, dict) and "value" in node


def strip(node: Any, sources: dict[str, str], problems: list[tuple[str, str]], figures: dict[str, Figure], key: str = "") -> Any:
    """The document without provenance tables; fills `figures` and appends (key, problem) for what is wrong with them."""
    if is_figure(node):
        figures[key] = _figure(key, node, sources, problems)
        return strip(node["value"], sources, problems, figures, key)
    if isinstance(node, dict):
        return {k: strip(v, sources, problems, figures, _join(key, k)) for k, v in node.items()}
    if isinstance(node, list):
        return [strip(v, sources, problems, figures, _join(key, str(i))) for i, v in enumerate(node)]
    return node


def stripped(document: dict[str, Any], found: list[tuple[str, str]], figures: dict[str, Figure]) -> dict[str, Any]:
    """A whole document's plain values, its `sources` being a table of short names and texts."""
    sources = document.get("sources", {})
    if not (isinstance(sources, dict) and all(isinstance(v, str) for v in sources.values())):
        found.append(("sources", "expected a table of short names and texts"))
        sources = {}
    return strip({k: v for k, v in document.items() if k != "sources"}, sources, found, figures)


def _figure(key: str, node: dict[str, Any], sources: dict[str, str], problems: list[tuple[str, str]]) -> Figure:
    for name in sorted(set(node) - FIGURE_KEYS):
        problems.append((_join(key, name), f"unknown key in a figure; {did_you_mean(name, FIGURE_KEYS)}"))
    tag, source = node.get("tag"), node.get("source")
    if tag is not None and tag not in TAGS:
        problems.append((_join(key, "tag"), f"{tag!r} is no tag; {did_you_mean(str(tag), TAGS)}"))
    if source is not None and not isinstance(source, str):
        problems.append((_join(key, "source"), "expected text"))
        source = None
    return Figure(key, _values(node["value"]), tag, _expand(source, sources))


def _values(node: Any) -> Any:
    if is_figure(node):
        return _values(node["value"])
    return {k: _values(v) for k, v in node.items()} if isinstance(node, dict) else node


def _expand(source: str | None, sources: dict[str, str]) -> str | None:
    """A source may start with a key of the file's [sources] table, alone or followed by a semicolon and a detail."""
    if source is None:
        return None
    head, semicolon, detail = source.partition(";")
    return sources[head] + semicolon + detail if head in sources else source


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every figure-like leaf of a stripped document with its dotted key; names, titles and notes are left out."""
    if isinstance(node, dict):
        for name, child in node.items():
            if name not in NAMING_KEYS and not (key == "" and name == "sources"):
                yield from leaves(child, _join(key, name))
    elif isinstance(node, list):
        for i, child in enumerate(node):
            yield from leaves(child, _join(key, str(i)))
    else:
        yield key, node


def lookup(table: Mapping[str, Entry], key: str) -> Entry | None:
    """What a table says of this key or, if nothing, of the nearest one above it."""
    while key not in table:
        key, dot, _ = key.rpartition(".")
        if not dot:
            return None
    return table[key]
