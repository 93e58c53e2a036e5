"""Search of a design space with Optuna: which points of a study are best in one or several figures within limits.

A trial is one combination of the study's `vary`, run on all of its `cases` (models, say). An objective counts by its worst case; a limit
must hold in each. Names in both are those of a study's row, `tokens_per_joule` and the like (emu.study.compare), `usd`, `made_usd`
and `area_mm2` (emu.study.worth), `base.` before any of them for a chip to be beaten in the same case, and the study's settings.

Trials lie in Optuna's own storage (SQLite), where its dashboard shows them; the same search goes on where it was. Trial n is drawn with
seed + n from the trials before its round, and ROUND are drawn at a time whoever runs them: the same seed gives the same trials."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emu.chip.expression import Expression, parse
from emu.errors import EmuError, UnsupportedError, did_you_mean
from emu.result import Result
from emu.study.compare import normalised
from emu.study.sweep.point import Task, run_point
from emu.study.sweep.runner import rows
from emu.study.sweep.settings import chip_of, name_of, taken_apart, value_of
from emu.study.sweep.study import Study
from emu.study.sweep.table import plain
from emu.study.worth import WORTH

if TYPE_CHECKING:
    import optuna

ROUND = 4
MOST_TRIALS = 100_000
Row = dict[str, Any]
Texts = str | Sequence[str]


class SearchResult(Result):
    """Result of `Study.search`. `rows` are trials in order: settings, objectives under their texts, `feasible`, `best` (not beaten by
    another feasible one in all objectives), or `error`. `best` are the latter."""

    def __init__(self, about: Mapping[str, Any], axes: Sequence[str], found: Sequence[Row]) -> None:
        self.about, self.axes, self.rows = dict(about), list(axes), list(found)

    @property
    def best(self) -> list[Row]:
        """The front, by the first objective."""
        first, sign = self.about["objectives"][0]["text"], -1 if self.about["objectives"][0]["maximize"] else 1
        return sorted((row for row in self.rows if row["best"]), key=lambda row: sign * row[first])

    def to_dict(self) -> dict[str, Any]:
        return {**self.about, "axes": self.axes, "rows": self.rows}


class _Search:
    """One search: what to draw, what to run, what to tell."""

    def __init__(self, study: Study, minimize: Sequence[str], maximize: Sequence[str], limits: Sequence[str], base: Any) -> None:
        self.study = study
        self.objectives = [(parse(text), 1) for text in minimize] + [(parse(text), -1) for text in maximize]
        self.limits = [parse(text) for text in limits]
        self.base = chip_of(base) if isinstance(base, str) else base
        if not self.objectives:
            raise EmuError("a search needs something to minimize or maximize: tokens_per_joule, usd, ttft_s ...")
        if not study.vary:
            raise EmuError("a search needs settings to vary; the study has none")
        names = {name for e, _ in self.objectives for name in e.names} | {name for e in self.limits for name in e.names}
        if self.base is None and any(name.startswith("base.") for name in names):
            raise EmuError("base.: which chip is to be beaten? base = 'h100'")
        self._base_rows: list[Row] | None = None

    def describe(self) -> dict[str, Any]:
        return {
            "objectives": [{"text": e.text, "maximize": sign < 0} for e, sign in self.objectives],
            "limits": [e.text for e in self.limits], "base": None if self.base is None else self.base.name,
        }  # fmt: skip

    def base_rows(self, run: Callable[[list[Task]], list[Row]]) -> list[Row]:
        """Figures of the chip to be beaten, a row a case."""
        if self.base is None:
            return [{} for _ in self._cases()]
        if self._base_rows is None:
            points = [self._fixed(case) | {"chip": self.base.name} for case in self._cases()]
            points = [{k: v for k, v in p.items() if not k.startswith(("chip.", "mapping."))} for p in points]
            found = run([Task(taken_apart(p, {self.base.name: self.base}, self.study._models)) for p in points])
            wrong = next((row["error"] for row in found if row.get("error")), None)
            if wrong is not None:
                raise EmuError(f"base {self.base.name}: {wrong}")
            self._base_rows = [row | normalised(row, _worth(self.base)) for row in found]
        return self._base_rows

    def _cases(self) -> list[Row]:
        return self.study.cases or [{}]

    def _fixed(self, case: Mapping[str, Any]) -> Row:
        return {**self.study.fixed, **case}

    def points(self, chosen: Mapping[str, Any]) -> list[Row]:
        """The points of a trial, a case each; empty if a condition of the study does not hold for all."""
        found = [self.study.with_formulas(self._fixed(case) | dict(chosen)) for case in self._cases()]
        return found if all(self.study.meets(point) for point in found) else []

    def judged(self, points: Sequence[Row], results: Sequence[Row], bases: Sequence[Row]) -> tuple[list[float], list[float]]:
        """(objectives, excesses of limits), each the worst of all cases. EmuError for a name that means nothing."""
        objectives, excesses = [], []
        lookups = [self._lookup(point, row, base) for point, row, base in zip(points, results, bases)]
        for e, sign in self.objectives:
            values = [_number(e, lookup) for lookup in lookups]
            objectives.append(max(values) if sign > 0 else min(values))
        for e in self.limits:
            excesses.append(max(e.excess(lookup) for lookup in lookups))
        return objectives, excesses

    def _lookup(self, point: Row, row: Row, base: Row) -> Callable[[str], Any]:
        chip = self.study._chips[name_of(point["chip"])]
        changes = {key[5:]: value for key, value in point.items() if key.startswith("chip.")}
        varied = chip.vary(changes) if changes else chip
        known = row | normalised(row, _worth(varied))

        def value(name: str) -> Any:
            head, _, rest = name.partition(".")
            found = base if head == "base" else known
            key = rest if head == "base" else name
            if found.get(key) is not None:
                return found[key]
            if key in WORTH:
                return WORTH[key](self.base if head == "base" else varied)  # refuses, and says why
            if head == "base" or key in found:
                raise EmuError(f"{name}: there is no such figure here; {did_you_mean(key, [k for k, v in found.items() if v is not None])}")
            try:
                return value_of(name, point, varied, self.study._models[name_of(point["model"])])
            except EmuError:
                raise EmuError(f"{name}: unknown name; {did_you_mean(name, [*known, *WORTH, *point])}") from None

        return value


def _number(e: Expression, lookup: Callable[[str], Any]) -> float:
    found = e.value(lookup)
    if isinstance(found, (bool, str)):
        raise EmuError(f"{e.text!r} is {found!r}, not a number to be made small or large")
    return float(found)


def _worth(chip: Any) -> dict[str, float]:
    known: dict[str, float] = {}
    for name, of in WORTH.items():
        try:
            known[name] = of(chip)
        except UnsupportedError:
            continue
    return known


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise EmuError("a search needs optuna: pip install 'emu[search]'") from None

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def search(
    study: Study, *, minimize: Texts = (), maximize: Texts = (), limits: Texts = (), base: Any = None, trials: int = 100,
    storage: str | os.PathLike[str] | None = None, executor: Executor | None = None, jobs: int | None = None,
    done: Callable[[int, int, Row], None] | None = None,
) -> SearchResult:
    """Run trials until there are `trials` of them; `storage` (a file, or a URL of Optuna) holds them and is gone on with.

    `executor`, `jobs` and `done` as for Study.run. Raises EmuError; an interrupt leaves finished trials in the storage."""
    if type(trials) is not int or not 1 <= trials <= MOST_TRIALS:
        raise EmuError(f"trials = {trials!r}: expected a whole number from 1 to {MOST_TRIALS}")
    task = _Search(study, _texts(minimize), _texts(maximize), _texts(limits), base)
    optuna = _optuna()
    about = study.about()
    name = f"emu {about['digests']['study'][:12]} {about['digests']['build'][:8]} {json.dumps(task.describe(), sort_keys=True)}"[:400]
    held = _opened(optuna, task, name, storage)

    def run(tasks: list[Task]) -> list[Row]:
        found = dict(rows(run_point, tasks, executor, jobs))
        return [found[j] for j in range(len(tasks))]

    bases = task.base_rows(run)
    while len(finished := _finished(optuna, held)) < trials:
        drawn = _interrupted(optuna, held)
        for _ in range(min(ROUND, trials - len(finished)) - len(drawn)):
            drawn.append(_drawn(optuna, held, study))
        _round(optuna, held, task, drawn, run, bases)
        if done is not None:
            done(len(_finished(optuna, held)), trials, {})
    return SearchResult({**about, "kind": "search", "trials": trials, **task.describe()}, study.axes, _rows(optuna, held, task))


def _texts(given: Texts) -> list[str]:
    return [given] if isinstance(given, str) else list(given)


def _opened(optuna: Any, task: _Search, name: str, storage: Any) -> optuna.Study:
    url = None if storage is None else str(storage) if "://" in str(storage) else f"sqlite:///{Path(storage)}"
    try:
        return optuna.create_study(
            storage=url, study_name=name, load_if_exists=True, directions=["minimize" if s > 0 else "maximize" for _, s in task.objectives]
        )
    except Exception as error:  # whatever a database says, of many kinds
        raise EmuError(f"{storage}: trials cannot be kept there: {str(error).splitlines()[0]}") from None


def _finished(optuna: Any, held: Any) -> list[Any]:
    states = optuna.trial.TrialState
    return [t for t in held.get_trials(deepcopy=False) if t.state in (states.COMPLETE, states.PRUNED, states.FAIL)]


def _interrupted(optuna: Any, held: Any) -> list[tuple[int, int, Row]]:
    """Trials that were drawn and never told, to be run now; one whose settings were not even kept has failed."""
    found = []
    for t in held.get_trials(deepcopy=False):
        if t.state == optuna.trial.TrialState.RUNNING and "settings" in t.user_attrs:
            found.append((t.number, t._trial_id, dict(t.user_attrs["settings"])))
        elif t.state == optuna.trial.TrialState.RUNNING:
            held._storage.set_trial_user_attr(t._trial_id, "error", "interrupted")
            held.tell(t.number, state=optuna.trial.TrialState.FAIL)
    return found


def _drawn(optuna: Any, held: Any, study: Study) -> tuple[int, int, Row]:
    """(number, id, settings) of a new trial: numbers by their place in the list, which has an order; anything else as it is."""
    number = len(held.get_trials(deepcopy=False))
    with _quiet():
        held.sampler = optuna.samplers.TPESampler(
            seed=study.seed + number, n_startup_trials=2 * len(study.vary) + 8, multivariate=True, constant_liar=True,
            constraints_func=lambda trial: trial.user_attrs.get("excess", [0.0]),
        )  # fmt: skip
        trial = held.ask()
        chosen: Row = {}
        for key, values in study.vary.items():
            if not all(type(plain(v)) in (int, float) for v in values):
                at = trial.suggest_categorical(key, list(range(len(values))))
            else:
                at = trial.suggest_int(key, 0, len(values) - 1)
            chosen[key] = values[at]
    trial.set_user_attr("settings", {k: name_of(v) if k in ("chip", "model") else v for k, v in chosen.items()})
    return trial.number, trial._trial_id, chosen


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna calls half of its sampler experimental, on stderr."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _round(optuna: Any, held: Any, task: _Search, drawn: Sequence[Any], run: Callable[..., Any], bases: Sequence[Row]) -> None:
    """Run the points of some trials together, and tell what came of each."""
    states = optuna.trial.TrialState
    asked = [task.points(chosen) for _, _, chosen in drawn]
    tasks = [Task(taken_apart(point, task.study._chips, task.study._models)) for points in asked for point in points]
    results = iter(run(tasks))
    for (number, key, _), points in zip(drawn, asked):
        found = [next(results) for _ in points]
        error = "a condition of the study does not hold" if not points else next((r["error"] for r in found if r.get("error")), None)
        if error is None:
            objectives, excesses = task.judged(points, found, bases)
            held._storage.set_trial_user_attr(key, "excess", excesses)
            held._storage.set_trial_user_attr(key, "rows", found)
            held.tell(number, objectives)
        else:
            held._storage.set_trial_user_attr(key, "error", error)
            held.tell(number, state=states.PRUNED if not points else states.FAIL)


def _rows(optuna: Any, held: Any, task: _Search) -> list[Row]:
    found: list[Row] = []
    for trial in held.get_trials(deepcopy=False):
        row: Row = {"trial": trial.number, **{key: plain(value) for key, value in trial.user_attrs.get("settings", {}).items()}}
        complete = trial.state == optuna.trial.TrialState.COMPLETE
        row |= {e.text: value for (e, _), value in zip(task.objectives, trial.values)} if complete else {}
        row["feasible"] = complete and all(excess <= 0 for excess in trial.user_attrs["excess"])
        row |= {"best": False, "error": trial.user_attrs.get("error")}
        found.append(row)
    good = [row for row in found if row["feasible"]]
    for row in good:
        row["best"] = not any(_beats(task, other, row) for other in good)
    return found


def _beats(task: _Search, a: Row, b: Row) -> bool:
    """Whether one is at least as good in all objectives and better in one, or the same found earlier."""
    signed = [(sign * a[e.text], sign * b[e.text]) for e, sign in task.objectives]
    equal = all(x == y for x, y in signed)
    return all(x <= y for x, y in signed) and (a["trial"] < b["trial"] if equal else True)
