"""What each suite has to beat: plain models with three constants, refitted to the very rows they are judged on.

Time: launch + the larger of FLOP over a share of the peak and bytes over a share of the bandwidth. Power: static watts + joules per FLOP
and per byte times their rates. Collectives: launch + a hop for each round + bytes on the wire over one bandwidth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from emu.chip import chip as preset
from emu.study.validate.rows import Row, format_name

Array = NDArray[np.float64]
STARTS = ((2e-6, 0.7, 0.8), (8e-6, 0.4, 0.6), (2e-5, 0.2, 0.3))
STEPS = 60
"""Of the search, each half as wide as the one before once nothing improves."""


@cache
def _peaks(chip: str, dtype: str) -> tuple[float, float]:
    c = preset(chip)
    return c.peak_flops(format_name(dtype)), float(c.hbm.bandwidth_bytes_per_s)


def _columns(rows: Sequence[Row]) -> tuple[Array, Array, Array]:
    """Seconds at the peak rate, seconds at the peak bandwidth, what was measured."""
    peaks = [_peaks(r.chip, str(r["dtype"])) for r in rows]
    compute = np.array([r.flops / p for r, (p, _) in zip(rows, peaks)])
    memory = np.array([r.bytes / b for r, (_, b) in zip(rows, peaks)])
    return compute, memory, np.array([r.measured for r in rows])


def _search(cost: Callable[[Array], float], start: tuple[float, ...]) -> tuple[float, Array]:
    """Least cost by steps along the axes of log-scaled constants; the same on every machine."""
    best, step = np.log(np.array(start)), 0.7
    least = cost(best)
    for _ in range(STEPS):
        moved = False
        for axis in range(len(best)):
            for sign in (step, -step):
                there = best.copy()
                there[axis] += sign
                if (c := cost(there)) < least - 1e-12:
                    best, least, moved = there, c, True
        if not moved:
            step /= 2
    return least, best


def roofline(rows: Sequence[Row]) -> tuple[float, dict[str, float]]:
    """Mean error of the three-constant roofline with its best constants, and these."""
    compute, memory, measured = _columns(rows)

    def cost(logs: Array) -> float:
        launch, tensor, bandwidth = np.exp(logs)
        return float(np.mean(np.abs((launch + np.maximum(compute / tensor, memory / bandwidth)) / measured - 1)))

    least, logs = min((_search(cost, start) for start in STARTS), key=lambda found: found[0])
    launch, tensor, bandwidth = (float(v) for v in np.exp(logs))
    return least, {"launch_s": launch, "tensor_fraction": tensor, "bandwidth_fraction": bandwidth}


def linear_power(rows: Sequence[Row]) -> tuple[float, dict[str, float]]:
    """Mean error of the linear model of power with its best constants (least mean error from the least-squares start), and these."""
    rate = np.array([[1.0, r.flops / r.seconds, r.bytes / r.seconds] for r in rows])
    measured = np.array([r.measured for r in rows])
    scale = np.abs(rate).max(axis=0)
    start = np.linalg.lstsq(rate / scale / measured[:, None], np.ones(len(rows)), rcond=None)[0]
    start = tuple(np.maximum(start, 1e-3 * np.abs(start).max() + 1e-12))

    def cost(logs: Array) -> float:
        return float(np.mean(np.abs((rate / scale) @ np.exp(logs) / measured - 1)))

    least, logs = _search(cost, start)
    static, per_flop, per_byte = (float(v) for v in np.exp(logs) / scale)
    return least, {"static_w": static, "joules_per_flop": per_flop, "joules_per_byte": per_byte}


def rounds_and_bytes(rows: Sequence[Row]) -> tuple[float, dict[str, float]]:
    """Of collectives: launch + rounds x hop + bytes on the wire over a bandwidth, one of each for all operations."""
    rounds = np.array([(2 if r["op"] == "all_reduce" else 1) * (r.whole("chips") - 1.0) for r in rows])
    wire, measured = np.array([float(r.bytes) for r in rows]), np.array([r.measured for r in rows])

    def cost(logs: Array) -> float:
        launch, hop, bandwidth = np.exp(logs)
        return float(np.mean(np.abs((launch + rounds * hop + wire / bandwidth) / measured - 1)))

    starts = ((5e-6, 1e-6, 2e11), (1e-5, 3e-6, 1e11))
    least, logs = min((_search(cost, start) for start in starts), key=lambda found: found[0])
    launch, hop, bandwidth = (float(v) for v in np.exp(logs))
    return least, {"launch_s": launch, "hop_s": hop, "bandwidth_bytes_per_s": bandwidth}


MODELS = {"collective": rounds_and_bytes, "gemm": roofline, "attention": roofline, "power": linear_power}


def reference(rows: Sequence[Row]) -> tuple[float, dict[str, float]]:
    """Mean error of the plain model of these rows' kind, and its constants. Nothing can be said of fewer rows than constants, and of
    kinds whose laws are themselves plain: single instructions, and memory's plateaus."""
    return MODELS[rows[0].kind](rows) if len(rows) > 3 and rows[0].kind in MODELS else (float("nan"), {})
