"""Plots of results: dicts in (emu.report.schema), matplotlib figures out. matplotlib is imported when something is drawn.

Figures are objects of their own, never pyplot's: drawing in one thread or notebook leaves no trace in another. `save` writes SVG, PNG or
PDF by the name's ending, the same bytes for the same figure; `svg` gives the text for a page."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from math import log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emu.errors import EmuError, did_you_mean
from emu.report import units
from emu.report.page import clean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from emu.study.timeline import Timeline

Result = Mapping[str, Any]
BLUE, ORANGE, GREY, RED = "#1f5fa8", "#d9822b", "#8c8c8c", "#b03a3a"
COLOURS = (BLUE, ORANGE, "#3a8f5c", RED, "#7a5aa6", "#2f9aa0", "#a8763e", "#c2569b", "#6b7d2c", "#4c5b73", "#93b5e1", "#f2c48d")
ENDINGS = (".svg", ".png", ".pdf")
STYLE: Any = {"svg.hashsalt": "emu", "svg.fonttype": "none", "font.size": 9.0, "axes.spines.top": False, "axes.spines.right": False}


def needs_matplotlib() -> None:
    """Says how to get it where it is missing; asked before minutes of work."""
    if find_spec("matplotlib") is None:
        raise EmuError("plots need matplotlib: pip install 'emu[plots]'")


def check_ending(path: str | Path) -> None:
    """Refuse a kind of picture that nobody can write."""
    suffix = Path(path).suffix
    if suffix not in ENDINGS:
        raise EmuError(f"{path}: a picture is written as {', '.join(ENDINGS)}; {did_you_mean(suffix, ENDINGS)}")


def blank(width: float = 7.5, height: float = 4.2) -> tuple[Figure, Axes]:
    """A figure in inches and its one pair of axes."""
    needs_matplotlib()
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure((width, height), layout="constrained")
        return figure, figure.add_subplot()


def save(figure: Figure, path: str | Path) -> None:
    """Write the picture."""
    from matplotlib import rc_context

    check_ending(path)
    with rc_context(STYLE):
        figure.savefig(path, dpi=130, metadata={"Date": None} if Path(path).suffix == ".svg" else None)


def svg(figure: Figure) -> str:
    """The picture as SVG to stand inside an HTML page."""
    from matplotlib import rc_context

    text = io.StringIO()
    with rc_context(STYLE):
        figure.savefig(text, format="svg", metadata={"Date": None})
    whole = text.getvalue()
    return whole[whole.index("<svg") :]


def colours(names: Sequence[str]) -> dict[str, str]:
    """One colour a name, in order; past the palette they come again."""
    return {name: COLOURS[j % len(COLOURS)] for j, name in enumerate(dict.fromkeys(names))}


def title(axes: Axes, d: Result, what: str) -> None:
    """What is shown, of what; a hypothetical chip says so in every picture."""
    chip = clean(d.get("chip", ""))
    chip += ("" if not d.get("hypothetical") else " (hypothetical ones among them)" if ", " in chip else " (hypothetical)")
    axes.set_title(f"{what}: {clean(d['model'])} on {chip}" if d.get("model") else f"{what}: {chip}", fontsize=10, loc="left")


def roofline(d: Result) -> Figure:
    """Operations as points under the roof; area goes with their share of the phase, filled markers are whole phases."""
    figure, axes = blank()
    shown = [row for row in d["rows"] if row["flops"] and row["flops_per_byte"]]
    if not shown:
        raise EmuError("no operation both computes and moves bytes: there is nothing to draw a roofline of")
    bandwidth, peaks = d["bandwidth_bytes_per_s"], d["peak_flops_per_s"]
    low, high = min(row["flops_per_byte"] for row in shown) / 3, max(row["flops_per_byte"] for row in shown) * 3
    low, high = min(low, min(peaks.values()) / bandwidth / 4), max(high, max(peaks.values()) / bandwidth * 4)
    for fmt, peak in peaks.items():
        ridge = peak / bandwidth
        axes.plot([low, ridge, high], [low * bandwidth, peak, peak], color=GREY, linewidth=1.4, zorder=1)
        axes.annotate(f"{fmt}: {units.si(peak, 'FLOP/s')}", (high, peak), ha="right", va="bottom", fontsize=8, color=GREY)
    axes.annotate(units.si(bandwidth, "B/s"), (low * 1.3, low * 1.3 * bandwidth), rotation=0, fontsize=8, color=GREY, ha="left", va="top")
    found = colours([row["phase"] for row in d["rows"]])
    for phase, colour in found.items():
        for row in (r for r in shown if r["phase"] == phase):
            whole = row["name"] is None
            style = {"marker": "D", "s": 46, "color": colour} if whole else {
                "s": 14 + 260 * row["share"], "facecolor": "none", "edgecolor": colour, "linewidth": 1.3}  # fmt: skip
            axes.scatter([row["flops_per_byte"]], [row["flops_per_s"]], zorder=3, label=phase if whole else None, **style)
    for x, y, name in _apart(shown, low, high):
        axes.annotate(name, (x, y), fontsize=7.5, xytext=(8, -3), textcoords="offset points")
    axes.set(xscale="log", yscale="log", xlim=(low, high), xlabel="useful FLOP per byte from device memory", ylabel="FLOP/s")
    axes.legend(frameon=False, loc="lower right", title="whole phase", fontsize=8, title_fontsize=8)
    title(axes, d, "Roofline")
    return figure


def _apart(rows: Sequence[Result], low: float, high: float) -> list[tuple[float, float, str]]:
    """Where names go: of operations that lie on each other, all names together at the largest one."""
    left = sorted((r for r in rows if r["name"] is not None and r["share"] >= 0.01), key=lambda r: -r["share"])
    placed: list[tuple[float, float, list[str]]] = []
    for row in left:
        x, y = row["flops_per_byte"], row["flops_per_s"]
        near = [p for p in placed if abs(log10(p[0] / x)) < 0.02 * log10(high / low) and abs(log10(p[1] / y)) < 0.06]
        if near:
            near[0][2].append(clean(row["name"]))
        else:
            placed.append((x, y, [clean(row["name"])]))
    return [(x, y, ", ".join(dict.fromkeys(names))) for x, y, names in placed]


def tornado(d: Result, output: str, most: int = 14) -> Figure:
    """The largest gains as bars from zero, the old mapping's beside the new one's."""
    rows = [row for row in d["rows"] if "remapped" in row and output in row["remapped"]]
    if not rows:
        raise EmuError(f"{output}: no such result; {did_you_mean(output, d['outputs'])}")

    def size(row: Result) -> float:
        return max(abs(row["remapped"][output]), abs(row.get("frozen", {}).get(output, 0.0)))

    rows = [row for row in sorted(rows, key=size) if size(row) > 0][-most:]
    figure, axes = blank(7.5, 1.3 + 0.28 * max(1, len(rows)))
    places = range(len(rows))
    axes.barh([y + 0.19 for y in places], [row["remapped"][output] for row in rows], 0.38, color=BLUE, label="mapped anew")
    kept = [row.get("frozen", {}).get(output, 0.0) for row in rows]
    axes.barh([y - 0.19 for y in places], kept, 0.38, color=ORANGE, label="same mapping")
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(list(places), [f"{clean(row['figure'])}  {clean(row['value'])}" for row in rows], fontsize=8)
    axes.set_xlabel(f"change of {output} in %, for 1 % more of the figure")
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    title(axes, d, "Sensitivity")
    return figure


def layer_timeline(d: Result, t: Timeline, phase: str) -> Figure:
    """One layer in the middle of a phase: what each engine stream of one core did when, a colour an operation."""
    from emu.report.trace import in_order

    drawn = [layer for layer in t.layers if layer[0] == phase]
    if not drawn:
        raise EmuError(f"{phase}: no such phase; {did_you_mean(phase, [name for name, _, _ in t.phases])}")
    _, number, begin, end = drawn[len(drawn) // 2]
    core = t.core
    own = [r for r in t.records if r.core == core and r.start_fs < end and r.end_fs > begin]
    streams = in_order({r.stream for r in t.records if r.core == core})
    ops = colours([r.op_name for r in sorted(own, key=lambda r: r.start_fs)])
    figure, axes = blank(9.5, 1.4 + 0.34 * len(streams))
    for op, colour in ops.items():
        for y, stream in enumerate(streams):
            bars = [(r.start_fs, min(r.end_fs, end)) for r in own if r.stream == stream and r.op_name == op]
            spans = [((max(a, begin) - begin) / 1e9, (b - max(a, begin)) / 1e9) for a, b in bars]
            axes.broken_barh(spans, (y - 0.38, 0.76), color=colour, linewidth=0, label=clean(op.partition(": ")[2]) if y == 0 else None)
    axes.set_yticks(range(len(streams)), streams)
    axes.invert_yaxis()
    axes.set(xlim=(0, (end - begin) / 1e9), xlabel=f"us since layer {number} began")
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    title(axes, d, f"One layer of {phase} on core {core}")
    return figure


def _stack(axes: Axes, bars: Sequence[tuple[str, Mapping[str, float]]], least: float = 0.0) -> None:
    """Horizontal bars, each of parts; the same part has the same colour in all, and parts below `least` of their bar are joined."""
    totals: dict[str, float] = {}
    joined: list[dict[str, float]] = []
    for _, named in bars:
        whole, kept = sum(named.values()), dict[str, float]()
        for part, value in named.items():
            name = part if whole and value >= least * whole else "other"
            kept[name] = kept.get(name, 0.0) + value
            totals[name] = totals.get(name, 0.0) + value
        joined.append(kept)
    order = sorted((n for n in totals if n not in ("busy", "other")), key=lambda n: -totals[n])
    order = [n for n in ("busy",) if n in totals] + order + [n for n in ("other",) if n in totals]
    found = colours([n for n in order if n != "other"]) | {"other": GREY}
    left = [0.0] * len(bars)
    for part in order:
        widths = [row.get(part, 0.0) for row in joined]
        axes.barh(range(len(bars)), widths, 0.7, left=left, color=found[part], label=part.replace("_", " "))
        left = [a + b for a, b in zip(left, widths)]
    axes.set_yticks(range(len(bars)), [clean(name) for name, _ in bars])
    axes.invert_yaxis()
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def stall_stack(d: Result) -> Figure:
    """Where the time of every engine went: an estimate's phases, one operation, or a run."""
    if "phases" in d:
        bars = [(f"{phase} {engine}", shares) for phase, of in d["phases"].items() for engine, shares in of["stall_shares"].items()]
    else:
        named = {engine: {c.removesuffix("_s"): s for c, s in causes.items()} for engine, causes in d["stalls"].items()}
        bars = [(engine, {c: s / sum(row.values()) for c, s in row.items()}) for engine, row in named.items() if sum(row.values())]
    figure, axes = blank(8.5, 1.2 + 0.26 * len(bars))
    _stack(axes, [(name, {c: 100 * share for c, share in shares.items()}) for name, shares in bars], 0.005)
    axes.set(xlim=(0, 100), xlabel="% of the engine's time, over all cores")
    title(axes, d, "Where time went")
    return figure


def energy_stack(results: Sequence[Result], labels: Sequence[str] = ()) -> Figure:
    """Joules by component: of one estimate's phases, or of several results side by side, per token where they generate any."""
    bars, unit = [], "J"
    for j, d in enumerate(results):
        name = labels[j] if labels else clean(d["chip"]) if len(results) > 1 else ""
        for phase, of in d["phases"].items() if "phases" in d else [("", d)]:
            tokens = d["batch"] * (d["generate"] - 1) if phase == "decode" else d["batch"] * d["prompt"] if "phases" in d else 1
            unit = "mJ per token" if "phases" in d else "J"
            scale = 1e3 / tokens if "phases" in d else 1.0
            bars.append((f"{name} {phase}".strip() or "it", {c: scale * joules for c, joules in of["energy"].items()}))
    figure, axes = blank(8.5, 1.2 + 0.3 * len(bars))
    _stack(axes, bars, 0.005)
    axes.set_xlabel(unit + (" (prefill: of the prompt)" if any("prefill" in name for name, _ in bars) else ""))
    title(axes, results[0] if len(results) == 1 else {"chip": "", **_common(results)}, "Where energy goes")
    return figure


def _common(results: Sequence[Result]) -> dict[str, Any]:
    """The model that all have, and whether any chip is hypothetical."""
    models = {d.get("model") for d in results}
    chips = ", ".join(dict.fromkeys(clean(d["chip"]) for d in results))
    return {"model": models.pop() if len(models) == 1 else None, "chip": chips, "hypothetical": any(d["hypothetical"] for d in results)}
