"""Where tiles lie. The weight ring comes first; every operation then has the rest to itself, because barriers separate operations."""

from __future__ import annotations

from emu.errors import CapacityError
from emu.kernels.lang.limits import Limits
from emu.kernels.lang.memory import Ring
from emu.kernels.lang.tree import Region

SPACES = ("sram", "acc")


def place(persistent: list[Ring], regions: list[Region], limits: Limits) -> None:
    """Gives every ring its first byte; CapacityError names the ring that does not fit, and what would."""
    capacity = {"sram": limits.sram_bytes, "acc": limits.acc_bytes}
    start = dict.fromkeys(SPACES, 0)
    _fill(persistent, start, capacity, limits, "weights", [])
    for region in regions:
        _fill([r for r in region.rings if r.generations], dict(start), capacity, limits, region.name, persistent)


def _fill(rings: list[Ring], at: dict[str, int], capacity: dict[str, int], limits: Limits, where: str, before: list[Ring]) -> None:
    for ring in rings:
        if at[ring.space] + ring.bytes > capacity[ring.space]:
            _refuse(ring, at[ring.space], capacity[ring.space], limits, where, [*before, *rings])
        ring.base = at[ring.space]
        at[ring.space] += ring.bytes


def _refuse(ring: Ring, taken: int, capacity: int, limits: Limits, where: str, rings: list[Ring]) -> None:
    left = capacity - taken
    others = [f"{r.name} {r.bytes}" for r in rings if r.space == ring.space and r is not ring]
    fits = left // ring.slot_bytes
    advice = f"depth {fits} would fit" if fits else f"slots of at most {left // ring.depth} bytes would fit" if left else "nothing is left"
    raise CapacityError(
        f"{where}: {ring.name} ({ring.depth} x {ring.slot_bytes} bytes, {ring.line}) does not fit the {ring.space} of {limits.name}: "
        f"{taken} of {capacity} bytes are taken; {advice} (others: {', '.join(others) or 'none'})",
    )
