"""A chip brought to life: `Machine(chip).run(program)` gives a `Run` with values, cycles, joules and reasons."""

from emu.machine.machine import Machine
from emu.machine.result import Run
from emu.machine.timing import shortcuts, timed

__all__ = ["Machine", "Run", "shortcuts", "timed"]
