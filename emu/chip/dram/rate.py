"""A device at another data rate and of another size: what a chip's own bandwidth and capacity make of a standard's table."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

from emu.chip.dram.device import Device
from emu.chip.dram.load import device, vary

IN_CLOCKS = ("BL", "CCDS")
"""What lasts as many clocks at every rate: a burst, and the distance of bursts that only the data wires ask for."""
SLOWEST, FASTEST = Fraction(1, 4), Fraction(5, 4)
"""Of the table's clock: further away its timings say nothing."""


def clock_for(d: Device, bytes_per_s: int, channels: int) -> int:
    """The clock in Hz, rounded down, at which so many channels have this peak."""
    per_clock = Fraction(d.organisation.pseudo * d.burst_bytes * d.ticks_per_clock, d.burst_ticks)
    return int(bytes_per_s / (channels * per_clock))


def nominal_hz(d: Device) -> int:
    """The clock that the device's table states."""
    return round(10**15 / (d.tick_fs * d.ticks_per_clock))


@lru_cache(maxsize=64)
def at_rate(name: str, clock_hz: int, rows: int) -> Device:
    """A device that comes with emu at another clock, with so many rows. Row and bank timings keep their ns, rounded up to whole clocks."""
    d = device(name)
    if abs(clock_hz - nominal_hz(d)) <= 1 and rows == d.organisation.rows:
        return d
    changes: dict[str, object] = {"clock.rate": f"{clock_hz} Hz", "organisation.rows": rows}
    for key, ticks in d.timing.items():
        if key not in IN_CLOCKS:
            changes[f"timing.{key}"] = f"{ticks * d.tick_fs / 10**6:.6f} ns"
    return vary(d, changes)
