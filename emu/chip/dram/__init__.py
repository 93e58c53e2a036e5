"""DRAM devices as tables: `device("hbm3")`, one file each in `devices/`, rules one a line. emu.machine.dram runs requests on them."""

from emu.chip.dram.device import Device
from emu.chip.dram.load import device, devices, load_device, vary

__all__ = ["Device", "device", "devices", "load_device", "vary"]
