"""Events to joules to watts. Energy is counted after the run from integer events, so it cannot change a cycle."""

from emu.power.energy import EnergyReport, energy

__all__ = ["EnergyReport", "energy"]
