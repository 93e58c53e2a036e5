"""Are systems read as they are meant, and is a collective on them what a user asked for, never quicker than its bound?"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import emu
from emu.chip.provenance import Figure
from emu.system.describe import PRESETS, figures_of, of_chip

TEXT = """
schema_version = 1
name = "four"
chip = "tiny"
link = "ring"
chips = {value = 8, tag = "assumed", source = "a test"}
domain = 4
dims = [4]
[outer]
name = "cable"
bandwidth = "1 GB/s"
latency = "5 us"
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "four.toml"
    path.write_text(text)
    return path


def test_every_figure_of_the_presets_says_where_it_is_from():
    assert {"dgx-a100", "dgx-h100", "jalapeno-rack", "mi300x-platform"} <= set(emu.systems())
    for name in emu.systems():
        system = emu.system(name)
        assert system.name == name and system.chips % system.domain == 0
        figures = figures_of(PRESETS / f"{name}.toml")
        assert figures and all(isinstance(f, Figure) and f.tag and f.source for f in figures.values()), name
        if system.chip in emu.chips():
            fabric = system.fabric(emu.chip(system.chip))
            assert fabric.chips == system.chips and fabric.bytes_per_s > 0


def test_a_file_of_ones_own(tmp_path):
    system = emu.load_system(written(tmp_path, TEXT))
    fabric = system.fabric(emu.chip("tiny"))
    assert (fabric.kind, fabric.dims, fabric.wraps, fabric.domain, fabric.outer_bytes_per_s) == ("torus", (4,), (True,), 4, 10**9)
    assert system.fabric(emu.chip("tiny"), 3).wraps == (False,), "a part of a ring is a line"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("dims = [4]", "dims = [5]", "dims: 5 is 5 chips, domain says 4"), ("[outer]", "[outre]", "did you mean 'outer'"),
        ('bandwidth = "1 GB/s"', 'bandwidth = "1 GHz"', "bandwidth"), ("value = 8", "value = 9", "do not divide"),
        ("schema_version = 1", "schema_version = 2", "schema_version"), ("value = 8", "value = 2048", "chips"),
    ],
)  # fmt: skip
def test_mistakes_are_named(tmp_path, old, new, says):
    with pytest.raises(emu.EmuError) as caught:
        emu.load_system(written(tmp_path, TEXT.replace(old, new)))
    assert says in str(caught.value) and "four.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: emu.system("dgx-h101"), "did you mean 'dgx-h100'"),
        (lambda: emu.collective("h100", "all_reduce", 1024, 9), "joins 2 to 8"),
        (lambda: emu.collective("h100", "all_sum", 1024, 8), "no collective 'all_sum'"),
        (lambda: emu.collective("h100", "all_reduce", 0, 8), "at least 1"),
        (lambda: emu.collective("h100", "broadcast", 8, 8, root=8), "root 8"),
        (lambda: emu.collective("h100", "all_gather", 8, 8, algorithm="halving"), "does not fit"),
        (lambda: emu.collective("h100", "all_reduce", 8, 8, stack="vlm"), "no stack 'vlm'; did you mean 'vllm'"),
        (lambda: emu.collective("h100", "all_reduce", 8, 8, counts=[[1]]), "counts are those of an all_to_all"),
        (lambda: emu.collective("tiny", "all_reduce", 8, 4, system="dgx-h100"), "tiny has no link 'nvlink4'"),
        (lambda: emu.collective("tpu", "all_reduce", 8, 4), "no chip is named"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(call, says):
    with pytest.raises(emu.EmuError, match=says):
        call()


@pytest.mark.parametrize("layout", [{"chips": 8}, {"tp": 8}, {"pp": 2}, {"dp": 2}, {"ep": 4}, {"system": "dgx-h100"}])
def test_a_model_on_several_chips_is_refused_by_name(layout):
    with pytest.raises(emu.EmuError, match=next(iter(layout))):
        emu.estimate("llama-3-8b", "h100", **layout)


OPS = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "send_recv")


CHIPS = ("tiny", "h100", "mi300x", "jalapeno")


@given(st.sampled_from(CHIPS), st.sampled_from(OPS), st.sampled_from([2, 4, 7, 8]), st.integers(1, 1 << 22))
@settings(max_examples=40, deadline=None)
def test_no_collective_beats_its_bound(chip, op, chips, size):
    for fidelity in ("fast", "ideal"):
        r = emu.collective(chip, op, size, chips, fidelity=fidelity)
        assert r.seconds >= r.bound_s > 0 and r.bound.by == "link"
        assert r.mapping["bytes"] >= size and r.joules > 0


def test_large_ones_come_near_their_bound():
    for chip, op, chips in (("jalapeno", "all_gather", 64), ("mi300x", "all_to_all", 8), ("h100", "reduce_scatter", 8)):
        r = emu.collective(chip, op, 1 << 28, chips)
        link = emu.chip(chip).links[0].achieved_fraction
        assert r.ratio < 1.25 / link, (chip, op, r.ratio)


def test_the_second_level_is_slower():
    near, far = (emu.collective("h100", "all_gather", 1 << 24, n, system="dgx-h100", algorithm="ring") for n in (8, 16))
    assert far.mapping["system"] == "dgx-h100" and far.seconds > 4 * near.seconds
    assert far.bound_s < far.seconds
    both = emu.collective("h100", "all_reduce", 1 << 24, 16, system="dgx-h100")
    assert both.mapping["algorithm"] != "switch", "no switch sees both domains"
    assert any("second level" in name for name in far.run.links)


def test_uneven_exchanges_move_what_they_are_told():
    counts = [[0, 4096, 0, 0], [0, 0, 0, 8], [1, 2, 3, 4], [0, 0, 0, 0]]
    r = emu.collective("tiny", "all_to_all", 4096 * 2 * 4, 4, counts=counts)
    hops = {1: 1, 2: 2, 3: 1}
    sent = sum(hops[(b - a) % 4] * n for a, row in enumerate(counts) for b, n in enumerate(row) if a != b)
    assert r.run.counters["link_bytes"] == 2 * sent


def test_a_torus_of_a_chip_is_as_square_as_it_can_be():
    assert of_chip(emu.chip("tiny"), 6).dims == (6,)
    cube = emu.chip("tiny").vary({"links.0.topology": "torus", "links.0.dims": 3, "links.0.domain": 64})
    assert [of_chip(cube, n).dims for n in (8, 12, 64)] == [(2, 2, 2), (2, 2, 3), (4, 4, 4)]


TPU = {
    "links.0.latency": "1 us", "links.0.queues": 4, "links.0.bandwidth": "45 GB/s", "core.dma.inflight": "1 MiB",
    "core.dma.bandwidth": "512 B/clk", "core.dma.start": "150 clk",
}
"""A TPU's links; its DMA as wide as its memory."""
SLICE = {"schema_version": 1, "name": "slice", "chip": "tpu-v5e", "link": "ici"}


@pytest.mark.parametrize(
    ("op", "size", "dims", "wraps", "seconds"),
    [
        ("all_gather", 1024 * 4096 * 2 // 4, (4,), True, 23e-6), ("all_gather", 1024 * 4096 * 2, (4, 4), True, 46e-6),
        ("all_gather", 256, (4,), True, 2e-6), ("send_recv", 16_800_000, (4, 4), False, 194e-6),
    ],
)  # fmt: skip
def test_the_worked_collectives_of_tpus(op, size, dims, wraps, seconds):
    """jax-ml/scaling-book@0819a7d, tpus.md and sharding.md, their own approximations: on a TPU v4 bf16[1024, 4096] gathered over X (23 us)
    and over X and Y (46 us), 256 bytes two hops; on a TPU v5e 16.8 MB from corner to corner of 4 x 4 (194 us)."""
    from emu.system import System

    chip = emu.load_chip(Path(__file__).parents[1] / "chips" / "paper" / "tpu-v5e.toml").vary(TPU)
    n = dims[0] * (dims[1] if len(dims) > 1 else 1)
    shape = {"chips": n, "domain": n, "dims": list(dims), "wraps": [wraps] * len(dims)}
    r = emu.collective(chip, op, size, n, system=System.model_validate({**SLICE, **shape}), root=0, target=n - 1)
    assert r.seconds == pytest.approx(seconds, rel=0.1)
