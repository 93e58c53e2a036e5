"""One HTML file that stands by itself: question, tables that sort, plots, a timeline that zooms, assumptions with sources, and the command
that repeats it. It asks nothing of any network: its content security policy forbids it to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emu.errors import EmuError
from emu.report import html
from emu.report.json import dumps
from emu.report.page import Note, Page, Pairs, Table, clean
from emu.report.pages import page

if TYPE_CHECKING:
    from emu.study.timeline import Timeline

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
MOST_SLICES = 40_000
"""Of one core's instructions; what is left out is said."""
MOST_DATA_BYTES = 8 << 20


def document(
    results: Sequence[Mapping[str, Any]], *, question: str = "", command: str = "", timeline: Timeline | None = None, plots: bool = True,
    answer: Sequence[Pairs | Table | Note] = (),
) -> str:
    """The whole file. `results` are dicts of emu.report.schema, the first one the answer unless there is a shorter one: `answer` stands
    above it. `command` repeats it."""
    first = page(results[0])
    heading = clean(question) or first.title
    parts = [f"<h1>{escape(heading)}</h1>", f"<p>{escape(first.title)}</p>" if heading != first.title else ""]
    parts += [html.render(Page("", list(answer)))] if answer else []
    parts += [html.render(_without_assumed(first))]
    parts += [f"<h2>{escape(p.title)}</h2>{html.render(_without_assumed(p))}" for p in (page(d) for d in results[1:])]
    parts += [_pictures(results)] if plots else []
    parts += [_timeline(timeline)] if timeline is not None else []
    parts += [_assumed(results), _command(command), _data(results)]
    return _whole(heading, "".join(parts))


def write_report(path: str | Path, results: Sequence[Mapping[str, Any]], **how: Any) -> None:
    """`document` into a file."""
    Path(path).write_text(document(results, **how), encoding="utf-8")


def _whole(title: str, body: str) -> str:
    web = files("emu.report") / "web"
    style, script = ((web / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">\n'
        f"<style>\n{style}</style></head>\n<body>{body}\n<script>\n{script}</script></body></html>\n"
    )


def _without_assumed(page_: Page) -> Page:
    """Assumptions have a section of their own here, with their sources."""
    told = [part for part in page_.parts if not getattr(part, "title", "").endswith("in the chip's description")]
    return Page(page_.title, [p for p in told if not (isinstance(p, Note) and "are assumed; emu chips show" in p.text)])


def _pictures(results: Sequence[Mapping[str, Any]]) -> str:
    from emu.report.pictures import pictures_of

    if find_spec("matplotlib") is None:
        return "<h2>Plots</h2><p>Left out: they need matplotlib (pip install 'emu[plots]').</p>"
    from emu.report.draw import svg

    drawn = [f'<figure aria-label="{escape(name)}">{svg(figure)}</figure>' for d in results for name, figure in pictures_of(d)]
    return f"<h2>Plots</h2>{''.join(drawn)}" if drawn else ""


def _embedded(name: str, value: Any) -> str:
    """JSON that no text in it can break out of."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True).replace("<", "\\u003c").replace(">", "\\u003e")
    return f'<script type="application/json" id="{name}">{text}</script>'


def _timeline(t: Timeline) -> str:
    data = timeline_data(t)
    buttons = "".join(f'<button data-from="{a / 1e6}" data-to="{b / 1e6}">{escape(name)}</button>' for name, a, b in t.phases)
    zoom = "".join(f'<button data-zoom="{how}">{sign}</button>' for how, sign in (("in", "+"), ("out", "&minus;"), ("all", "all")))
    notes = [f"Core {data['core']}, one line an engine stream; wheel or + and &minus; zoom, dragging moves, the pointer asks."]
    notes += [escape(fold.name) + "." for fold in t.folds]
    if data["left_out"]:
        notes.append(f"{data['left_out']} later instructions are left out; bandwidth and power are drawn of phases that are whole.")
    return (
        f'<h2>Timeline</h2><p>{" ".join(notes)}</p><div id="timeline"><div>{zoom}{buttons}</div><canvas tabindex="0"></canvas>'
        f'<div id="hint"></div></div>{_embedded("timeline-data", data)}'
    )


def timeline_data(t: Timeline) -> dict[str, Any]:
    """What report.js draws: slices of one core by stream, nanoseconds, texts by number."""
    from emu.report.trace import in_order

    core = t.core
    own = sorted((r for r in t.records if r.core == core), key=lambda r: r.start_fs)
    streams = in_order({r.stream for r in own})
    shown = own[:MOST_SLICES]
    names, ops, lines = (dict[str, int]() for _ in range(3))
    slices = []
    following: dict[str, int] = {}
    for r in reversed(shown):  # an instruction may complete after the next one has started: it is drawn up to there
        end = min(r.end_fs, following.get(r.stream, r.end_fs))
        following[r.stream] = r.start_fs
        text = [table.setdefault(clean(key), len(table)) for table, key in ((names, r.name), (ops, r.op_name), (lines, r.line))]
        layer = -1 if r.layer is None else r.layer
        slices.append([streams.index(r.stream), r.start_fs / 1e6, (end - r.start_fs) / 1e6, text[0], text[1], layer, text[2]])
    return {
        "core": core, "tracks": streams, "names": list(names), "ops": list(ops), "lines": list(lines), "slices": slices[::-1],
        "counters": [[c.name, [[at / 1e6, v] for at, v in c.points]] for c in t.counters], "left_out": len(own) - len(shown) + t.unrecorded,
        "end": max((b for _, _, b in t.phases), default=1) / 1e6,
    }  # fmt: skip


def _assumed(results: Sequence[Mapping[str, Any]]) -> str:
    """Every figure that nobody has published, once, with tag and source."""
    rows = {}
    for chip, row in ((row.get("chip", d["chip"]), row) for d in results for row in d.get("assumed", [])):
        rows[chip, row["key"]] = [clean(chip), *(clean(row[k]) for k in ("key", "value", "tag", "source"))]
    if not rows:
        return ""
    table = Table(["chip", "figure", "value", "tag", "source"], list(rows.values()), left=frozenset({"figure", "value", "tag", "source"}))
    shown = html.render(Page("", [table]))
    told = f"<p>{len(rows)} figures are nobody's publication.</p>"
    return f"<h2>Assumed</h2>{told}<details><summary>Each with its source</summary>{shown}</details>"


def _command(command: str) -> str:
    return f"<h2>Repeat it</h2><pre>{escape(command)}</pre>" if command else ""


def _data(results: Sequence[Mapping[str, Any]]) -> str:
    text = dumps(results[0], None)
    if len(text) > MOST_DATA_BYTES:
        return "<p>The result's JSON is too large to be carried here.</p>"
    return _embedded("result", json.loads(text))


def check_place(path: str | Path) -> None:
    """Refuse, before minutes of work, a name that does not say it is HTML."""
    if Path(path).suffix not in (".html", ".htm"):
        raise EmuError(f"{path}: a report is HTML; let its name end in .html")
