"""Events to joules to watts. Energy is counted after the run from integer events, so it cannot change a cycle; what a power cap does to the
clock is found by running again at another one."""

from emu.power.activity import NORMAL, Data, activity_of
from emu.power.cap import Settled, settle, steady
from emu.power.energy import Activity, EnergyReport, energy, expected_watts
from emu.power.supply import at_clock

__all__ = [
    "NORMAL", "Activity", "Data", "EnergyReport", "Settled", "activity_of", "at_clock", "energy", "expected_watts", "settle", "steady",
]  # fmt: skip
