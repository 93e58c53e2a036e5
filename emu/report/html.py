"""Pages in a notebook: plain HTML without scripts, everything escaped, colours left to the notebook's theme."""

from collections.abc import Mapping
from html import escape
from typing import Any

from emu.report.page import Drawing, Note, Page, Pairs, Part
from emu.report.pages import page


def render(page_: Page) -> str:
    return f"<div class='emu-report'><h4>{escape(page_.title)}</h4>{''.join(_drawn(part) for part in page_.parts)}</div>"


def repr_html(result: Mapping[str, Any]) -> str:
    """What a result's ``_repr_html_`` returns."""
    return render(page(result))


def _drawn(part: Part) -> str:
    if isinstance(part, Drawing):
        return f"<pre>{escape(part.text)}</pre>"
    if isinstance(part, Note):
        text = escape(part.text)
        return f"<p>&#9888; <b>{text}</b></p>" if part.warn else f"<p><small>{text}</small></p>"
    caption = f"<caption style='text-align:left'><b>{escape(part.title)}</b></caption>" if part.title else ""
    if isinstance(part, Pairs):
        return _table(caption, "".join(f"<tr>{_cell(name, True, 'th')}{_cell(value, True)}</tr>" for name, value in part.rows))
    head = "".join(_cell(name, part.is_left(i), "th") for i, name in enumerate(part.columns))
    body = "".join("<tr>" + "".join(_cell(text, part.is_left(i)) for i, text in enumerate(row)) + "</tr>" for row in part.rows)
    return _table(caption, f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>")


def _table(caption: str, content: str) -> str:
    return f"<table>{caption}{content}</table>"


def _cell(text: str, left: bool, tag: str = "td") -> str:
    return f"<{tag} style='text-align:{'left' if left else 'right'}'>{escape(text)}</{tag}>"
