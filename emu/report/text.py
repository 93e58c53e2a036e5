"""Pages in a terminal, by rich: at most 100 columns, colour only where the stream is a terminal and NO_COLOR is not set."""

import io
import os
import shutil
from collections.abc import Mapping
from typing import Any, TextIO

from rich import box
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from emu.report.page import Drawing, Note, Page, Pairs, Part
from emu.report.pages import page

WIDTH = 100
SHORT = 28  # cells up to this length stay on one line in a table of full width


def console_for(stream: TextIO | None) -> Console:
    """A console that draws into memory what would suit ``stream``."""
    tty = stream is not None and stream.isatty()
    width = max(40, min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)) if tty else WIDTH
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return Console(file=io.StringIO(), width=width, force_terminal=tty and not plain, no_color=plain, highlight=False, legacy_windows=False)


def render(page_: Page, stream: TextIO | None = None) -> str:
    """The page as text for that stream; without a stream plain text of 100 columns."""
    console = console_for(stream)
    console.print(Text(page_.title, style="bold"))
    for part in page_.parts:
        console.print(_drawn(part, roomy=console.width >= WIDTH))
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().rstrip().split("\n")) + "\n"


def render_result(result: Mapping[str, Any], stream: TextIO | None = None) -> str:
    return render(page(result), stream)


def _drawn(part: Part, roomy: bool) -> RenderableType:
    if isinstance(part, Drawing):
        words = part.text if roomy else f"(a terminal of {WIDTH} columns shows a diagram here)"
        return Padding(Text(words, style="" if roomy else "dim", no_wrap=roomy), (0, 0, 1, 0))
    if isinstance(part, Note):
        return Padding(Text(part.text, style="yellow" if part.warn else "dim"), (0, 0, 1, 0))
    if isinstance(part, Pairs):
        pairs = RichTable(box=None, show_header=False, pad_edge=False, title=part.title or None, title_justify="left", title_style="bold")
        pairs.add_column(style="cyan", no_wrap=True)
        pairs.add_column(overflow="fold")
        for name, value in part.rows:
            pairs.add_row(Text(name), Text(value))
        return Padding(pairs, (0, 0, 1, 0))
    table = RichTable(
        box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True,
        title=part.title or None, title_justify="left", title_style="bold",
    )
    for i, name in enumerate(part.columns):
        # Where there is room, rather the names in the first column are broken than a short remark.
        whole = roomy and name in part.left and max((len(row[i]) for row in part.rows), default=0) <= SHORT
        table.add_column(Text(name), justify="left" if part.is_left(i) else "right", overflow="fold", no_wrap=whole)
    for row in part.rows:
        table.add_row(*(Text(cell) for cell in row))
    return Padding(table, (0, 0, 1, 0))
