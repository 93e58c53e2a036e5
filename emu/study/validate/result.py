"""What a validation says: per suite the errors, the bound, the plain model's error, and errors with things left out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from emu.result import Result
from emu.study.validate.mechanisms import BASE
from emu.study.validate.reference import reference
from emu.study.validate.statistics import Figures, Outcome, by_decade, exceeded, figures
from emu.study.validate.suites import Suite

WORST = 5
"""Rows of a suite that are named for their error."""


@dataclass(frozen=True)
class SuiteResult:
    """Outcomes of a suite as the chip is described, and under each other setting by its name."""

    suite: Suite
    outcomes: Sequence[Outcome]
    variants: Mapping[str, Sequence[Outcome]] = field(default_factory=dict)
    in_tables: int = 0
    """Rows of this suite that the tables hold; the outcomes may be a sample of them."""

    @cached_property
    def whole(self) -> Figures:
        return figures([o.error for o in self.outcomes])

    @cached_property
    def exceeded(self) -> list[str]:
        return exceeded(self.suite.bound, self.outcomes)

    @cached_property
    def failed(self) -> list[Outcome]:
        return [o for o in self.outcomes if o.failure]

    @cached_property
    def plain(self) -> tuple[float, dict[str, float]]:
        """Error and constants of the plain model."""
        return reference([o.row for o in self.outcomes]) if self.outcomes else (math.nan, {})

    def to_dict(self) -> dict[str, Any]:
        """As it stands in the result's `suites`."""
        error, constants = self.plain
        worst = sorted(self.outcomes, key=lambda o: (-abs(o.error), o.row.digest))[:WORST]
        return {
            "suite": self.suite.name,
            "title": self.suite.title,
            "kind": self.suite.kind,
            "chip": self.suite.chip,
            "in_tables": self.in_tables,
            **asdict(self.whole),
            "bound": asdict(self.suite.bound),
            "exceeded": self.exceeded,
            "failed": len(self.failed),
            "plain_model": {"mape": None if math.isnan(error) else error, **constants},
            "beats_plain_model": None if math.isnan(error) else self.whole.mape < error,
            "variants": {name: figures([o.error for o in found]).mape for name, found in self.variants.items()},
            "decades": [{"decade": d, **asdict(f)} for d, f in by_decade(self.outcomes).items()],
            "worst": [_row(o) for o in worst],
            "rows_detail": [_row(o) for o in self.outcomes],
            "cpu_s": math.fsum(o.cpu_s for o in self.outcomes),
        }


def _row(o: Outcome) -> dict[str, Any]:
    row: dict[str, Any] = {"row": str(o.row), "flops": o.row.flops, "measured": o.row.measured, "error": o.error}
    return {**row, "failure": o.failure} if o.failure else {**row, "predicted": o.predicted, "detail": o.detail}


class Validation(Result):
    """Suites compared with measurements; `ok` only if none exceeds its bound."""

    def __init__(self, suites: Sequence[SuiteResult], tables: Sequence[str], stack: str = BASE.stack) -> None:
        self.suites, self.tables, self.stack = suites, tables, stack

    @property
    def ok(self) -> bool:
        return not any(s.exceeded for s in self.suites)

    def to_dict(self) -> dict[str, Any]:
        import emu
        import isa.tables
        from emu.chip import chip
        from emu.report.schema import SCHEMA_VERSION

        chips = sorted({s.suite.chip for s in self.suites})
        return {
            "schema_version": SCHEMA_VERSION,
            "emu_version": emu.__version__,
            "kind": "validation",
            "digests": {"chips": {name: chip(name).digest for name in chips}, "isa": isa.tables.load().digest},
            "stack": self.stack,
            "tables": list(self.tables),
            "ok": self.ok,
            "suites": [s.to_dict() for s in self.suites],
        }
