"""DMA: bytes in flight, descriptors and their engines, start: what a transfer of a size comes to."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import emu
from emu.errors import UnsupportedError
from emu.kernels import probes
from emu.machine import Machine
from emu.study.memory import block_s, issue_s, start_s, window_bandwidth

TINY = emu.chip("tiny")
FAST = {"hbm.bandwidth": "1 TB/s", "core.dma.bandwidth": "64 B/clk", "core.dma.inflight": "1 MiB"}


def one_block(chip: emu.chip.schema.Chip, rows: int, row_bytes: int, pitch: int) -> int:
    """Clocks in which the block's bytes move."""
    run = Machine(chip).run(probes.partitions(rows, row_bytes, pitch, 1), values=False, trace=True)
    (record,) = [r for r in run.records() if r.stream == "ld0"]
    return -(-(record.end_fs - record.start_fs) // chip.core.period_fs)


BLOCKS = st.tuples(st.integers(1, 40), st.sampled_from([64, 192, 256, 1000, 1024]))


@given(BLOCKS, st.integers(1, 16), st.sampled_from([0, 128, 512]), st.integers(0, 50))
@settings(max_examples=50, deadline=None)
def test_pieces_are_shared_by_engines(block: tuple[int, int], engines: int, piece: int, overhead: int) -> None:
    """ceil(pieces / engines) rounds, each of the overhead and the longest piece at an engine's part of the bandwidth."""
    rows, row_bytes = block
    descriptors = {"core.dma.engines": engines, "core.dma.piece": f"{piece} B", "core.dma.overhead": f"{overhead} clk"}
    chip = TINY.vary(FAST | descriptors)
    cut = math.ceil(row_bytes / piece) if piece else 1
    rounds = math.ceil(rows * cut / engines) * (overhead + math.ceil(row_bytes / cut) * engines / 64)
    plain = math.ceil(rows * row_bytes / 64 * 64) / 64
    clocks = max(rounds if engines > 1 or overhead else 0, plain)
    assert one_block(chip, rows, row_bytes, 1536) == pytest.approx(clocks, abs=1.01 + 0.01 * rounds)


def test_without_engines_and_overhead_descriptors_cost_nothing() -> None:
    pieces = TINY.vary(FAST | {"core.dma.piece": "64 B"})
    assert one_block(pieces, 8, 1024, 1536) == one_block(TINY.vary(FAST), 8, 1024, 1536) == 128


@given(st.sampled_from([64, 256, 1024, 4096]), st.integers(1, 4), st.sampled_from([100, 400, 1000]))
@settings(max_examples=30, deadline=None)
def test_little(tile: int, depth: int, ns: int) -> None:
    """With w bytes under way and a trip of t, a core gets w / t; never more than memory has, and all of that in the end."""
    wide = {"core.dma.bandwidth": "1024 B/clk", "core.dma.inflight": "1 MiB", "hbm.bandwidth": "200 GB/s"}
    chip = TINY.vary({"hbm.latency": f"{ns} ns", **wide})
    rate, peak = window_bandwidth(chip, tile, depth), chip.hbm.bandwidth_bytes_per_s * chip.hbm.achieved_fraction
    trip = (chip.core.dma.start_cycles + chip.sync.semaphore_cycles * 2 + 12) * chip.core.period_fs / 1e15 + ns * 1e-9
    window = chip.core_count * tile * depth
    assert rate <= 1.001 * peak
    assert rate >= min(0.85 * peak, 0.9 * window / (trip + window / peak))
    assert rate <= 1.1 * window / (ns * 1e-9)


def test_trainium_probes_want_partitions() -> None:
    chip = emu.chip("trainium2")
    assert start_s(chip, 4096) == pytest.approx(1300e-9, rel=0.01) and issue_s(chip, 64) == pytest.approx(600e-9, rel=0.01)
    assert [128 * n / block_s(chip, n) / 368e9 for n in (64, 512, 2048, 4096)] == pytest.approx([0.1, 0.5, 0.87, 1.0], abs=0.03)
    with pytest.raises(UnsupportedError, match="no partitions"):
        block_s(TINY, 64)
