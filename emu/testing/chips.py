"""Chips that do not exist: a described one with some of its figures changed, every one of them legal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from emu.chip import chip as preset
from emu.chip.schema import Chip

SIZES = st.sampled_from([1, 2, 3, 4, 7, 8, 16])
FIGURES: dict[str, st.SearchStrategy[Any]] = {
    "core_count": st.integers(1, 6),
    "core.clock": st.sampled_from(["500 MHz", "1 GHz", "1.83 GHz"]),
    "core.issue": st.sampled_from(["1 clk", "2 clk", "5 clk"]),
    "core.sram.capacity": st.sampled_from(["32 KiB", "64 KiB", "100 KiB"]),
    "core.acc.capacity": st.sampled_from(["8 KiB", "16 KiB"]),
    "core.matrix.rows": SIZES,
    "core.matrix.cols": SIZES,
    "core.matrix.dataflow": st.sampled_from(["weight_stationary", "output_stationary", "input_stationary", "dot"]),
    "core.matrix.shadow": st.booleans(),
    "core.matrix.drain_overlap": st.booleans(),
    "core.matrix.accumulate.order": st.sampled_from(["sequential", "block", "tree"]),
    "core.vector.startup": st.sampled_from(["0 clk", "4 clk", "33 clk"]),
    "core.dma.start": st.sampled_from(["0 clk", "20 clk", "300 clk"]),
    "core.dma.queue": st.integers(1, 16),
    "core.dma.bandwidth": st.sampled_from(["8 B/clk", "32 B/clk", "100 B/clk"]),
    "core.dma.inflight": st.sampled_from(["256 B", "16 KiB"]),
    "hbm.bandwidth": st.sampled_from(["1 GB/s", "64 GB/s", "333 GB/s", "5 TB/s"]),
    "hbm.latency": st.sampled_from(["1 ns", "100 ns", "1.7 us"]),
    "hbm.access": st.sampled_from(["1 B", "32 B", "64 B"]),
    "hbm.achieved_fraction": st.sampled_from([0.5, 0.93, 1.0]),
    "noc.hop": st.sampled_from(["0 clk", "3 clk"]),
    "sync.semaphore": st.sampled_from(["0 clk", "1 clk", "17 clk"]),
    "sync.barrier": st.sampled_from(["0 clk", "4 clk", "1000 clk"]),
}
"""What `chips` changes: TOML key -> values. They suit `tiny`, whose kernels fit whatever is drawn."""


@st.composite
def chips(draw: st.DrawFn, base: Chip | str = "tiny", figures: Mapping[str, st.SearchStrategy[Any]] | None = None, most: int = 6) -> Chip:
    """`base` with up to `most` of its figures changed to what `figures` (TOML key -> strategy; FIGURES by default) draws. Shrinks towards
    the base itself: what is left of `Chip.varied` in a failing example is what the failure needs."""
    choice = dict(FIGURES if figures is None else figures)
    keys = draw(st.lists(st.sampled_from(sorted(choice)), unique=True, max_size=most))
    changes = {key: draw(choice[key]) for key in keys}
    if "core.matrix.dataflow" in changes:  # only what stays in the array is loaded
        changes["core.matrix.load_rows_per_clk"] = int(changes["core.matrix.dataflow"] in ("weight_stationary", "input_stationary"))
    if "core_count" in changes:
        changes |= {"noc.x": changes["core_count"], "noc.y": 1}
    return (preset(base) if isinstance(base, str) else base).vary(changes)
