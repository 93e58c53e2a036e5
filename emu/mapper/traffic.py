"""The least traffic of a gemm on an abstract machine: one fast memory, one slow one, one element size, partial sums included."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from emu import _map
from emu.errors import CapacityError, UnsupportedError

LARGEST = 1 << 20
"""Elements along a dimension: products of three stay exact, and the sizes worth trying few."""


@dataclass(frozen=True)
class Blocking:
    """Tile sizes, the loops over them from the outermost to the innermost, and the elements that move between the memories."""

    tile_m: int
    tile_n: int
    tile_k: int
    order: str
    elements: int


def traffic(m: int, n: int, k: int, storage: int) -> Blocking:
    """The blocking of an m x n x k gemm that moves fewest elements where the fast memory holds `storage` of them.

    One tile of each operand is held at a time and stays while the loops inside do not change it: the order of the loops says which one is
    stationary. Sizes need not divide. Raises CapacityError if not even one element of each operand fits."""
    if min(m, n, k) < 1 or max(m, n, k) > LARGEST:
        raise UnsupportedError(f"traffic of {m} x {n} x {k}: expected 1 to {LARGEST} elements along each dimension")
    elements, (tile_m, tile_n, tile_k), order = _map.traffic(m, n, k, storage)
    if not elements:
        raise CapacityError(f"a fast memory of {storage} elements holds no tile of three operands; 3 would")
    return Blocking(tile_m, tile_n, tile_k, "".join("mnk"[j] for j in order), elements)


def least_traffic(m: int, n: int, k: int, storage: int) -> float:
    """Elements that any schedule moves at least: every operand once, or the Hong-Kung bound."""
    return max(m * k + k * n + m * n, 2 * m * n * k / sqrt(storage) - 2 * storage)
