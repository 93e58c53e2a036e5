"""What docs/memory.md says: pointer chases, bandwidth by footprint and DMA on the emulated chips, beside what was measured on silicon.

    python benchmarks/memory.py            # write the blocks and the plots of docs/memory.md
    python benchmarks/memory.py --check    # exit 1 if a block is stale; plots are not compared"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from blocks import ROOT, replace

import emu
from emu.chip.schema import Chip
from emu.power.supply import at_clock
from emu.study.memory import load_latency_s, read_bandwidth, window_bandwidth
from emu.study.validate import SUITES, validate
from emu.study.validate.suites import MEASURED, packaged

PAGE, IMAGES = ROOT / "docs" / "memory.md", ROOT / "docs" / "img"
SUITES_OF_MEMORY = [s for s in SUITES.values() if s.kind.startswith("memory")]
CHASED = [int(2**10 * 2 ** (j / 2)) for j in range(2, 38)]
READ = [int(2**20 * 2 ** (j / 2)) for j in range(1, 21)]
IN_FLIGHT = [2**j for j in range(9, 18)]


def shown(size: float) -> str:
    return f"{size / 1024:.4g} KiB" if size < 1 << 20 else f"{size / 2**20:.4g} MiB"


def value(kind: str, of: float) -> str:
    return f"{of * 1e9:.1f} ns" if kind == "memory-time" else f"{of / 1e12:.3g} TB/s"


def suites_table() -> str:
    rows = ["| suite | row | measured | here | error |", "|---|---|---|---|---|"]
    for s in validate([s.name for s in SUITES_OF_MEMORY], cache=False).to_dict()["suites"]:
        for r in s["rows_detail"]:
            both = " | ".join(value(s["kind"], r[name]) for name in ("measured", "predicted"))
            rows.append(f"| `{s['suite']}` | {r['row']} | {both} | {100 * r['error']:+.1f} % |")
    return "\n".join(rows)


def levels_table() -> str:
    columns = ("chip", "level", "of", "capacity", "sides", "slices x B/clk", "TB/s", "latency, ns", "write")
    rows = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for chip in map(emu.chip, emu.chips()):
        for level in chip.levels:
            slices = f"{level.slices} x {level.slice_bytes_per_clk}" if level.slice_bytes_per_clk else ""
            ns = f"{level.latency_s * 1e9:g}" + (f", {level.far_s * 1e9:g}" if level.sides > 1 else "")
            kind = level.kind if level.serves == "all" else f"{level.kind}, loads"
            speed = f"{level.bandwidth_bytes_per_s / 1e12:.3g}"
            write = level.write if level.kind == "cache" and level.serves == "all" else ""
            cells = (chip.name, f"{level.name}, {kind}", level.scope, shown(level.capacity_bytes), level.sides, slices, speed, ns, write)
            rows.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(rows)


def stages_table() -> str:
    """What the measurement of TMA gives a range for: the same bytes as 1, 2 or 4 transfers under way."""
    chip = at_clock(emu.chip("b200"), 1_965_000_000)
    rows = ["| bytes under way in each SM | as 1 transfer | as 2 | as 4 |", "|---|---|---|---|"]
    for size in IN_FLIGHT:
        speeds = (window_bandwidth(chip, size // depth, depth) / 1e9 if size // depth >= 512 else None for depth in (1, 2, 4))
        rows.append(f"| {shown(size)} | {' | '.join('' if s is None else f'{s:.0f} GB/s' for s in speeds)} |")
    return "\n".join(rows)


TABLES = {"suites": suites_table, "levels": levels_table, "stages": stages_table}


def _axes(plt: Any, titles: list[str], ylabel: str, xlabel: str) -> tuple[Any, Any]:
    figure, axes = plt.subplots(1, len(titles), figsize=(3.6 * len(titles), 3.2))
    for axis, title in zip(axes, titles):
        axis.set_title(title, fontsize=10)
        axis.set_xscale("log", base=2)
        axis.set_xlabel(xlabel)
    axes[0].set_ylabel(ylabel)
    return figure, axes


def _curve(axis: Any, chip: Chip, suites: list[str], probe: Any, sizes: list[int], scale: float) -> None:
    axis.plot([s / 2**10 for s in sizes], [scale * probe(chip, s) for s in sizes], "-", color="#1f5fa8", label="emulated")
    rows = [r for name in suites for r in packaged(SUITES[name])]
    measured = [r.whole("bytes") / 2**10 for r in rows], [scale * r.measured for r in rows]
    axis.plot(*measured, "o", color="#c0504d", markersize=4, label="measured")


def draw() -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    style = {"svg.hashsalt": "emu", "font.size": 8, "svg.fonttype": "none"}
    with matplotlib.rc_context(style):
        chips = {c: at_clock(emu.chip(c), round(float(packaged(SUITES[f"latency-{c}"])[0]["clock_mhz"]) * 1e6)) for c, _ in MEASURED}
        titles = [t for _, t in MEASURED]
        for name, ylabel, probe, sizes, scale in (
            ("latency", "ns for a dependent load", load_latency_s, CHASED, 1e9),
            ("bandwidth", "TB/s, all cores", lambda c, s: read_bandwidth(c, s)[0], READ, 1e-12),
        ):
            figure, axes = _axes(plt, titles, ylabel, "footprint, KiB")
            for axis, (c, chip) in zip(axes, chips.items()):
                mall = [f"{name}-mall-{c}"] if f"{name}-mall-{c}" in SUITES else []
                _curve(axis, chip, [f"{name}-{c}", *mall], probe, sizes, scale)
                axis.set_ylim(bottom=0)
            axes[0].legend()
            figure.tight_layout()
            figure.savefig(IMAGES / f"memory-{name}.svg", metadata={"Date": None})
            plt.close(figure)
        figure, axis = plt.subplots(figsize=(4.6, 3.2))
        chip = at_clock(emu.chip("b200"), 1_965_000_000)
        _curve(axis, chip, ["dma-b200"], lambda c, s: window_bandwidth(c, max(512, s // 2), min(2, s // 512)), IN_FLIGHT, 1e-12)
        axis.set_xscale("log", base=2)
        axis.set_yscale("log", base=2)
        axis.set_xlabel("KiB under way in each SM")
        axis.set_ylabel("TB/s, all SMs")
        axis.set_title("B200, TMA", fontsize=10)
        axis.legend()
        figure.tight_layout()
        figure.savefig(IMAGES / "memory-tma.svg", metadata={"Date": None})
        plt.close(figure)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="do the blocks of docs/memory.md say what the chips give?")
    if parser.parse_args().check:
        page = PAGE.read_text()
        old = [name for name, make in TABLES.items() if make() not in page]
        print(f"docs/memory.md: stale: {', '.join(old)}; run python benchmarks/memory.py" if old else "docs/memory.md is up to date")
        return 1 if old else 0
    for name, make in TABLES.items():
        replace(PAGE, f"memory {name}", make())
    draw()
    return 0


if __name__ == "__main__":
    sys.exit(main())
