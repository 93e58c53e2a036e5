"""What a chip's memory does to a program: latency and bandwidth by footprint, bandwidth by bytes in flight and by descriptors.

Each figure is the difference of two runs of a program of `emu/kernels/probes.py`, one longer than the other: what starting costs and what a
first pass finds cold is in both."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from emu.chip.schema import Chip
from emu.errors import UnsupportedError
from emu.kernels import probes
from emu.machine import Machine, Run

SMALL, LARGE = 4 << 10, 16 << 10
"""Bytes of a tile of the bandwidth sweep."""
LONG = 256
"""Tiles that a core reads at least while it is timed: the ends of the two runs differ by less than a percent of that."""


@lru_cache(1)  # the two runs of a point; a ring is as large as its footprint
def _ring(footprint_bytes: int) -> NDArray[np.int32]:
    return probes.ring(footprint_bytes)


def load_latency_s(chip: Chip, footprint_bytes: int) -> float:
    """Seconds of one load of a pointer chase through so many bytes (whole lines), when it has passed all of them before."""
    footprint = max(probes.LINE, footprint_bytes // probes.LINE * probes.LINE)
    once = footprint // probes.LINE
    ring = _ring(footprint)
    short, long = (Machine(chip).run(probes.chase(footprint, n * once), {"ring": ring}, values=False).end_fs for n in (1, 2))
    return (long - short) / once / 1e15


def _shape(chip: Chip, footprint_bytes: int) -> tuple[int, int]:
    """Bytes of a tile, and tiles: near the footprint, so many more than a multiple of the cores that each time round a tile is read on
    another die."""
    cores = chip.core_count
    dies = next((s.count for s in chip.scopes if s.name == "die"), 2)
    tile = LARGE if footprint_bytes >= 4 * cores * LARGE else SMALL
    return tile, max(0, round(footprint_bytes / tile / cores - 1 / dies)) * cores + cores // dies


def read_bandwidth(chip: Chip, footprint_bytes: int) -> tuple[float, int]:
    """Bytes per second that all cores together read of so many bytes that all of them use, and the bytes it really was (whole tiles)."""
    tile, tiles = _shape(chip, footprint_bytes)
    dies = next((s.count for s in chip.scopes if s.name == "die"), 1)
    held = sum(level.capacity_bytes * dies for level in chip.levels if level.scope == "die")
    rounds = dies if tiles * tile <= 2 * held else 1  # until each die has read what it can hold
    first = -(-rounds * tiles // chip.core_count) + 1
    more = max(LONG, first)
    ends = [Machine(chip).run(probes.sweep(chip.core_count, tile, tiles, n), values=False).end_fs for n in (first, first + more)]
    return more * tile * chip.core_count * 1e15 / (ends[1] - ends[0]), tile * tiles


def window_bandwidth(chip: Chip, tile_bytes: int, depth: int, each: int = 16) -> float:
    """Bytes per second of all cores together, each with `depth` transfers of so many bytes under way, from device memory."""
    ends = [Machine(chip).run(probes.window(chip.core_count, tile_bytes, depth, n), values=False).end_fs for n in (each, 2 * each)]
    return each * tile_bytes * chip.core_count * 1e15 / (ends[1] - ends[0])


def _blocks(chip: Chip, row_bytes: int, each: int) -> Run:
    """Blocks of a row for each partition of the scratchpad into one core, one after the other: a run with its records."""
    parts = chip.core.sram.partitions
    if not parts:
        raise UnsupportedError(f"{chip.name}: its scratchpad has no partitions (core.sram.partitions), which this probe fills row by row")
    program = probes.partitions(parts, row_bytes, chip.core.sram.capacity_bytes // parts, each)
    return Machine(chip).run(program, values=False, trace=True)


def partition_bandwidth(chip: Chip, row_bytes: int, each: int = 8) -> float:
    """Bytes per second of one core that reads such blocks."""
    ends = [_blocks(chip, row_bytes, n).end_fs for n in (each, 2 * each)]
    return each * row_bytes * chip.core.sram.partitions * 1e15 / (ends[1] - ends[0])


def block_s(chip: Chip, row_bytes: int) -> float:
    """Seconds in which the bytes of one block move."""
    (first,) = [r for r in _blocks(chip, row_bytes, 1).records() if r.stream == "ld0"]
    return (first.end_fs - first.start_fs) / 1e15


def start_s(chip: Chip, row_bytes: int) -> float:
    """Seconds from the end of the instruction whose semaphore a transfer waits for to its first byte."""
    records = _blocks(chip, row_bytes, 1).records()
    signalled, begun = (next(r for r in records if r.stream == stream) for stream in ("vec", "ld0"))
    return (begun.start_fs - signalled.end_fs) / 1e15


def issue_s(chip: Chip, row_bytes: int) -> float:
    """Seconds from one transfer of a queue to the next, where their bytes do not hold them up."""
    begun = [r.start_fs for r in _blocks(chip, row_bytes, 9).records() if r.stream == "ld0"]
    return (begun[-1] - begun[0]) / (len(begun) - 1) / 1e15


def _window(chip: Chip, in_flight_bytes: int) -> float:
    """Two transfers of half the bytes each; one of 512 B, which is TMA's shortest row."""
    depth = 2 if in_flight_bytes > 512 else 1
    return window_bandwidth(chip, in_flight_bytes // depth, depth)


PROBES: dict[str, Callable[[Chip, int], float]] = {
    "chase": load_latency_s, "sweep": lambda chip, size: read_bandwidth(chip, size)[0], "window": _window,
    "partitions": partition_bandwidth, "block": block_s, "start": start_s, "issue": issue_s,
}  # fmt: skip
"""By name: seconds, or bytes per second, of a chip at the bytes that the probe is about."""
