"""What a chip costs and how large it is: the one place where studies ask. Each refuses by name what a description does not say."""

from __future__ import annotations

from collections.abc import Callable

from emu.chip.schema import Chip
from emu.errors import UnsupportedError


def usd(chip: Chip) -> float:
    """The price that the description states."""
    if chip.cost.price_usd is None:
        raise UnsupportedError(f"{chip.name} states no price; give it one: cost.price = \"20000 USD\"")
    return chip.cost.price_usd


def area_mm2(chip: Chip) -> float:
    """Of all compute dies."""
    return chip.process.die_area_mm2 * chip.process.dies


WORTH: dict[str, Callable[[Chip], float]] = {"usd": usd, "area_mm2": area_mm2}
"""Names under which tables, comparisons and searches know them."""
