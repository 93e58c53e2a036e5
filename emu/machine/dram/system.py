"""A DRAM system of the compiled core: requests in, their ends out, at the caller's pace; or a whole pattern at once."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from emu import _dram
from emu.chip.dram import Device, maps
from emu.chip.dram import device as named
from emu.chip.dram.rules import COMMANDS
from emu.errors import ProgramError, UnsupportedError
from emu.machine.dram.pattern import Pattern
from emu.machine.dram.policy import Page, Queue, default_queue
from emu.machine.dram.result import DramResult

MAX_CHANNELS = 1024
MAX_TICK = 1 << 59
REFRESH = ("none", "all_bank", "per_bank")


class Completion(NamedTuple):
    """A request whose end is known, in femtoseconds; `admitted_fs` is when its first burst got a place in a queue."""

    id: int
    arrived_fs: int
    admitted_fs: int
    done_fs: int


def tables(
    d: Device, channels: int, map: str = maps.DEFAULT, queue: Queue | None = None, page: Page | None = None, refresh: str | None = None
) -> tuple[dict[str, Any], list[tuple[int, ...]], list[int], list[int], dict[str, int]]:
    """What the compiled core is given of a system: device, rules, address map and widths of its fields, policy; defaults if left out."""
    o, refresh = d.organisation, d.default_refresh if refresh is None else refresh
    interval = 0 if refresh == "none" else d.interval_ticks(refresh)
    policy, idle = (page or Page()).numbers(d)
    widths = d.widths(channels)
    numbers = {
        "count": [channels, o.pseudo, o.ranks, o.groups, o.banks], "rows": o.rows, "columns": d.columns,
        "burst_bytes": d.burst_bytes, "burst_ticks": d.burst_ticks, "read_ticks": d.read_ticks, "write_ticks": d.write_ticks,
        "align": [d.align[c] for c in COMMANDS], "refresh": REFRESH.index(refresh), "interval": interval,
    }
    masks = maps.masks(map, widths, d.burst_bytes.bit_length() - 1)
    chosen = {**asdict(queue or default_queue(d)), "page": policy, "idle": idle}
    return numbers, list(d.pairs()), masks, [widths[f] for f in maps.FIELDS], chosen


class Dram:
    """`channels` channels of a device behind one address map. Time is in femtoseconds and is rounded up to the device's own ticks.

    For an event-driven caller: `submit`, then `advance(t)` runs all that is before t, `next_event_fs` says when something may happen next,
    `completions` hands over ends as soon as they are known, which is before they are reached. How `advance` is sliced changes nothing.
    Requests may span bursts, rows and channels; of two that overlap, the caller orders them by waiting for the first."""

    def __init__(self, device: str | Device, channels: int = 1, map: str = maps.DEFAULT, queue: Queue | int | None = None,
                 page: str | Page = "open", refresh: str | None = None, trace: bool = False) -> None:
        self.device = named(device) if isinstance(device, str) else device
        if isinstance(channels, bool) or not isinstance(channels, int) or not 1 <= channels <= MAX_CHANNELS or channels & (channels - 1):
            raise UnsupportedError(f"channels = {channels!r:.40}: expected a power of two up to {MAX_CHANNELS}, which address maps need")
        self.channels, self.map = channels, map
        self.queue = default_queue(self.device) if queue is None else queue if isinstance(queue, Queue) else Queue.of(queue)
        self.page = Page(page) if isinstance(page, str) else page  # type: ignore[arg-type]
        self.refresh = self.device.default_refresh if refresh is None else refresh
        self._trace = trace
        self._core = self._new()

    @property
    def capacity_bytes(self) -> int:
        """Of all channels."""
        return self.channels * self.device.channel_bytes

    @property
    def peak_bytes_per_s(self) -> float:
        """Of all channels' data wires."""
        return self.channels * self.device.peak_bytes_per_s

    def _new(self) -> _dram.Dram:
        return _dram.Dram(*tables(self.device, self.channels, self.map, self.queue, self.page, self.refresh), self._trace)

    def _tick(self, time_fs: int) -> int:
        tick = -(-time_fs // self.device.tick_fs)
        if tick >= MAX_TICK:
            raise ProgramError(f"dram: {time_fs} fs is beyond {MAX_TICK} ticks of {self.device.tick_fs} fs")
        return tick

    def submit(self, time_fs: int, address: int, bytes: int, write: bool = False) -> int:
        """The id of a request of `bytes` at `address` that arrives at `time_fs`. ProgramError if it is out of bounds or comes too late."""
        if time_fs < 0 or address < 0 or bytes < 1:
            raise ProgramError(f"dram: a request of {bytes} bytes at {address}, time {time_fs} fs: none may be negative, bytes at least 1")
        made = self._core.submit(self._tick(time_fs), min(address, 2**64 - 1), min(bytes, 2**62), write)
        return self._refuse(made, time_fs, address, bytes)

    def _refuse(self, code: int, time_fs: int, address: int, bytes: int) -> int:
        if code == -2:
            where = f"{self.channels} x {self.device.name}"
            raise ProgramError(f"dram: {bytes} bytes at {address:#x} lie outside the {self.capacity_bytes} bytes of {where}")
        if code == -3:
            raise ProgramError(f"dram: a request at {time_fs} fs is earlier than what was asked before or than what has been run")
        return code

    def advance(self, until_fs: int) -> None:
        """Run everything before `until_fs`."""
        self._core.advance(self._tick(until_fs))

    def finish(self) -> None:
        """Run until all requests are done."""
        self._core.finish()

    def next_event_fs(self) -> int:
        """The first time at which something may happen; `advance` to just behind it to let it happen."""
        return self._core.next() * self.device.tick_fs

    def completions(self) -> list[Completion]:
        """Ends that became known since the last call, by time, then id."""
        fs = self.device.tick_fs
        return [Completion(i, arrived * fs, admitted * fs, done * fs) for i, arrived, admitted, done in self._core.done().tolist()]

    def commands(self) -> list[tuple[int, str, int, int, int]]:
        """(tick, command, channel, bank within the channel, row or -1) of every command so far; needs `trace=True`."""
        if not self._trace:
            raise UnsupportedError("dram: commands are kept only with trace=True")
        return [(tick, COMMANDS[c], channel, bank, row) for tick, c, channel, bank, row in self._core.issued().tolist()]

    def counts(self) -> tuple[dict[str, int], dict[str, int]]:
        """Commands issued by name; row hits, misses, conflicts, turns of direction and ticks in which ranks had a row open."""
        commands, counters = self._core.counters()
        return dict(zip(COMMANDS, commands)), dict(zip(("hits", "misses", "conflicts", "turns", "active_ticks"), counters))

    def run(self, pattern: Pattern) -> DramResult:
        """A pattern from an idle memory. It takes a system of its own: what was submitted here is untouched."""
        fresh = Dram(self.device, self.channels, self.map, self.queue, self.page, self.refresh)
        fresh._inject(pattern)
        fresh._core.finish()
        return fresh._result(pattern)

    def _inject(self, pattern: Pattern) -> None:
        times, addresses, sizes, writes = pattern.generate(self.capacity_bytes)
        taken, code = self._core.submit_all(-(-times // self.device.tick_fs), addresses, sizes, writes)
        if code:
            self._refuse(code, int(times[taken]), int(addresses[taken]), int(sizes[taken]))

    def _result(self, pattern: Pattern) -> DramResult:
        done = self._core.done()
        fs = self.device.tick_fs
        end = int(done[:, 3].max())
        seconds = end * fs * 1e-15
        waits = (done[:, 3] - done[:, 2]) * (fs * 1e-15)
        commands, rows = self.counts()
        moved = pattern.requests * pattern.bytes
        ranks = self.channels * self.device.organisation.pseudo * self.device.organisation.ranks
        active_s = rows.pop("active_ticks") * fs * 1e-15
        return DramResult(
            device=self.device.name, channels=self.channels, map=self.map, queue=asdict(self.queue), page=self.page.policy,
            refresh=self.refresh, requests=pattern.requests, bytes=moved, seconds=seconds, bytes_per_s=moved / seconds,
            share_of_peak=moved / seconds / self.peak_bytes_per_s,
            latency_s={"mean": float(waits.mean()), "p99": float(np.quantile(waits, 0.99)), "max": float(waits.max())},
            commands=commands, turns=rows.pop("turns"), rows=rows,
            joules=self.device.energy.joules(commands, active_s, max(0.0, ranks * seconds - active_s)),
            assumed=tuple(self.device.assumed()),
        )
