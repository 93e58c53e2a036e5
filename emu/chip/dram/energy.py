"""Joules by command. Data sheets give currents of loops of commands; the price of a command is what its loop draws beyond standby.

With V the supply, t in seconds and n chips of a rank (Micron TN-41-01, as DRAMsim3 also has it):
    ACT + PRE   V (IDD0 tRC - IDD3N tRAS - IDD2N tRP) n
    RD, WR      V (IDD4R - IDD3N) tBL n, V (IDD4W - IDD3N) tBL n
    REF         V (IDD5 - IDD3N) tRFC n
    standby     V IDD3N n while a row is open, V IDD2N n while none is"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from emu.chip.dram.schema import Currents, Energy

PJ = 1e12


@dataclass(frozen=True)
class CommandEnergy:
    """Picojoules of each command and watts of standby, of one rank."""

    activate_pj: float
    read_pj: float
    write_pj: float
    refresh_pj: float
    refresh_bank_pj: float
    active_w: float
    idle_w: float

    def joules(self, commands: Mapping[str, int], active_s: float, idle_s: float) -> dict[str, float]:
        """Joules by cause: `commands` counts commands, the seconds are summed over ranks."""
        return {
            "activate": commands["ACT"] * self.activate_pj / PJ,
            "read": (commands["RD"] + commands["RDA"]) * self.read_pj / PJ,
            "write": (commands["WR"] + commands["WRA"]) * self.write_pj / PJ,
            "refresh": (commands["REF"] * self.refresh_pj + commands["REFB"] * self.refresh_bank_pj) / PJ,
            "standby": active_s * self.active_w + idle_s * self.idle_w,
        }


def stated(e: Energy) -> CommandEnergy:
    """Prices that the table states."""
    return CommandEnergy(e.activate, e.read, e.write, e.refresh, e.refresh_bank, e.active_w, e.idle_w)


def from_currents(c: Currents, seconds: Mapping[str, float]) -> CommandEnergy:
    """Prices that follow from currents; `seconds` holds RC, RAS, RP, BL and RFC. A device priced so has no per-bank refresh."""
    scale = c.vdd * c.chips
    return CommandEnergy(
        activate_pj=PJ * scale * (c.idd0 * seconds["RC"] - c.idd3n * seconds["RAS"] - c.idd2n * seconds["RP"]),
        read_pj=PJ * scale * (c.idd4r - c.idd3n) * seconds["BL"],
        write_pj=PJ * scale * (c.idd4w - c.idd3n) * seconds["BL"],
        refresh_pj=PJ * scale * (c.idd5 - c.idd3n) * seconds["RFC"],
        refresh_bank_pj=0.0,
        active_w=scale * c.idd3n,
        idle_w=scale * c.idd2n,
    )
