"""Device memory priced by command, where a run counted its commands (`detailed`).

A chip's `hbm_burst_bytes` is the price of a byte of a long stream: what the device spends on reading and on opening rows, and the way from
there to the chip (PHY, controller). By command, the device's part is each command's own price, and a byte keeps the rest. Refresh and
standby go on whatever runs: they are among the static watts, and are counted but not priced."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING

from emu.chip.dram import device

if TYPE_CHECKING:
    from emu.chip.schema import Chip

EVENTS = ("dram_activates", "dram_reads", "dram_writes")
FREE = ("dram_refreshes", "dram_bank_refreshes")
AJ_PER_PJ = 10**6


def command_prices(chip: Chip, byte_aj: int, factor: Fraction) -> dict[str, int]:
    """Attojoules of each command, and of a byte beside them. `byte_aj`: of a byte in all, which `factor` (voltage, toggling) has been
    applied to; a byte cheaper than its device's commands costs nothing beside them."""
    if chip.hbm.device is None:
        return {}
    d = device(chip.hbm.device)
    pj: Mapping[str, float] = {"dram_activates": d.energy.activate_pj, "dram_reads": d.energy.read_pj, "dram_writes": d.energy.write_pj}
    streamed = d.energy.read_pj / d.burst_bytes + d.energy.activate_pj / d.organisation.row_bytes
    found = {event: round(Fraction(round(each * AJ_PER_PJ)) * factor) for event, each in pj.items()}
    return found | {"hbm_burst_bytes": max(0, byte_aj - round(Fraction(round(streamed * AJ_PER_PJ)) * factor))}
