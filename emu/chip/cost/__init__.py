"""Area and cost from the description that runs: dies by component, yield with harvesting, a chip's cost, its tokens' cost."""

from emu.chip.cost.area import DieArea, dies
from emu.chip.cost.assume import Ground, ground, nodes
from emu.chip.cost.price import BASES, ChipCost, cost, per_token
from emu.chip.cost.silicon import die_yield, dies_per_wafer

__all__ = ["BASES", "ChipCost", "DieArea", "Ground", "cost", "die_yield", "dies", "dies_per_wafer", "ground", "nodes", "per_token"]
