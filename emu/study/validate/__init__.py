"""Predictions beside measurements: how far the machine is from silicon, suite by suite, and which of its mechanisms matter.

`validate()` runs suites (`suites.py`) over measured rows (`rows.py`), packaged ones or tables of yours, and compares errors with the bound
each suite promises and with a plain model refitted to the same rows (`reference.py`). A mechanism is left out by a changed figure
(`mechanisms.py`), never by other code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from emu.errors import EmuError
from emu.study.validate.mechanisms import BARE, BASE, MECHANISMS, NO_CAP, Setting, mechanism
from emu.study.validate.result import SuiteResult, Validation
from emu.study.validate.rows import Row, read
from emu.study.validate.run import Done, outcomes
from emu.study.validate.sample import sample
from emu.study.validate.statistics import Outcome
from emu.study.validate.suites import SUITES, Suite, chosen, packaged

__all__ = [
    "BARE", "BASE", "MECHANISMS", "NO_CAP", "SUITES", "Outcome", "Row", "Setting", "Suite", "SuiteResult", "Validation", "mechanism",
    "validate",
]


def validate(
    suites: Iterable[str] = (), *, chips: Iterable[str] = (), tables: Sequence[Path | str] = (), without: Iterable[str] = (), rows: int = 0,
    jobs: int = 1, cache: bool = True, done: Done | None = None,
) -> Validation:
    """Errors of the suites (all) on the chips (all) over the packaged rows, or over whole `tables`: CSV files of measured rows.

    `without` names mechanisms to leave out, one at a time, for comparison; `rows` > 0 samples so many of each suite; `jobs` processes."""
    picked = chosen(suites, chips)
    settings = [BASE, *(mechanism(name) for name in dict.fromkeys(without))]
    if rows < 0 or jobs < 1:
        raise EmuError(f"rows = {rows}, jobs = {jobs}: expected at least 0 rows and at least 1 process")
    known = [r for path in tables for r in read(Path(path))]
    held = {s.name: s.rows(known) if tables else packaged(s) for s in picked}
    if tables:  # a table of other measurements than a suite's says nothing about it
        picked = [s for s in picked if held[s.name]] if not list(suites) else picked
        if not picked:
            raise EmuError(f"{', '.join(map(str, tables))}: no row belongs to a suite that was asked for")
    used = {s.name: sample(held[s.name], rows or len(held[s.name])) for s in picked}
    found = _predicted(used, picked, settings, jobs, cache, done)
    return Validation(
        [
            SuiteResult(
                s, [found[BASE.name, r] for r in used[s.name]],
                {w.name: [found[w.name, r] for r in used[s.name]] for w in settings[1:] if s.kind in w.kinds}, len(held[s.name]),
            )
            for s in picked
        ],
        [str(t) for t in tables] or ["packaged"],
    )  # fmt: skip


def _predicted(
    used: dict[str, list[Row]], picked: list[Suite], settings: list[Setting], jobs: int, cache: bool, done: Callable[..., None] | None
) -> dict[tuple[str, Row], Outcome]:
    """Each row under each setting once, though several suites may hold it; the largest first, so that no process is left with one."""
    every = list(dict.fromkeys(r for s in picked for r in used[s.name]))
    tasks = [(r, w) for w in settings for r in every if r.kind in w.kinds]
    tasks.sort(key=lambda task: -task[0].flops)
    return {(w.name, r): o for (r, w), o in zip(tasks, outcomes(tasks, jobs, cache, done))}
