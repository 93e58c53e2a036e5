"""The power cap: an outer fixed point over the clock, which is constant within a run (SOUNDNESS 28).

Mean power at a clock comes from running the program at that clock: its counters priced at the clock's voltage, over its time. Why it
rises with the clock: voltage and with it every price and the static watts do not fall, and the time does not rise. The last is a theorem
only without contention; with it a higher clock may now and then take longer (Graham). So what is found is the boundary at which a
governor rests: the mean power of the clock is within the cap, that of the next higher one is not. Where power is monotone it is the highest
clock of the grid that keeps the cap. Work within the cap at full clock is never run a second time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from emu.chip.schema import Chip
from emu.errors import UnsupportedError, did_you_mean
from emu.machine import Machine, Run, timed
from emu.power.energy import expected_watts
from emu.power.supply import at_clock, clocks, named_clock
from isa import Program

REGIMES = ("steady", "short")
EXPONENT = 2.5
"""Mean power of a busy chip goes roughly with this power of its clock (voltage follows the clock); for guesses."""
MANY = 4
"""Clocks tried, after which guesses halve what is left."""


class Drawn(Protocol):
    """Work at one clock: how long it takes, with the pauses that belong to its steady state, and what it draws meanwhile."""

    @property
    def seconds(self) -> float: ...

    @property
    def watts(self) -> float: ...


T = TypeVar("T", bound=Drawn)


@dataclass(frozen=True)
class Settled(Generic[T]):
    """Work at the clock at which it may run, and what the power cap cost it."""

    work: T
    clock_hz: int
    full_clock_hz: int
    regime: str
    """`steady`: goes on, held to the cap. `short`: over before power is regulated: full clock. `locked`: at the clock asked for."""
    cap_w: float | None
    """The cap that held it; None where none did."""
    full_seconds: float
    """Time at full clock; that of the clock asked for where it was locked, since no cap lowered it."""
    infeasible: str = ""
    """Empty, or the statement that even the lowest clock draws more than the cap."""
    tried: int = 1
    """Clocks at which the work was run."""

    @property
    def capped(self) -> bool:
        """Whether the cap lowered the clock."""
        return self.regime == "steady" and self.clock_hz < self.full_clock_hz

    @property
    def power_stall_s(self) -> float:
        """What the cap cost: time at this clock less time at full clock."""
        return self.work.seconds - self.full_seconds

    def to_dict(self) -> dict[str, Any]:
        """For results; keys carry units."""
        return {
            "clock_hz": self.clock_hz, "capped": self.capped, "power_stall_s": self.power_stall_s, "regime": self.regime,
            "cap_watts": self.cap_w, "above_cap": self.infeasible,
        }


def settle(
    chip: Chip, run_at: Callable[[int], T], clock: float | str | None = None, regime: str = "steady",
    expected: Callable[[T, int], float] | None = None,
) -> Settled[T]:
    """Run work at the clock where it may run.

    `run_at(clock_hz)` runs it at one clock; `expected(work at full clock, clock_hz)` says about how many watts it will draw there, which
    leads the search and decides nothing. `clock`: None leaves it to the cap, "max" or Hz locks it whatever power that takes; `regime`
    "short" is work that ends before the cap acts. A chip without [power.dvfs] keeps its clock. Raises UnsupportedError."""
    if regime not in REGIMES:
        raise UnsupportedError(f"regime {regime!r}; {did_you_mean(str(regime), REGIMES)}")
    asked, full, limit = named_clock(chip, clock), chip.core.clock_hz, chip.power.limit_w
    hz = full if asked is None else asked
    work = run_at(hz)
    if asked is not None or regime == "short" or chip.power.dvfs is None:
        return Settled(work, hz, full, regime if asked is None else "locked", None, work.seconds)
    if work.watts <= limit:
        return Settled(work, full, full, regime, limit, work.seconds)
    return _highest(chip, run_at, work, limit, expected or _usual(chip))


def steady(chip: Chip, program: Program, fidelity: str = "fast", clock: float | str | None = None, regime: str = "steady") -> Settled[Run]:
    """A program of one's own, timing only, repeated without end at the clock where it may run (`settle`)."""

    def at(hz: int) -> Run:
        return timed(Machine(at_clock(chip, hz), fidelity), program)

    return settle(chip, at, clock, regime, lambda run, hz: expected_watts(run.energy_report, chip, hz))


def _usual(chip: Chip) -> Callable[[Drawn, int], float]:
    """A power law, where nothing more is known of the work."""
    return lambda work, hz: work.watts * (hz / chip.core.clock_hz) ** EXPONENT


def _highest(chip: Chip, run_at: Callable[[int], T], work: T, limit: float, expected: Callable[[T, int], float]) -> Settled[T]:
    """Bisection over the grid, led by what is expected."""
    grid = clocks(chip)
    low, high = -1, len(grid) - 1
    seen = {high: work}
    while high - low > 1:
        j = _guess(lambda at: expected(work, grid[at]), {at: found.watts for at, found in seen.items()}, limit, low, high)
        seen[j] = run_at(grid[j])
        if seen[j].watts <= limit:
            low = j
        else:
            high = j
    infeasible = ""
    if low < 0:
        lowest = f"{chip.name}: even at its lowest clock, {grid[0] / 1e9:g} GHz"
        infeasible = f"{lowest}, mean power is {seen[0].watts:.1f} W, above the cap of {limit:g} W"
    at = max(low, 0)
    return Settled(seen[at], grid[at], chip.core.clock_hz, "steady", limit, work.seconds, infeasible, len(seen))


def _guess(expected: Callable[[int], float], watts: Mapping[int, float], limit: float, low: int, high: int) -> int:
    """An index strictly between low and high: the highest within the limit if `expected` is as wrong there as at the last clock seen."""
    if len(watts) > MANY:
        return (low + high) // 2
    last = [*watts][-1]
    off = watts[last] / expected(last)
    least, most = low + 1, high - 1
    while least < most:
        middle = (least + most + 1) // 2
        if expected(middle) * off <= limit:
            least = middle
        else:
            most = middle - 1
    return least
