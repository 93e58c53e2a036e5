"""How work is dealt out along the axes of a grid of cores, as per-core constants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from emu.errors import UnsupportedError
from emu.kernels.lang import Const, Tracer, Value


@dataclass(frozen=True)
class Share:
    """A core's part of an axis: `count` units, the i-th of which is first + i * step."""

    first: Const
    count: Const
    step: int = 1

    def unit(self, i: Value) -> Value:
        """The i-th unit of this core."""
        return i * self.step + self.first


def grid(k: Tracer, units: Sequence[int], splits: Sequence[int], interleaved: Sequence[int] = ()) -> list[Share]:
    """Core c stands at (c // .., .., c % splits[-1]); cores beyond the grid have nothing to do.

    Shares are contiguous and balanced; on the axes listed in `interleaved` a core takes every split-th unit instead."""
    size = 1
    for split in splits:
        size *= split
    if min(splits) < 1 or size > k.cores:
        raise UnsupportedError(f"a split of {' x '.join(map(str, splits))} needs {size} cores; {k.cores} run the program")
    shares = []
    stride = size
    for axis, (total, parts) in enumerate(zip(units, splits)):
        stride //= parts
        place = [c // stride % parts for c in range(k.cores)]
        if axis in interleaved:
            first, step = place, parts
            count = [-((p - total) // parts) if p < total else 0 for p in place]
        else:
            first, step = [total * p // parts for p in place], 1
            count = [total * (p + 1) // parts - f for p, f in zip(place, first)]
        count = [n if c < size else 0 for c, n in enumerate(count)]
        shares.append(Share(k.per_core(first), k.per_core(count), step))
    return shares
