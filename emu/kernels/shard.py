"""How work is dealt out along the axes of a grid of cores, as per-core constants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from emu.errors import UnsupportedError
from emu.kernels.lang import Const, Tracer, Value


@dataclass(frozen=True)
class Share:
    """A core's part of an axis: `count` units, the i-th of which is first + i * step. `place`: which of the parts it is."""

    first: Const
    count: Const
    place: Const
    step: int = 1

    def unit(self, i: Value) -> Value:
        """The i-th unit of this core."""
        return i * self.step + self.first


def grid(k: Tracer, units: Sequence[int], splits: Sequence[int], interleaved: Sequence[int] = ()) -> list[Share]:
    """The last cores make the grid, the last axis innermost; the first ones, if it does not take all, have nothing to do.

    Shares are contiguous and balanced; on the axes listed in `interleaved` a core takes every split-th unit instead. Who has a unit more
    than others: on an axis over all cores, those whose turn it is (`Tracer.deal`); otherwise the last ones, where ragged edges lie
    as well. So work is even over a whole program, and few cores differ from their neighbours."""
    size = 1
    for split in splits:
        size *= split
    if min(splits) < 1 or size > k.cores:
        raise UnsupportedError(f"a split of {' x '.join(map(str, splits))} needs {size} cores; {k.cores} run the program")
    shares = []
    stride, idle = size, k.cores - size
    for axis, (total, parts) in enumerate(zip(units, splits)):
        stride //= parts
        place = [max(0, c - idle) // stride % parts for c in range(k.cores)]
        if axis in interleaved:
            first, step = list(range(parts)), parts
            count = [-((p - total) // parts) if p < total else 0 for p in range(parts)]
        else:
            more = total % parts
            first, count = dealt(total, parts, k.deal(more) if parts == k.cores else parts - more)
            step = 1
        mine = [count[p] if c >= idle else 0 for c, p in enumerate(place)]
        shares.append(Share(k.per_core([first[p] for p in place]), k.per_core(mine), k.per_core(place), step))
    return shares


def dealt(total: int, parts: int, begin: int) -> tuple[list[int], list[int]]:
    """First unit and number of units of each part; what is left over goes to the parts from `begin` on, one each."""
    each, more = divmod(total, parts)
    count = [each + ((p - begin) % parts < more) for p in range(parts)]
    return [0, *accumulate(count[:-1])], count
