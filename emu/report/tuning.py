"""The page of a tuning: a line for each variant, the best first, those that failed at the end with their reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emu.report import parts, units
from emu.report.page import Note, Page, Pairs, Table, clean

SHOWN = 40
"""Lines of the table; --json and files have all."""


def tuning_page(d: Mapping[str, Any]) -> Page:
    """What was tried and what is best."""
    page = Page(f"{clean(d['kernel'])} tuned on {clean(d['chip'])}")
    ran = sorted((v for v in d["variants"] if v["ratio"] is not None), key=lambda v: v["ratio"])
    failed = [v for v in d["variants"] if v["ratio"] is None]
    best = ", ".join(f"{clean(name)} {clean(value)}" for name, value in d["best"].items())
    several = len(d["shapes"]) > 1
    by = d["by"] + (", geometric mean over the shapes" if several else "")
    rows = [("best", best), ("variants", f"{len(ran)} ran, {len(failed)} failed"), ("by", by)]
    rows += [(f"shape {j}" if several else "shape", clean(text)) for j, text in enumerate(d["shapes"], 1)]
    page.add(*parts.hypothetical_note(d), Pairs(rows))
    names = list(dict.fromkeys(name for v in d["variants"] for name in v["parameters"]))
    times = [f"time {j}" for j in range(1, len(d["shapes"]) + 1)] if several else ["time", "energy"]
    table = []
    for v in (ran + failed)[:SHOWN]:
        cells = [clean(v["parameters"].get(name, units.DASH)) for name in names]
        figures = [units.seconds(s) for s in v["seconds"]] + ([] if several else [units.joules(j) for j in v["joules"]])
        if v["ratio"] is None:
            figures = [units.DASH] * len(times)
        table.append([*cells, *figures, units.times(v["ratio"]), clean(v["failed"])])
    columns = [*names, *times, "of the best", "failed"]
    if not failed:
        columns, table = columns[:-1], [row[:-1] for row in table]
    page.add(Table(columns, table, "variants", frozenset({"failed"})))
    if len(d["variants"]) > SHOWN:
        page.add(Note(f"{len(d['variants']) - SHOWN} more variants are in the JSON"))
    page.add(parts.provenance_note(d))
    return page
