"""In `detailed`: does what no tier has, what leaves one, and what a scalar load asks for go to the DRAM controllers, and nothing else?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_detailed import moved, run

import emu
import isa
from emu.kernels.probes import chase, ring
from emu.testing.loops import loops

TINY = emu.chip("tiny")
LEVEL = {"scope": "chip", "kind": "cache", "line": "128 B", "bandwidth": "256 GB/s", "slices": 1, "latency": "20 ns"}
KIB = 1024


def tiered(*levels: dict) -> emu.Chip:
    """Tiny with caches, from the cores outwards."""
    return TINY.vary({"levels": [LEVEL | {"name": f"l{j}"} | level for j, level in enumerate(levels)]})


BACK = {"write": "back", "capacity": "64 KiB"}
CHIPS = {
    "through": tiered({"capacity": "64 KiB"}),
    "back": tiered(BACK),
    "lines": tiered(BACK | {"line": "1 KiB"}),
    "below": tiered({"capacity": "16 KiB"}, BACK),
    "above": tiered({"capacity": "16 KiB", "write": "back"}, {"capacity": "64 KiB"}),
    "core": tiered({"capacity": "16 KiB", "scope": "core"}, BACK),
}


def steps(moves: list[tuple[bool, int, int]]) -> isa.Program:
    """One core reads or writes (write, first byte, bytes) in turn."""
    body = "".join(
        f"        dset {'d0' if write else 'd1'}.base, {(1 << 19) * write + at}\n"
        f"        dset d0.n0, {size}\n        dset d{0 if write else 1}.space, hbm\n        dset d{1 if write else 0}.space, sram\n"
        f"        dset d{1 if write else 0}.base, 0\n        dma d0, d1\n        fence\n"
        for write, at, size in moves
    )
    return isa.assemble(f"""
.program steps
.cores 1
.buffer x hbm 0x0 {1 << 19} in int8 {1 << 19}
.buffer y hbm {1 << 19} {1 << 19} out int8 {1 << 19}
.buffer t sram 0x0 65536 temp
.stream ld0
        dset d0.fmt, int8
        dset d1.fmt, int8
        dset d0.n0, 65536
        dset d0.space, sram
        dma d0, d1
        fence
{body}        halt
""")


PLACES = st.integers(0, 90).map(lambda k: k * 4096 + k % 3 * 64)
MOVES = st.lists(st.tuples(st.booleans(), PLACES, st.sampled_from([64, 1000, 9999, 32768])), max_size=8)


@given(MOVES, st.sampled_from(sorted(CHIPS)))
@settings(max_examples=60, deadline=None)
def test_the_controllers_move_the_bytes_that_fast_counts(moves, name):
    """Every sector that no tier has, every one that leaves a tier that kept it, and every write that none keeps: once."""
    program = steps(moves)
    r, fast, ideal = (run(program, CHIPS[name], f) for f in ("detailed", "fast", "ideal"))
    assert r.end_fs >= ideal.end_fs
    assert sum(moved(r)) == r.counters["hbm_burst_bytes"]
    assert r.counters["hbm_read_bytes"] == fast.counters["hbm_read_bytes"]
    assert r.counters["hbm_write_bytes"] == fast.counters["hbm_write_bytes"]
    assert all(sum(row.values()) == r.end_fs and min(row.values()) >= 0 for row in r.stalls_fs().values())


@given(loops(), st.sampled_from(sorted(CHIPS)), st.integers(1, 2**31))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_random_programs_lose_no_byte_between_caches_and_memory(program, name, seed):
    def answer(**how):
        try:
            return run(program, CHIPS[name], verify=False, max_instructions=200_000, **how)
        except emu.EmuError as error:
            return str(error)

    r, other = answer(), answer(order_seed=seed)
    if isinstance(r, str):
        assert isinstance(other, str)
        return
    assert sum(moved(r)) == r.counters["hbm_burst_bytes"]
    assert (r.end_fs, r.raw["dram"], r.counters) == (other.end_fs, other.raw["dram"], other.counters)
    assert all(sum(row.values()) == r.end_fs for row in r.stalls_fs().values())


def test_a_write_that_a_tier_keeps_reaches_memory_when_it_leaves():
    """32 KiB written stay; 64 KiB read behind them push them out, and then the device is written to."""
    kept = steps([(True, 0, 32 * KIB)])
    pushed = steps([(True, 0, 32 * KIB), (False, 128 * KIB, 64 * KIB)])
    writes = [run(p, CHIPS[name]).counters["dram_writes"] for p in (kept, pushed) for name in ("back", "through")]
    burst = 32
    assert writes == [0, 32 * KIB // burst, 32 * KIB // burst, 32 * KIB // burst]


def words(n: int) -> dict[str, np.ndarray]:
    return {"ring": ring(n)}


def test_scalar_loads_wait_for_their_requests():
    """A chain of loads: each has the chip's latency, one request of an access, and the whole wait is said to be memory's."""
    hops, lines = 32, 256 * KIB
    program, inputs = chase(lines, hops), words(lines)
    r = run(program, inputs=inputs)
    ideal = run(program, fidelity="ideal", inputs=inputs)
    assert r.counters["dram_reads"] == hops * 2 and sum(moved(r)) == r.counters["hbm_burst_bytes"] == hops * 64
    assert ideal.end_fs <= r.end_fs <= ideal.end_fs + hops * 10 * 10**6  # ticks of the device, and a refresh
    row = r.stalls["ld0"]
    assert row["dram_latency_s"] + row["dram_bandwidth_s"] > 0.9 * r.seconds


@pytest.mark.parametrize("levels", [[BACK], [{"capacity": "8 KiB", "scope": "core", "serves": "loads"}, BACK]])
def test_scalar_loads_that_a_tier_answers_ask_for_nothing(levels):
    """Round a ring twice: the second time every word is in a cache, as in `fast`."""
    lines, chip = 4 * KIB, tiered(*levels)
    hops = lines // 128
    once, twice = (run(chase(lines, n), chip, inputs=words(lines)) for n in (hops, 2 * hops))
    assert sum(moved(once)) == sum(moved(twice)) == lines == twice.counters["hbm_burst_bytes"]
    again = [run(chase(lines, n), chip, "fast", inputs=words(lines)).end_fs for n in (hops, 2 * hops)]
    assert twice.end_fs - once.end_fs == again[1] - again[0]


def test_a_load_between_transfers_holds_the_second_one_up_as_in_fast():
    """It leaves behind the data of the first, and the second leaves when its word is there."""
    program = isa.assemble("""
.program ahead
.cores 1
.buffer rows hbm 0x0 4096 index int32 1024
.buffer x hbm 0x10000 65536 in int8 65536
.buffer t sram 0x0 65536 temp
.stream ld0
        dset d0.space, sram
        dset d0.fmt, int8
        dset d1.fmt, int8
        dset d1.base, 65536
        dset d0.n0, 4096
        dma d0, d1
        lds r1, r0, 0
        dma d0, d1
        halt
""")
    r = run(program, inputs={"rows": np.zeros(1024, np.int32)}, trace=True)
    fast = run(program, fidelity="fast", inputs={"rows": np.zeros(1024, np.int32)}, trace=True)
    mine, theirs = (sorted(rec[4] for rec in x.raw["records"]) for x in (r, fast))
    assert sum(moved(r)) == r.counters["hbm_burst_bytes"] == 2 * 4096 + 64
    assert theirs[1] <= mine[1] <= theirs[1] + 30 * 10**6  # what the word waits for behind 4 KiB in two channels


def test_a_scratchpad_that_is_shared_slows_requests_too():
    """64 KiB at 8 bytes a clock, though device memory and the port would bring 64."""
    program, slow = steps([]), TINY.vary({"core.sram.bandwidth": "8 B/clk"})
    assert run(program).end_fs < 2500 * 10**6 < 64 * KIB // 8 * 10**6 < run(program, slow).end_fs < 8500 * 10**6
