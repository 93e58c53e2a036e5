"""Does each event happen at the earliest legal cycle and not one before?"""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from timing_programs import loads, pipeline

import emu
from emu.machine import Machine

TINY = emu.chip("tiny")
PIPELINES = {
    "tiles": st.integers(1, 5), "width": st.sampled_from([8, 5, 1]), "depth": st.integers(1, 3), "rows": st.sampled_from([1, 7, 16]),
    "reps": st.integers(1, 3), "cores": st.integers(1, 4), "vec": st.sampled_from(["vexp", "vmov", "vabs"]),
}  # fmt: skip


def run(program, **kw):
    return Machine(kw.pop("chip", TINY), fidelity=kw.pop("fidelity", "fast")).run(program, values=False, **kw)


@given(st.integers(1, 60000))
@settings(max_examples=30)
def test_a_lone_transfer_takes_start_bytes_over_port_and_latency(size):
    r = run(loads([size], cores=1), trace=True)
    _, _, _, _, start, end = r.raw["records"][0]
    burst = math.ceil(size / 64) * 64
    assert end - start == math.ceil(burst * 10**6 / 32)  # 32 B/clk at 1 GHz
    assert start == (7 + 1 + 20) * 10**6  # seven scalars and the loop, then the descriptor's start
    assert r.end_fs == math.ceil((end + 100 * 10**6) / 10**6) * 10**6  # hbm latency, then the clock edge


@given(st.lists(st.integers(64, 60000), min_size=4, max_size=4))
@settings(max_examples=30)
def test_sharing_is_fair_and_never_faster_than_the_memory(sizes):
    records = sorted(run(loads(sizes), trace=True).raw["records"])
    start, bursts = records[0][4], [math.ceil(s / 64) * 64 for s in sizes]
    ends = [end - start for *_, end in records]
    for mine, end in zip(bursts, ends):  # four share 64 GB/s; a core's own port carries 32
        assert end >= math.ceil(mine * 10**6 / 32)
        moved = sum(min(b, mine) for b in bursts)
        assert end >= math.floor(moved * 10**6 / 64)
    assert max(ends) >= math.floor(sum(bursts) * 10**6 / 64)
    for a, b in zip(sorted(zip(bursts, ends)), sorted(zip(bursts, ends))[1:]):
        assert (a[0] == b[0]) == (a[1] == b[1]) or a[1] <= b[1]


def test_equal_requests_end_together():
    ends = {end for *_, end in run(loads([4096] * 4), trace=True).raw["records"]}
    assert len(ends) == 1


@given(st.fixed_dictionaries(PIPELINES), st.integers(1, 2**31))
@settings(max_examples=40, deadline=None)
def test_any_legal_order_gives_the_same_times(shape, seed):
    program = pipeline(**shape)
    a, b = run(program), run(program, order_seed=seed)
    assert (a.end_fs, a.counters, a.raw["releases"]) == (b.end_fs, b.counters, b.raw["releases"])
    assert a.stalls_fs() == b.stalls_fs() and a.stalls_fs("root_stalls") == b.stalls_fs("root_stalls")


@given(st.fixed_dictionaries(PIPELINES))
@settings(max_examples=40, deadline=None)
def test_every_femtosecond_of_every_engine_has_a_cause(shape):
    r = run(pipeline(**shape))
    for which in ("stalls", "root_stalls"):
        for row in r.stalls_fs(which).values():
            assert sum(row.values()) == r.end_fs and min(row.values()) >= 0
    assert sum(r.advance_fs().values()) == r.end_fs


@given(st.fixed_dictionaries(PIPELINES))
@settings(max_examples=30, deadline=None)
def test_time_doubles_when_everything_takes_twice_as_long(shape):
    slow = TINY.vary({"core.clock": "500 MHz", "hbm.bandwidth": "32 GB/s", "hbm.latency": "200 ns"})
    program = pipeline(**shape)
    assert run(program, chip=slow).end_fs == 2 * run(program).end_fs


@given(st.fixed_dictionaries(PIPELINES), st.sampled_from(["hbm.bandwidth", "hbm.latency", "core.dma.bandwidth", "core.vector.startup"]))
@settings(max_examples=40, deadline=None)
def test_more_of_a_resource_never_hurts_without_contention(shape, key):
    better = {"hbm.bandwidth": "128 GB/s", "hbm.latency": "50 ns", "core.dma.bandwidth": "64 B/clk", "core.vector.startup": "1 clk"}[key]
    program = pipeline(**shape)
    assert run(program, chip=TINY.vary({key: better}), fidelity="ideal").end_fs <= run(program, fidelity="ideal").end_fs


@given(st.fixed_dictionaries(PIPELINES))
@settings(max_examples=30, deadline=None)
def test_no_contention_is_never_slower(shape):
    program = pipeline(**shape)
    assert run(program, fidelity="ideal").end_fs <= run(program).end_fs


@pytest.mark.parametrize("rows,reps", [(16, 1), (64, 1), (16, 4), (1, 3)])
def test_matrix_engine_streams_one_row_per_clock_and_hides_the_load(rows, reps):
    r = run(pipeline(tiles=3, width=8, depth=1, rows=rows, reps=reps, cores=1), trace=True)
    lengths = {end - start for core, stream, pc, label, start, end in r.raw["records"] if stream == 0}
    port = math.ceil((rows * 8 + 64) * 2 / 64)  # a and b over 64 B/clk
    interval = max(rows, port, 8)  # the next 8 x 8 tile needs 8 clocks to load
    assert lengths == {((reps - 1) * interval + max(rows, port)) * 10**6}


@given(st.integers(1, 16), st.sampled_from([64, 640, 4096]), st.integers(1, 60))
@settings(max_examples=30, deadline=None)
def test_a_queue_holds_so_many_descriptors(queue, size, count):
    """The sequencer stands still while as many as the queue holds wait behind the one whose data moves."""
    records = run(loads([size], cores=1, repeat=count), chip=TINY.vary({"core.dma.queue": queue}), trace=True).raw["records"]
    clk, starts, issue, end = 10**6, [], 8 * 10**6, 0
    for j, (*_, start, stop) in enumerate(records):
        issue = max(issue, starts[j - queue] if j >= queue else 0)
        assert start == max(issue + 20 * clk, end) and stop == start + size // 32 * clk
        starts.append(start)
        issue, end = issue + clk, stop
