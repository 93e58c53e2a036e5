"""DRAM by rule and command: `Dram("hbm3").run(Pattern())` gives bandwidth, latency, commands and joules. docs/dram.md has the equations."""

from emu.machine.dram.pattern import Pattern
from emu.machine.dram.policy import Page, Queue
from emu.machine.dram.result import DramResult
from emu.machine.dram.system import Completion, Dram

__all__ = ["Completion", "Dram", "DramResult", "Page", "Pattern", "Queue"]
