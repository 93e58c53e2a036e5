"""Clock and voltage of a chip: the grid of clocks it may run at, the chip as it is at one of them, and what that does to prices and watts.

Dynamic energy of the core's domain goes with the square of the voltage; device memory has a supply of its own. Leakage follows the usual
first-order law of subthreshold current, V exp(k_v dV + k_T dT) (drain-induced barrier lowering and threshold shift; Weste and Harris, CMOS
VLSI Design, section 2.4.4); a chip file gives the coefficients. Each is relative to the nominal point at which the file's figures hold."""

from __future__ import annotations

import math
from fractions import Fraction

from emu.chip.schema import Chip
from emu.errors import UnsupportedError

CORE = ("matrix", "vector", "sram", "acc", "user", "instructions")
"""Components of the energy report that are in the core's domain on every chip; `shared` and `noc` are where the chip says so."""


def clocks(chip: Chip) -> range:
    """The clocks in Hz that the chip may run at, rising, its full clock last. A chip without [power.dvfs] has that one alone."""
    full, dvfs = chip.core.clock_hz, chip.power.dvfs
    if dvfs is None:
        return range(full, full + 1)
    steps = max(0, full - dvfs.lowest_hz) // dvfs.step_hz
    return range(full - steps * dvfs.step_hz, full + 1, dvfs.step_hz)


def at_clock(chip: Chip, clock_hz: int) -> Chip:
    """The chip with its core, and what shares its domain, at another clock; device memory, links and host are as they were."""
    full = chip.core.clock_hz
    if clock_hz == full:
        return chip
    dvfs = chip.power.dvfs
    changes: dict[str, str] = {"core.clock": f"{clock_hz} Hz"}
    for level in chip.levels:
        if dvfs is None or level.name not in dvfs.with_core:
            continue
        changes[f"levels.{level.name}.bandwidth"] = f"{max(1, level.bandwidth_bytes_per_s * clock_hz // full)} B/s"
        changes[f"levels.{level.name}.latency"] = f"{level.latency_s * full / clock_hz!r} s"
        if level.latency_far_s is not None:
            changes[f"levels.{level.name}.latency_far"] = f"{level.latency_far_s * full / clock_hz!r} s"
    stated = "bisection" in chip._stated.get("noc", {})
    if stated and dvfs is not None and "noc" in dvfs.with_core:
        changes["noc.bisection"] = f"{max(1, chip.noc.bisection_bytes_per_s * clock_hz // full)} B/s"
    return chip.vary(changes)


def in_core_domain(chip: Chip, component: str) -> bool:
    """Whether a component's voltage is the core's."""
    dvfs = chip.power.dvfs
    if dvfs is None:
        return False
    if component == "shared":
        return any(level.name in dvfs.with_core for level in chip.levels if level.scope == "chip")
    return component in CORE or (component == "noc" and "noc" in dvfs.with_core)


def dynamic_factor(chip: Chip, component: str) -> Fraction:
    """What the voltage at the chip's clock makes of the price of the component's events: (V / V nominal) squared, or 1."""
    dvfs = chip.power.dvfs
    if dvfs is None or not in_core_domain(chip, component):
        return Fraction(1)
    return (Fraction(dvfs.volts(chip.core.clock_hz)) / Fraction(dvfs.volts(dvfs.nominal_hz))) ** 2


def static_watts(chip: Chip, clock_hz: int | None = None) -> float:
    """Watts burned whatever happens, at a clock (the chip's) and its voltage, and at the chip's temperature."""
    power, dvfs = chip.power, chip.power.dvfs
    if dvfs is None:
        return power.static_w
    clock = chip.core.clock_hz if clock_hz is None else clock_hz
    volts, nominal = dvfs.volts(clock), dvfs.volts(dvfs.nominal_hz)
    warmer = 0.0 if dvfs.temperature_degc is None else dvfs.temperature_degc - dvfs.nominal_temperature_degc
    leaks = volts / nominal * math.exp(dvfs.leakage_per_volt * (volts - nominal) + dvfs.leakage_per_kelvin * warmer)
    ticks = (volts / nominal) ** 2 * clock / dvfs.nominal_hz
    if leaks == ticks == 1:
        return power.static_w
    return power.static_w + dvfs.leakage_w * (leaks - 1) + dvfs.clock_tree_w * (ticks - 1)


def named_clock(chip: Chip, clock: float | str | None) -> int | None:
    """A clock that was asked for, in Hz: a number, text such as "1.5 GHz", `max` for the full clock, or None (left to the power cap)."""
    from emu.chip import units

    if clock is None:
        return None
    full, lowest = chip.core.clock_hz, clocks(chip)[0]
    if clock == "max":
        return full
    try:
        hz = int(units.parse(clock, "hz")) if isinstance(clock, str) else round(clock)
    except (ValueError, TypeError, OverflowError) as error:
        raise UnsupportedError(f"clock {clock!r}: {error}; give Hz, text such as '1.5 GHz', or 'max'") from None
    if isinstance(clock, bool) or not lowest <= hz <= full:
        span = f"{lowest / 1e9:g} to {full / 1e9:g} GHz"
        raise UnsupportedError(f"clock {clock!r}: {chip.name} runs at {span} (power.dvfs.curve, core.clock)")
    return hz
