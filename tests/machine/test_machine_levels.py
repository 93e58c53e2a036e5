"""Memory levels: what a scalar load waits, where each plateau ends, whose copies a core sees, what a write leaves to be written."""

from __future__ import annotations

from collections import OrderedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import emu
import isa
from emu.errors import EmuError
from emu.kernels import probes
from emu.machine.config import core_config
from emu.study.memory import load_latency_s, read_bandwidth

TINY = emu.chip("tiny")
NS = 1e-9


def cache(name: str, scope: str, kib: int, latency: str, **more: object) -> dict[str, object]:
    return {"name": name, "scope": scope, "kind": "cache", "capacity": f"{kib} KiB", "latency": latency, "bandwidth": "100 GB/s"} | more


def with_levels(*levels: dict[str, object], **changes: object) -> emu.chip.schema.Chip:
    return TINY.vary({"levels": list(levels), **changes})


SIDES = cache("l2", "chip", 64, "50 ns", latency_far="80 ns")
L1 = cache("l1", "core", 8, "10 ns", serves="loads")
DEEP = with_levels(L1, SIDES)
DRAM_NS = TINY.hbm.latency_s / NS


@pytest.mark.parametrize(("kib", "ns"), [(4, 10), (8, 10), (12, 50), (32, 50), (36, 80), (64, 80), (68, DRAM_NS), (256, DRAM_NS)])
def test_plateaus_end_with_the_capacity(kib: int, ns: float) -> None:
    """L1, its own side of L2, the other side too, memory: to the clock, whatever the footprint within a plateau."""
    assert load_latency_s(DEEP, kib << 10) / NS == pytest.approx(ns, abs=1.0)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(20, 90), st.integers(1, 60))
@settings(max_examples=25, deadline=None)
def test_any_two_levels(inner: int, more: int, ns: int, blocks: int) -> None:
    chip = with_levels(cache("a", "core", 4 * inner, "10 ns"), cache("b", "chip", 4 * (inner + more), f"{ns} ns"))
    expected = 10 if blocks <= inner else ns if blocks <= inner + more else DRAM_NS
    assert load_latency_s(chip, blocks << 12) / NS == pytest.approx(expected, abs=1.0)


def test_a_load_without_caches_waits_for_memory() -> None:
    assert load_latency_s(TINY, 1 << 14) == pytest.approx(TINY.hbm.latency_s, abs=1.0 * NS)


def test_the_walk_passes_every_line_once() -> None:
    for size in (128, 4096, 5 * 4096 + 384):
        words, at, seen = probes.ring(size), 0, set()
        while at not in seen:
            seen.add(at)
            at = int(words[at // 4])
        assert seen == set(range(0, size, 128)) and at == 0


@pytest.mark.parametrize("stream", ["mm", "vec", "ld0", "st0"])
def test_every_stream_waits_for_its_loads(stream: str) -> None:
    program = isa.assemble(probes.chase(4096, 10).to_text().replace("ld0", stream))
    run = emu.Machine(TINY).run(program, {"ring": probes.ring(4096)}, values=False)
    assert run.seconds == pytest.approx(10 * TINY.hbm.latency_s, rel=0.02)
    assert run.stalls_fs()[0, stream]["dram_latency"] > 0.95 * run.end_fs


def walkers(cores: int, starts: list[int], hops: int, size: int) -> isa.Program:
    text = probes.chase(size, hops).to_text().replace(".cores 1", f".cores {cores}").replace("loop", "ldp r1, 0\n        loop")
    return isa.assemble(text.replace(".stream", f".param 0 {','.join(map(str, starts))}\n.stream"))


@given(st.sampled_from([DEEP, TINY]), st.lists(st.integers(0, 63), min_size=4, max_size=4), st.integers(1, 80), st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_any_legal_order_of_loads_gives_the_same_time(chip: emu.chip.schema.Chip, lines: list[int], hops: int, seed: int) -> None:
    program, ring = walkers(4, [128 * n for n in lines], hops, 8192), {"ring": probes.ring(8192)}
    a, b = (emu.Machine(chip).run(program, ring, values=False, order_seed=s) for s in (0, seed))
    assert (a.end_fs, a.counters, a.raw["stalls"]) == (b.end_fs, b.counters, b.raw["stalls"])
    c = emu.Machine(chip).run(program, ring, values=False, folding=True, fast_forward=True)  # on TINY cores fold
    assert (a.end_fs, a.counters, a.stalls) == (c.end_fs, c.counters, c.stalls)


def copies(cores: int, starts: list[int], size: int, rounds: int, write: bool = False) -> isa.Program:
    """Core c moves `size` bytes at starts[c], `rounds` times: reads, or writes of what its scratchpad holds."""
    hbm, sram = ("d0", "d1") if write else ("d1", "d0")
    stream = "st0" if write else "ld0"
    return isa.assemble(f"""
.program copies
.cores {cores}
.buffer x hbm 0x0 1048576 {"out" if write else "in"} int8 1048576
.buffer t sram 0x0 {size} temp
.param 0 {",".join(map(str, starts))}
.sem 1 go 0
.stream vec
        dset d1.space, sram
        dset d1.fmt, int8
        dset d1.n0, {size}
        vfill d1, d2 signal=go
        halt
.stream {stream}
        wait go, 1
        ldp r1, 0
        dset {sram}.space, sram
        dset {sram}.fmt, int8
        dset {hbm}.fmt, int8
        dset d0.n0, {size}
        dsetr {hbm}.base, r1, 0
        loop {rounds}, e
        dma d0, d1
e:
        halt
""")


def moved(chip: emu.chip.schema.Chip, program: isa.Program) -> dict[str, int]:
    return emu.Machine(chip).run(program, values=False).counters


def test_a_die_sees_what_its_own_cores_read() -> None:
    chip = with_levels(cache("l2", "die", 64, "20 ns"), scopes=[{"name": "die", "count": 2}])
    together = moved(chip, copies(2, [0, 0], 4096, 3))["hbm_read_bytes"]  # cores 0 and 1 are on one die of two
    apart = moved(chip, copies(4, [0, 0, 0, 0], 4096, 3))["hbm_read_bytes"]
    assert (together, apart) == (4096, 2 * 4096)
    both = with_levels(cache("l2", "die", 64, "20 ns"), cache("mall", "chip", 256, "40 ns"), scopes=[{"name": "die", "count": 2}])
    assert moved(both, copies(4, [0, 0, 0, 0], 4096, 3))["hbm_read_bytes"] == 4096


def test_dma_passes_a_level_for_loads_by() -> None:
    for chip in (with_levels(L1), TINY):
        assert moved(chip, copies(1, [0], 4096, 4))["hbm_read_bytes"] == 4 * 4096


@pytest.mark.parametrize(("line", "fetched"), [("64 B", 128), ("128 B", 128), ("256 B", 256), ("1 KiB", 1024), ("4 KiB", 4096)])
def test_a_miss_brings_a_line(line: str, fetched: int) -> None:
    chip = with_levels(cache("l2", "chip", 64, "20 ns", line=line))
    assert moved(chip, copies(1, [5000], 1, 1))["hbm_read_bytes"] == fetched
    assert moved(chip, copies(2, [5000, 5000 // fetched * fetched], 1, 1))["hbm_read_bytes"] == fetched  # its beginning has come with it
    assert moved(chip, copies(2, [5000, 5000 // fetched * fetched - 1], 1, 1))["hbm_read_bytes"] == 2 * fetched


def test_write_back_writes_what_has_to_leave() -> None:
    through, back = (with_levels(cache("l2", "chip", 16, "20 ns", write=w)) for w in ("through", "back"))
    assert moved(through, copies(1, [0], 8192, 5, write=True))["hbm_write_bytes"] == 5 * 8192
    assert moved(back, copies(1, [0], 8192, 5, write=True))["hbm_write_bytes"] == 0
    many = copies(4, [0, 32 << 10, 64 << 10, 96 << 10], 16 << 10, 1, write=True)
    assert moved(back, many)["hbm_write_bytes"] == (4 * 16 - 16) << 10  # what is left lies in the cache
    assert emu.Machine(back).run(copies(1, [0], 8192, 5, write=True), values=False).end_fs < emu.Machine(through).run(
        copies(1, [0], 8192, 5, write=True), values=False).end_fs  # fmt: skip


class Lru:
    """What 4 KiB blocks of 128-byte sectors hold, by bytes."""

    def __init__(self, limit: int) -> None:
        self.limit, self.blocks = limit, OrderedDict[int, set[int]]()

    def ask(self, sectors: list[int]) -> list[int]:
        absent = []
        for sector in sectors:
            block = self.blocks.setdefault(sector // 32, set())
            self.blocks.move_to_end(sector // 32)
            if sector not in block:
                block.add(sector)
                absent.append(sector)
            while sum(map(len, self.blocks.values())) * 128 > self.limit and len(self.blocks) > 1:
                self.blocks.popitem(last=False)
        return absent


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 120)), min_size=1, max_size=40), st.integers(1, 12), st.integers(1, 24))
@settings(max_examples=40, deadline=None)
def test_two_tiers_against_a_plain_lru(order: list[tuple[int, int]], inner: int, outer: int) -> None:
    """One core after the other, so the order is known; two dies of two cores, and a level behind both."""
    die, chip = cache("l2", "die", 4 * inner, "20 ns"), cache("mall", "chip", 4 * outer, "40 ns")
    machine = emu.Machine(with_levels(die, chip, scopes=[{"name": "die", "count": 2}]))
    steps = [(core, place * 1024, 1500) for core, place in order]
    body = ""
    for turn, (core, at, size) in enumerate(steps):
        body += f"""
        bar 0
        cid r1
        li r2, {core}
        bne r1, r2, next{turn}
        dset d1.base, {at}
        dset d0.n0, {size}
        dma d0, d1
        fence
next{turn}:"""
    program = isa.assemble(f"""
.program turns
.cores 4
.buffer x hbm 0x0 1048576 in int8 1048576
.buffer t sram 0x0 2048 temp
.barrier 0 ld0
.stream ld0
        dset d0.space, sram
        dset d0.fmt, int8
        dset d1.fmt, int8{body}
        halt
""")
    dies, mall, read = [Lru(4096 * inner), Lru(4096 * inner)], Lru(4096 * outer), 0
    for core, at, size in steps:
        absent = []
        for block in range(at // 4096, (at + size - 1) // 4096 + 1):
            lo, hi = max(at, block * 4096), min(at + size, block * 4096 + 4096)
            absent += mall.ask(dies[core // 2].ask(list(range(lo // 128, (hi - 1) // 128 + 1))))
        read += 128 * len(absent)
    assert machine.run(program, values=False).counters["hbm_read_bytes"] == read


def test_bandwidth_follows_slices() -> None:
    chip = emu.chip("a100")
    level = next(lv for lv in chip.levels if lv.name == "l2")
    assert level.bandwidth_bytes_per_s == pytest.approx(80 * (1 - (79 / 80) ** 108) * 64 * chip.core.clock_hz, rel=1e-6)
    assert chip.vary({"levels.l2.slices": 1}).levels[1].bandwidth_bytes_per_s == 64 * chip.core.clock_hz
    many = chip.vary({"levels.l2.slices": 1 << 20}).levels[1].bandwidth_bytes_per_s
    assert many == pytest.approx(108 * 64 * chip.core.clock_hz, rel=1e-3)  # none of the cores meets another


def test_a_sweep_never_beats_the_level_it_lies_in() -> None:
    chip = with_levels(cache("l2", "chip", 256, "20 ns", bandwidth="20 GB/s"))
    for size, limit in ((64 << 10, 20e9), (1 << 20, TINY.hbm.bandwidth_bytes_per_s)):
        assert 0.9 * min(limit, 20e9 if size < 256 << 10 else limit) < read_bandwidth(chip, size)[0] <= 1.001 * limit


def test_a_narrow_level_is_named() -> None:
    """All cores read again and again what the cache holds."""
    chip = with_levels(cache("l2", "chip", 64, "20 ns", bandwidth="1 GB/s"))
    run = emu.Machine(chip).run(probes.sweep(4, 1024, 6, 400), values=False)
    row = {cause: fs for cause, fs in run.stalls_fs()[0, "ld0"].items() if fs and cause not in ("busy", "not_started", "finished")}
    assert row["shared"] > 0.95 * sum(row.values()) and sum(run.stalls_fs()[0, "ld0"].values()) == run.end_fs


def test_too_many_levels_and_unknown_scopes_are_refused_by_name() -> None:
    with pytest.raises(EmuError, match="9 tiers"):
        core_config(with_levels(*(cache(f"l{j}", "chip", 4 * (j + 1), "20 ns") for j in range(9))), 1)
    many = {"core_count": 65, "noc.x": 65, "noc.y": 1}
    with pytest.raises(EmuError, match=r"levels.l1 .* 65 instances.* 64 apart"):
        core_config(with_levels(L1 | {"serves": "all"}, **many), 1)
    core_config(with_levels(L1, **many), 1)
    with pytest.raises(EmuError, match=r"levels.l2: scope 'die' is not there"):
        with_levels(cache("l2", "die", 64, "20 ns"))
    with pytest.raises(EmuError, match="give `bandwidth`"):
        with_levels({k: v for k, v in cache("l2", "chip", 64, "20 ns").items() if k != "bandwidth"})
    with pytest.raises(EmuError, match="power of two"):
        with_levels(cache("l2", "chip", 64, "20 ns", line="192 B"))
