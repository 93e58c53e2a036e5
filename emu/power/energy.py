"""Joules of a run: sum over events of count x price, plus static watts x time.

A price is the chip's [energy] figure at the voltage of its clock, for data that toggles as it does. Energies are integer attojoules until
the end, so folded cores, skipped iterations and any regrouping give the same joules to the last digit. Floats appear only in the report,
cut so that its components sum to its total exactly in any order."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from emu.chip.vocabulary import EVENTS, OWN_PRICE_PJ, PRICED_EVENTS, UNPRICED_EVENTS
from emu.errors import ChipError, EmuError, did_you_mean
from emu.power import dram
from emu.power.supply import dynamic_factor, in_core_domain, static_watts

if TYPE_CHECKING:
    from emu.chip.schema import Chip

AJ_PER_PJ = 10**6
AJ_PER_J = 10**18
COMPONENTS = (*EVENTS, "static")


@dataclass(frozen=True)
class EnergyReport:
    """Joules of a run by component, in table order, and what they mean for the chip's power limit."""

    components: dict[str, float]
    """Joules; math.fsum, sum in any order, and `joules` agree to the last bit."""
    attojoules: dict[str, int]
    """The same before rounding to floats."""
    events: dict[str, int]
    """Attojoules of each event that happened."""
    seconds: float
    tdp_w: float
    chip: str
    static_w: float = 0.0
    """Watts of the component `static`: at the clock, voltage and temperature of the run."""

    @property
    def joules(self) -> float:
        """All of it."""
        return math.fsum(self.components.values())

    @property
    def watts(self) -> float:
        """Mean power; 0 for a run that took no time."""
        return self.joules / self.seconds if self.seconds else 0.0

    @property
    def above_tdp(self) -> str:
        """Empty, or the statement to print: nobody has lowered this run's clock, and power exceeds what the chip could sustain."""
        if self.watts <= self.tdp_w:
            return ""
        return (
            f"{self.chip}: mean power {self.watts:.0f} W is {self.watts / self.tdp_w - 1:.0%} above the TDP of {self.tdp_w:.0f} W; "
            "run for long, the real chip would lower its clock and take more time than stated"
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON; keys carry units."""
        return {
            "joules": self.joules, "watts": self.watts, "seconds": self.seconds, "tdp_w": self.tdp_w, "above_tdp": self.above_tdp,
            "static_w": self.static_w,
            "components_joules": dict(self.components),
            "events_joules": {event: aj / AJ_PER_J for event, aj in self.events.items()},
        }


Activity = Mapping[str, Fraction]
"""Event -> bits that toggle in it, relative to the data that the [energy] table is for; 1 where it says nothing."""


def energy(
    chip: Chip, counters: Mapping[str, int], seconds: float, activity: Activity | None = None, chips: int = 1
) -> EnergyReport:
    """The energy of a run from its counters, on `chip` at the clock it ran at. An event that happened but has no price in the chip file is
    an error, never zero. `counters` are those of all `chips`; so are the joules, the watts and the limit."""
    _check(chip, counters, seconds)
    price = prices(chip, activity or {})
    if any(counters.get(e) for e in dram.EVENTS):
        byte = price["hbm_burst_bytes"]
        price |= dram.command_prices(chip, byte, Fraction(byte, max(1, _attojoules(chip.energy["hbm_burst_bytes"]))))
    events = {e: counters[e] * price[e] for e in (*PRICED_EVENTS, *OWN_PRICE_PJ, *dram.EVENTS) if counters.get(e)}
    exact = {component: sum(events.get(e, 0) for e in names) for component, names in EVENTS.items()}
    exact["hbm"] += sum(events.get(e, 0) for e in dram.EVENTS)
    static_w = chips * static_watts(chip)
    exact["static"] = round(Fraction(static_w) * Fraction(seconds) * AJ_PER_J)
    return EnergyReport(_rounded(exact), exact, events, seconds, chips * chip.power.tdp_w, chip.name, static_w)


def expected_watts(report: EnergyReport, chip: Chip, clock_hz: int) -> float:
    """About what the events of a run at the chip's clock draw at another one: as if all of its time went with the clock."""
    full, dvfs = chip.core.clock_hz, chip.power.dvfs
    if dvfs is None or not report.seconds:
        return report.watts
    volts = (dvfs.volts(clock_hz) / dvfs.volts(full)) ** 2
    joules = sum(j * (volts if in_core_domain(chip, name) else 1) for name, j in report.components.items() if name != "static")
    return joules / (report.seconds * full / clock_hz) + static_watts(chip, clock_hz)


def prices(chip: Chip, activity: Activity) -> dict[str, int]:
    """Attojoules of each event that the chip prices: count x price stays linear and exact whatever the voltage and the data."""
    result = {}
    for component, names in EVENTS.items():
        volts = dynamic_factor(chip, component)
        share = Fraction(chip.toggling.get(component, 0.0))  # type: ignore[call-overload]
        for event in names:
            pj = OWN_PRICE_PJ.get(event, chip.energy.get(event))
            if pj is not None:
                factor = volts * (1 + share * (activity.get(event, Fraction(1)) - 1))
                result[event] = round(_attojoules(pj) * factor) if factor != 1 else _attojoules(pj)
    return result


def _check(chip: Chip, counters: Mapping[str, int], seconds: float) -> None:
    if not (math.isfinite(seconds) and seconds >= 0):
        raise EmuError(f"energy: seconds must be finite and >= 0, got {seconds!r}")
    known = {*PRICED_EVENTS, *OWN_PRICE_PJ, *UNPRICED_EVENTS, *dram.EVENTS, *dram.FREE}
    unknown = sorted({e for e, n in counters.items() if n} - known)
    if unknown:
        raise EmuError(f"energy: {unknown[0]!r} is no event; {did_you_mean(unknown[0], known)}")
    negative = sorted(e for e, n in counters.items() if n < 0)
    if negative:
        raise EmuError(f"energy: the count of {negative[0]} is negative: {counters[negative[0]]}")
    missing = [e for e in PRICED_EVENTS if counters.get(e) and e not in chip.energy]
    if missing:
        lines = [f"{chip.name}: energy.{e}: {counters[e]} of these happened, but the chip file gives no energy for them" for e in missing]
        example = f'{missing[0]} = {{value = "1 pJ", tag = "assumed", source = "..."}}'
        advice = f'add under [energy]: {example}; "0 pJ" needs a source that says why it costs nothing'
        raise ChipError("\n  ".join([*lines, advice]), lines)


def _attojoules(pj: float) -> int:
    return round(pj * AJ_PER_PJ)


def _rounded(exact: Mapping[str, int]) -> dict[str, float]:
    """Joules as floats whose every partial sum is exact: all are multiples of one power of two that the total leaves room for."""
    total = sum(exact.values())
    if not total:
        return dict.fromkeys(exact, 0.0)
    grain = Fraction(2) ** (math.frexp(total / AJ_PER_J)[1] - 51)
    return {name: float(round(Fraction(aj, AJ_PER_J) / grain) * grain) for name, aj in exact.items()}
