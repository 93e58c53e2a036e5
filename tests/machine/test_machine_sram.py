"""The scratchpad: conflicts of banks, and engines that want more of it together than it has."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import emu
import isa

sys.path.append(str(Path(__file__).parents[1] / "timing"))
from timing_programs import pipeline  # noqa: E402

TINY = emu.chip("tiny")
WIDE = TINY.core.port_bytes_per_clk("vec", "sram", "read")
SIZES = {"fp32": 4, "bf16": 2, "int8": 1}


def moves(fmt: str, n0: int, n1: int, s0: int, s1: int, rounds: int = 1) -> isa.Program:
    """A vector copy from a strided operand of the scratchpad to the accumulators."""
    size = SIZES[fmt]
    reach = (n0 - 1) * s0 * size + (n1 - 1) * s1 + size
    return isa.assemble(f"""
.program moves
.cores 1
.buffer a sram 0x0 {reach} temp
.buffer b acc 0x0 {4 * n0 * n1} temp
.stream vec
        dset d1.space, sram
        dset d1.fmt, {fmt}
        dset d1.n0, {n0}
        dset d1.n1, {n1}
        dset d1.s0, {s0}
        dset d1.s1, {s1}
        vfill d1, d2
        dset d3.space, acc
        dset d3.n0, {n0}
        dset d3.n1, {n1}
        dset d3.s1, {4 * n0}
        loop {rounds}, e
        vmov d3, d1
e:
        halt
""")


def factor(fmt: str, n0: int, n1: int, s0: int, s1: int, banks: int, wide: int) -> int:
    """How often the busiest bank is asked in the first clock, over how often it has to be."""
    size, words = SIZES[fmt], []
    for e in range(min(WIDE // size, n0 * n1)):
        word = ((e % n0) * s0 * size + e // n0 * s1) // wide
        if not words or word != words[-1]:
            words.append(word)
    asked: dict[int, int] = defaultdict(int)
    for word in words:
        asked[word % banks] += 1
    return -(-max(asked.values()) // -(-len(words) // banks))


def clocks(chip: emu.chip.schema.Chip, program: isa.Program) -> int:
    return emu.Machine(chip).run(program, values=False).cycles


@given(
    st.sampled_from(sorted(SIZES)), st.integers(1, 12), st.integers(1, 24), st.integers(1, 40), st.integers(1, 70),
    st.sampled_from([4, 8, 32]), st.sampled_from([4, 8]),
)  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_conflicts_of_banks(fmt: str, n0: int, n1: int, s0: int, extra: int, banks: int, wide: int) -> None:
    s1 = n0 * s0 * SIZES[fmt] + 4 * extra
    rows = {"core.vector.per_clk.convert": 1000}
    with_banks = TINY.vary({"core.sram.banks": banks, "core.sram.bank": f"{wide} B", **rows})
    five, ten = (clocks(with_banks, moves(fmt, n0, n1, s0, s1, rounds)) for rounds in (5, 10))
    reads = -(-n0 * n1 * SIZES[fmt] * factor(fmt, n0, n1, s0, s1, banks, wide) // WIDE)
    writes = -(-4 * n0 * n1 // TINY.core.port_bytes_per_clk("vec", "acc", "write"))
    assert (ten - five) / 5 == max(reads, writes, 1) + TINY.core.vector.startup_cycles


def test_chips_without_bank_width_know_no_conflicts() -> None:
    assert clocks(TINY, moves("fp32", 1, 64, 1, 128)) == clocks(TINY, moves("fp32", 1, 64, 1, 4))


def test_a_planted_conflict_is_named() -> None:
    """A column of rows of 128 B: all words on one of 32 banks."""
    chip = TINY.vary({"core.sram.banks": 32, "core.sram.bank": "4 B", "core.vector.per_clk.convert": 64, "core.vector.startup": "0 clk"})
    run = emu.Machine(chip).run(moves("fp32", 1, 64, 1, 128, 300), values=False)
    row = {cause: fs for cause, fs in run.stalls_fs()[0, "vec"].items() if fs and cause not in ("busy", "not_started", "finished")}
    assert row["bank"] > 0.95 * sum(row.values()) and row["bank"] > 0.8 * run.end_fs
    even = emu.Machine(chip).run(moves("fp32", 1, 64, 1, 132, 300), values=False)  # a pad of one word
    assert "bank_s" not in even.stalls["vec"] and even.end_fs < run.end_fs / 5


def together(width: int) -> isa.Program:
    """The matrix engine and the vector engine each read the scratchpad for as long as the other, without a token between them."""
    return isa.assemble(f"""
.program together
.cores 1
.buffer a sram 0x0 4096 temp
.buffer c acc 0x0 4096 temp
.buffer v acc 4096 4096 temp
.sem 1 go 0
.stream vec
        dset d1.space, sram
        dset d1.n0, 1024
        vfill d1, d2
        signal go, 1
        dset d1.n0, {width}
        dset d3.space, acc
        dset d3.base, 4096
        dset d3.n0, {width}
        loop 100, e
        vmov d3, d1
e:
        halt
.stream mm
        dset d0.space, acc
        dset d0.n0, 8
        dset d0.n1, 8
        dset d0.s1, 32
        dset d1.space, sram
        dset d1.fmt, bf16
        dset d1.n0, 8
        dset d1.n1, 8
        dset d1.s1, 16
        dset d2.space, sram
        dset d2.base, 1024
        dset d2.fmt, bf16
        dset d2.n0, 8
        dset d2.n1, 8
        dset d2.s1, 16
        wait go, 1
        loop 400, f
        mm d0, d1, d2
f:
        halt
""")


def test_engines_share_the_scratchpad() -> None:
    """What both together want of it is never more than it has; what it has enough of changes nothing."""
    alone = emu.Machine(TINY).run(together(256), values=False)
    moved = alone.counters["sram_read_bytes"] + alone.counters["sram_write_bytes"]
    ends = {}
    for width in (8, 16, 24, 48, 4096):
        run = emu.Machine(TINY.vary({"core.sram.bandwidth": f"{width} B/clk"})).run(together(256), values=False)
        assert run.counters == alone.counters and run.cycles * width >= moved
        ends[width] = run.end_fs
    assert ends[4096] == alone.end_fs and sorted(ends.values(), reverse=True) == [ends[w] for w in sorted(ends)]
    assert ends[8] * 8 == pytest.approx(moved * TINY.core.period_fs, rel=0.15)


def test_contention_is_named() -> None:
    chip = TINY.vary({"core.sram.bandwidth": "8 B/clk"})
    run = emu.Machine(chip).run(together(256), values=False)
    for stream in ("mm", "vec"):
        row = run.stalls_fs()[0, stream]
        waits = {cause: fs for cause, fs in row.items() if fs and cause not in ("busy", "not_started", "finished", "operand")}
        assert sum(row.values()) == run.end_fs and waits["port"] > 0.95 * sum(waits.values()), (stream, waits)


@given(st.integers(1, 30), st.integers(1, 3), st.sampled_from([8, 24, 64]), st.integers(1, 9))
@settings(max_examples=25, deadline=None)
def test_any_legal_order_and_the_short_cuts_give_the_same_time(tiles: int, depth: int, width: int, seed: int) -> None:
    chip = TINY.vary({"core.sram.bandwidth": f"{width} B/clk"})
    program = pipeline(tiles=tiles, width=8, depth=depth, rows=16, reps=2, cores=4, vec="vmov")
    a = emu.Machine(chip).run(program, values=False)
    b = emu.Machine(chip).run(program, values=False, order_seed=seed)
    c = emu.Machine(chip).run(program, values=False, folding=True, fast_forward=True)
    assert (a.end_fs, a.counters, a.raw["stalls"]) == (b.end_fs, b.counters, b.raw["stalls"])
    assert (a.end_fs, a.counters, a.stalls) == (c.end_fs, c.counters, c.stalls)
