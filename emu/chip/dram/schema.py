"""Schema of a device table: what stands in `devices/*.toml`. Latencies are formulas (`formula.py`), rules are lines (`rules.py`)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from emu.chip.fields import Bits, Bytes, Count, Hertz, Picojoules, Section, Watts

Text = Annotated[str, Field(min_length=1, max_length=400)]
Power2 = Annotated[Count, Field(le=1 << 24)]
Refresh = Literal["all_bank", "per_bank"]


class Clock(Section):
    """The clock in which the standard counts its timings."""

    rate_hz: Hertz = Field(gt=0, le=10**11)
    ticks: Annotated[Count, Field(le=4)]
    """Steps of a clock in which commands can be placed: 2 where row commands take half clocks."""


class Organisation(Section):
    """One channel; every count a power of two, a rank being what a standard calls rank or stack id."""

    pseudo: Power2
    """Pseudo-channels of a channel: own data, shared command wires."""
    ranks: Power2
    """Ranks (or stack ids) of a pseudo-channel."""
    groups: Power2
    """Bank groups of a rank."""
    banks: Annotated[Power2, Field(le=32)]
    """Banks of a group."""
    rows: Power2
    row_bytes: Bytes = Field(ge=8, le=1 << 20)
    """Bytes of a row of a bank, of all chips that work together."""
    width_bits: Bits = Field(ge=4, le=1024)
    """Data wires of a pseudo-channel."""
    burst: Annotated[Power2, Field(le=64)]
    """Transfers per wire of one RD or WR."""


class Data(Section):
    """From a command to the end of its data."""

    read: Text
    write: Text


class Bus(Section):
    """Command wires: commands on the same wires follow each other by the clocks that each takes."""

    row: dict[str, Text]
    column: dict[str, Text] = {}
    """Empty where column commands use the row commands' wires; those then stand in `row`."""
    half: list[str] = []
    """Commands that may begin in the middle of a clock."""


class RefreshIntervals(Section):
    """How often a rank is refreshed."""

    default: Refresh
    all_bank: Text | None = None
    """Between two REF of a rank; without it the device has none."""
    per_bank: Text | None = None
    """Between two REFB of a rank."""


class Energy(Section):
    """What a command costs, and what time costs. Either these figures, or `currents` from which they follow."""

    activate: Picojoules
    """An ACT and the PRE that follows it."""
    read: Picojoules
    write: Picojoules
    refresh: Picojoules
    """A REF of a whole rank."""
    refresh_bank: Picojoules
    active_w: Watts
    """A rank with a row open."""
    idle_w: Watts
    """A rank with all rows closed."""


class Currents(Section):
    """Supply currents of one chip as data sheets give them, in amperes. energy.py says which commands they price."""

    vdd: Annotated[float, Field(gt=0, le=10)]
    idd0: Annotated[float, Field(gt=0, le=100)]
    idd2n: Annotated[float, Field(gt=0, le=100)]
    idd3n: Annotated[float, Field(gt=0, le=100)]
    idd4r: Annotated[float, Field(gt=0, le=100)]
    idd4w: Annotated[float, Field(gt=0, le=100)]
    idd5: Annotated[float, Field(gt=0, le=100)]
    chips: Count
    """Chips that work together in a rank."""


class Table(Section):
    """A device table."""

    schema_version: Literal[1]
    name: Text
    title: Text
    standard: Literal["HBM2", "HBM2e", "HBM3", "HBM3e", "HBM4", "GDDR6", "LPDDR5", "DDR3", "DDR4"]
    note: Annotated[str, Field(max_length=2000)] = ""
    clock: Clock
    organisation: Organisation
    timing: dict[str, Text]
    """Named timings, each a formula over literals and timings above it."""
    data: Data
    bus: Bus
    refresh: RefreshIntervals
    rules: list[Text] = Field(min_length=1, max_length=200)
    energy: Energy | None = None
    currents: Currents | None = None
