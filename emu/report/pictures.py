"""Which plots go with which kind of result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from emu.errors import EmuError, did_you_mean
from emu.report import draw, draw_studies

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Result = Mapping[str, Any]
MOST_CELLS = 400
"""Of a heat map; more is a carpet."""


def pictures_of(d: Result) -> list[tuple[str, Figure]]:
    """(name, figure) of each plot of a result; none for a kind without."""
    draw.needs_matplotlib()
    return list(_KINDS.get(d["kind"], lambda d: iter(()))(d))


def named(pictures: list[tuple[str, Figure]], name: str) -> Figure:
    """One of them by name, or the first."""
    if not pictures:
        raise EmuError("there is nothing to draw of this result")
    found = dict(pictures)
    if name and name not in found:
        raise EmuError(f"no picture is called {name!r}; {did_you_mean(name, found)}")
    return found[name or pictures[0][0]]


def _estimate(d: Result) -> Iterator[tuple[str, Figure]]:
    yield "stalls", draw.stall_stack(d)
    yield "energy", draw.energy_stack([d])


def _op(d: Result) -> Iterator[tuple[str, Figure]]:
    yield "stalls", draw.stall_stack(d)
    yield "energy", draw.energy_stack([d])


def _sensitivity(d: Result) -> Iterator[tuple[str, Figure]]:
    for output in dict.fromkeys([d["ordered_by"], *d["outputs"]]):
        if any(abs(row[m].get(output, 0)) > 0 for row in d["rows"] for m in ("frozen", "remapped") if m in row):
            yield f"sensitivity-{output}", draw.tornado(d, output)


def _search(d: Result) -> Iterator[tuple[str, Figure]]:
    texts = [o["text"] for o in d["objectives"]]
    if len(texts) > 1 and any(row["feasible"] for row in d["rows"]):
        signs = {o["text"]: not o["maximize"] for o in d["objectives"]}
        yield "pareto", draw_studies.pareto({**d, "rows": [r for r in d["rows"] if r["feasible"]], "axes": []}, texts[0], texts[1], signs)


def _study(d: Result) -> Iterator[tuple[str, Figure]]:
    rows = [row for row in d["rows"] if not row.get("error")]
    value = next((name for name in ("tokens_per_s", "sequences_per_s", "ttft_s") if any(row.get(name) is not None for row in rows)), None)
    if value is None:
        return
    counts = {axis: len({str(row.get(axis)) for row in d["rows"]}) for axis in d["axes"]}
    if counts.get("batch", 1) > 1 and all(row.get("tpot_s") for row in rows):
        yield "batch-curve", draw_studies.batch_curve(d)
    several = [axis for axis in d["axes"] if counts[axis] > 1 and axis not in d.get("set", {})]
    if len(several) >= 2 and counts[several[0]] * counts[several[1]] <= MOST_CELLS:
        yield "heat-map", draw_studies.heat_map(d, several[0], several[1], value)
    cost = "joules_per_token" if any(row.get("joules_per_token") for row in rows) else "joules"
    speed = "tpot_s" if any(row.get("tpot_s") for row in rows) else value  # of one sequence: that is what a batch trades for joules
    if len(rows) > 2 and any(row.get(cost) for row in rows):
        yield "pareto", draw_studies.pareto(d, speed, cost)


_KINDS = {
    "estimate": _estimate, "op": _op, "roofline": lambda d: iter([("roofline", draw.roofline(d))]), "sensitivity": _sensitivity,
    "study": _study, "comparison": _study, "search": _search,
}  # fmt: skip
