"""Decode over a growing cache: steps are run at knots, and knots are added until the middle of every interval is where a straight line
between its ends puts it, to 0.1 % (SOUNDNESS 16)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from emu.chip.schema import Chip
from emu.power import Data
from emu.study.phase import Phase, Weighted
from emu.study.sample import Sample

TOLERANCE = 1e-3


def knots_of(first: int, last: int, step: Callable[[int], Sample]) -> dict[int, Sample]:
    """Samples at enough cache lengths between first and last."""
    found = {first: step(first)}
    if last == first:
        return found
    found[last] = step(last)
    open_ = [(first, last)]
    while open_:
        a, b = open_.pop()
        if b - a < 2:
            continue
        middle = (a + b) // 2
        found[middle] = step(middle)
        line = found[a].fs + (found[b].fs - found[a].fs) * (middle - a) / (b - a)
        if abs(found[middle].fs - line) > TOLERANCE * found[middle].fs:
            open_ += [(a, middle), (middle, b)]
    return dict(sorted(found.items()))


def weights_of(knots: list[int]) -> list[float]:
    """How many of the steps knots[0] .. knots[-1] each knot stands for when the steps between two knots are interpolated."""
    weights = [0.0] * len(knots)
    for j, (a, b) in enumerate(zip(knots, knots[1:])):
        n = b - a  # steps a .. b - 1
        weights[j] += (n + 1) / 2
        weights[j + 1] += (n - 1) / 2
    weights[-1] += 1.0
    return weights


def decode_phase(chip: Chip, first: int, last: int, step: Callable[[int], Sample], data: Data) -> Phase:
    """All steps from cache length `first` to `last` (lengths after the step)."""
    found = knots_of(first, last, step)
    weights = weights_of(list(found))
    listed: list[dict[str, Any]] = [{"kv_len": kv_len, "seconds": s.fs / 1e15} for kv_len, s in found.items()]
    return Phase(chip, [Weighted(s, w) for s, w in zip(found.values(), weights)], listed, data)
