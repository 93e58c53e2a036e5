"""What a user's instruction costs: `elements / exp_per_clk + 4`, in the grammar of emu.formula, exactly.

Names of extents, in both expressions: `elements` computed (of the destination; of d1 where the meaning is one of rows), `out` elements
written, `rows`, `width` = elements / rows. Names of the chip, in cycles: `lanes`, and the vector engine's `<class>_per_clk`; in energy:
`<event>_pj`, a price of the chip's [energy] table. Functions: max, min, ceil, floor. Numbers may say `clk`, `pJ` or `fJ`.

An expression becomes steps for a stack (csrc/engine/user.c), worked out once for each new combination of extents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Any

from emu.chip.schema import Chip
from emu.chip.vocabulary import CLASSES, PRICED_EVENTS
from emu.errors import ChipError, UnsupportedError, did_you_mean
from emu.formula import FormulaError, Parser

EXTENTS = ("elements", "out", "rows", "width")
STEPS = ("end", "number", "extent", "+", "-", "*", "/", "max", "min", "ceil", "floor")
MAX_STEPS = 48
CHIP_NAMES = {"cycles": ("lanes", *(f"{c}_per_clk" for c in CLASSES)), "energy": tuple(f"{e}_pj" for e in PRICED_EVENTS)}
UNITS = {"cycles": {"": Fraction(1), "clk": Fraction(1)}, "energy": {"": Fraction(1), "pJ": Fraction(1), "fJ": Fraction(1, 1000)}}

Step = tuple[str, Any]
"""Name of a step, and its number or name."""


class _Steps(Parser[list[Step]]):
    functions = ("max", "min", "ceil", "floor")
    what = "a name"

    def __init__(self, kind: str, text: object) -> None:
        self.kind, self.units = kind, tuple(unit for unit in UNITS[kind] if unit)
        self.example = f"{kind} such as {'elements / exp_per_clk + 4' if kind == 'cycles' else 'elements * 1.4 pJ'!r}"
        super().__init__(text)

    def number(self, text: str, unit: str) -> list[Step]:
        return [("number", Fraction(text) * UNITS[self.kind][unit])]

    def name(self, name: str) -> list[Step]:
        known = (*EXTENTS, *CHIP_NAMES[self.kind])
        if name not in known:
            raise FormulaError(f"{name!r} means nothing here; {did_you_mean(name, known)}")
        return [("extent" if name in EXTENTS else "chip", name)]

    def combine(self, sign: str, a: list[Step], b: list[Step]) -> list[Step]:
        return [*a, *b, (sign, None)]

    def call(self, function: str, values: list[list[Step]]) -> list[Step]:
        if function in ("ceil", "floor"):
            if len(values) != 1:
                raise FormulaError(f"{function}() takes one value, not {len(values)}")
            return [*values[0], (function, None)]
        steps = values[0]
        for value in values[1:]:
            steps = [*steps, *value, (function, None)]
        return steps


@dataclass(frozen=True)
class Cost:
    """One expression: cycles of the engine, or picojoules, of one execution of an instruction."""

    kind: str
    text: str
    steps: tuple[Step, ...]

    @classmethod
    def read(cls, kind: str, text: object) -> Cost:
        """From its text; a plain number will do. FormulaError says what is wrong."""
        if isinstance(text, (int, float)) and not isinstance(text, bool):
            text = repr(text)
        steps = _Steps(kind, text).parse()
        if len(steps) > MAX_STEPS:
            raise FormulaError(f"{str(text)!r:.60}: more than {MAX_STEPS} numbers, names and signs")
        return cls(kind, str(text), tuple(steps))

    def on(self, chip: Chip, who: str) -> list[Step]:
        """With the chip's own numbers in place of their names. UnsupportedError, ChipError: the chip lacks one."""
        return [("number", _of_chip(chip, name, who)) if step == "chip" else (step, name) for step, name in self.steps]

    def code(self, chip: Chip, who: str) -> list[int]:
        """The steps as the core takes them. UnsupportedError: a number is beyond 64 bits."""
        out: list[int] = []
        for step, value in self.on(chip, who):
            out.append(STEPS.index(step))
            if step == "number":
                if max(value.numerator, value.denominator) >= 1 << 62:
                    raise UnsupportedError(f"{who}: {self.kind} {self.text!r}: {float(value)} has too many digits")
                out += [value.numerator, value.denominator]
            elif step == "extent":
                out.append(EXTENTS.index(value))
        return [*out, STEPS.index("end")]

    def value(self, chip: Chip, extents: Mapping[str, int], who: str = "an instruction") -> Fraction:
        """What it comes to, exactly: the reference that the core is tested against."""
        stack: list[Fraction] = []
        for step, value in self.on(chip, who):
            if step == "number":
                stack.append(value)
            elif step == "extent":
                stack.append(Fraction(extents[value]))
            elif step in ("ceil", "floor"):
                stack.append(Fraction((ceil if step == "ceil" else floor)(stack.pop())))
            else:
                b, a = stack.pop(), stack.pop()
                stack.append({"+": a + b, "-": a - b, "*": a * b, "max": max(a, b), "min": min(a, b)}[step] if step != "/" else a / b)
        return stack[0]


def _of_chip(chip: Chip, name: str, who: str) -> Fraction:
    vector = chip.core.vector
    if name == "lanes":
        return Fraction(vector.lanes)
    if name.endswith("_per_clk"):
        rate = Fraction(int(vector.per_clk[name.removesuffix("_per_clk")] * 1000), 1000)  # type: ignore[index]  # as the engine takes it
        if rate <= 0:
            raise UnsupportedError(f"{who}: its cycles need {name}, and the vector engine of {chip.name} has no such class of operation")
        return rate
    event = name.removesuffix("_pj")
    if event not in chip.energy:
        text = f"{who}: its energy needs {name}, and {chip.name} gives no energy for {event}"
        raise ChipError(text, [text])
    return Fraction(repr(chip.energy[event]))
