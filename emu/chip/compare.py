"""Two chips figure by figure: where they differ, and by what ratio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from emu.chip import units
from emu.chip.provenance import Figure
from emu.chip.schema import Chip

ABSENT = "-"
ASSUMED = "*"


@dataclass(frozen=True)
class Difference:
    """A figure that two chips state differently, or only one of them; values as written, a star behind what is assumed."""

    key: str
    a: str
    b: str
    ratio: float | None
    """b over a, where both are numbers of the same kind."""


def differences(a: Chip, b: Chip) -> list[Difference]:
    """Computed peaks first, then every figure that differs, entries of lists by their names."""
    found = []
    peaks = {**{str(f): None for f in a.core.matrix.macs_per_clk}, **{str(f): None for f in b.core.matrix.macs_per_clk}}
    for fmt in peaks:
        one, two = _peak(a, fmt), _peak(b, fmt)
        if one != two:
            found.append(Difference(f"peak.{fmt}", _flops(one), _flops(two), two / one if one and two else None))
    ours, theirs = _by_name(a), _by_name(b)
    for key in [*ours, *(k for k in theirs if k not in ours)]:
        one_figure, other_figure = ours.get(key), theirs.get(key)
        if one_figure is None or other_figure is None or not _same(one_figure.value, other_figure.value):
            ratio = _ratio(one_figure.value, other_figure.value) if one_figure and other_figure else None
            found.append(Difference(key, _shown(one_figure), _shown(other_figure), ratio))
    return found


def _peak(chip: Chip, fmt: str) -> float | None:
    return chip.peak_flops(fmt) if fmt in chip.core.matrix.macs_per_clk else None


def _flops(value: float | None) -> str:
    return ABSENT if value is None else f"{value / 1e12:.4g} TFLOP/s"


def _by_name(chip: Chip) -> dict[str, Figure]:
    """Figures by key, `levels.l2.capacity` instead of `levels.0.capacity`."""
    return {_named(chip._stated, figure.key): figure for figure in chip.figures()}


def _named(node: Any, key: str) -> str:
    parts = []
    for part in key.split("."):
        entry = node[int(part)] if isinstance(node, list) else node.get(part)
        parts.append(str(entry["name"]) if isinstance(node, list) and isinstance(entry, dict) and "name" in entry else part)
        node = entry
    return ".".join(parts)


def _shown(figure: Figure | None) -> str:
    return ABSENT if figure is None else f"{figure.value}{ASSUMED if figure.tag == 'assumed' else ''}"


def _number(value: Any) -> dict[str, float]:
    """A value in SI for each kind of quantity that it may be; a plain number is of the kind ''."""
    if isinstance(value, bool):
        return {}
    if isinstance(value, (int, float)):
        return {"": float(value)}
    found = {}
    for kind in units.KINDS if isinstance(value, str) else ():
        try:
            found[kind] = float(units.parse(value, kind))
        except ValueError:
            continue
    return found


def _same(a: Any, b: Any) -> bool:
    """Whether two values mean the same: `1000 W` is `1 kW`."""
    return bool(a == b or _ratio(a, b) == 1)


def _ratio(a: Any, b: Any) -> float | None:
    one, two = _number(a), _number(b)
    return next((two[kind] / x for kind, x in one.items() if kind in two and x), None)
