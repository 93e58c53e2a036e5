"""Schema of the supply: watts that do not depend on events, the power cap, and how voltage follows the core clock."""

from __future__ import annotations

from bisect import bisect_right
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from emu.chip import units
from emu.chip.fields import Celsius, Hertz, Section, Volts, Watts

PerUnit = Annotated[float, BeforeValidator(lambda v: float(units.plain(v, whole=False))), Field(ge=0, le=100)]


class Point(Section):
    """One point of the voltage-frequency curve."""

    clock_hz: Hertz = Field(gt=0, le=10**11)
    voltage_v: Volts = Field(gt=0, le=10)


class Dvfs(Section):
    """How the core's voltage follows its clock, and what of the static watts depends on them.

    Dynamic energy of the core's domain goes with the square of the voltage. Static watts are three parts: leakage, which grows as
    V exp(leakage_per_volt dV + leakage_per_kelvin dT); the clock tree, as V squared times the clock; the rest, which stays."""

    curve: list[Point] = Field(min_length=1, max_length=64)
    """Rising clocks; the first is the lowest the chip runs at. Beyond the last one the last segment goes on."""
    step_hz: Hertz = Field(ge=10**6)
    """Grid of clocks below the core clock among which the power cap chooses."""
    nominal_hz: Hertz = Field(gt=0, le=10**11)
    """Clock at whose voltage [energy] and `static` hold."""
    with_core: list[str] = []
    """Levels by name, and `noc`, whose clock and voltage are the core's; device memory never is."""
    leakage_w: Watts = 0.0
    """Part of `static`: at the nominal voltage and temperature."""
    clock_tree_w: Watts = 0.0
    """Part of `static`: at the nominal clock and voltage."""
    leakage_per_volt: PerUnit = 0.0
    leakage_per_kelvin: PerUnit = 0.0
    nominal_temperature_degc: Celsius = 60.0
    """Junction temperature at which `static` holds."""
    temperature_degc: Celsius | None = None
    """Junction temperature of the run; the nominal one unless given."""

    @model_validator(mode="after")
    def _rising(self) -> Dvfs:
        for below, above in zip(self.curve, self.curve[1:]):
            if above.clock_hz <= below.clock_hz:
                raise ValueError(f"curve: clocks must rise, but {above.clock_hz} Hz follows {below.clock_hz} Hz")
            if above.voltage_v < below.voltage_v:
                falls = f"{above.voltage_v} V at {above.clock_hz} Hz follows {below.voltage_v} V"
                raise ValueError(f"curve: voltage must not fall, but {falls}")
        return self

    @property
    def lowest_hz(self) -> int:
        """The lowest clock of the curve."""
        return self.curve[0].clock_hz

    def volts(self, clock_hz: float) -> float:
        """Core voltage at a clock, by straight lines between the points; below the curve its first voltage."""
        points = self.curve
        if clock_hz <= points[0].clock_hz or len(points) == 1:
            return points[0].voltage_v
        j = min(bisect_right([p.clock_hz for p in points], clock_hz), len(points) - 1)
        a, b = points[j - 1], points[j]
        return a.voltage_v + (b.voltage_v - a.voltage_v) * (clock_hz - a.clock_hz) / (b.clock_hz - a.clock_hz)


class Power(Section):
    """Watts that do not depend on events, and the limits."""

    tdp_w: Watts = Field(gt=0)
    cap_w: Annotated[Watts, Field(gt=0)] | None = None
    """Mean power that steady work is held to by lowering the clock; the TDP unless given. Needs `dvfs`."""
    idle_w: Watts
    static_w: Watts
    """Leakage, clock tree and what else is burned whenever the chip is on, at the nominal clock."""
    typical_w: Watts | None = None
    all_in_w: Watts | None = None
    """Share of server, network and cooling included."""
    dvfs: Dvfs | None = None
    """Without it the clock stays as it is, and reports say where power exceeds the TDP."""

    @property
    def limit_w(self) -> float:
        """The cap in force."""
        return self.tdp_w if self.cap_w is None else self.cap_w

    @model_validator(mode="after")
    def _parts(self) -> Power:
        if self.dvfs and self.dvfs.leakage_w + self.dvfs.clock_tree_w > self.static_w:
            raise ValueError("dvfs: leakage and clock_tree are parts of static, and cannot exceed it together")
        if self.cap_w is not None and self.dvfs is None:
            raise ValueError("cap: without [power.dvfs] nothing says how the clock could be lowered to meet it")
        return self


Component = Literal["matrix", "vector", "sram", "acc", "hbm", "shared", "noc", "links", "instructions"]
"""Of the energy report; emu.chip.vocabulary.EVENTS lists the events of each."""
