"""Chips side by side on the same models: what each gives per chip, per watt, per dollar and per mm2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

from emu.errors import EmuError, UnsupportedError
from emu.result import Result
from emu.study.sweep import Study, StudyResult
from emu.study.sweep.settings import chip_of, name_of
from emu.study.worth import WORTH

OUTPUTS = ("tokens", "sequences")
PER = {"usd": "usd", "mm2": "area_mm2"}
"""What throughput of a chip is divided by, and which of WORTH it is."""


class Comparison(Result):
    """Result of `compare`. `rows` are a study's rows and, for tokens (or sequences), `..._per_s_per_chip`, `..._per_joule`,
    `..._per_s_per_usd`, `..._per_s_per_mm2`; each again under `..._to_base`, over the first chip's figure at the same settings."""

    def __init__(self, table: StudyResult, base: str, worth: Mapping[str, Mapping[str, float]], not_told: Sequence[str]) -> None:
        self.table, self.base, self.not_told = table, base, list(not_told)
        self.rows = [row | normalised(row, worth.get(row["chip"], {})) for row in table.rows]
        by_place = {self._place(row): row for row in self.rows if row["chip"] == base}
        for row in self.rows:
            row |= _beside(row, by_place.get(self._place(row), {}))

    def _place(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(row.get(axis) for axis in ("model", *self.table.axes) if axis != "chip")

    def to_dict(self) -> dict[str, Any]:
        return {**self.table.to_dict(), "kind": "comparison", "base": self.base, "not_told": self.not_told, "rows": self.rows,
                "columns": list(dict.fromkeys(name for row in self.rows for name in row))}  # fmt: skip


def normalised(row: Mapping[str, Any], worth: Mapping[str, float]) -> dict[str, float | None]:
    """What a study's row says per chip, per joule and, where `worth` holds them, per dollar and per mm2."""
    found: dict[str, float | None] = dict(worth)
    for output in OUTPUTS:
        rate = row.get(f"{output}_per_s")
        if rate is None:
            continue
        chips = row.get("chips") or 1
        found[f"{output}_per_s_per_chip"] = rate / chips
        joules = row["joules_per_token"] if output == "tokens" else row["joules"] / (row["seconds"] * rate)
        found[f"{output}_per_joule"] = 1 / joules
        for name, key in PER.items():
            found[f"{output}_per_s_per_{name}"] = rate / chips / worth[key] if key in worth else None
    return found


def _beside(row: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, float]:
    wanted = [name for name, value in row.items() if name.startswith(OUTPUTS) and "_per_" in name and value and base.get(name)]
    return {f"{name}_to_base": row[name] / base[name] for name in wanted if not name.endswith("_per_s")}


def compare(
    chips: Sequence[Any], models: Any, *, question: str = "", per: Sequence[str] = (), executor: Executor | None = None,
    jobs: int | None = None, journal: Any = None, done: Any = None, **workload: Any,
) -> Comparison:
    """Chips (names, files or objects; the first is the base) on one or several models. An argument of `emu.estimate` may be a list:
    `batch=[1, 8, 64]`. What a chip's description does not say (a price) is told in `not_told`, or refused if `per` asks for it
    ("usd", "mm2"). `executor`, `jobs`, `journal`, `done` as for Study.run; raises EmuError."""
    held = [chip_of(chip) if isinstance(chip, str) else chip for chip in chips] if not isinstance(chips, str) else []
    if not held:
        raise EmuError(f"chips = {chips!r}: expected a list of chips, ['h100', 'jalapeno']")
    names = [name_of(chip) for chip in chips]
    several = {key: value for key, value in workload.items() if isinstance(value, (list, tuple))}
    listed = [models] if isinstance(models, str) or not isinstance(models, (list, tuple)) else list(models)
    cases = [{"model": m, "chip": c} for m in listed for c in chips]
    study = Study(cases=cases, vary=several, question=question, **{k: v for k, v in workload.items() if k not in several})
    worth, not_told = _worth(dict(zip(names, held)), per)
    table = study.run(executor, jobs=jobs, journal=journal, done=done)
    return Comparison(table, names[0], worth, not_told)


def _worth(chips: Mapping[str, Any], per: Sequence[str]) -> tuple[dict[str, dict[str, float]], list[str]]:
    for name in per:
        if name not in PER:
            raise EmuError(f"per {name!r}: expected some of {', '.join(PER)}")
    found: dict[str, dict[str, float]] = {name: {} for name in chips}
    not_told: list[str] = []
    for label, key in PER.items():
        for name, chip in chips.items():
            try:
                found[name][key] = WORTH[key](chip)
            except UnsupportedError as error:
                if label in per:
                    raise
                not_told.append(str(error))
    return found, not_told
