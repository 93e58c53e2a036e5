"""Plots of validations. matplotlib is imported here and nowhere above, when something is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

UNITS = {"power": ("W", 1.0), "memory-time": ("ns", 1e9), "memory-rate": ("TB/s", 1e-12)}
"""What a kind of suite is measured in, and how many of it are one of ours."""
BLUE, RED, GREY = "#1f5fa8", "#c0504d", "#8c8c8c"


def errors_picture(suite: Mapping[str, Any], path: Path) -> None:
    """Left: predicted over measured. Right: signed error by FLOP, medians of decades, its bound as a band. SVG or PNG by the name."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    with matplotlib.rc_context({"svg.hashsalt": "emu", "font.size": 9, "svg.fonttype": "none"}):
        figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4.0))
        _against(left, suite)
        _by_size(right, suite)
        figure.suptitle(f"{suite['title']}: MAPE {suite['mape']:.1%}, {suite['rows']} rows", fontsize=11)
        figure.tight_layout()
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=110)
        plt.close(figure)


def _against(axis: Any, suite: Mapping[str, Any]) -> None:
    rows = [r for r in suite["rows_detail"] if "failure" not in r]
    unit, scale = UNITS.get(suite["kind"], ("us", 1e6))
    measured, predicted = ([scale * r[name] for r in rows] for name in ("measured", "predicted"))
    axis.plot(measured, predicted, ".", color=BLUE, markersize=4)
    ends = (min([*measured, *predicted], default=1.0), max([*measured, *predicted], default=1.0))
    axis.plot(ends, ends, "-", color=GREY, linewidth=0.8)
    if suite["kind"] != "power":
        axis.set_xscale("log")
        axis.set_yscale("log")
    axis.set_xlabel(f"measured, {unit}")
    axis.set_ylabel(f"predicted, {unit}")


def _by_size(axis: Any, suite: Mapping[str, Any]) -> None:
    rows, bound = suite["rows_detail"], 100 * suite["bound"]["mape"]
    fine = [r for r in rows if "failure" not in r]
    axis.axhspan(-bound, bound, color=GREY, alpha=0.2, linewidth=0)
    axis.plot([r["flops"] for r in fine], [100 * r["error"] for r in fine], ".", color=BLUE, markersize=4)
    failed = [r["flops"] for r in rows if "failure" in r]
    axis.plot(failed, [-100.0] * len(failed), "x", color=RED, markersize=5)
    for d in suite["decades"]:
        axis.plot([10 ** d["decade"], 10 ** (d["decade"] + 1)], [100 * d["median"]] * 2, "-", color=RED, linewidth=1.2)
    axis.set_xscale("log")
    axis.set_xlabel("bytes" if suite["kind"].startswith("memory") else "FLOP")
    axis.set_ylabel("signed error, %")
