"""Is device memory in `detailed` the DRAM controllers' own: every byte once, in the right channel, no earlier than any limit allows?"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_engine import PIPELINES
from timing_programs import loads, pipeline

import emu
import isa
from emu.chip.dram import maps
from emu.chip.dram.rules import COMMANDS
from emu.machine import Machine
from emu.machine.detailed import Memory, closed_row_fs, memory
from emu.testing.loops import loops

TINY = emu.chip("tiny")
ODD = TINY.vary({"hbm.channels": 3, "hbm.bandwidth": "96 GB/s"})
CHIPS = st.sampled_from([TINY, ODD])
SHAPES = st.fixed_dictionaries(PIPELINES)


def run(program, chip=TINY, fidelity="detailed", values=False, **kw):
    return Machine(chip, fidelity).run(program, values=values, **kw)


def place(m: Memory, address: int) -> tuple[int, int]:
    """(channel, address in it) of a byte, as docs/dram.md says."""
    turn, first = divmod(address // m.chunk_bytes, m.channels)
    return (first + (turn * 0x9E3779B97F4A7C15 % 2**64 >> 32)) % m.channels, turn * m.chunk_bytes + address % m.chunk_bytes


def moved(r) -> list[int]:
    """Bytes of each channel, from the commands it was given."""
    burst = memory(r.chip).device.burst_bytes
    return [sum(row[COMMANDS.index(c)] for c in ("RD", "RDA", "WR", "WRA")) * burst for row in r.raw["dram"]["channels"]]


@given(SHAPES, CHIPS, st.integers(1, 2**31))
@settings(max_examples=25, deadline=None)
def test_any_legal_order_gives_the_same_times(shape, chip, seed):
    program = pipeline(**shape)
    a, b = run(program, chip), run(program, chip, order_seed=seed)
    assert (a.end_fs, a.counters, a.raw["releases"], a.raw["dram"]) == (b.end_fs, b.counters, b.raw["releases"], b.raw["dram"])
    assert a.stalls_fs() == b.stalls_fs() and a.stalls_fs("root_stalls") == b.stalls_fs("root_stalls")


@given(SHAPES, CHIPS)
@settings(max_examples=25, deadline=None)
def test_every_femtosecond_of_every_engine_has_a_cause(shape, chip):
    r = run(pipeline(**shape), chip)
    for which in ("stalls", "root_stalls"):
        for row in r.stalls_fs(which).values():
            assert sum(row.values()) == r.end_fs and min(row.values()) >= 0
    assert sum(r.advance_fs().values()) == r.end_fs


@given(SHAPES, CHIPS)
@settings(max_examples=25, deadline=None)
def test_detailed_never_beats_a_machine_without_contention(shape, chip):
    program = pipeline(**shape)
    assert run(program, chip).end_fs >= run(program, chip, "ideal").end_fs


@given(SHAPES)
@settings(max_examples=20, deadline=None)
def test_time_doubles_when_every_clock_is_half_as_fast(shape):
    """The device's ticks are counts of its own clock, so only the length of a tick changes, and of the way to it."""
    program, slow = pipeline(**shape), Machine(TINY.vary({"core.clock": "500 MHz", "hbm.latency": "200 ns"}), "detailed")
    way, tables = Machine(TINY, "detailed")._dram
    slow._dram = {k: v * (2 if k.endswith("_fs") else 1) for k, v in way.items()}, tables
    once, twice = run(program), slow.run(program, values=False)
    assert twice.end_fs == 2 * once.end_fs and twice.raw["dram"] == once.raw["dram"]


@given(st.lists(st.integers(1, 9000), min_size=4, max_size=4), CHIPS, st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_every_byte_goes_over_its_own_channel_once(sizes, chip, repeat):
    r, m = run(loads(sizes, repeat=repeat), chip), memory(chip)
    expected: Counter[int] = Counter()
    pitch, access = max(sizes), chip.hbm.access_bytes
    for core, size in enumerate(sizes):
        first, end = core * pitch // access, -(-(core * pitch + size) // access)
        for address in range(first * access, end * access, m.device.burst_bytes):
            expected[place(m, address)[0]] += m.device.burst_bytes * repeat
    assert moved(r) == [expected[c] for c in range(m.channels)]
    assert sum(moved(r)) == r.counters["hbm_burst_bytes"]


@given(loops(), st.integers(1, 2**31))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_random_programs_lose_no_byte_and_no_femtosecond(program, seed):
    def answer(**how):
        try:
            return run(program, verify=False, max_instructions=200_000, **how)
        except emu.EmuError as error:
            return str(error)

    r, ideal, other = answer(), answer(fidelity="ideal"), answer(order_seed=seed)
    if isinstance(r, str):
        assert isinstance(ideal, str) and isinstance(other, str)
        return
    assert r.end_fs >= ideal.end_fs and sum(moved(r)) == r.counters["hbm_burst_bytes"]
    assert (r.end_fs, r.raw["dram"], r.stalls_fs("root_stalls")) == (other.end_fs, other.raw["dram"], other.stalls_fs("root_stalls"))
    assert all(sum(row.values()) == r.end_fs for row in r.stalls_fs().values())


@given(st.integers(0, (64 << 20) - 1), CHIPS)
def test_no_two_addresses_share_a_place(address, chip):
    """A round of chunks is one chunk of each channel, wherever it begins."""
    m = memory(chip)
    first = address // (m.chunk_bytes * m.channels) * m.channels
    at = [place(m, (first + j) * m.chunk_bytes) for j in range(m.channels)]
    assert len({c for c, _ in at}) == m.channels and len({local for _, local in at}) == 1


@given(st.integers(1, 64), CHIPS)
@settings(max_examples=10)
def test_a_lone_read_has_the_latency_that_the_chip_states(size, chip):
    r, m = run(loads([size], cores=1), chip), memory(chip)
    start = (7 + 1 + 20 + 2) * 10**6  # scalars, the loop, the descriptor's start, 64 B over the port
    assert start + 100 * 10**6 <= r.end_fs <= start + 100 * 10**6 + 3 * m.device.tick_fs + 10**6
    assert m.there_fs + m.back_fs + closed_row_fs(m.device) in range(100 * 10**6 - 2, 100 * 10**6 + 1)


@given(SHAPES)
@settings(max_examples=10, deadline=None)
def test_values_are_the_same_and_cost_no_time(shape):
    program = pipeline(**shape)
    rng = np.random.default_rng(0)
    given_ = {b.name: rng.standard_normal(b.shape).astype(np.float32) for b in program.buffers if b.space == "hbm" and b.role == "in"}
    fast, detailed = (Machine(TINY, f).run(program, given_, check=True) for f in ("fast", "detailed"))
    for name, array in fast.outputs.items():
        assert np.array_equal(array.view(np.uint8), detailed.outputs[name].view(np.uint8))
    assert detailed.end_fs == run(program).end_fs


def test_a_chip_that_names_no_device_is_refused_by_name():
    nameless = TINY.vary({"hbm": {k: v for k, v in TINY._stated["hbm"].items() if k not in ("device", "channels")}})
    with pytest.raises(emu.UnsupportedError, match=r"tiny: .*hbm\.device \(one of ddr3, .*hbm4.*or use fidelity 'fast'"):
        Machine(nameless, "detailed")
    with pytest.raises(emu.ChipError, match="hbm3"):
        TINY.vary({"hbm.device": "hbm33"})
    with pytest.raises(emu.UnsupportedError, match="hbm.channels = 64"):
        Machine(TINY.vary({"hbm.channels": 64}), "detailed")


MOVES = """
.program moves
.cores 2
.buffer x hbm 0x0 65536 in int8 65536
.buffer rows hbm 0x10000 32 index int32 8
.buffer y hbm 0x20000 65536 out int8 65536
.buffer t sram 0x0 65536 temp
.sem 1 there 0
.barrier 0 ld0,st0
.stream ld0
        dset d0.space, sram
        dset d0.fmt, int8
        dset d1.fmt, int8
        dset d0.n0, 256
        dset d0.n1, 8
        dset d0.s1, 256
        dset d1.s1, 1024
        dset d2.fmt, int32
        dset d2.n0, 8
        dset d2.base, 65536
        {load}
        {end}
        halt
.stream st0
        wait there, 1
        dset d0.fmt, int8
        dset d0.base, 131072
        dset d0.n0, 2048
        dset d1.space, sram
        dset d1.fmt, int8
        cid r1
        muli r1, r1, 2048
        dsetr d0.base, r1, 131072
        dma d0, d1
        fence
        bar 0
        halt
"""
ROWS = np.array([7, 0, 3, 60, 5, 1, 2, 33], np.int32)


def moves(load: str, end: str = "signal there, 1\nbar 0"):
    return isa.assemble(MOVES.format(load=load, end=end))


@pytest.mark.parametrize("load", ["dma d0, d1", "dmag d0, d1, d2"])
@pytest.mark.parametrize("end", ["signal there, 1\nbar 0", "fence\nsignal there, 1\nbar 0"])
def test_signals_fences_and_barriers_come_behind_the_bytes(load, end):
    """The order of completions, and rows by an index: the race checker and uninitialised reads would tell."""
    program = moves(load, end)
    x = np.random.default_rng(1).integers(-128, 128, 65536).astype(np.int8)
    r = run(program, values=True, inputs={"x": x, "rows": ROWS}, check=True)
    rows = x.reshape(64, 1024)[ROWS if "g" in load else np.arange(8), :256].reshape(-1)
    assert np.array_equal(r.outputs["y"][:2048], rows) and np.array_equal(r.outputs["y"][2048:4096], rows)
    alone = run(program, inputs={"rows": ROWS})
    assert (alone.end_fs, alone.raw["dram"]) == (r.end_fs, r.raw["dram"])
    assert sum(moved(r)) == r.counters["hbm_burst_bytes"] == 2 * 2 * 2048


def test_rows_of_an_index_go_where_they_lie():
    """The same bytes, from one row of the device's or from several."""
    program = moves("dmag d0, d1, d2")
    spread, one = (run(program, inputs={"rows": rows}) for rows in (ROWS, np.full(8, 7, np.int32)))
    assert spread.counters["dram_activates"] > one.counters["dram_activates"] and sum(moved(spread)) == sum(moved(one))


def test_a_free_standing_signal_does_not_hold_up_its_stream():
    """Loads behind a signal leave as soon as they would without it; only the token waits for the bytes."""
    body = "dma d0, d1\n{}dma d0, d1\ndma d0, d1"
    ends = {"signal there, 1\n": "bar 0", "": "signal there, 1\nbar 0"}
    one, other = (run(moves(body.format(s), end), inputs={"rows": ROWS}, trace=True) for s, end in ends.items())
    mine, theirs = ([rec[4] for rec in sorted(r.raw["records"]) if rec[:2] == (0, 2)] for r in (one, other))
    assert mine == theirs and mine[1] - mine[0] < 100 * 10**6


def test_within_device_memory_a_write_follows_its_read():
    program = isa.assemble("""
.program copy
.cores 1
.buffer x hbm 0x0 4096 in int8 4096
.buffer y hbm 0x1000 4096 out int8 4096
.stream ld0
        dset d0.fmt, int8
        dset d1.fmt, int8
        dset d0.base, 4096
        dset d0.n0, 4096
        dma d0, d1
        halt
""")
    x = np.arange(4096).astype(np.int8)
    r = run(program, values=True, inputs={"x": x})
    assert np.array_equal(r.outputs["y"], x) and r.counters["hbm_burst_bytes"] == sum(moved(r)) == 8192
    assert r.end_fs >= run(program, fidelity="ideal").end_fs + 100 * 10**6  # the second way is not beside the first


def test_a_cache_leaves_to_the_channels_what_it_lacks():
    chip = emu.chip("h100")
    program = loads([32768] * 4, repeat=4)
    r = run(program, chip)
    assert sum(moved(r)) == r.counters["hbm_burst_bytes"] == 4 * 32768  # three of four times it is there
    assert run(program, chip, warm=["x"]).counters["hbm_burst_bytes"] == 0


def test_what_holds_up_a_stream_of_rows_that_meet_in_one_bank_is_called_bandwidth():
    """With a map that keeps to a bank all loads wait for it, though the wires are idle: a planted cause."""
    machine = Machine(TINY, "detailed")
    way, (numbers, rules, _, fields, policy) = machine._dram
    widths = memory(TINY).device.widths()
    machine._dram = way, (numbers, rules, maps.masks("chrabaroco", widths, 5), fields, policy)
    r = machine.run(loads([32768] * 4, repeat=8), values=False)
    row = r.stalls["ld0"]
    assert row["dram_bandwidth_s"] > 0.8 * sum(row.values()) and r.seconds > 2 * run(loads([32768] * 4, repeat=8)).seconds


def test_joules_go_by_command():
    r = run(loads([16384] * 4, repeat=4))
    d, c, events = memory(TINY).device, r.counters, r.energy_report.events
    assert events["dram_activates"] == c["dram_activates"] * round(d.energy.activate_pj * 10**6) > 0
    assert events["dram_reads"] == c["dram_reads"] * round(d.energy.read_pj * 10**6)
    streamed = d.energy.read_pj / d.burst_bytes + d.energy.activate_pj / d.organisation.row_bytes
    assert events["hbm_burst_bytes"] == c["hbm_burst_bytes"] * round((TINY.energy["hbm_burst_bytes"] - streamed) * 10**6)
    of_hbm = sum(n for e, n in events.items() if e.startswith(("hbm", "dram")))
    assert r.energy_report.attojoules["hbm"] == of_hbm and "dram_refreshes" not in events


def test_an_answer_from_the_cache_is_the_same():
    from emu.machine.kept import decoded, encoded

    raw = run(pipeline(3, 8, 2, 16, 2)).raw
    shape = 2, [0, 1, 2, 6], 2, 2
    found = decoded(encoded(raw, *shape), *shape)
    assert found is not None and found["dram"] == raw["dram"] and found["counters"] == raw["counters"]
    assert decoded(encoded(raw, *shape), *shape[:3], 4) is None


def test_operations_and_estimates_take_it_and_say_so():
    g = emu.gemm("tiny", 64, 64, 64, fidelity="detailed")
    a = emu.attention("tiny", "decode", q_heads=4, kv_heads=2, head_dim=16, kv_len=64, fidelity="detailed")
    for result in (g, a):
        assert result.to_dict()["fidelity"] == "detailed"
        assert result.run.counters["dram_reads"] > 0 and result.seconds >= result.bound_s
        assert result.energy["hbm"] * 10**18 == pytest.approx(result.energy_report.attojoules["hbm"])
    model = emu.load_model(Path(__file__).parents[2] / "examples/models/tiny-llama")
    estimates = {f: emu.estimate(model, "tiny", prompt=16, generate=4, fidelity=f).to_dict() for f in ("ideal", "detailed")}
    assert estimates["detailed"]["fidelity"] == "detailed" and estimates["detailed"]["phases"]["decode"]["counters"]["dram_reads"] > 0
    for key in ("ttft_s", "tpot_s"):
        assert estimates["detailed"][key] >= estimates["ideal"][key]
