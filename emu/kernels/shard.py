"""How work is dealt out: contiguous balanced shares along up to three axes of a grid of cores, as per-core constants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from emu.errors import UnsupportedError
from emu.kernels.lang import Const, Tracer


@dataclass(frozen=True)
class Share:
    """A core's part of an axis: `count` units from `first`."""

    first: Const
    count: Const


def grid(k: Tracer, units: Sequence[int], splits: Sequence[int]) -> list[Share]:
    """Core c stands at (c // .., .., c % splits[-1]); cores beyond the grid have nothing to do."""
    size = 1
    for split in splits:
        size *= split
    if size > k.cores or min(splits) < 1:
        raise UnsupportedError(f"a split of {' x '.join(map(str, splits))} needs {size} cores; {k.cores} run the program")
    shares = []
    stride = size
    for total, parts in zip(units, splits):
        stride //= parts
        place = [c // stride % parts for c in range(k.cores)]
        first = [total * p // parts for p in place]
        count = [total * (p + 1) // parts - f if c < size else 0 for c, (p, f) in enumerate(zip(place, first))]
        shares.append(Share(k.per_core(first), k.per_core(count)))
    return shares
