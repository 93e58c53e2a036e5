"""The area model against die areas that makers state: two coefficients are fitted, each die is predicted by a fit that left it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from emu.chip.cost.area import DieArea, dies, given
from emu.chip.load import chip, chips

FITTED = ("a100", "h100", "mi300x", "mi355x", "mtia-v2", "maia-200", "tpu-v1", "tpu-v3")
"""Presets whose compute die has a published area; where one die serves several, one of them. TPU v1's and v3's are stated as upper ends."""
BESIDE = ("maia-100", "tpu-v4")
"""The same, of presets that came when the fit was made: predicted only."""


@dataclass(frozen=True)
class PublishedDie:
    """A die with its stated area, and what the model makes of it."""

    chip: str
    node_nm: float
    stated_mm2: float
    predicted_mm2: float
    """With the coefficients of tables.toml."""
    left_out_mm2: float | None
    """With coefficients fitted to the other dies; None where the die is in no fit."""

    @property
    def error(self) -> float:
        """Of the prediction that did not know this die."""
        return (self.predicted_mm2 if self.left_out_mm2 is None else self.left_out_mm2) / self.stated_mm2 - 1


@dataclass(frozen=True)
class _Row:
    """mm2 of a die = mac * of_mac + operand_byte * of_byte + fixed."""

    die: DieArea
    of_mac: float
    of_byte: float
    fixed: float

    def mm2(self, mac: float, operand_byte: float) -> float:
        return mac * self.of_mac + operand_byte * self.of_byte + self.fixed


def _row(name: str) -> _Row:
    die = dies(chip(name))[0]
    area = die.ground.area
    whole = 1 / (1 - given(area.control))  # control is a share of all the rest
    logic, operands = die.parts["matrix"] + die.parts["vector"], die.parts["operands"]
    rest = sum(mm2 for part, mm2 in die.parts.items() if part not in ("matrix", "vector", "operands", "control"))
    return _Row(die, logic * whole / given(area.mac), operands * whole / given(area.operand_byte), rest * whole)


def fit(names: Sequence[str] = FITTED) -> tuple[float, float]:
    """(`mac`, `operand_byte`), both >= 0, with the least sum of squared relative errors over these chips' compute dies."""
    return _fit([_row(name) for name in names])


def _fit(rows: Sequence[_Row]) -> tuple[float, float]:
    a = [(r.of_mac / r.die.stated, r.of_byte / r.die.stated, 1 - r.fixed / r.die.stated) for r in rows]
    mm, mb, bb = (sum(x[i] * x[j] for x in a) for i, j in ((0, 0), (0, 1), (1, 1)))
    my, by = (sum(x[i] * x[2] for x in a) for i in (0, 1))
    det = mm * bb - mb * mb
    mac, operand_byte = (my * bb - by * mb) / det, (by * mm - my * mb) / det
    if operand_byte < 0:
        return my / mm, 0.0
    return (mac, operand_byte) if mac > 0 else (0.0, by / bb)


def published() -> list[PublishedDie]:
    """Each published die beside its prediction; those of the fit by coefficients that were fitted without it."""
    rows = {name: _row(name) for name in (*FITTED, *(n for n in BESIDE if n in chips()))}
    found = []
    for name, row in rows.items():
        without = _fit([rows[n] for n in FITTED if n != name]) if name in FITTED else None
        left_out = None if without is None else row.mm2(*without)
        found.append(PublishedDie(name, row.die.node_nm, row.die.stated, row.die.predicted, left_out))
    return found
