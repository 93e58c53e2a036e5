"""A sample of measured rows that nobody chose: stratified by decade of size, in a decade those with the smallest SHA-256 of their key."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from emu.study.validate.rows import Row

LEAST = 3
"""Rows of a decade at least, where it has so many and so many are asked for."""


def sample(rows: Iterable[Row], count: int) -> list[Row]:
    """`count` rows (all, if there are fewer), smallest first; the same whatever the order in which they come."""
    strata: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        strata[row.decade].append(row)
    total = sum(map(len, strata.values()))
    if total <= count:
        return _in_order(r for s in strata.values() for r in s)
    least = min(LEAST, count // len(strata))
    quota = {d: min(len(s), max(least, count * len(s) // total)) for d, s in strata.items()}
    by_size = sorted(strata, key=lambda d: (-len(strata[d]), d))
    while (short := count - sum(quota.values())) != 0:
        step = 1 if short > 0 else -1
        able = [d for d in by_size if min(least, len(strata[d])) <= quota[d] + step <= len(strata[d])]
        for d in able[: abs(short)]:
            quota[d] += step
    return _in_order(r for d, s in strata.items() for r in sorted(s, key=lambda r: r.digest)[: quota[d]])


def _in_order(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda r: (r.flops, r.digest))
