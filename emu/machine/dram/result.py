"""What a run of requests gave."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class DramResult:
    """Bandwidth, latencies, commands and joules, with everything they depend on."""

    device: str
    channels: int
    map: str
    queue: dict[str, int]
    page: str
    refresh: str
    requests: int
    bytes: int
    seconds: float
    bytes_per_s: float
    share_of_peak: float
    latency_s: dict[str, float]
    """From admission to a queue to the end of the data: mean, p99, max. What waits for a place in a queue is the injector's."""
    commands: dict[str, int]
    rows: dict[str, int]
    """Bursts that found their row open (hits), none open (misses), another open (conflicts)."""
    turns: int
    """Changes between reading and writing."""
    joules: dict[str, float]
    assumed: tuple[str, ...]
    """Figures of the device that nobody has published."""

    @property
    def pj_per_bit(self) -> float:
        """Picojoules per bit of all causes together."""
        return sum(self.joules.values()) * 1e12 / (8 * self.bytes)

    @property
    def pj_per_bit_by_command(self) -> dict[str, float]:
        """Picojoules per bit moved, by cause."""
        return {cause: j * 1e12 / (8 * self.bytes) for cause, j in self.joules.items()}

    def to_dict(self) -> dict[str, Any]:
        """Everything, keys with units."""
        body = asdict(self)
        body["assumed"] = list(self.assumed)
        per_bit = {"pj_per_bit": self.pj_per_bit, "pj_per_bit_by_command": self.pj_per_bit_by_command}
        return {"schema_version": SCHEMA_VERSION, **body, **per_bit}
