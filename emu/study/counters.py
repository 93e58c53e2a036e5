"""Bandwidth and watts over a run's time, from what its operations moved and spent in all.

The engine counts events by operation, not by instruction. So an operation's joules are spread evenly over the time its instructions are
under way, and its bytes over that of its transfers, as their fair shares of the memory: the sums are exact, a moment is a mean. Static
watts are there all the time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emu.power import Data, activity_of, energy
from emu.report.trace import Counter, TraceRecord

if TYPE_CHECKING:
    from emu.machine import Run

BINS = 600
MOVES = ("ld", "st")
"""Streams whose instructions move bytes."""


def counters_of(run: Run, records: Sequence[TraceRecord], data: Data, offset_fs: int) -> list[Counter]:
    """Device memory in bytes/s and the chip in watts, as means over BINS equal stretches of the run."""
    edges = np.linspace(0, run.end_fs, BINS + 1)
    bytes_of = {row["name"]: _bytes(row["counters"]) for row in run.labels}
    activity = activity_of(run.program, run.counters, data)
    joules_of = {row["name"]: energy(run.chip, row["counters"], 0.0, activity).joules for row in run.labels}
    moving = [r for r in records if r.stream.startswith(MOVES)]
    static_w = energy(run.chip, {}, 1.0).static_w
    rates = {"device memory, B/s": (spread(moving, bytes_of, edges, True), 0.0), "power, W": (spread(records, joules_of, edges), static_w)}
    times = [offset_fs + round(float(edge)) for edge in edges[:-1]]
    end = offset_fs + run.end_fs
    return [
        Counter(name, [*((at, float(v) + base) for at, v in zip(times, values)), (end, 0.0)]) for name, (values, base) in rates.items()
    ]


def _bytes(counters: Mapping[str, int]) -> int:
    return counters.get("hbm_read_bytes", 0) + counters.get("hbm_write_bytes", 0)


def spread(records: Sequence[TraceRecord], total_of: Mapping[str, Any], edges: np.ndarray, shared: bool = False) -> np.ndarray:
    """Mean rate per second in each bin when each operation's total is spread over its records: evenly over the time they last or, if they
    have `shared` one server, in proportion to their fair shares of it. What has no record is left out."""
    if not records:
        return np.zeros(len(edges) - 1)
    start, end = (np.array([getattr(r, name) for r in records], dtype=np.float64) for name in ("start_fs", "end_fs"))
    end = np.maximum(end, start + 1)
    times = np.concatenate([start, end])
    order = np.argsort(times, kind="stable")
    at, long = times[order], np.diff(times[order])
    active = np.cumsum(np.repeat([1, -1], len(start))[order])[:-1] if shared else np.ones(len(long))
    share = np.divide(1.0, active, out=np.zeros(len(long)), where=active > 0)
    served = np.concatenate([[0.0], np.cumsum(share * long)])  # time that one record has had of the server
    names = {name: j for j, name in enumerate(dict.fromkeys(r.op_name for r in records))}
    which = np.array([names[r.op_name] for r in records])
    totals = np.array([float(total_of.get(name, 0)) for name in names])
    weight = (totals / np.bincount(which, np.interp(end, at, served) - np.interp(start, at, served)))[which]
    level = np.cumsum(np.concatenate([weight, -weight])[order])[:-1] * share
    done = np.concatenate([[0.0], np.cumsum(level * long)])  # what has happened at each event
    found: np.ndarray = np.diff(np.interp(edges, at, done)) / np.diff(edges) * 1e15
    return found
