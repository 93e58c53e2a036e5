"""Dies on a wafer, and how many of them are good.

Yield is the negative binomial of Stapper: defects fall on a die by Poisson's law with a rate that varies from die to die by a gamma
distribution (`clustering` is its shape). A defect in a core costs that core, and a die with enough cores left is sold (harvested);
a defect anywhere else costs the die."""

from __future__ import annotations

import math

from emu.errors import UnsupportedError

MAX_DEFECTS = 20_000  # terms of a sum; so many on one die is no process
MAX_WORK = 20_000_000  # terms times spare cores
MAX_ROWS = 20_000  # of dies on a wafer
REST = 1e-12  # of the dies, whose number of defects is not looked at


def dies_per_wafer(die_mm2: float, diameter_mm: float, edge_mm: float, scribe_mm: float) -> int:
    """Whole square dies in the usable circle, by the best of four ways to lay the grid over its centre."""
    pitch, radius = math.sqrt(die_mm2) + scribe_mm, diameter_mm / 2 - edge_mm
    if radius > MAX_ROWS / 2 * pitch:
        raise UnsupportedError(f"dies of {die_mm2:.3g} mm2 on a wafer of {diameter_mm:.4g} mm: over {MAX_ROWS} in a row are not counted")
    return max(_on_grid(pitch, radius, x, y) for x in (0.0, 0.5) for y in (0.0, 0.5))


def _on_grid(pitch: float, radius: float, shift_x: float, shift_y: float) -> int:
    """Squares of the grid (i + shift) * pitch whose four corners lie in the circle."""
    count, most = 0, math.ceil(radius / pitch) + 1
    for row in range(-most, most + 1):
        low = (row + shift_y) * pitch
        height = max(abs(low), abs(low + pitch))
        if height > radius:
            continue
        half = math.sqrt(radius * radius - height * height) / pitch
        count += max(0, math.floor(half - shift_x) - math.ceil(-half - shift_x))
    return count


def die_yield(die_mm2: float, defects_per_cm2: float, clustering: float, cores: int = 0, needed: int = 0, core_share: float = 0.0) -> float:
    """Share of dies that are good: no defect outside the cores, and at least `needed` of `cores` untouched.

    Cores are `core_share` of the die together. Without cores, or with none to spare, this is (1 + A D / alpha) ** -alpha."""
    mean = die_mm2 / 100 * defects_per_cm2
    each = core_share / cores if cores else 0.0
    spare = cores - needed if cores else 0
    if mean > MAX_DEFECTS or mean * (spare + 1) > MAX_WORK:
        raise UnsupportedError(f"cost.defects: {mean:.3g} defects on a die of {die_mm2:.4g} mm2 are more than this sum goes to")
    so_many = math.exp(-clustering * math.log1p(mean / clustering))  # of dies that have k defects, here none
    bad = [1.0] + [0.0] * spare  # probability that k defects hit j different cores and nothing else
    good, seen, k = so_many, so_many, 0
    while 1 - seen > REST and sum(bad) > REST:
        k += 1
        if k > MAX_DEFECTS:
            raise UnsupportedError(f"cost.defects: {mean:.3g} defects on a die of {die_mm2:.4g} mm2 are more than this sum goes to")
        so_many *= (clustering + k - 1) / k * mean / (clustering + mean)
        seen += so_many
        bad = [bad[j] * j * each + (bad[j - 1] * (cores - j + 1) * each if j else 0.0) for j in range(spare + 1)]
        good += so_many * sum(bad)
    return good
