"""A device: its table with every formula worked out in ticks. `energy.py` prices its commands, `maps.py` finds places in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from emu.chip.dram.energy import CommandEnergy
from emu.chip.dram.rules import COMMANDS, LEVELS, Rule
from emu.chip.dram.schema import Organisation
from emu.chip.provenance import Figure
from emu.errors import UnsupportedError, did_you_mean


@dataclass(frozen=True)
class Device:
    """One channel of a DRAM device. Times are ticks of `tick_fs` femtoseconds; `ticks_per_clock` of them are a clock of the standard."""

    name: str
    title: str
    standard: str
    tick_fs: int
    ticks_per_clock: int
    organisation: Organisation
    timing: Mapping[str, int]
    """Named timings in ticks."""
    rules: tuple[Rule, ...]
    """Those of the table, then what follows from shared command wires."""
    read_ticks: int
    write_ticks: int
    align: Mapping[str, int]
    intervals: Mapping[str, int]
    """Ticks between two refreshes of a rank, by kind of refresh that the device has."""
    default_refresh: str
    energy: CommandEnergy
    figures: Mapping[str, Figure] = field(repr=False)
    source: Mapping[str, Any] = field(repr=False)

    @property
    def burst_bytes(self) -> int:
        """Bytes that one RD or WR moves."""
        return self.organisation.width_bits * self.organisation.burst // 8

    @property
    def columns(self) -> int:
        """Bursts of a row."""
        return self.organisation.row_bytes // self.burst_bytes

    @property
    def burst_ticks(self) -> int:
        """Ticks for which a burst occupies the data wires of its pseudo-channel (timing `BL`)."""
        return self.timing["BL"]

    @property
    def banks(self) -> int:
        """Banks of a channel."""
        o = self.organisation
        return o.pseudo * o.ranks * o.groups * o.banks

    @property
    def channel_bytes(self) -> int:
        """Capacity of a channel."""
        return self.banks * self.organisation.rows * self.organisation.row_bytes

    @property
    def peak_bytes_per_s(self) -> float:
        """Bytes per second that a channel's data wires carry at most."""
        return self.organisation.pseudo * self.burst_bytes / (self.burst_ticks * self.tick_fs * 1e-15)

    def widths(self, channels: int = 1) -> dict[str, int]:
        """Address bits of each field."""
        o = self.organisation
        counts = {"column": self.columns, "bank": o.banks, "group": o.groups, "rank": o.ranks, "pseudo": o.pseudo, "row": o.rows,
                  "channel": channels}
        return {name: count.bit_length() - 1 for name, count in counts.items()}

    def interval_ticks(self, kind: str) -> int:
        """Ticks between refreshes of a rank; UnsupportedError for a kind that this device does not have."""
        if kind not in self.intervals:
            raise UnsupportedError(f"{self.name}: refresh {kind!r:.40}: not among this device's; {did_you_mean(str(kind), self.intervals)}")
        return self.intervals[kind]

    def assumed(self) -> list[str]:
        """Keys of the figures that nobody has published."""
        return sorted(key for key, figure in self.figures.items() if figure.tag == "assumed")

    def pairs(self) -> list[tuple[int, int, int, int, int, int]]:
        """The rules as the core takes them: (level, before, after, window, other, ticks) for every pair of commands."""
        return [(LEVELS.index(r.level), COMMANDS.index(a), COMMANDS.index(b), r.window, int(r.other), r.ticks)
                for r in self.rules for a in r.before for b in r.after]
