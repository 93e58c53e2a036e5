"""Errors of predictions: signed and relative to the measurement; a row that failed counts as -100 %."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from emu.study.validate.rows import Row

MANY = 50
"""Rows from which on a decade of sizes is judged by itself."""
DECADE_FACTOR = 1.5
"""What a decade's mean error may be of its suite's bound."""


@dataclass(frozen=True)
class Outcome:
    """A row and what the machine says; `failure` says why it says nothing."""

    row: Row
    predicted: float
    detail: str = ""
    cpu_s: float = 0.0
    failure: str = ""

    @property
    def error(self) -> float:
        if self.failure or not math.isfinite(self.predicted) or self.predicted <= 0:
            return -1.0
        return self.predicted / self.row.measured - 1


@dataclass(frozen=True)
class Figures:
    """Of a number of errors: mean and 90th percentile of their sizes, median with its sign."""

    rows: int
    mape: float
    median: float
    p90: float
    geometric: float = 0.0
    """Geometric mean of the sizes, errors below 0.1 % as that: what some publish instead of the arithmetic mean."""


def figures(errors: Sequence[float]) -> Figures:
    """Of none: zeros."""
    if not errors:
        return Figures(0, 0.0, 0.0, 0.0)
    sizes = sorted(map(abs, errors))
    return Figures(len(errors), math.fsum(sizes) / len(sizes), statistics.median(errors), sizes[math.ceil(0.9 * len(sizes)) - 1],
                   math.exp(math.fsum(math.log(max(s, 1e-3)) for s in sizes) / len(sizes)))  # fmt: skip


@dataclass(frozen=True)
class Bound:
    """What a suite promises. None: nothing is promised."""

    mape: float
    median: float | None = None
    p90: float | None = None


def by_decade(outcomes: Sequence[Outcome]) -> dict[int, Figures]:
    """Figures by power of ten of the row's FLOP."""
    groups: dict[int, list[float]] = defaultdict(list)
    for o in outcomes:
        groups[o.row.decade].append(o.error)
    return {d: figures(groups[d]) for d in sorted(groups)}


def exceeded(bound: Bound, outcomes: Sequence[Outcome]) -> list[str]:
    """Where the outcomes go beyond the bound; empty: nowhere."""
    whole, found = figures([o.error for o in outcomes]), []
    if not outcomes:
        return ["no rows"]
    if whole.mape > bound.mape:
        found.append(f"MAPE {whole.mape:.1%} above {bound.mape:.0%}")
    if bound.median is not None and abs(whole.median) > bound.median:
        found.append(f"median {whole.median:+.1%} beyond {bound.median:.0%}")
    if bound.p90 is not None and whole.p90 > bound.p90:
        found.append(f"90th percentile {whole.p90:.1%} above {bound.p90:.0%}")
    for decade, f in by_decade(outcomes).items():
        if f.rows >= MANY and f.mape > DECADE_FACTOR * bound.mape:
            found.append(f"MAPE {f.mape:.1%} in the decade of 10^{decade} {outcomes[0].row.unit}, above {DECADE_FACTOR * bound.mape:.1%}")
    return found
