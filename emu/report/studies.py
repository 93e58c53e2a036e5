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
        number, _, unit = units.size(value).partition(" ")
        return f"{float(number):g} {unit}"
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


def _described_same(d: Result) -> list[tuple[str, str]]:
    rows = [("same for all", ", ".join(f"{k} {clean(v)}" for k, v in d["fixed"].items() if k != "seed"))]
    rows += [("follows", f"{k} = {clean(text)}") for k, text in d["set"].items()]
    return rows + [("condition", clean(text)) for text in d["where"]]


def _described(d: Result) -> list[tuple[str, str]]:
    rows = _described_same(d)
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


GAINS = {"ttft": "first token", "tokens_per_s": "tokens/s", "joules_per_token": "J/token", "watts": "power", "joules": "energy",
         "sequences_per_s": "sequences/s"}  # fmt: skip
LEAST_GAIN = 5e-4
"""Gains below this are no line of the page."""


def sensitivity_page(d: Result) -> Page:
    """What 1 % more of a figure gives, the largest first; then what gives nothing, and what could not be changed."""
    order = d["ordered_by"]
    page = Page(f"What {100 * d['step_fraction']:g} % more of a figure gives: {clean(d['model'])} on {clean(d['chip'])}")
    told = [row for row in d["rows"] if "remapped" in row]
    moving = [row for row in told if any(abs(g) >= LEAST_GAIN for m in ("frozen", "remapped") for g in row.get(m, {}).values())]
    lines = []
    for row in moving:
        frozen, anew = row.get("frozen", {}), row["remapped"]
        kept = units.DASH if order not in frozen or not row["new_mapping"] else _gain(frozen[order])
        step = f"{100 * row['step_fraction']:+.3g} %"
        lines.append([row["figure"], clean(row["value"]), step, *(_gain(anew[o]) for o in d["outputs"]), kept])
    heads = [GAINS[o] for o in d["outputs"]]
    columns, lines = dropping_empty(["figure", "value", "step", *heads, f"{GAINS[order]}, old mapping"], lines)
    page.add(*parts.hypothetical_note(d), Table(columns, lines, "change of a result for 1 % more of the figure", frozenset({"value"})))
    still = len(told) - len(moving)
    page.add(Note(f"{still} figures change nothing here; counts move by at least one, and their change is scaled to 1 %"))
    page.add(*(Note(f"{row['figure']}: {clean(row['error'])}", warn=True) for row in d["rows"] if row.get("error")))
    page.add(*assumed_notes(d), parts.provenance_note(d))
    return page


def _gain(elasticity: float) -> str:
    return f"{elasticity:+.3f} %" if abs(elasticity) >= LEAST_GAIN else "0"


def roofline_page(d: Result) -> Page:
    """Every operation beside what compute and memory would let it do."""
    page = Page(f"Roofline of {clean(d['chip'])}: {clean(d['model'])}, batch {d['batch']}")
    peaks = [(f"peak {fmt}", units.si(peak, "FLOP/s")) for fmt, peak in d["peak_flops_per_s"].items()]
    bandwidth = d["bandwidth_bytes_per_s"]
    ridge = [(f"ridge {fmt}", f"{units.digits(peak / bandwidth, 3)} FLOP/B") for fmt, peak in d["peak_flops_per_s"].items()]
    page.add(*parts.hypothetical_note(d), Pairs([*peaks, ("bandwidth", units.si(bandwidth, "B/s")), *ridge]))
    for phase in dict.fromkeys(row["phase"] for row in d["rows"]):
        lines = []
        for row in (r for r in d["rows"] if r["phase"] == phase):
            intensity = units.DASH if row["flops_per_byte"] is None else units.digits(row["flops_per_byte"], 3)
            rates = [units.si(row["flops_per_s"] or None, "FLOP/s"), units.si(row["bytes_per_s"] or None, "B/s")]
            name, share, roof = clean(row["name"] or "whole phase"), units.percent(row["share"]), units.percent(row["roof_share"])
            lines.append([name, units.seconds(row["seconds"]), share, intensity, *rates, row["bound_by"], roof])
        columns = ["operation", "time", "share", "FLOP/B", "does", "moves", "roof", "of it"]
        page.add(Table(columns, lines, phase, frozenset({"roof"})))
    page.add(Note("above 100 %: weights came while another operation ran; bytes are those that must cross the pins in the whole pass"))
    page.add(*assumed_notes(d), parts.provenance_note(d))
    return page


def comparison_page(d: Result) -> Page:
    """Chips side by side, a table a model, each figure as it is and beside the first chip's."""
    page = Page(clean(d["question"]) or f"{clean(d['chip'])} on {clean(d['model'])}")
    page.add(*parts.hypothetical_note(d), Pairs([("same for all", ", ".join(f"{k} {clean(v)}" for k, v in d["fixed"].items()))]))
    for model in dict.fromkeys(row["model"] for row in d["rows"]):
        page.add(_side_by_side([row for row in d["rows"] if row["model"] == model], d["axes"], model))
    page.add(Note(f"in brackets: times the figure of {clean(d['base'])}"), *(Note(clean(text), warn=True) for text in d["not_told"]))
    page.add(*failures(d["rows"]), *assumed_notes(d), parts.provenance_note(d))
    return page


WORTH = {
    "tokens_per_s_per_chip": "tokens/s", "sequences_per_s_per_chip": "sequences/s", "tokens_per_joule": "tokens/J",
    "sequences_per_joule": "sequences/J", "tokens_per_s_per_usd": "per USD", "sequences_per_s_per_usd": "per USD",
    "tokens_per_s_per_mm2": "per mm2", "sequences_per_s_per_mm2": "per mm2",
}  # fmt: skip


def _side_by_side(rows: Sequence[Result], axes: Sequence[str], model: str) -> Table:
    axes = [axis for axis in axes if axis != "model"]
    shown = [name for name in WORTH if any(row.get(name) is not None for row in rows)]
    lines = []
    for row in rows:
        cells = [units.seconds(row.get("ttft_s")), units.seconds(row.get("tpot_s"))]
        for name in shown:
            times = row.get(f"{name}_to_base")
            beside = f" ({times:.2f})" if times is not None else ""
            cells.append(units.DASH if row.get(name) is None else units.digits(row[name], 3) + beside)
        lines.append([*(setting(axis, row.get(axis)) for axis in axes), *cells])
    columns = [*map(short, axes), "first token", "per token", *(WORTH[name] for name in shown)]
    return Table(*dropping_empty(columns, lines), clean(model), frozenset(map(short, axes)))


def search_page(d: Result) -> Page:
    """What was asked, and the trials that no other beats."""
    page = Page(clean(d["question"]) or f"Search: {clean(d['model'])}, {len(d['rows'])} trials")
    goals = ", ".join(f"{'maximize' if o['maximize'] else 'minimize'} {clean(o['text'])}" for o in d["objectives"])
    limits = [("limit", clean(text)) for text in d["limits"]]
    base = [("base", clean(d["base"]))] if d["base"] else []
    good = [row for row in d["rows"] if row["feasible"]]
    counts = f"{len(d['rows'])}, {len(good)} within the limits, {sum(bool(row['error']) for row in d['rows'])} without figures"
    page.add(*parts.hypothetical_note(d), Pairs([("goal", goals), *limits, *base, *_described_same(d), ("trials", counts)]))
    texts = [o["text"] for o in d["objectives"]]
    best = sorted((row for row in d["rows"] if row["best"]), key=lambda row: row[texts[0]])
    axes = [axis for axis in d["axes"] if any(axis in row for row in best)]
    lines = [[str(r["trial"]), *(setting(a, r[a]) for a in axes), *(_figure(t, r[t]) for t in texts)] for r in best[:SHOWN]]
    page.add(Table(["trial", *map(short, axes), *map(clean, texts)], lines, "not beaten", frozenset(map(short, axes))))
    if not best:
        page.add(Note("no trial is within all limits", warn=True))
    page.add(*failures(d["rows"]), *assumed_notes(d), parts.provenance_note(d))
    return page


def _figure(name: str, value: float) -> str:
    return FIGURES[name][1](value) if name in FIGURES else units.digits(value)


def failures(rows: Sequence[Result]) -> list[Note]:
    """Why points failed, each reason once, with how many it stopped."""
    reasons: dict[str, int] = {}
    for row in rows:
        if row.get("error"):
            reasons[row["error"]] = reasons.get(row["error"], 0) + 1
    ordered = sorted(reasons.items(), key=lambda item: -item[1])
    notes = [Note(f"{n} {'point' if n == 1 else 'points'} failed: {clean(reason)}", warn=True) for reason, n in ordered[:5]]
    return notes + ([Note(f"and {len(ordered) - 5} other reasons", warn=True)] if len(ordered) > 5 else [])
