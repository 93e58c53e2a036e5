"""Is a program that was kept the one that would be compiled? And is it compiled again for nothing?"""

from __future__ import annotations

import importlib
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

import emu
from emu.errors import EmuError
from emu.mapper import choose, gemm_program, lower
from emu.mapper.area import divide
from emu.mapper.gemm import GemmShape, ranked

lowering = importlib.import_module("emu.mapper.lower")
choosing = importlib.import_module("emu.mapper.choose")

TINY = emu.chip("tiny")
MODEL = emu.load_model("examples/models/tiny-llama/config.json")
GRAPHS = [MODEL.graph("prefill", 2, 20, 20, "bf16", None, 48), MODEL.graph("decode", 2, 1, 40, "bf16", None, 48)]

UNREAD = {
    "hbm.bandwidth": st.integers(1, 4000).map("{} GB/s".format),
    "core.clock": st.integers(100, 4000).map("{} MHz".format),
    "core.dma.inflight": st.integers(1, 512).map("{} KiB".format),
    "core.sram.latency": st.integers(0, 80).map("{} clk".format),
    "sync.semaphore": st.integers(0, 40).map("{} clk".format),
    "sync.barrier": st.integers(0, 400).map("{} clk".format),
    "energy.vec_add": st.integers(0, 9).map("{} pJ".format),
    "core.vector.per_clk.exp": st.integers(1, 64),
}
"""Figures that the compiler does not read."""
JUDGED = {
    "hbm.latency": st.integers(1, 20000).map("{} ns".format),
    "core.dma.start": st.integers(0, 20000).map("{} clk".format),
    "core.vector.per_clk.mul": st.integers(1, 64),
}
"""Figures that decide whether a norm is fused: the decision is part of what was asked."""
READ = {
    "core.sram.capacity": st.integers(48, 512).map("{} KiB".format),
    "core.acc.capacity": st.integers(8, 64).map("{} KiB".format),
    "hbm.capacity": st.integers(64, 256).map("{} MiB".format),
    "core.matrix.max_m": st.sampled_from([16, 32, 64]),
    "core_count": st.integers(1, 5),
}


def changed(table: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(sorted(table)), st.none(), min_size=1, max_size=4).flatmap(
        lambda names: st.fixed_dictionaries({name: table[name] for name in names})
    )


def varied(changes: dict[str, Any]) -> emu.Chip:
    more = {"noc.x": changes["core_count"], "noc.y": 1} if "core_count" in changes else {}
    return TINY.vary({**changes, **more})


def forget() -> None:
    lowering._compiled.cache_clear()
    choosing._gemm_image.cache_clear()
    choosing._gemms.clear()
    choosing._attentions.clear()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(changed(UNREAD | JUDGED | READ), st.sampled_from(GRAPHS), st.booleans())
def test_kept_programs_are_those_that_would_be_compiled(changes, graph, anew):
    """Whatever was compiled before, for whatever chip: the program asked for is the one that an empty cache gives."""
    try:
        chip = varied(changes)
        choice = choose(graph, chip if anew else TINY)
        lower(graph, TINY, choice, 2)
        kept = [lower(graph, chip, choice, 2).program.digest for _ in range(2)]
    except EmuError:
        assume(False)
    forget()
    assert kept == [lower(graph, chip, choice, 2).program.digest] * 2


@settings(max_examples=20, deadline=None, derandomize=True)
@given(changed(UNREAD), st.sampled_from(GRAPHS))
def test_figures_that_are_not_read_compile_nothing(changes, graph):
    choice = choose(graph, TINY)
    first = lower(graph, TINY, choice, 2).program
    before = lowering._compiled.cache_info().misses
    assert lower(graph, varied(changes), choice, 2).program == first
    assert lowering._compiled.cache_info().misses == before


@settings(max_examples=20, deadline=None, derandomize=True)
@given(changed(READ), st.integers(1, 60), st.integers(1, 80), st.integers(1, 90))
def test_gemms_alone_are_kept_likewise(changes, m, n, k):
    chip = varied(changes)
    area = divide(chip, "bf16")
    shape = GemmShape(m, -(-n // area.block) * area.block, k, "bf16", "bf16")
    try:
        tiling = ranked(shape, chip, area)[0]
        kept = gemm_program(chip, shape, area, tiling).digest
    except EmuError:
        assume(False)
    forget()
    assert gemm_program(chip, shape, area, tiling).digest == kept


@settings(max_examples=5, deadline=None, derandomize=True)
@given(st.lists(changed(UNREAD | JUDGED | READ), min_size=1, max_size=2), st.sampled_from(["bf16", "fp8"]))
def test_a_sweep_gives_what_each_point_gives_by_itself(points, dtype):
    def asked(chip):
        try:
            return emu.estimate(MODEL, chip, batch=2, prompt=20, generate=2, dtype=dtype).to_dict()
        except EmuError as error:
            return str(error)

    chips = [varied(changes) for changes in points]
    warm = [asked(chip) for chip in (TINY, *chips)][1:]
    for chip, one in zip(chips, warm):
        forget()
        assert asked(chip) == one


def test_a_figure_that_is_read_gives_another_program():
    """Half the scratchpad: another weight ring, other addresses, and the program runs on the smaller chip."""
    graph = GRAPHS[0]
    small = TINY.vary({"core.sram.capacity": f"{TINY.core.sram.capacity_bytes // 2} B"})
    choice = choose(graph, small)
    large = lower(graph, TINY, choice, 2)
    less = lower(graph, small, choice, 2)
    assert less.program.digest != large.program.digest
    ends = [b.offset + b.bytes for b in less.program.buffers if b.space == "sram"]
    assert max(ends) <= small.core.sram.capacity_bytes < max(b.offset + b.bytes for b in large.program.buffers if b.space == "sram")


def test_a_norm_is_fused_or_not_as_the_chip_has_it():
    """The figures behind that decision are not part of the key, the decision is."""
    graph = GRAPHS[1]
    choice = choose(graph, TINY)
    near, far = (TINY.vary({"hbm.latency": latency}) for latency in ("1 ns", "20 us"))
    labels = [lower(graph, chip, choice, 2).program.labels for chip in (near, far, near)]
    assert labels[0] == labels[2] and len(labels[1]) < len(labels[0])


def test_whoever_changes_a_program_changes_his_own():
    graph = GRAPHS[0]
    choice = choose(graph, TINY)
    first = lower(graph, TINY, choice, 2).program
    digest = first.digest
    first.labels.clear()
    first.streams["mm"].clear()
    first.params.append((0,) * first.cores)
    assert lower(graph, TINY, choice, 2).program.digest == digest


def test_the_caches_are_bounded():
    assert lowering._compiled.cache_info().maxsize == lowering.KEPT
    assert choosing._gemm_image.cache_info().maxsize == choosing.KEPT
