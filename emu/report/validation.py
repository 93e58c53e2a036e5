"""How a validation looks: tables in a terminal, a page of Markdown, plots."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emu.errors import EmuError
from emu.report import units
from emu.report.page import Note, Page, Table, clean

Result = Mapping[str, Any]
BEGIN, END = "<!-- validation: written by emu validate --page -->", "<!-- /validation -->"
MAX_PAGE_BYTES = 4 << 20
VERDICT = {True: "met", False: "NOT MET"}


def validation_page(d: Result) -> Page:
    """For a terminal."""
    page = Page(f"predictions beside measurements, stack {clean(d['stack'])}")
    page.add(Table(*_summary(d["suites"]), "suites", frozenset({"verdict"})))
    for s in d["suites"]:
        page.add(Table(*_decades(s), f"{s['suite']}: error by decade of {_size(s)}"))
        page.add(Table(*_worst(s), "worst rows", frozenset({"mapped"})))
    page.add(*(Note(f"{s['suite']}: {', '.join(s['exceeded'])}", warn=True) for s in d["suites"] if s["exceeded"]))
    page.add(Note("plain: a three-constant roofline (power: a linear three-term model) refitted to the same rows"))
    return page


def _sign(fraction: float) -> str:
    return f"{100 * fraction:+.1f} %"


def _share(fraction: float | None) -> str:
    return units.DASH if fraction is None else f"{100 * fraction:.1f} %"


def _bound(b: Mapping[str, Any]) -> str:
    more = [f"+-{100 * b['median']:.0f}" if b["median"] else "", f"{100 * b['p90']:.0f}" if b["p90"] else ""]
    inner = ", ".join(m for m in more if m)
    return f"{100 * b['mape']:.0f} %" + (f" ({inner})" if inner else "")


def _summary(suites: Sequence[Result]) -> tuple[list[str], list[list[str]]]:
    """One line a suite; a column for each setting that any suite was run under."""
    variants = list(dict.fromkeys(name for s in suites for name in s["variants"]))
    columns = ["suite", "rows", "failed", "MAPE", "median", "90th", "bound", "verdict", "plain", *(f"without {v}" for v in variants)]
    rows = [
        [
            s["suite"], str(s["rows"]), str(s["failed"]), _share(s["mape"]), _sign(s["median"]), _share(s["p90"]),
            _bound(s["bound"]), VERDICT[not s["exceeded"]], _share(s["plain_model"]["mape"]),
            *(_share(s["variants"].get(v)) for v in variants),
        ]
        for s in suites
    ]  # fmt: skip
    return [c.replace("without no ", "without ").replace("without stack bare", "bare") for c in columns], rows


def _decades(s: Result) -> tuple[list[str], list[list[str]]]:
    rows = [
        [f"10^{d['decade']:02d}", str(d["rows"]), _share(d["mape"]), _sign(d["median"]), _share(d["p90"])]
        for d in s["decades"]
    ]
    return [_size(s), "rows", "MAPE", "median", "90th"], rows


def _size(s: Result) -> str:
    """What the rows of a suite are sorted by."""
    return "bytes" if s["kind"].startswith("memory") else "FLOP"


def _bandwidth(value: float) -> str:
    return units.si(value, "B/s")


def _clocks(value: float) -> str:
    return f"{value:g} clk"


def _value(s: Result, value: float) -> str:
    return {"power": units.watts, "memory-rate": _bandwidth, "instruction": _clocks}.get(s["kind"], units.seconds)(value)


def _worst(s: Result) -> tuple[list[str], list[list[str]]]:
    rows = []
    for r in s["worst"]:
        said, how = (clean(r["failure"]), "") if "failure" in r else (_value(s, r["predicted"]), r["detail"])
        rows.append([clean(r["row"]), _value(s, r["measured"]), said, _sign(r["error"]), how])
    return ["row", "measured", "predicted", "error", "mapped"], rows


def markdown(d: Result, plots: Path | None = None) -> str:
    """What `--page` writes between its marks."""
    rows_of = "the packaged sample" if d["tables"] == ["packaged"] else "full tables"
    parts = [f"Predicted on stack `{d['stack']}`, fidelity `fast`; rows: {rows_of}.", "", *_grid(*_summary(d["suites"])), ""]
    parts += ["plain: a three-constant roofline, or a linear three-term model of power, refitted to the same rows.", ""]
    parts += _ranking(d["suites"])
    for s in d["suites"]:
        parts += [f"## {s['title']} (`{s['suite']}`)", ""]
        if s["exceeded"]:
            parts += [f"**Bound not met**: {'; '.join(s['exceeded'])}.", ""]
        if plots is not None:
            parts += [f"![measured and predicted, errors by size]({(plots / picture(s)).as_posix()})", ""]
        parts += [*_grid(*_decades(s)), "", *_grid(*_worst(s)), ""]
    return "\n".join(parts)


def _grid(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [[c.replace("|", "\\|") for c in row] for row in (columns, *rows)]
    return [f"| {' | '.join(cells[0])} |", "|" + "---|" * len(columns), *(f"| {' | '.join(row)} |" for row in cells[1:])]


def _ranking(suites: Sequence[Result]) -> list[str]:
    """Which mechanism's absence costs most, in points of MAPE over the suites it was left out of."""
    points: dict[str, list[float]] = {}
    for s in suites:
        for name, mape in s["variants"].items():
            points.setdefault(name, []).append(mape - s["mape"])
    if not points:
        return []
    order = sorted(points, key=lambda name: -max(points[name]))
    rows = [[name, f"{100 * sum(points[name]) / len(points[name]):+.1f}", f"{100 * max(points[name]):+.1f}"] for name in order]
    return ["## Mechanisms, by what leaving one out costs", "", *_grid(["left out", "mean over suites", "most"], rows), "",
            "In points of MAPE, nothing refitted.", ""]  # fmt: skip


def write_page(d: Result, path: Path, plots: Path | None = None) -> None:
    """Replaces what stands between the marks, or makes a new page; `plots` is linked to as it lies from there."""
    if path.exists() and (not path.is_file() or path.stat().st_size > MAX_PAGE_BYTES):
        raise EmuError(f"--page {path}: not a page")
    try:
        old = path.read_text() if path.exists() else f"# Predictions beside measurements\n\n{BEGIN}\n{END}\n"
    except UnicodeDecodeError:
        raise EmuError(f"--page {path}: not UTF-8 text") from None
    if old.count(BEGIN) != 1 or old.count(END) != 1 or old.index(BEGIN) > old.index(END):
        raise EmuError(f"--page {path}: the marks {BEGIN!r} and {END!r} must stand in it once, in this order")
    head, rest = old.split(BEGIN)
    seen = None if plots is None else Path(os.path.relpath(plots, path.parent))
    path.write_text(f"{head}{BEGIN}\n{markdown(d, seen).strip()}\n{END}{rest.split(END)[1]}")


def picture(s: Result) -> str:
    """The file name of a suite's plots."""
    return f"{s['suite']}.svg"


def needs_matplotlib() -> None:
    """Says how to get it where it is missing, before minutes of work."""
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise EmuError("plots need matplotlib: pip install 'emu[plots]'")


def draw(d: Result, folder: Path) -> list[Path]:
    """One picture a suite: measured against predicted, and the signed error of every row by its size."""
    from emu.report.plots import errors_picture

    drawn = []
    for s in d["suites"]:
        if s["rows_detail"]:
            drawn.append(folder / picture(s))
            errors_picture(s, drawn[-1])
    return drawn
