"""Result dicts (emu.report.schema) -> pages. One function a kind; ``page`` chooses by the dict's own ``kind``."""

from collections.abc import Callable, Mapping
from typing import Any

from emu.report import parts, units
from emu.report.page import Note, Page, Pairs, Table, clean, dropping_empty
from emu.report.studies import comparison_page, roofline_page, search_page, sensitivity_page, study_page
from emu.report.trade import cost_page
from emu.report.tuning import tuning_page
from emu.report.validation import validation_page

Result = Mapping[str, Any]


def estimate_page(d: Result) -> Page:
    """An estimate: the figures asked for, then what each phase spends its time on, then what was assumed."""
    page = Page(f"{clean(d['model'])} on {clean(d['chip'])}" + (f" x {d['chips']}" if d.get("chips", 1) > 1 else ""))
    page.add(*parts.hypothetical_note(d), Pairs(_estimate_figures(d)), _phase_table(d["phases"]))
    for name, phase in d["phases"].items():
        page.add(_op_table(name, phase))
        page.add(*_phase_notes(name, phase))
    page.add(*parts.assumed_pairs(d.get("assumed", [])), parts.provenance_note(d))
    return page


def _estimate_figures(d: Result) -> list[tuple[str, str]]:
    sizes = f"batch {d['batch']}, prompt {d['prompt']}"
    rows = [("workload", f"{sizes}, generate {d['generate']}" if d.get("tpot_s") is not None else sizes)]
    scaled = f" ({d['scales']} scales)" if d.get("scales", "unit") != "unit" else ""
    rows.append(("formats", f"weights and activations {d['dtype']}{scaled}, KV cache {d['kv_dtype']}"))
    figures = [
        ("time to first token", units.seconds(d.get("ttft_s"))),
        ("time per output token", units.seconds(d.get("tpot_s"))),
        ("tokens per second", units.rate(d.get("tokens_per_s"), "tokens/s")),
        ("sequences per second", units.rate(d.get("sequences_per_s"), "sequences/s")),
        ("energy per token", units.joules(d.get("joules_per_token"))),
    ]
    rows += [(name, value) for name, value in figures if value != units.DASH]
    memory = d.get("memory")
    if memory:
        rows.append(("memory", f"{_sum_of(memory)} of {units.size(memory['capacity_bytes'])}"))
    return rows


def _sum_of(memory: Result) -> str:
    named = (("weights", "weights_bytes"), ("KV cache", "kv_bytes"))
    return " + ".join(f"{name} {units.size(memory[key])}" for name, key in named if memory.get(key))


def _phase_table(phases: Mapping[str, Any]) -> Table:
    rows = []
    for name, p in phases.items():
        ratio = p["seconds"] / p["bound_s"] if p.get("bound_s") else None
        rows.append([
            name, units.seconds(p["seconds"]), units.percent(p["mfu"]), units.percent(p["mbu"]), units.watts(p["watts"]),
            units.joules(p["joules"]), p.get("bound_by") or units.DASH, units.seconds(p.get("bound_s")), units.times(ratio),
        ])
    columns, rows = dropping_empty(["phase", "time", "matrix", "memory", "power", "energy", "bound by", "bound", "ratio"], rows)
    return Table(columns, rows, "phases (matrix, memory: share of peak rate and of peak bandwidth)", frozenset({"bound by"}))


def _op_table(phase_name: str, phase: Result) -> Table:
    rows = []
    for op in phase["ops"]:
        stall = op.get("largest_stall")
        share = op.get("largest_stall_share")
        rows.append([
            clean(op["name"]), units.count(op["count"]), units.seconds(op["seconds"]), units.percent(op["share"]), op["bound_by"],
            units.seconds(op["bound_s"]), units.times(op.get("ratio")),
            units.DASH if not stall else f"{parts.cause_name(stall)} {units.percent(share) if share is not None else ''}".rstrip(),
        ])
    columns, rows = dropping_empty(["operation", "count", "time", "share", "bound by", "bound", "ratio", "largest stall"], rows)
    return Table(columns, rows, phase_name, frozenset({"bound by", "largest stall"}))


def _phase_notes(name: str, phase: Result) -> list[Note]:
    notes = parts.power_notes(name, phase)
    if phase.get("knots"):
        knots = ", ".join(f"{k['kv_len']}: {units.seconds(k['seconds'])}" for k in phase["knots"])
        notes.append(Note(f"simulated {name} steps (context length: time): {knots}"))
    if phase.get("layer_period_s") is not None:
        notes.append(Note(f"steady layer period of {name}: {units.seconds(phase['layer_period_s'])}"))
    return notes


def _figure(name: str, value: Any) -> str:
    """A figure of a mapping: ratios and seconds as elsewhere, else as it is."""
    if isinstance(value, float):
        return units.times(value) if name == "gap_to_bound" else units.seconds(value) if name.endswith("_s") else units.digits(value, 3)
    return clean(value)


def op_page(d: Result) -> Page:
    """One operation in its steady state."""
    page = Page(f"{clean(d['op'])} on {clean(d['chip'])}")
    page.add(*parts.hypothetical_note(d))
    bound = f"{units.seconds(d['bound_s'])} by {d['bound_by']}; {units.times(d['ratio'])} of it"
    rows = [("time", f"{units.seconds(d['seconds'])} ({units.count(d['cycles'])} cycles)"), ("lower bound", bound)]
    rows += [("matrix engine", f"{units.percent(d['mfu'])} of peak"), ("memory bandwidth", f"{units.percent(d['mbu'])} of peak")]
    rows.append(("energy", f"{units.joules(d['joules'])} at {units.watts(d['watts'])}"))
    if d.get("clock_hz"):
        rows.append(("clock", units.si(d["clock_hz"], "Hz") + (f" ({d['regime']})" if d["regime"] != "steady" else "")))
    if d.get("mapping"):
        rows.append(("mapping", ", ".join(f"{clean(k)} {_figure(k, v)}" for k, v in d["mapping"].items())))
    page.add(Pairs(rows), *parts.power_notes("it", d), parts.stall_table(d["stalls"]), parts.energy_table(d["energy"]))
    page.add(parts.counter_pairs(d.get("counters", {})), *parts.assumed_pairs(d.get("assumed", [])), parts.provenance_note(d))
    return page


def run_page(d: Result) -> Page:
    """A program that was run."""
    page = Page(f"{clean(d.get('program') or 'program')} on {clean(d['chip'])}")
    page.add(*parts.hypothetical_note(d), Pairs(_cost_rows(d)), parts.stall_table(d["stalls"]))
    if d.get("labels"):
        page.add(parts.label_table(d["labels"], d["seconds"]))
    page.add(parts.energy_table(d.get("energy", {})), parts.counter_pairs(d.get("counters", {})), parts.provenance_note(d))
    return page


def infer_page(d: Result) -> Page:
    """A sentence embedding that was computed on the emulated chip."""
    page = Page(f"{clean(d['model'])} on {clean(d['chip'])}")
    shown = ", ".join(f"{x:+.4f}" for x in d["embedding"][:6])
    rows = [("text", clean(d["text"])), ("embedding", f"[{shown}, ...] ({len(d['embedding'])} numbers; --json prints all)")]
    rows.append(("cosine to fp32 reference", f"{d['cosine_to_reference']:.6f}"))
    page.add(*parts.hypothetical_note(d), Pairs(rows + _cost_rows(d)), parts.stall_table(d["stalls"]), parts.provenance_note(d))
    return page


def infer_formats_page(d: Result) -> Page:
    """A sentence embedding in several formats."""
    page = Page(f"{clean(d['model'])} on {clean(d['chip'])}")
    rows = [
        [f["dtype"], f["scales"], units.size(f["weights_bytes"]), f"{f['cosine_to_reference']:.6f}", units.count(f["cycles"]),
         units.seconds(f["seconds"]), units.joules(f["joules"])]
        for f in d["formats"]
    ]
    columns = ["dtype", "scales", "weights", "cosine to fp32", "cycles", "time", "energy"]
    page.add(*parts.hypothetical_note(d), Pairs([("text", clean(d["text"]))]), Table(columns, rows, "formats", frozenset({"scales"})))
    page.add(*(Note(f"{name}: not on this chip. {clean(why)}") for name, why in d["refused"].items()), parts.provenance_note(d))
    return page


def _cost_rows(d: Result) -> list[tuple[str, str]]:
    watts = d.get("watts") or (d["joules"] / d["seconds"] if d["seconds"] else None)
    time = f"{units.seconds(d['seconds'])} ({units.count(d['cycles'])} cycles)"
    return [("time", time), ("energy", f"{units.joules(d['joules'])} at {units.watts(watts)}")]


_PAGES: dict[str, Callable[[Result], Page]] = {
    "estimate": estimate_page, "op": op_page, "run": run_page, "infer": infer_page, "infer_formats": infer_formats_page,
    "validation": validation_page, "tuning": tuning_page, "cost": cost_page, "study": study_page, "sensitivity": sensitivity_page,
    "roofline": roofline_page, "comparison": comparison_page, "search": search_page,
}


def page(result: Result) -> Page:
    kind = result.get("kind")
    if kind not in _PAGES:
        raise ValueError(f"a result of kind {kind!r} has no page; known: {', '.join(_PAGES)}")
    return _PAGES[kind](result)
