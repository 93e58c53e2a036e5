"""What a little more of every figure of a chip gives: finite differences of the real run, one figure at a time.

A gain is an elasticity: the relative change of a result over the relative change of the figure, ln(r1 / r0) / ln(f1 / f0). At 0.6, 1 %
more of the figure gives 0.6 % more of the result. Each figure is changed twice over: with the estimate's mapping kept (`frozen`: what the
figure itself does) and mapped anew (`remapped`: what a compiler would then make of it). Figures that are counts move by at least one."""

from __future__ import annotations

import math
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from emu.chip import units
from emu.chip.schema import Chip
from emu.errors import ChipError, EmuError, did_you_mean
from emu.models import Model
from emu.result import Result, header
from emu.study.mapping import Mappings
from emu.study.result import assumed

if TYPE_CHECKING:
    from emu.study.estimate import Estimate

OTHER = ("process", "cost", "published", "published_conflict", "stack")
"""Sections on which no run depends, but for the stack that it uses."""
FOLLOWS = ("noc.x", "noc.y", "scopes")
"""What must change together with the number of cores, and does under its name."""
RATES = "core.matrix.rate."
OUTPUTS = {
    "decode": {"ttft": "ttft_s", "tokens_per_s": "tokens_per_s", "joules_per_token": "joules_per_token", "watts": "watts"},
    "prefill": {"ttft": "ttft_s", "joules": "joules", "watts": "watts"},
    "encode": {"sequences_per_s": "sequences_per_s", "joules": "joules", "watts": "watts"},
}
"""Results whose gains are told, by the estimate's last phase; the first one beside ttft orders the table."""


@dataclass(frozen=True)
class Probe:
    """One figure changed, and the call that is repeated; what a worker process gets."""

    model: Model
    chip: Chip
    changes: dict[str, Any]
    call: dict[str, Any]
    mapping: Mappings
    outputs: dict[str, str]


class Sensitivity(Result):
    """Result of `sensitivity`: `rows` hold a figure, its value and step, and gains under `frozen` and `remapped`, or an `error`."""

    def __init__(self, estimate: Estimate, rows: list[dict[str, Any]], order: str, step: float) -> None:
        self.estimate, self.order, self.step = estimate, order, step
        self.rows = sorted(rows, key=lambda row: -_largest(row, order))

    def gains(self, output: str | None = None, mapping: str = "remapped") -> dict[str, float]:
        """Figure -> gain of one result, the largest first."""
        wanted = output or self.order
        found = {row["figure"]: row[mapping][wanted] for row in self.rows if mapping in row and wanted in row[mapping]}
        if not found:
            raise EmuError(f"{wanted}: no such result; {did_you_mean(wanted, self.outputs)}")
        return dict(sorted(found.items(), key=lambda item: -abs(item[1])))

    @property
    def outputs(self) -> list[str]:
        """The results whose gains the rows hold."""
        return list(next((row["remapped"] for row in self.rows if "remapped" in row), {}))

    def to_dict(self) -> dict[str, Any]:
        e = self.estimate
        return {
            **header("sensitivity", e.chip, None, e.asked["fidelity"], e.asked["stack"], e.asked["seed"]),
            "model": e.model.name,
            **{key: e.asked[key] for key in ("chips", "batch", "prompt", "generate", "dtype", "kv_dtype", "data")},
            "step_fraction": self.step,
            "outputs": self.outputs,
            "ordered_by": self.order,
            "rows": self.rows,
            "assumed": assumed(e.chip),
        }


def _largest(row: dict[str, Any], order: str) -> float:
    return max((abs(row[m].get(order, 0.0)) for m in ("frozen", "remapped") if m in row), default=-1.0)


def figures_of(chip: Chip, stack: str = "bare") -> list[str]:
    """The keys of the figures that a run with this stack may depend on and that can be a little more."""
    found = []
    for figure in chip.figures():
        matters = figure.key.split(".")[0] not in OTHER or figure.key.startswith(f"stack.{stack}.")
        if matters and not figure.key.startswith(FOLLOWS) and _number(figure.value) is not None:
            found.append(figure.key)
    return found


def _number(value: Any) -> tuple[Fraction, str] | None:
    """A figure's SI value and kind of quantity; None if it is no number above zero."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, str):
        try:
            exact = units.exact(value)
        except ValueError:
            return None
        return exact if exact[0] else None
    return (Fraction(str(value)), "") if value else None


def changed(chip: Chip, key: str, step: float) -> tuple[dict[str, Any], float]:
    """The changes that make this figure a little more, or less where it cannot be more, and the factor it then has."""
    value = dict((f.key, f.value) for f in chip.figures())[key]
    read = _number(value)
    if read is None:
        raise EmuError(f"{key} = {value!r}: not a number of which there could be more")
    for sign in (1, -1):
        changes, factor = _stepped(chip, key, *read, sign * step)
        try:
            chip.vary(changes)
        except ChipError as error:
            problem = error
        else:
            return changes, factor
    raise problem


def _stepped(chip: Chip, key: str, exact: Fraction, kind: str, step: float) -> tuple[dict[str, Any], float]:
    if key == "core_count":  # cores come by rows of the network
        across, along = ("noc.x", 1) if chip.noc.y == 1 else ("noc.y", chip.noc.x)
        lines = chip.core_count // along
        more = max(1, round(lines * abs(step))) * (1 if step > 0 else -1)
        return {"core_count": (lines + more) * along, across: lines + more}, (lines + more) / lines
    target = exact * (1 + Fraction(step))
    if key.startswith(RATES):  # a rate comes by whole multiply-adds a clock
        grain = chip.core.matrix.rows * chip.core.matrix.cols * chip.core.matrix.units
        target = Fraction(math.ceil(target * grain) if step > 0 else math.floor(target * grain), grain)
        return {key: float(target)}, float(target / exact)
    whole = units.KINDS[kind].whole if kind else exact.denominator == 1
    if whole:
        target = Fraction(math.ceil(target) if step > 0 else math.floor(target))
    elif kind == "pj":
        target = Fraction(round(target * 10**6), 10**6)  # attojoules are the grain of energies
    number: Any = int(target) if target.denominator == 1 else float(f"{float(target):.9g}")
    return {key: units.show(number, kind) if kind else number}, float(target / exact)


def probe(task: Probe) -> dict[str, Any]:
    """The results with the figure changed, frozen and remapped; or the reason why there are none. Runs once if the mapper says the same."""
    from emu.study.estimate import estimate

    try:
        chip = task.chip.vary(task.changes)
        anew = estimate(task.model, chip, **task.call)
        results = {"remapped": _results(anew.to_dict(), task.outputs)}
        if anew.mapping == task.mapping:
            return {**results, "frozen": results["remapped"], "new_mapping": False}
        try:
            kept = estimate(task.model, chip, mapping=task.mapping, **task.call)
            return {**results, "frozen": _results(kept.to_dict(), task.outputs), "new_mapping": True}
        except EmuError as error:
            return {**results, "error": f"frozen: {error}", "new_mapping": True}
    except EmuError as error:
        return {"error": str(error)}


def _results(d: dict[str, Any], outputs: dict[str, str]) -> dict[str, float]:
    return {name: d[key] for name, key in outputs.items()}


def sensitivity(
    estimate: Estimate, figures: Iterable[str] | None = None, step: float = 0.01, *, executor: Executor | None = None, jobs: int = 1,
    done: Any = None,
) -> Sensitivity:
    """Gains of every figure (or those named) of the estimate's chip. About two estimates a figure; `executor` and `jobs` as of Study.run.

    `step` is the relative change. `done(number, of)` hears of each figure. Raises EmuError for a figure that is not there."""
    from emu.study.sweep.runner import rows

    if not (isinstance(step, (int, float)) and 0 < step <= 0.5):
        raise EmuError(f"step = {step!r}: expected a fraction, 0.01 for 1 %")
    chip, base = estimate.chip, estimate.to_dict()
    wanted = list(figures_of(chip, estimate.asked["stack"]) if figures is None else dict.fromkeys(figures))
    stated = {f.key: f for f in chip.figures()}
    for key in wanted:
        if key not in stated:
            raise EmuError(f"{key}: {chip.name} states no such figure; {did_you_mean(key, stated)}")
    outputs = OUTPUTS[list(estimate.phases)[-1]]
    found: list[dict[str, Any]] = [{"figure": key, "value": str(stated[key].value), "tag": stated[key].tag} for key in wanted]
    probes: dict[int, Probe] = {}
    for j, row in enumerate(found):
        try:
            changes, factor = changed(chip, row["figure"], step)
        except EmuError as error:
            row["error"] = str(error)
            continue
        row["step_fraction"] = factor - 1
        probes[j] = Probe(estimate.model, chip, changes, estimate.call, estimate.mapping, outputs)
    order = list(probes)
    for number, (at, answer) in enumerate(rows(probe, [probes[j] for j in order], executor, jobs), 1):
        row = found[order[at]]
        for mapping in ("frozen", "remapped"):
            if mapping in answer:
                row[mapping] = {n: _gain(base[outputs[n]], v, 1 + row["step_fraction"]) for n, v in answer[mapping].items()}
        row |= {name: answer[name] for name in ("error", "new_mapping") if name in answer}
        if done is not None:
            done(number, len(order))
    first = next(name for name in outputs if name != "ttft") if "tpot_s" in base and base["tpot_s"] else next(iter(outputs))
    return Sensitivity(estimate, found, first, step)


def _gain(before: float, after: float, factor: float) -> float:
    return math.log(after / before) / math.log(factor)
