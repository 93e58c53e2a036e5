"""What a memory controller chooses: how much it queues, in which order it serves, when it closes rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from emu.chip.dram import Device
from emu.errors import UnsupportedError, did_you_mean

MAX_DEPTH = 65536
PAGES = ("open", "closed", "timeout")


@dataclass(frozen=True)
class Queue:
    """Depths are bursts of one channel, all its pseudo-channels together. Reads go first (FR-FCFS: legal row hits, then the oldest).

    Writes are drained from `high` waiting down to `low`; all that wait, when no read does or `patience` reads went ahead of them. `cap` is
    how many younger row hits may pass the oldest burst of their bank."""

    reads: int = 64
    writes: int = 64
    high: int = 48
    low: int = 16
    patience: int = 1024
    cap: int = 64

    def __post_init__(self) -> None:
        for name in ("reads", "writes"):
            if not 1 <= getattr(self, name) <= MAX_DEPTH:
                raise UnsupportedError(f"queue.{name} = {getattr(self, name)!r:.40}: expected 1 to {MAX_DEPTH} bursts")
        if not 0 <= self.low < self.high <= self.writes:
            raise UnsupportedError(f"queue: expected 0 <= low < high <= writes, got {self.low}, {self.high}, {self.writes}")
        if self.patience < 1 or self.cap < 0:
            raise UnsupportedError(f"queue: patience must be at least 1 and cap at least 0, got {self.patience} and {self.cap}")

    @classmethod
    def of(cls, depth: int) -> Queue:
        """Queues of one depth for reads and writes, drained from three quarters to a quarter."""
        if isinstance(depth, bool) or not isinstance(depth, int) or not 1 <= depth <= MAX_DEPTH:
            raise UnsupportedError(f"queue = {depth!r:.40}: expected a Queue or 1 to {MAX_DEPTH} bursts")
        return cls(reads=depth, writes=depth, high=max(1, depth * 3 // 4), low=depth // 4 if depth > 1 else 0)


@dataclass(frozen=True)
class Page:
    """When a row is closed: `open` on a conflict only, `closed` with the last queued burst for it, `timeout` also when idle for so long."""

    policy: Literal["open", "closed", "timeout"] = "open"
    idle_ns: float = 200.0

    def __post_init__(self) -> None:
        if self.policy not in PAGES:
            raise UnsupportedError(f"page = {self.policy!r:.40}: no such policy; {did_you_mean(str(self.policy), PAGES)}")
        if not 0 < self.idle_ns <= 1e9:
            raise UnsupportedError(f"page.idle_ns = {self.idle_ns!r:.40}: expected more than 0 and at most 1e9 ns")

    def numbers(self, device: Device) -> tuple[int, int]:
        """(policy, idle ticks) as the core takes them."""
        return PAGES.index(self.policy), max(1, round(self.idle_ns * 1e6 / device.tick_fs))


def default_queue(device: Device) -> Queue:
    """64 bursts for each pseudo-channel."""
    return Queue.of(64 * device.organisation.pseudo)
