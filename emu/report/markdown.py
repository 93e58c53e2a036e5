"""Pages as Markdown: what a terminal shows, to be pasted into a pull request or a page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from emu.report.page import Drawing, Note, Page, Pairs, Part
from emu.report.pages import page

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~])")


def dumps(result: Mapping[str, Any]) -> str:
    """A result's page as Markdown."""
    return render(page(result))


def render(page_: Page) -> str:
    lines = [f"## {escaped(page_.title)}", ""]
    for part in page_.parts:
        lines += [*_drawn(part), ""]
    return "\n".join(lines).rstrip() + "\n"


def escaped(text: str) -> str:
    """So that names from files are shown and never take effect."""
    return _SPECIAL.sub(r"\\\1", text)


def _drawn(part: Part) -> list[str]:
    if isinstance(part, Drawing):
        return ["```", *part.text.splitlines(), "```"]
    if isinstance(part, Note):
        return [f"**{escaped(part.text)}**" if part.warn else escaped(part.text)]
    title = [f"**{escaped(part.title)}**", ""] if part.title else []
    if isinstance(part, Pairs):
        return [*title, *grid(["", ""], part.rows)]
    return [*title, *grid(part.columns, part.rows, [part.is_left(i) for i in range(len(part.columns))])]


def grid(columns: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[bool] = ()) -> list[str]:
    """A table; numbers flush right."""
    marks = ["---" if i >= len(left) or left[i] else "--:" for i in range(len(columns))]
    cells = [[escaped(cell) for cell in row] for row in (columns, *rows)]
    return [f"| {' | '.join(cells[0])} |", f"|{'|'.join(marks)}|", *(f"| {' | '.join(row)} |" for row in cells[1:])]
