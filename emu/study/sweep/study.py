"""A study: which points there are, and running them."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emu.chip.expression import Expression, parse
from emu.chip.schema import Chip
from emu.errors import EmuError
from emu.models import Model
from emu.study.sweep import settings
from emu.study.sweep.axes import values_of
from emu.study.sweep.journal import Journal, build, key_of
from emu.study.sweep.point import Task, run_point
from emu.study.sweep.runner import rows
from emu.study.sweep.settings import check_key, chip_of, model_of, name_of, taken_apart, value_of
from emu.study.sweep.table import StudyResult, plain

if TYPE_CHECKING:
    from emu.study.search import SearchResult

MOST_POINTS = 1_000_000
LASTING = ("died", "bug", "MemoryError")
"""Failures that another try may not meet; they are not kept."""
Point = dict[str, Any]
Done = Callable[[int, int, Mapping[str, Any]], None]


class Study:
    """Points of a design space, each an estimate.

    `vary` maps settings (emu.study.sweep.settings) to lists or ranges (emu.study.sweep.axes) and all their combinations are points;
    `cases` are settings that go together, each combined with all of those; `set` are formulas for settings that follow from others
    (`{"chip.noc.x": "chip.core_count"}`); `where` are conditions that a point must meet (emu.chip.expression). `sample` draws so many of
    the points with `seed`, which the estimates get, too. Everything else (`batch=8`) is an argument of `emu.estimate`, the same for all.

    Raises EmuError for whatever does not exist or does not go together, before anything is run."""

    def __init__(
        self, *, model: Any = None, chip: Any = None, vary: Mapping[str, Any] | None = None, cases: Sequence[Mapping[str, Any]] = (),
        set: Mapping[str, str] | None = None, where: str | Iterable[str] = (), sample: int | None = None, seed: int = 0, question: str = "",
        **workload: Any,
    ) -> None:
        self.question, self.sample, self.seed = str(question), sample, seed
        self.fixed: Point = {k: v for k, v in {"model": model, "chip": chip}.items() if v is not None} | workload | {"seed": seed}
        self.vary = {key: values_of(key, given) for key, given in (vary or {}).items()}
        self.cases = [dict(case) for case in cases]
        self.set: dict[str, Expression] = {key: parse(text) for key, text in (set or {}).items()}
        self.where: list[Expression] = [parse(text) for text in ([where] if isinstance(where, str) else where)]
        self._chips: dict[str, Chip] = {}
        self._models: dict[str, Model] = {}
        self._check()

    @property
    def axes(self) -> list[str]:
        """The settings in which points differ, or that a formula sets."""
        return list(dict.fromkeys([key for case in self.cases for key in case] + list(self.vary) + list(self.set)))

    def _check(self) -> None:
        if type(self.seed) is not int or self.seed < 0:
            raise EmuError(f"seed = {self.seed!r}: expected a whole number, 0 or more")
        if self.sample is not None and (type(self.sample) is not int or not 1 <= self.sample <= MOST_POINTS):
            raise EmuError(f"sample = {self.sample!r}: expected a whole number from 1 to {MOST_POINTS}")
        for name, held, find in (("chip", self._chips, chip_of), ("model", self._models, model_of)):
            given = [v for v in (self.fixed.get(name), *self.vary.get(name, ()), *(c.get(name) for c in self.cases)) if v is not None]
            if not given:
                raise EmuError(f"a study needs a {name}: {name} = ... for all points, or vary.{name} = [...]")
            for value in given:
                self._hold(held, find(value), value)
        for key in [*self.fixed, *self.axes]:
            check_key(key, list(self._chips.values()))
        twice = [key for key in self.set if key in self.vary] + [key for case in self.cases for key in case if key in self.vary]
        if twice:
            raise EmuError(f"{twice[0]}: both varied and set by a formula or a case; leave one out")
        for key in self.axes:
            self.fixed.pop(key, None)
        if self.size > MOST_POINTS and self.sample is None:
            raise EmuError(f"{self.size} points; at most {MOST_POINTS} are run. `sample` draws some of them")
        if self.size >= 1 << 62:
            raise EmuError(f"{self.size} points: more than can be numbered; vary less")

    def _hold(self, held: dict[str, Any], found: Any, given: Any) -> None:
        """Names are how points and tables tell chips and models apart."""
        name = name_of(given)
        if held.setdefault(name, found) != found:
            raise EmuError(f"two different ones are called {name!r}; give a chip another name with chip.vary({{'name': ...}})")

    @property
    def size(self) -> int:
        """Combinations, conditions and samples not counted."""
        return prod(map(len, self.vary.values())) * max(1, len(self.cases))

    def points(self) -> list[Point]:
        """The points, in the order of the table: cases first, then the first axis slowest. The same seed draws the same ones."""
        found: list[tuple[int, Point]] = []
        for number in self._order():
            point = self._point(number)
            if self.meets(point):
                found.append((number, point))
                if len(found) == self.sample:
                    break
        if not found:
            raise EmuError(f"no point of {self.size} meets the conditions: {'; '.join(e.text for e in self.where)}")
        return [point for _, point in sorted(found, key=lambda item: item[0])]

    def _order(self) -> Iterator[int]:
        if self.sample is None:
            yield from range(self.size)
            return
        drawn = random.Random(self.seed).sample(range(self.size), min(self.size, MOST_POINTS))
        yield from drawn

    def _point(self, number: int) -> Point:
        """The point of a number in mixed radix, the last axis fastest."""
        varied: Point = {}
        for key, values in reversed(self.vary.items()):
            number, at = divmod(number, len(values))
            varied[key] = values[at]
        case = self.cases[number] if self.cases else {}
        return self.with_formulas({**self.fixed, **case, **{key: varied[key] for key in self.vary}})

    def with_formulas(self, point: Point) -> Point:
        """The point with the settings that follow from its others."""
        for key, formula in self.set.items():
            point[key] = self._value(formula, point)
        return point

    def _value(self, formula: Expression, point: Point) -> Any:
        chip, model = self._chips[name_of(point["chip"])], self._models[name_of(point["model"])]
        return formula.value(lambda name: value_of(name, point, chip, model))

    def meets(self, point: Point) -> bool:
        """Whether all conditions hold."""
        chip, model = self._chips[name_of(point["chip"])], self._models[name_of(point["model"])]
        return all(condition.holds(lambda name: value_of(name, point, chip, model)) for condition in self.where)

    def run(
        self, executor: Executor | None = None, *, jobs: int | None = None, journal: str | os.PathLike[str] | None = None,
        fresh: bool = False, cache: bool = True, done: Done | None = None,
    ) -> StudyResult:
        """Run every point that `journal` (a file) does not already hold a row for; `fresh` forgets those.

        Points run on `executor`, any `concurrent.futures.Executor`, or else in `jobs` spawned processes (as many as there are cores; 1:
        in this one). `cache=False` answers no run from disk. `done(number, of, row)` hears of each row as it comes. The table does not
        depend on any of these. Raises EmuError; an interrupt leaves finished rows in the journal."""
        if jobs is not None and (type(jobs) is not int or jobs < 1):
            raise EmuError(f"jobs = {jobs!r}: expected a whole number of at least 1")
        points = self.points()
        tasks = [Task(taken_apart(point, self._chips, self._models), cache) for point in points]
        if journal is None:
            found = self._answered(tasks, {}, None, executor, jobs, done)
        else:
            with Journal(Path(journal), fresh) as kept:
                found = self._answered(tasks, kept.rows, kept, executor, jobs, done)
        return StudyResult(self.about(), self._columns(), [{**self._head(p), **found[j]} for j, p in enumerate(points)])

    def _answered(
        self, tasks: Sequence[Task], known: Mapping[str, Any], journal: Journal | None, executor: Executor | None, jobs: int | None,
        done: Done | None,
    ) -> dict[int, Any]:
        keys = [key_of(task) for task in tasks] if journal is not None else []
        found: dict[int, Any] = {j: known[key] for j, key in enumerate(keys) if key in known}
        left = [j for j in range(len(tasks)) if j not in found]
        hear = done or (lambda number, of, row: None)
        if found:
            hear(len(found), len(tasks), {})
        for j, row in rows(run_point, [tasks[j] for j in left], executor, jobs):
            found[left[j]] = row
            if journal is not None and row.get("error_kind") not in LASTING:
                journal.write(keys[left[j]], row)
            hear(len(found), len(tasks), row)
        return found

    def search(self, **how: Any) -> SearchResult:
        """The best points with Optuna, in one or several figures, within limits (emu.study.search)."""
        from emu.study.search import search

        return search(self, **how)

    def _columns(self) -> list[str]:
        return [*(name for name in ("chip", "model") if name not in self.axes), *self.axes]

    def _head(self, point: Point) -> dict[str, Any]:
        return {key: name_of(point[key]) if key in ("chip", "model") else plain(point.get(key)) for key in self._columns()}

    def about(self) -> dict[str, Any]:
        """What the table's dict says of the study itself."""
        import emu
        import isa.tables
        from emu.report.schema import SCHEMA_VERSION
        from emu.study.result import assumed

        fixed = {key: name_of(v) if key in ("chip", "model") else v for key, v in self.fixed.items()}
        chips = {name: chip.digest for name, chip in self._chips.items()}
        words = {"vary": self.vary, "cases": self.cases, "fixed": fixed, "set": {k: e.text for k, e in self.set.items()},
                 "where": [e.text for e in self.where], "sample": self.sample}  # fmt: skip
        digest = hashlib.sha256(json.dumps([words, chips], sort_keys=True, default=name_of).encode()).hexdigest()
        call = settings.arguments() | fixed
        return {
            "schema_version": SCHEMA_VERSION, "emu_version": emu.__version__, "kind": "study", "question": self.question,
            "chip": ", ".join(chips), "hypothetical": any(c.hypothetical for c in self._chips.values()), "model": ", ".join(self._models),
            "digests": {"study": digest, "build": build(), "isa": isa.tables.load().digest, **{f"chip {n}": d for n, d in chips.items()}},
            **{key: "varied" if key in self.axes else call[key] for key in ("fidelity", "stack")}, "seed": self.seed, "fixed": fixed,
            "set": words["set"], "where": words["where"], "sample": self.sample, "combinations": self.size,
            "assumed": [{"chip": name, **row} for name, chip in self._chips.items() for row in assumed(chip)],
        }  # fmt: skip
