"""A chip as an HTML fragment for notebooks: what it is, its peaks, and every figure with its origin."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emu.chip.provenance import Figure
    from emu.chip.schema import Chip


def html(chip: Chip) -> str:
    """The fragment; all text from the chip file is escaped."""
    warning = f"<p><strong>Hypothetical chip.</strong> {escape(chip.note)}</p>" if chip.hypothetical else ""
    formats = chip.core.matrix.macs_per_clk
    peaks = "".join(f"<li>{f}: {chip.peak_flops(f) / 1e12:,.4g} TFLOP/s{_published(chip, f)}</li>" for f in formats)
    rows = "".join(_row(f) for f in chip.figures())
    head = "<tr><th>key</th><th>value</th><th>origin</th><th>source</th></tr>"
    return (
        f"<h3>{escape(chip.title or chip.name)}</h3>{warning}<p>Dense peak, computed:</p><ul>{peaks}</ul>"
        f"<details><summary>{len(chip.figures())} figures, {len(chip.assumed())} of them assumed</summary>"
        f"<table>{head}{rows}</table></details>"
    )


def _published(chip: Chip, fmt: str) -> str:
    published: dict[str, float] = {str(f): v for f, v in chip.published.items()}
    return f" (published {published[fmt] / 1e12:,.4g})" if fmt in published else ""


def _row(f: Figure) -> str:
    cells = (f.key, str(f.value), f.tag or "not stated", f.source or "")
    return "<tr>" + "".join(f"<td>{escape(c)}</td>" for c in cells) + "</tr>"
