"""Collectives as programs: what every chip sends to whom, in which order, and what it adds.

Each queue of each core of each chip is a lane and carries a part of every shard (what one of n chips contributes or keeps); lanes do not
wait for each other. Sums are rounded to the tensor's format at each addition, in the switch and on arrival of direct transfers once, in the
order of chips; every shard is added up in one place only, or everywhere in one order, so all chips hold the same bits."""

from emu.kernels.collectives.catalogue import ALGORITHMS, OPS, Collective, collective_program
from emu.kernels.collectives.lanes import Wiring

__all__ = ["ALGORITHMS", "OPS", "Collective", "Wiring", "collective_program"]
