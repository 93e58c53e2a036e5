"""The parts that pages of several kinds of result share: stalls, energy, counters, provenance."""

from collections.abc import Mapping
from typing import Any

from emu.report import units
from emu.report.page import Note, Pairs, Table, clean


def stall_table(stalls: Mapping[str, Mapping[str, float]], title: str = "where the engines' time went") -> Table:
    """One line an engine, one column a cause, in percent of the engine's time; causes nobody has are left out, the largest come first."""
    totals: dict[str, float] = {}
    for causes in stalls.values():
        for cause, seconds in causes.items():
            totals[cause] = totals.get(cause, 0.0) + seconds
    order = sorted((c for c in totals if c != "busy_s" and totals[c] > 0), key=lambda c: -totals[c])
    rows = []
    for engine, causes in stalls.items():
        whole = sum(causes.values())
        cells = [causes.get(c, 0.0) for c in ("busy_s", *order)]
        rows.append([engine, *(units.percent(c / whole) if whole and c else units.DASH for c in cells)])
    return Table(["engine", "busy", *(cause_name(c) for c in order)], rows, title)


def cause_name(key: str) -> str:
    return key.removesuffix("_s").replace("_", " ")


def power_notes(name: str, d: Mapping[str, Any]) -> list[Note]:
    """What the power cap did to work that `name` names, or that nothing held it."""
    watts, clock = units.watts(d["watts"]), units.si(d.get("clock_hz", 0), "Hz")
    if d.get("above_cap"):
        return [Note(f"{name}: {clean(d['above_cap'])}.", warn=True)]
    if d.get("capped"):
        lost, cap = units.seconds(d["power_stall_s"]), units.watts(d["cap_watts"])
        return [Note(f"{name} ran at {clock}, {lost} longer than at full clock: the power cap of {cap} lowered it.")]
    if not d.get("above_tdp"):
        return []
    why = {"short": "a short run, before power is regulated", "locked": "the clock was locked"}.get(d.get("regime", ""))
    end = f": {why}." if why else ", and its cap allows that." if d.get("cap_watts") else ": a real part would lower its clock."
    return [Note(f"{name} draws {watts}, more than the chip's TDP{end}", warn=True)]


def energy_table(energy: Mapping[str, float], title: str = "energy") -> Table:
    """Largest first."""
    whole = sum(energy.values())
    ordered = sorted(energy.items(), key=lambda item: -item[1])
    rows = [[name.replace("_", " "), units.joules(j), units.percent(j / whole if whole else None)] for name, j in ordered if j]
    return Table(["component", "joules", "share"], rows, title)


def counter_pairs(counters: Mapping[str, int], title: str = "events") -> Pairs:
    rows = [(name, units.size(n) if name.endswith("_bytes") else units.count(n)) for name, n in counters.items() if n]
    return Pairs(rows, title)


def label_table(labels: list[Any], seconds: float) -> Table:
    rows = []
    for label in labels:
        moved = label["counters"].get("hbm_read_bytes", 0) + label["counters"].get("hbm_write_bytes", 0)
        macs = sum(n for name, n in label["counters"].items() if name.startswith("useful_macs"))
        share = label["seconds"] / seconds if seconds else None
        name = label["name"] or "(no label)"
        rows.append([name, units.seconds(label["seconds"]), units.percent(share), units.count(macs), units.size(moved)])
    return Table(["label", "time", "share", "MACs", "HBM bytes"], rows, "by label")


def hypothetical_note(result: Mapping[str, Any]) -> list[Note]:
    if not result.get("hypothetical"):
        return []
    what = f"hypothetical chips are among {result['chip']}" if ", " in result["chip"] else f"{result['chip']} is a hypothetical chip"
    return [Note(f"{what}: no such silicon exists to be measured.", warn=True)]


def assumed_pairs(assumed: list[Any]) -> list[Pairs]:
    """What nobody has published, by tag; a line for each section of the description. Sources are in the JSON and in ``emu chips show``."""
    by_tag: dict[str, dict[str, list[str]]] = {}
    for item in assumed:
        section, _, key = item["key"].rpartition(".")
        if section.rpartition(".")[2].isdecimal():  # an entry of a list: the list is the section
            section, _, index = section.rpartition(".")
            key = f"{index}.{key}"
        by_tag.setdefault(item["tag"], {}).setdefault(section or "chip", []).append(clean(f"{key} {item['value']}"))
    return [
        Pairs([(clean(section), ", ".join(items)) for section, items in sections.items()], f"{tag} in the chip's description")
        for tag, sections in by_tag.items()
    ]


def provenance_note(result: Mapping[str, Any]) -> Note:
    digests = result.get("digests") or {}
    parts = [f"emu {result.get('emu_version', '?')}", f"fidelity {result.get('fidelity', '?')}"]
    parts += [f"{key} {result[key]}" for key in ("stack", "seed") if result.get(key) is not None]
    parts += [f"{name} {digest[:8]}" for name, digest in digests.items() if digest]
    return Note(", ".join(parts))
