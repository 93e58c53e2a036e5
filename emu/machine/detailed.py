"""A chip's device memory as `detailed` has it: its DRAM device at the chip's own rate, its channels, and the way to them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from emu.chip.dram import Device, devices
from emu.chip.dram import device as named
from emu.chip.dram.rate import FASTEST, SLOWEST, at_rate, clock_for, nominal_hz
from emu.chip.dram.rules import COMMANDS
from emu.chip.schema import Chip
from emu.errors import UnsupportedError
from emu.machine.dram.system import MAX_CHANNELS, tables

FS = 10**15
MAP = "streams"
BURSTS_OF_A_CHUNK = 4
"""As many as the map leaves in one row of a channel before it goes on to the next."""
EVENTS = {
    "ACT": "dram_activates", "RD": "dram_reads", "RDA": "dram_reads", "WR": "dram_writes", "WRA": "dram_writes",
    "REF": "dram_refreshes", "REFB": "dram_bank_refreshes",
}  # fmt: skip


@dataclass(frozen=True)
class Memory:
    """Chunks of bytes take turns among the channels; femtoseconds from a core to a controller, and back."""

    clock_hz: int
    rows: int
    device: Device
    channels: int
    chunk_bytes: int
    there_fs: int
    back_fs: int

    def arguments(self) -> tuple[dict[str, int], tuple[Any, ...]]:
        """As the compiled core takes them."""
        way = {"channels": self.channels, "tick_fs": self.device.tick_fs, "chunk_bytes": self.chunk_bytes, "there_fs": self.there_fs,
               "back_fs": self.back_fs}  # fmt: skip
        return way, tables(self.device, 1, MAP)


def memory(chip: Chip) -> Memory:
    """The memory of a chip that names its DRAM device; UnsupportedError for one that does not, or whose figures do not fit the device."""
    hbm = chip.hbm
    if hbm.device is None or hbm.channels is None:
        known = ", ".join(devices())
        raise UnsupportedError(
            f"{chip.name}: fidelity 'detailed' needs to know the DRAM device, and [hbm] names none; "
            f"add hbm.device (one of {known}) and hbm.channels, or use fidelity 'fast'"
        )
    return _memory(hbm.device, hbm.channels, hbm.bandwidth_bytes_per_s, hbm.capacity_bytes, hbm.access_bytes, round(hbm.latency_s * FS))


@lru_cache(maxsize=64)
def _memory(name: str, channels: int, bytes_per_s: int, capacity: int, access: int, latency_fs: int) -> Memory:
    base = named(name)
    clock, rows = _clock(base, channels, bytes_per_s), _rows(base, channels, capacity)
    d = at_rate(name, clock, rows)
    chunk = max(BURSTS_OF_A_CHUNK * d.burst_bytes, access)
    if access % d.burst_bytes or chunk % access:
        raise UnsupportedError(f"hbm.access = {access} B: expected a power-of-two multiple of the burst of {name}, {d.burst_bytes} B")
    if channels > MAX_CHANNELS:
        raise UnsupportedError(f"hbm.channels = {channels}: expected at most {MAX_CHANNELS}")
    there = max((latency_fs - closed_row_fs(d)) // 2, 2 * d.tick_fs)
    return Memory(clock, rows, d, channels, chunk, there, there)


def closed_row_fs(d: Device) -> int:
    """What a read of a closed row takes in the device alone."""
    opening = max(r.ticks for r in d.rules if r.level == "bank" and "ACT" in r.before and "RD" in r.after)
    return (opening + d.read_ticks) * d.tick_fs


def _clock(d: Device, channels: int, bytes_per_s: int) -> int:
    clock, nominal = clock_for(d, bytes_per_s, channels), nominal_hz(d)
    if not SLOWEST * nominal <= clock <= FASTEST * nominal:
        raise UnsupportedError(
            f"hbm.channels = {channels}: {bytes_per_s / 1e9:g} GB/s over so many channels of {d.name} want a clock of {clock / 1e9:.3f} "
            f"GHz, its table is for {nominal / 1e9:g} GHz; state the number of channels that the stacks have"
        )
    return clock


def _rows(d: Device, channels: int, capacity: int) -> int:
    """The table's rows, or twice as many until everything has a place."""
    rows = d.organisation.rows
    while channels * d.channel_bytes // d.organisation.rows * rows < capacity:
        rows *= 2
    return rows


def events(commands: list[int]) -> dict[str, int]:
    """Event -> count, from the core's list of commands by kind."""
    found = dict.fromkeys(EVENTS.values(), 0)
    for command, count in zip(COMMANDS, commands):
        if command in EVENTS:
            found[EVENTS[command]] += count
    return found
