"""Plots of many points: the batch curve, a heat map, a Pareto front."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from emu.errors import EmuError, did_you_mean
from emu.report import units
from emu.report.draw import BLUE, COLOURS, GREY, blank, colours, title
from emu.report.studies import setting, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = Mapping[str, Any]
LOWER_IS_BETTER = ("ttft_s", "tpot_s", "seconds", "joules", "joules_per_token", "watts", "usd", "area_mm2")
NAMES = {
    "ttft_s": "time to first token, s", "tpot_s": "time per output token, s", "tokens_per_s": "tokens/s", "joules_per_token": "J/token",
    "watts": "W", "mfu": "share of peak FLOP/s", "mbu": "share of peak bandwidth",
}  # fmt: skip


def lower_is_better(name: str) -> bool:
    """Whether less of a figure is more of what one wants."""
    return name in LOWER_IS_BETTER or name.endswith(("_s", "_joules", "_watts", "_usd")) and not name.endswith("per_s")


def numbers(rows: Sequence[Row], *names: str) -> list[Row]:
    """The rows that have a number under each name; EmuError if no row has."""
    found = [row for row in rows if all(_is_number(row.get(name)) for name in names)]
    if not found:
        known = sorted({name for row in rows for name, value in row.items() if _is_number(value)})
        missing = next((name for name in names if name not in known), names[0])
        raise EmuError(f"{missing}: no point has this figure; {did_you_mean(missing, known)}")
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def groups(d: Row, rows: Sequence[Row], but: Sequence[str]) -> dict[str, list[Row]]:
    """Rows by what else was varied, under a readable name."""
    others = [axis for axis in d["axes"] if axis not in but and len({str(row.get(axis)) for row in rows}) > 1]
    found: dict[str, list[Row]] = {}
    for row in rows:
        name = ", ".join(f"{setting(a, row.get(a))}" if a in ("chip", "model") else f"{short(a)} {setting(a, row.get(a))}" for a in others)
        found.setdefault(name, []).append(row)
    return found


def batch_curve(d: Row) -> Figure:
    """Throughput of all sequences against the speed one of them sees, a curve a group, batch sizes beside the points."""
    rows = numbers(d["rows"], "tokens_per_s", "tpot_s", "batch")
    figure, axes = blank()
    for (name, members), colour in zip(groups(d, rows, ("batch",)).items(), COLOURS * 9):
        ordered = sorted(members, key=lambda row: row["batch"])
        x, y = [1 / row["tpot_s"] for row in ordered], [row["tokens_per_s"] for row in ordered]
        axes.plot(x, y, "o-", color=colour, markersize=4, linewidth=1.2, label=name or None)
        for row, at, up in zip(ordered, x, y):
            axes.annotate(str(row["batch"]), (at, up), fontsize=7, xytext=(4, 3), textcoords="offset points", color=colour)
    axes.set(xscale="log", yscale="log", xlabel="tokens/s of one sequence", ylabel="tokens/s of all")
    if any(groups(d, rows, ("batch",))):
        axes.legend(frameon=False, fontsize=8)
    title(axes, d, "Throughput against latency, by batch")
    return figure


def heat_map(d: Row, x: str, y: str, value: str) -> Figure:
    """A figure over two settings; where others vary too, the best of them. Failed points stay blank."""
    for name in (x, y):
        if name not in d["axes"]:
            raise EmuError(f"{name}: not varied; {did_you_mean(name, d['axes'])}")
    numbers(d["rows"], value)
    columns, lines = (_ordered({row[name] for row in d["rows"]}) for name in (x, y))
    best: dict[tuple[Any, Any], float] = {}
    pick = min if lower_is_better(value) else max
    for row in d["rows"]:
        if _is_number(row.get(value)):
            at = row[x], row[y]
            best[at] = pick(best.get(at, row[value]), row[value])
    table = [[best.get((c, r), math.nan) for c in columns] for r in lines]
    figure, axes = blank(2.5 + 0.75 * max(4, len(columns)), 1.8 + 0.42 * max(3, len(lines)))
    drawn = axes.imshow(table, aspect="auto", origin="lower", cmap="viridis_r" if lower_is_better(value) else "viridis")
    low, high = min(best.values()), max(best.values())
    for i, line in enumerate(table):
        for j, number in enumerate(line):
            if not math.isnan(number):
                light = (number - low) / (high - low or 1) < 0.6
                ink = "white" if light != lower_is_better(value) else "black"
                axes.annotate(_brief(number), (j, i), ha="center", va="center", fontsize=7.5, color=ink)
    axes.set_xticks(range(len(columns)), [setting(x, c) for c in columns], rotation=30, ha="right")
    axes.set_yticks(range(len(lines)), [setting(y, r) for r in lines])
    axes.set(xlabel=short(x), ylabel=short(y))
    axes.spines[:].set_visible(False)
    figure.colorbar(drawn, label=NAMES.get(value, value))
    title(axes, d, NAMES.get(value, value))
    return figure


def _brief(number: float) -> str:
    """Three digits and a prefix: 10.5k."""
    text, _, prefix = units.si(number, "").partition(" ")
    return f"{float(text):.3g}{prefix}"


def _ordered(values: set[Any]) -> list[Any]:
    return sorted(values, key=lambda v: (isinstance(v, str), v if _is_number(v) else 0, str(v)))


def front(rows: Sequence[Row], x: str, y: str, lower: Mapping[str, bool] | None = None) -> list[Row]:
    """The rows that no other one beats in both figures, from the best x on. Of equal ones the first stays. `lower` says of which figures
    less is better, where their names do not."""
    signs = [1 if (lower or {}).get(name, lower_is_better(name)) else -1 for name in (x, y)]
    ordered = sorted(rows, key=lambda row: (signs[0] * row[x], signs[1] * row[y]))
    found: list[Row] = []
    for row in ordered:
        if not found or signs[1] * row[y] < signs[1] * found[-1][y]:
            found.append(row)
    return found


def pareto(d: Row, x: str, y: str, lower: Mapping[str, bool] | None = None) -> Figure:
    """Every point, and the front of those that no other beats in both figures."""
    rows = numbers(d["rows"], x, y)
    best = front(rows, x, y, lower)
    figure, axes = blank()
    by_group = groups(d, rows, [axis for axis in d["axes"] if axis not in ("chip", "model", "dtype")])
    found = colours(list(by_group))
    for name, members in by_group.items():
        at = [r[x] for r in members], [r[y] for r in members]
        axes.scatter(*at, s=18, color=found[name] if name else BLUE, label=name or None, alpha=0.75)
    edge = [r[x] for r in best], [r[y] for r in best]
    axes.step(*edge, where="post" if (lower or {}).get(x, lower_is_better(x)) else "pre", color=GREY, linewidth=1.2, zorder=1)
    axes.scatter(*edge, s=52, facecolor="none", edgecolor="black", linewidth=0.9, label="not beaten in both")
    axes.set(xlabel=NAMES.get(x, x), ylabel=NAMES.get(y, y))
    for scale, name in (("x", x), ("y", y)):
        values = [row[name] for row in rows]
        if min(values) > 0 and max(values) > 20 * min(values):
            axes.set(**{f"{scale}scale": "log"})
    axes.legend(frameon=False, fontsize=8)
    title(axes, d, "Pareto front")
    return figure
