"""Does each preset reproduce its published peaks, and does every figure say where it comes from?"""

from __future__ import annotations

from pathlib import Path

import pytest

import emu
from emu.chip.vocabulary import TAGS
from emu.errors import nearest

PRESETS = emu.chips()
PAPER = sorted((Path(__file__).parent / "paper").glob("*.toml"))
HYPOTHETICAL = ["jalapeno", "jalapeno-hbm3e", "jalapeno-max"]
# What nothing published says about jalapeno: the peaks its presets were reasoned to have, in TFLOP/s.
JALAPENO: dict[str, float] = {"bf16": 2517, "fp8_e4m3": 5033, "int8": 5033, "fp4_e2m1": 10066}
INTENDED: dict[str, dict[str, float]] = {**dict.fromkeys(HYPOTHETICAL, JALAPENO), "tiny": {"bf16": 0.512}}


def test_they_are_there() -> None:
    nvidia, amd = {"a100", "h100", "h200", "gh200", "b200", "gb200"}, {"mi300x", "mi325x", "mi355x"}
    google = {"tpu-v1", "tpu-v3", "tpu-v4", "tpu-v5e", "tpu-v5p", "tpu-v6e", "tpu-v7"}
    others = {"maia-100", "maia-200", "trainium1", "trainium2", "trainium3", "inferentia2", "gaudi-3", "mtia-v2", "tiny", *HYPOTHETICAL}
    assert nvidia | amd | google | others <= set(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_peaks_meet_published_ones(name: str) -> None:
    chip = emu.chip(name)
    published = {str(fmt): flops for fmt, flops in chip.published.items()}
    targets = published or {f: t * 1e12 for f, t in INTENDED[name].items()}
    for fmt, flops in targets.items():
        assert chip.peak_flops(fmt) == pytest.approx(flops, rel=0.015), fmt


@pytest.mark.parametrize("name", PRESETS)
def test_each_rate_has_a_published_figure_or_a_conflict(name: str) -> None:
    """No rate of a real chip goes unchecked, and a conflict names figures that really disagree with the computed one or each other."""
    chip = emu.chip(name)
    if not chip.hypothetical:
        assert set(chip.core.matrix.macs_per_clk) == set(chip.published) | set(chip.published_conflict)
    for fmt, conflict in chip.published_conflict.items():
        assert conflict.note
        assert max(abs(figure / chip.peak_flops(fmt) - 1) for figure in conflict.figures) > 0.015, fmt


@pytest.mark.parametrize("path", PAPER, ids=lambda p: p.stem)
def test_paper_chips_fit_the_schema(path: Path) -> None:
    chip = emu.load_chip(path)
    assert chip.published
    for fmt, flops in chip.published.items():
        assert chip.peak_flops(fmt) == pytest.approx(flops, rel=0.015), fmt


@pytest.mark.parametrize("name", sorted(set(PRESETS) - {"tiny"}))
def test_every_figure_has_tag_and_source(name: str) -> None:
    chip = emu.chip(name)
    figures = chip.figures()
    assert len(figures) > 100
    assert [f.key for f in chip.unlabelled()] == []
    assert [f.key for f in figures if f.tag not in TAGS or not f.source] == []


@pytest.mark.parametrize("name", HYPOTHETICAL)
def test_jalapeno_is_reported_or_assumed_only(name: str) -> None:
    chip = emu.chip(name)
    assert chip.hypothetical and not chip.published
    assert "hypothetical" in chip.title and "hypothetical" in repr(chip)
    assert {f.tag for f in chip.figures()} == {"reported", "assumed"}
    assert chip.provenance("hbm.stacks").tag == "reported"
    assert "hbm.bandwidth" in [f.key for f in chip.assumed()]


@pytest.mark.parametrize("name", PRESETS)
def test_enough_queues_for_the_shipped_kernels(name: str) -> None:
    dma = emu.chip(name).core.dma
    assert dma.load_queues >= 2 and dma.store_queues >= 1


@pytest.mark.parametrize("name", PRESETS)
def test_prices_every_event_its_engines_can_cause(name: str) -> None:
    from emu.chip.vocabulary import PRICED_EVENTS

    chip = emu.chip(name)
    possible = {e for e in PRICED_EVENTS if not e.startswith("array_macs_")} | {f"array_macs_{f}" for f in chip.core.matrix.macs_per_clk}
    if not chip.links:
        possible.discard("link_bytes")
    if not chip.levels:
        possible.discard("shared_bytes")
    assert sorted(possible - set(chip.energy)) == []


def level(chip: emu.chip.schema.Chip, name: str) -> emu.chip.surroundings.Level:
    return next(lv for lv in chip.levels if lv.name == name)


def test_gh200_is_h100_with_all_of_its_memory() -> None:
    new, old = emu.chip("gh200"), emu.chip("h100")
    assert new.core == old.core and level(new, "l2").slice_bytes_per_clk == level(old, "l2").slice_bytes_per_clk
    for chip in (new, old, emu.chip("a100")):  # a slice is 512 KiB on Ampere, 640 on Hopper, eight to a memory controller
        per = level(chip, "l2").capacity_bytes // level(chip, "l2").slices
        assert per == (512 if chip.name == "a100" else 640) << 10 and level(chip, "l2").slices % 8 == 0
    assert new.hbm.stacks * 2 * 8 == level(new, "l2").slices and old.hbm.stacks * 2 * 8 == level(old, "l2").slices


def test_trainium2_traps() -> None:
    chip = emu.chip("trainium2")
    assert chip.published_conflict["bf16"].figures == [632e12, 667e12]
    dma = chip.core.dma
    each = dma.overhead_cycles / chip.core.clock_hz + dma.piece_bytes * dma.engines / (dma.bytes_per_clk * chip.core.clock_hz)
    assert dma.piece_bytes / each == pytest.approx(23e9, rel=0.005)  # sustained per engine, not the 27.2 of theory


@pytest.mark.parametrize(("name", "level_name", "mib"), [("maia-100", "l2", 348), ("tpu-v4", "cmem", 128)])
def test_shared_scratchpads(name: str, level_name: str, mib: int) -> None:
    chip = emu.chip(name)
    assert level(chip, level_name).kind == "scratchpad" and level(chip, level_name).capacity_bytes == mib << 20
    assert [lv for lv in chip.levels if lv.kind == "cache"] == []
    if name == "maia-100":  # 500 MB of scratchpads in all
        assert chip.core_count * chip.core.sram.capacity_bytes + (mib << 20) == pytest.approx(500e6, rel=0.01)


@pytest.mark.parametrize("name", ["gh200", "trainium2", "maia-100", "tpu-v4"])
def test_shipped_kernels_run_on_it(name: str) -> None:
    for r in (emu.gemm(name, 256, 512, 512), emu.attention(name, phase="decode", batch=2, q_heads=8, kv_heads=2, head_dim=128, kv_len=256)):
        assert r.seconds > r.bound_s > 0


def test_h100_traps() -> None:
    chip = emu.chip("h100")
    assert chip.core.clock_hz == 1_830_000_000  # not the 1.98 GHz boost
    assert chip.links[0].total_bytes_per_s == 450 * 10**9  # one direction
    assert chip.hbm.capacity_bytes == 80 * 10**9  # GB, not GiB
    assert level(chip, "l2").capacity_bytes == 50 << 20


def test_a100_traps() -> None:
    chip = emu.chip("a100")
    assert "fp8_e4m3" not in chip.core.matrix.macs_per_clk
    assert chip.core.matrix.macs_per_clk["bf16"] == 1024  # 2,048 FLOP; 312 TFLOP/s dense, not 624 sparse
    assert chip.links[0].total_bytes_per_s == 300 * 10**9  # one direction
    assert chip.core.sram.capacity_bytes == 164 << 10  # of 192 KiB, the rest is L1
    assert level(chip, "l2").far_s > level(chip, "l2").latency_s


def test_h200_is_h100_with_other_memory() -> None:
    new, old = emu.chip("h200"), emu.chip("h100")
    assert (new.core, new.levels, new.noc, new.energy) == (old.core, old.levels, old.noc, old.energy)
    assert new.hbm.capacity_bytes == 141 * 10**9 and new.hbm.bandwidth_bytes_per_s == 4_800 * 10**9
    assert new.stack["vllm"].tiles == old.stack["vllm"].tiles and new.stack["vllm"].launch_s < old.stack["vllm"].launch_s


def test_b200_traps() -> None:
    chip = emu.chip("b200")
    assert chip.core.clock_hz == 1_835_300_000  # not the 1.965 GHz boost
    assert 2 * 128 * 256 * 4 <= chip.core.acc.capacity_bytes - (256 << 10)  # two accumulators beside the registers: the epilogue hides
    assert chip.links[0].total_bytes_per_s == 900 * 10**9  # one direction
    assert chip.hbm.bandwidth_bytes_per_s < 8 * 10**12  # not the rounded 8 TB/s
    assert [s.count for s in chip.scopes] == [2]


def test_mi300x_traps() -> None:
    chip = emu.chip("mi300x")
    assert chip.hbm.bandwidth_bytes_per_s == 5_300 * 10**9  # not the MI325X's 6.81 TB/s that XLA's file lists
    assert [lv.capacity_bytes >> 10 for lv in chip.levels] == [32, 4 << 10, 256 << 10]  # KiB per instance: eight of l2
    assert "not modelled" in chip.note and chip.power.tdp_w == 750


@pytest.mark.parametrize("name, launch_us", [("a100", 2.8), ("h100", 2.6), ("h200", 2.4), ("b200", 1.85)])
def test_gpus_have_a_kernel_per_op_stack(name: str, launch_us: float) -> None:
    stack = emu.chip(name).stack["vllm"]
    assert stack.mode == "kernel-per-op" and stack.launch_s == pytest.approx(launch_us * 1e-6)
    assert stack.split_k_limit == 16 and (128, 256) in stack.tiles


@pytest.mark.parametrize("name", [*HYPOTHETICAL, "maia-200"])
def test_a_mesh_feeds_its_memory(name: str) -> None:
    """Decision 0002: HBM interleaved over all tiles must get through the mesh's middle and in from its edge."""
    chip = emu.chip(name)
    assert chip.noc.uniform_bytes_per_s >= chip.hbm.bandwidth_bytes_per_s
    edge = 2 * (chip.noc.x + chip.noc.y) * chip.noc.bytes_per_clk * chip.core.clock_hz
    assert edge >= chip.hbm.bandwidth_bytes_per_s


@pytest.mark.parametrize("name", [*HYPOTHETICAL, "maia-200"])
def test_weights_load_behind_memory(name: str) -> None:
    """The stationary load does not bind decode: it is faster than a tile's share of HBM."""
    chip = emu.chip(name)
    matrix = chip.core.matrix
    load_bytes_per_s = matrix.load_rows_per_clk * matrix.quantum_n * chip.core.clock_hz * chip.core_count
    assert load_bytes_per_s > chip.hbm.bandwidth_bytes_per_s


def test_unknown_names() -> None:
    with pytest.raises(emu.ChipError, match="jalapeno"):
        emu.chip("jalapenio")
    with pytest.raises(emu.UnsupportedError, match="fp8"):
        emu.chip("h100").peak_flops("fp8")
    assert nearest("h10", PRESETS) == "h100"


def test_a_preset_cannot_be_spoilt() -> None:
    chip = emu.chip("tiny")
    chip.energy["vec_add"] = 99.0
    assert emu.chip("tiny").energy["vec_add"] == 1.0
    with pytest.raises(Exception, match="frozen"):
        chip.core_count = 5


def test_html_escapes_and_names_assumptions() -> None:
    chip = emu.chip("jalapeno").vary({"title": "<script>x</script>"})
    page = chip._repr_html_()
    assert "<script>" not in page and "Hypothetical" in page and "assumed" in page
