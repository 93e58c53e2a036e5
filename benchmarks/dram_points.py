"""What other DRAM simulators give, and the same device, map and queue here: the points of docs/dram.md, without a figure fitted to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from emu.chip.dram import Device, device, devices, load_device, vary
from emu.machine.dram import Dram, DramResult, Pattern

FILES = Path(__file__).parent / "dram_devices"
GIB = 1 << 30


@dataclass(frozen=True)
class Point:
    """A measured point of another tool: reads on one channel, all requests there from the start."""

    tool: str
    file: str
    kind: str
    bytes: int
    map: str
    queue: int
    share: float
    """Of peak bandwidth, as the other tool gives it."""
    requests_per_cpu_s: int
    pj_per_bit: float | None = None
    span_bytes: int | None = None
    changes: dict[str, str] = field(default_factory=dict, hash=False)

    def run(self, requests: int) -> DramResult:
        """The same here."""
        chosen = opened(self.file)
        chosen = vary(chosen, self.changes) if self.changes else chosen
        pattern = Pattern(self.kind, requests, self.bytes, span_bytes=self.span_bytes)  # type: ignore[arg-type]
        return Dram(chosen, map=self.map, queue=self.queue, refresh="all_bank").run(pattern)


@lru_cache(maxsize=16)
def opened(file: str) -> Device:
    """A device of benchmarks/dram_devices."""
    return load_device(FILES / f"{file}.toml")


RAMULATOR, DRAMSIM = "Ramulator 2.1", "DRAMsim3"
POINTS = [
    Point(DRAMSIM, "dramsim3-hbm2", "sequential", 64, "rorabgbachco", 32, 0.919, 188_000, 1.97),
    Point(DRAMSIM, "dramsim3-hbm2", "random", 64, "rorabgbachco", 32, 0.246, 45_000, 4.47, GIB),
    Point(RAMULATOR, "ramulator-hbm3", "sequential", 32, "mop", 128, 0.913, 23_000),
    Point(RAMULATOR, "ramulator-hbm3", "sequential", 32, "robaracoch", 128, 0.850, 22_000),
    Point(RAMULATOR, "ramulator-hbm3", "sequential", 32, "robaracoch", 64, 0.519, 26_800),
    Point(RAMULATOR, "ramulator-hbm3", "sequential", 32, "chrabaroco", 128, 0.155, 5_100),
    Point(RAMULATOR, "ramulator-hbm3", "random", 64, "robaracoch", 64, 0.583, 30_500),
    Point(RAMULATOR, "ramulator-hbm3", "random", 32, "robaracoch", 64, 0.301, 18_600),
    Point(RAMULATOR, "ramulator-hbm2", "sequential", 32, "robaracoch", 64, 0.805, 77_100),
]


def within(point: Point, requests: int) -> float:
    """Distance from the other tool's point, as a share of peak."""
    return abs(point.run(requests).share_of_peak - point.share)


def sequential_bound(name: str) -> tuple[float, float]:
    """(what sequential reads must reach, 1 - tRFC / tREFI) of a device that comes with emu."""
    timing = device(name).timing
    left = 1 - timing["RFC"] / timing["REFI"]
    return 0.97 * left, left


__all__ = ["POINTS", "Point", "devices", "opened", "sequential_bound", "within"]
