"""What a chip costs and how large it is: the one place where studies ask. Each refuses by name what a description does not say."""

from __future__ import annotations

from collections.abc import Callable

from emu.chip.cost import cost, dies
from emu.chip.schema import Chip
from emu.errors import UnsupportedError


def usd(chip: Chip) -> float:
    """The price that the description states: a buyer's, the same however the chip is varied."""
    if chip.cost.price_usd is None:
        raise UnsupportedError(f"{chip.name} states no price; give it one: cost.price = \"20000 USD\"")
    return chip.cost.price_usd


def made_usd(chip: Chip) -> float:
    """What making it costs, on its board (`emu.chip.cost`): follows what is varied."""
    return cost(chip).made_usd


def area_mm2(chip: Chip) -> float:
    """All dies of the package but memory: as stated, and where the chip was varied larger or smaller as `emu.chip.cost` predicts."""
    if not chip.varied:  # needs no table of the node and the memory
        return chip.process.die_area_mm2 * chip.process.dies + sum(die.die_area_mm2 * die.count for die in chip.area.dies)
    return sum(die.mm2 * die.count for die in dies(chip))


WORTH: dict[str, Callable[[Chip], float]] = {"usd": usd, "made_usd": made_usd, "area_mm2": area_mm2}
"""Names under which tables, comparisons and searches know them."""
