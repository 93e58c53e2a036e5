"""What `fast` takes for device memory where `hbm.rates` is "generated": the device's measured rates, not the chip file's figure."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from emu.chip.dram.rate import at_rate
from emu.chip.schema import Chip
from emu.machine.detailed import FS, MAP, Memory, closed_row_fs, memory
from emu.machine.dram.pattern import Pattern
from emu.machine.dram.rates import rate
from emu.machine.dram.system import Dram

RANDOM_BYTES = 64
RUNS = (256, 1024, 4096)
"""Bytes that lie together in a channel: the classes of emu.machine.dram.rates. Of two, the one that is nearer in ratio."""
STREAMS = 16
"""Walks in turns: many cores read and write at once."""
WHOLE = 65536
SIZES = (0, 2048, 8192, 32768)
"""Bytes of a transfer from which on its lateness holds, which is measured at the next size (the last one at its own)."""
BESIDE, LOAD, MOVED_BYTES = 16, 0.5, 4 << 20
"""Channels that a transfer is spread over there, the share of peak that is asked for, and how much is moved."""


def generated(chip: Chip) -> dict[str, Any]:
    """The fields of the core's configuration (csrc/engine/machine.h)."""
    runs, costs = run_costs(chip)
    return {"hbm_runs": runs, "hbm_cost": costs, "hbm_sizes": list(SIZES), "hbm_late_fs": lateness_fs(memory(chip))}


def run_costs(chip: Chip) -> tuple[list[int], list[int]]:
    """Lengths of contiguous runs from which a class holds, and what a byte costs (1 / share of peak, in 65536ths): below the first length,
    then from each on; first of reads, then of writes.

    A run goes round the channels by chunks: one shorter than a chunk is a random access to one channel, a longer one lies together in each
    channel to its share. Reads and writes cost what they do among their like: kernels write when they have read."""
    m, name = memory(chip), str(chip.hbm.device)
    runs = [m.chunk_bytes, *(size // 2 * m.channels for size in RUNS[1:])]
    shares = [
        rate(name, map=MAP, kind=kind, bytes=size, stride_bytes=size, streams=streams, writes=writes).share_of_peak
        for writes in (0.0, 1.0)
        for kind, size, streams in (("random", RANDOM_BYTES, 1), *(("sequential", size, STREAMS) for size in RUNS))
    ]
    return runs, [round(WHOLE / share) for share in shares]


def lateness_fs(m: Memory) -> list[int]:
    """By how much the last request of a transfer comes later than a lone one in an idle memory and its bytes at full rate: what it takes
    that one of many finds its channel busy, its row closed by another or its bank being refreshed. By size of the transfer."""
    return list(_lateness_fs(m.device.name, m.clock_hz, m.rows))


@lru_cache(maxsize=64)
def _lateness_fs(name: str, clock_hz: int, rows: int) -> tuple[int, ...]:
    d, late = at_rate(name, clock_hz, rows), []
    for size in (*SIZES[1:], SIZES[-1]):
        dram = Dram(d, BESIDE, MAP)
        interval = round(FS * size / (LOAD * dram.peak_bytes_per_s))
        mean_s = dram.run(Pattern("random", MOVED_BYTES // size, size, interval_fs=interval)).latency_s["mean"]
        late.append(max(0, round(FS * (mean_s - size / dram.peak_bytes_per_s)) - closed_row_fs(d)))
    return tuple(late)
