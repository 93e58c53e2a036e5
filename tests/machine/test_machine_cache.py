"""The last-level cache: what one core has read the next finds, capacity evicts, and the order of processing changes nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import emu
import isa

TINY = emu.chip("tiny")
LEVEL = {"name": "l2", "scope": "chip", "kind": "cache", "capacity": "64 KiB", "line": "128 B", "bandwidth": "256 GB/s", "slices": 1}
LEVEL |= {"latency": "20 ns", "latency_far": "30 ns"}


@pytest.fixture(scope="module")
def cached():
    return TINY.vary({"levels": [LEVEL]})


def reads(cores: int, starts: list[int], size: int, rounds: int, hbm: int = 1 << 20) -> isa.Program:
    """Core c reads `size` bytes from starts[c], `rounds` times over."""
    return isa.assemble(f"""
.program reads
.cores {cores}
.buffer x hbm 0x0 {hbm} in int8 {hbm}
.buffer t sram 0x0 {size} temp
.param 0 {",".join(str(s) for s in starts)}
.stream ld0
        ldp r1, 0
        dset d0.space, sram
        dset d0.fmt, int8
        dset d0.n0, {size}
        dset d1.fmt, int8
        dsetr d1.base, r1, 0
        loop {rounds}, e
        dma d0, d1
e:
        halt
""")


def counters(chip, program, **options):
    r = emu.Machine(chip).run(program, values=False, **options)
    return r.counters | {"end": r.end_fs}


def test_what_one_core_read_the_others_find(cached):
    shared = counters(cached, reads(4, [0] * 4, 4096, 1))
    apart = counters(cached, reads(4, [0, 8192, 16384, 24576], 4096, 1))
    assert shared["hbm_read_bytes"] == 4096 and apart["hbm_read_bytes"] == 4 * 4096
    assert shared["end"] <= apart["end"]
    assert shared["shared_bytes"] == apart["shared_bytes"] == 4 * 4096
    assert shared["sram_write_bytes"] == 4 * 4096


def test_a_second_round_hits_until_the_capacity_is_exceeded(cached):
    fits = 32 << 10
    assert counters(cached, reads(1, [0], fits, 4))["hbm_read_bytes"] == fits
    too_many = reads(2, [0, 48 << 10], 48 << 10, 3)  # 96 KiB pass through 64 KiB: LRU finds nothing again
    assert counters(cached, too_many)["hbm_read_bytes"] == 6 * (48 << 10)


@given(st.lists(st.integers(0, 60), min_size=4, max_size=4), st.sampled_from([128, 1000, 4096, 9999]), st.integers(1, 3), st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_any_legal_order_gives_the_same_hits(cached, blocks, size, rounds, seed):
    program = reads(4, [b * 4096 + b % 3 * 64 for b in blocks], size, rounds)
    a, b = counters(cached, program), counters(cached, program, order_seed=seed)
    assert a == b
    covered = set()
    for start in (b * 4096 + b % 3 * 64 for b in blocks):
        covered |= set(range(start // 128, (start + size - 1) // 128 + 1))
    assert a["hbm_burst_bytes"] >= min(len(covered) * 128, 1) and a["hbm_read_bytes"] <= 4 * rounds * (size + 128)


def test_a_cache_never_makes_device_memory_read_more(cached):
    program = reads(4, [0, 4096, 0, 64], 4096, 2)
    plain = counters(TINY, program)
    assert counters(cached, program)["hbm_read_bytes"] <= plain["hbm_read_bytes"]
