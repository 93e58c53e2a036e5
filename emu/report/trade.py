"""Pages of area and cost: a chip's dies by component, what it costs to make and to run, and how far the area model is off."""

import statistics
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from emu.report import parts, units
from emu.report.catalogue import SAME
from emu.report.page import Note, Page, Pairs, Table, clean

if TYPE_CHECKING:
    from emu.chip.cost.published import PublishedDie


def usd(amount: float | None) -> str:
    """Dollars: cents below a hundred."""
    if amount is None:
        return units.DASH
    return f"{amount:,.0f} USD".replace(",", " ") if abs(amount) >= 100 else f"{units.digits(amount, 3)} USD"


def mm2(area: float) -> str:
    return f"{area:.1f} mm2" if area < 100 else f"{area:.0f} mm2"


def cost_page(d: Mapping[str, Any]) -> Page:
    """What one chip costs to make, part by part; its tokens, if an estimate was joined; every assumption."""
    page = Page(f"cost of {clean(d['chip'])}")
    page.add(*parts.hypothetical_note(d))
    if d["varied"]:
        page.add(Note("varied: " + ", ".join(f"{clean(k)} = {clean(v)}" for k, v in d["varied"].items())))
    for die in d["dies"]:
        page.add(Pairs(_die_rows(die), f"{clean(die['name'])} die"))
        if die["beyond_reticle"]:
            page.add(Note(f"{clean(die['name'])} die: {mm2(die['mm2'])} exceeds a reticle's 858 mm2: it cannot be exposed.", warn=True))
    page.add(Table(["part", "cost", "share"], [[name, usd(x), units.percent(x / d["made_usd"])] for name, x in d["parts_usd"].items() if x],
                   "one chip on its board"))
    rows = [("made", usd(d["made_usd"])), ("with its share of a server", usd(d["installed_usd"]))]
    if d["price_usd"]:
        rows.append(("price", f"{usd(d['price_usd'])}, {units.times(d['price_over_made'])} of it"))
    page.add(Pairs(rows))
    if d.get("tokens"):
        page.add(Pairs(_token_rows(d["tokens"]), f"tokens, chip paid for as {clean(d['tokens']['basis'])}"))
    page.add(assumptions(f for f in d["assumptions"] if f["key"].startswith("cost.") or f["key"] == "area.stack"))
    return page


def _die_rows(die: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [("area", f"{mm2(die['mm2'])} at {die['node_nm']:g} nm" + (f", {die['count']} of them" if die["count"] > 1 else ""))]
    if abs(die["mm2"] - die["stated_mm2"]) > 0.05:
        rows.append(("as described before it was varied", mm2(die["stated_mm2"])))
    rows.append(("dies per wafer", str(die["dies_per_wafer"])))
    rows.append(("without a defect", units.percent(die["yield_whole"])))
    if die["yield_sold"] != die["yield_whole"]:
        rows.append(("good with spare cores", f"{units.percent(die['yield_sold'])} ({die['cores_made']} cores made on each)"))
    return [*rows, ("a good die", usd(die["usd"]))]


def _token_rows(tokens: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [("chips", f"{units.digits(tokens['capital_usd_per_hour'], 3)} USD for an hour of work")]
    for phase in ("prefill", "decode", "encode"):
        if (amount := tokens.get(f"{phase}_usd_per_million_tokens")) is not None:
            energy = units.percent(tokens[f"{phase}_energy_share"])
            rows.append((f"{phase}, a million tokens", f"{units.digits(amount, 3)} USD, {energy} of it energy"))
    return rows


def assumptions(found: Iterable[Mapping[str, str]]) -> Table:
    rows: list[list[str]] = []
    before = None
    for f in found:
        again, before = f["source"] and f["source"] == before, f["source"]
        source = SAME if again else clean(f["source"] or units.DASH)
        rows.append([clean(f["key"]), clean(f["value"]), clean(f["tag"] or units.DASH), source])
    title = "what it stands on; chip.vary and --set change each"
    return Table(["assumption", "value", "tag", "source"], rows, title, frozenset({"value", "tag", "source"}))


def area_page(d: Mapping[str, Any]) -> Page:
    """A chip's dies by component."""
    page = Page(f"area of {clean(d['chip'])}")
    page.add(*parts.hypothetical_note(d))
    for die in d["dies"]:
        rows = [[name, mm2(x), units.percent(x / die["predicted_mm2"])] for name, x in die["parts_mm2"].items()]
        off = die["predicted_mm2"] / die["stated_mm2"] - 1
        rows.append(["together", mm2(die["predicted_mm2"]), f"{off:+.0%} of {mm2(die['stated_mm2'])} stated"])
        page.add(Table(["part", "predicted", "share"], rows, f"{clean(die['name'])} die, {die['node_nm']:g} nm", frozenset({"share"})))
    page.add(assumptions(f for f in d["assumptions"] if f["key"].startswith("area.")))
    return page


def published_page(found: Iterable["PublishedDie"]) -> Page:
    """The area model against published dies."""
    found = list(found)
    rows = [[clean(p.chip), f"{p.node_nm:g} nm", mm2(p.stated_mm2), mm2(p.predicted_mm2),
             mm2(p.left_out_mm2) if p.left_out_mm2 is not None else "not in the fit", f"{p.error:+.1%}"] for p in found]
    errors = [abs(p.error) for p in found]
    sums = f"mean {statistics.fmean(errors):.1%}, median {statistics.median(errors):.1%}, worst {max(errors):.1%}"
    head = ["chip", "node", "published", "predicted", "left out of the fit", "error left out"]
    return Page("compute dies: published areas beside the model's", [Table(head, rows), Note(f"absolute errors: {sums}")])
