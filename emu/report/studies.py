"""Pages of studies: the table of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emu.report import parts, units
from emu.report.page import Note, Page, Pairs, Table, clean, dropping_empty

Result = Mapping[str, Any]
SHOWN = 40
"""Rows on a page; JSON, CSV and Parquet hold all."""
FIGURES: dict[str, tuple[str, Any]] = {
    "ttft_s": ("first token", units.seconds),
    "tpot_s": ("per token", units.seconds),
    "tokens_per_s": ("tokens/s", units.digits),
    "sequences_per_s": ("sequences/s", units.digits),
    "joules_per_token": ("J/token", units.joules),
    "watts": ("power", units.watts),
    "mfu": ("matrix", units.percent),
    "mbu": ("memory", units.percent),
}
"""What a page shows of a point, and how; everything else is in the other forms."""
KINDS = {"bandwidth": "B/s", "clock": "Hz", "latency": "s"}


def setting(key: str, value: Any) -> str:
    """A setting's value as people write it."""
    last = key.rpartition(".")[2]
    if value is None or isinstance(value, (bool, str)):
        return units.DASH if value is None else clean(value) if isinstance(value, str) else "yes" if value else "no"
    if last in ("capacity", "inflight") or last.endswith("_bytes"):
        return units.size(value)
    if last in KINDS and value > 1e6 or last == "latency":
        number, unit = units.si(value, KINDS[last]).split(" ")
        return f"{float(number):g} {unit}"
    return str(value) if isinstance(value, int) else f"{value:g}"


def short(key: str) -> str:
    """A dotted key's last part, two if that is short: enough to tell columns apart on a page."""
    last = key.rpartition(".")[2]
    return last if len(last) > 2 else ".".join(key.split(".")[-2:])


def study_page(d: Result) -> Page:
    """Question, what was fixed, and the table."""
    page = Page(clean(d["question"]) or f"{clean(d['model'])} on {clean(d['chip'])}: {len(d['rows'])} points")
    page.add(*parts.hypothetical_note(d), Pairs(_described(d)), point_table(d["rows"], d["axes"]))
    if len(d["rows"]) > SHOWN:
        page.add(Note(f"the first {SHOWN} of {len(d['rows'])} points; --csv, --json and --out write all"))
    page.add(*failures(d["rows"]), *assumed_notes(d), parts.provenance_note(d))
    return page


def assumed_notes(d: Result) -> list[Note]:
    """How much nobody has published; each figure with its source is in the JSON, in `emu report` and in `emu chips show`."""
    count = sum(row["tag"] == "assumed" for row in d["assumed"])
    return [Note(f"{count} figures of {clean(d['chip'])} are assumed; emu chips show NAME prints each with its source")] if count else []


def _described(d: Result) -> list[tuple[str, str]]:
    rows = [("same for all", ", ".join(f"{k} {clean(v)}" for k, v in d["fixed"].items() if k != "seed"))]
    rows += [("follows", f"{k} = {clean(text)}") for k, text in d["set"].items()]
    rows += [("condition", clean(text)) for text in d["where"]]
    drawn = f", {d['sample']} drawn with seed {d['seed']}" if d["sample"] else ""
    return [*rows, ("points", f"{len(d['rows'])} of {d['combinations']} combinations{drawn}")]


def point_table(rows: Sequence[Result], axes: Sequence[str]) -> Table:
    """One line a point: settings that differ, figures, and how many of the points failed in words."""
    axes = [axis for axis in axes if len(rows) < 2 or any(row.get(axis) != rows[0].get(axis) for row in rows)]
    shown = [name for name in FIGURES if any(row.get(name) is not None for row in rows)]
    lines = []
    for row in rows[:SHOWN]:
        figures = [FIGURES[name][1](row[name]) if row.get(name) is not None else units.DASH for name in shown]
        lines.append([*(setting(axis, row.get(axis)) for axis in axes), *figures, "failed" if row.get("error") else units.DASH])
    names = [short(axis) for axis in axes]
    heads = [name if names.count(name) == 1 else axis for name, axis in zip(names, axes)]
    columns, lines = dropping_empty([*heads, *(FIGURES[name][0] for name in shown), ""], lines)
    return Table(columns, lines, "points", frozenset(heads) & set(columns))


def failures(rows: Sequence[Result]) -> list[Note]:
    """Why points failed, each reason once, with how many it stopped."""
    reasons: dict[str, int] = {}
    for row in rows:
        if row.get("error"):
            reasons[row["error"]] = reasons.get(row["error"], 0) + 1
    ordered = sorted(reasons.items(), key=lambda item: -item[1])
    notes = [Note(f"{n} {'point' if n == 1 else 'points'} failed: {clean(reason)}", warn=True) for reason, n in ordered[:5]]
    return notes + ([Note(f"and {len(ordered) - 5} other reasons", warn=True)] if len(ordered) > 5 else [])
