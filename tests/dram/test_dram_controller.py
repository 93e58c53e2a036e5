"""Does the compiled controller issue the commands of the tick-by-tick reference, and none that the tables forbid?"""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
from dram_checker import Illegal, check
from dram_reference import Reference
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.chip.dram import device, devices, maps, vary
from emu.errors import EmuError
from emu.machine.dram import Dram, Page, Pattern, Queue

DEVICES = devices()
MAPS = sorted(maps.MAPS)


def placed(d: Dram, address: int) -> tuple[int, int, int]:
    """(channel, bank, row) of an address, from the map's masks."""
    widths = d.device.widths(d.channels)
    bits = [(address & m).bit_count() & 1 for m in maps.masks(d.map, widths, d.device.burst_bytes.bit_length() - 1)]
    fields, at = {}, 0
    for name in maps.FIELDS:
        fields[name] = sum(b << j for j, b in enumerate(bits[at:at + widths[name]]))
        at += widths[name]
    o = d.device.organisation
    bank = ((fields["pseudo"] * o.ranks + fields["rank"]) * o.groups + fields["group"]) * o.banks + fields["bank"]
    return fields["channel"], bank, fields["row"]


@st.composite
def streams(draw, most=40):
    """(arrival in ticks, address in bursts, bursts, write) of requests with some locality."""
    count = draw(st.integers(1, most))
    span = draw(st.sampled_from([4, 64, 1 << 14]))
    gap = draw(st.sampled_from([0, 1, 7, 200]))
    mixed = draw(st.sampled_from([0, 1, 2]))
    t, at, made = 0, 0, []
    for _ in range(count):
        t += draw(st.integers(0, gap))
        at = draw(st.one_of(st.just(at + 1), st.integers(0, span)))
        made.append((t, at, draw(st.sampled_from([1, 1, 2, 5])), mixed == 2 or (mixed == 1 and draw(st.booleans()))))
    return made


@st.composite
def systems(draw, channels=False):
    depth = draw(st.sampled_from([1, 2, 8, 32]))
    low = draw(st.integers(0, depth - 1))
    queue = Queue(draw(st.sampled_from([1, 3, 16])), depth, draw(st.integers(low + 1, depth)), low, draw(st.sampled_from([1, 5, 1024])),
                  draw(st.sampled_from([0, 1, 4, 64])))
    page = Page(draw(st.sampled_from(["open", "closed", "timeout"])), draw(st.sampled_from([1.0, 20.0, 300.0])))
    chosen = device(draw(st.sampled_from(DEVICES)))
    refresh = draw(st.sampled_from(["none", *chosen.intervals]))
    if draw(st.booleans()):  # refreshes within reach of a short run
        kinds = {f"refresh.{k}": f"{max(60, chosen.timing['RFC'] // chosen.ticks_per_clock * 2 // (8 if k == 'per_bank' else 1))} clk"
                 for k in chosen.intervals}
        chosen = vary(chosen, kinds)
    return Dram(chosen, draw(st.sampled_from([1, 2])) if channels else 1, draw(st.sampled_from(MAPS)), queue, page, refresh, trace=True)


def submit(d: Dram, requests):
    fs, size = d.device.tick_fs, d.device.burst_bytes
    return [d.submit(t * fs, at * size, n * size, write) for t, at, n, write in requests]


def commands(d: Dram, channel=0):
    return [(t, c, b, r) for t, c, ch, b, r in d.commands() if ch == channel]


@given(systems(), streams())
@settings(max_examples=120, deadline=None)
def test_the_core_issues_what_the_reference_issues(d, requests):
    submit(d, requests)
    d.finish()
    size = d.device.burst_bytes
    arrivals = [(t, *placed(d, (at + k) * size)[1:], int(write), j) for j, (t, at, n, write) in enumerate(requests) for k in range(n)]
    idle = d.page.numbers(d.device)[1]
    reference = Reference(d.device, d.queue, d.page.policy, idle, d.refresh, arrivals)
    assert commands(d) == reference.run()
    assert {c.id: c.done_fs // d.device.tick_fs for c in d.completions()} == reference.done


@given(systems(channels=True), streams(120))
@settings(max_examples=120, deadline=None)
def test_no_rule_is_broken_and_every_request_ends_once(d, requests):
    ids = submit(d, requests)
    d.finish()
    for channel in range(d.channels):
        check(d.device, commands(d, channel), None if d.refresh == "none" else d.refresh)
    ends = d.completions()
    assert sorted(c.id for c in ends) == ids
    fs = d.device.tick_fs
    for c, (t, _, _, write) in zip(sorted(ends), requests):
        assert t * fs <= c.admitted_fs < c.done_fs
        assert c.done_fs - c.admitted_fs >= fs * (d.device.write_ticks if write else d.device.read_ticks)
    done, rows = d.counts()
    bursts = sum(n for _, _, n, _ in requests)
    assert done["RD"] + done["RDA"] + done["WR"] + done["WRA"] == bursts == rows["hits"] + rows["misses"] + rows["conflicts"]


@given(systems(), streams(), st.data())
@settings(max_examples=40, deadline=None)
def test_the_checker_sees_a_command_that_comes_a_tick_early(d, requests, data):
    """The core issues commands as early as it may: of those that waited for a rule, one that is moved forward breaks it."""
    submit(d, requests)
    d.finish()
    trace = commands(d)
    j = data.draw(st.integers(0, len(trace) - 1))
    t, command, bank, row = trace[j]
    step = d.device.align[command]
    moved = trace[:j] + [(t - step, command, bank, row)]
    bound = any(command in r.after and any(before in r.before and then + r.ticks == t and r.window == 1 and _meets(d, r, where, bank)
                                           for then, before, where, _ in trace[:j]) for r in d.device.rules)
    if bound and (j == 0 or trace[j - 1][0] <= t - step):
        with pytest.raises(Illegal):
            check(d.device, moved)
    else:
        check(d.device, trace[:j + 1])


def _meets(d, rule, a, b):
    from dram_checker import related

    return related(d.device, rule, a, b)


@given(systems(channels=True), streams(), st.lists(st.integers(0, 3000), max_size=12))
@settings(max_examples=60, deadline=None)
def test_slicing_advance_changes_nothing(d, requests, cuts):
    whole, sliced, stepped = (Dram(d.device, d.channels, d.map, d.queue, d.page, d.refresh, trace=True) for _ in range(3))
    submit(whole, requests)
    whole.finish()
    fs, size = d.device.tick_fs, d.device.burst_bytes
    cuts = sorted(cuts)
    for t, at, n, write in requests:
        while cuts and cuts[0] <= t:
            sliced.advance(cuts.pop(0) * fs)
        sliced.submit(t * fs, at * size, n * size, write)
        while stepped.next_event_fs() < t * fs:
            stepped.advance(stepped.next_event_fs() + fs)
        stepped.submit(t * fs, at * size, n * size, write)
    for other in (sliced, stepped):
        other.finish()
        assert _by_channel(other) == _by_channel(whole)
    expected = whole.completions()
    assert sliced.completions() == expected and stepped.completions() == expected


def _by_channel(d):
    return [commands(d, c) for c in range(d.channels)]


@given(systems(), streams())
@settings(max_examples=60, deadline=None)
def test_with_every_time_doubled_all_is_exactly_twice_as_late(d, requests):
    """Latencies, intervals, clock edges and arrivals in ticks, all doubled (SOUNDNESS 18)."""
    submit(d, requests)
    d.finish()
    slow = replace(
        d.device, rules=tuple(replace(r, ticks=2 * r.ticks) for r in d.device.rules), read_ticks=2 * d.device.read_ticks,
        write_ticks=2 * d.device.write_ticks, align={c: 2 * a for c, a in d.device.align.items()},
        intervals={k: 2 * v for k, v in d.device.intervals.items()},
    )
    page = replace(d.page, idle_ns=2 * d.page.numbers(d.device)[1] * d.device.tick_fs * 1e-6)
    twice = Dram(slow, 1, d.map, d.queue, page, d.refresh, trace=True)
    submit(twice, [(2 * t, at, n, write) for t, at, n, write in requests])
    twice.finish()
    assert commands(twice) == [(2 * t, c, b, r) for t, c, b, r in commands(d)]
    assert [(c.id, c.done_fs) for c in twice.completions()] == [(c.id, 2 * c.done_fs) for c in d.completions()]


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("map_name", MAPS)
def test_no_two_addresses_share_a_place(name, map_name):
    """The masks are independent over GF(2), so the map is one to one; and they use the address bits above the burst, all of them."""
    d = device(name)
    for channels in (1, 4):
        widths = d.widths(channels)
        low = d.burst_bytes.bit_length() - 1
        rows = maps.masks(map_name, widths, low)
        pivots: dict[int, int] = {}
        for mask in rows:
            while mask and mask.bit_length() in pivots:
                mask ^= pivots[mask.bit_length()]
            assert mask, "a bit of the place follows from the others"
            pivots[mask.bit_length()] = mask
        assert set(pivots) == {low + 1 + j for j in range(len(rows))}


def test_a_busy_bank_does_not_starve_its_oldest_burst():
    """With the cap, a burst for another row of a bank is passed by `cap` younger row hits and no more."""
    for cap in (0, 3, 10):
        d = Dram("ddr4", queue=replace(Queue.of(64), cap=cap), map="chrabaroco", refresh="none", trace=True)
        row = d.device.organisation.row_bytes
        d.submit(0, 0, 64)
        d.submit(0, 5 * row, 64)  # the same bank, another row
        for k in range(40):
            d.submit(0, 64 * (k + 1), 64)
        d.finish()
        order = [r for _, c, _, r in commands(d) if c == "RD"]
        assert order.index(5) == 1 + cap


def test_reads_and_writes_both_get_their_turn():
    d = Dram("ddr4", trace=True)
    r = d.run(Pattern("random", 4000, writes=0.5, seed=3))
    assert r.commands["RD"] + r.commands["WR"] == 4000 and 0.45 < r.commands["WR"] / 4000 < 0.55
    assert r.latency_s["max"] < 20e-6 and r.turns > 10


def test_the_same_run_gives_the_same_result():
    p = Pattern("random", 3000, writes=0.3, seed=1)
    assert Dram("hbm3", channels=4).run(p) == Dram("hbm3", channels=4).run(p)


def test_an_idle_memory_is_refreshed_and_closes_rows_on_time():
    d = Dram("ddr4", page=Page("timeout", 100.0), trace=True)
    d.submit(0, 0, 64)
    d.advance(10**12)  # a millisecond
    counts, rows = d.counts()
    assert counts["REF"] == 10**12 // (d.device.intervals["all_bank"] * d.device.tick_fs) and counts["PRE"] == 1 and not counts["PREA"]
    assert rows["active_ticks"] == d.device.timing["RCD"] + round(100e6 / d.device.tick_fs)
    check(d.device, commands(d), "all_bank")


def test_numbers_of_the_policy_reach_the_core():
    assert asdict(Dram("hbm3", queue=7).queue) == {"reads": 7, "writes": 7, "high": 5, "low": 1, "patience": 1024, "cap": 64}
    times = np.diff([c.done_fs for c in _lone("ddr4", "closed")])
    assert (times > 0).all()


def _lone(name, page):
    d = Dram(name, page=page)
    for k in range(5):
        d.submit(k * 10**9, 64 * k, 64)
    d.finish()
    return d.completions()


def test_bursts_are_counted_by_the_row_they_found():
    """The first of a row finds none open, the next its own, one for another row that one; after a refresh none is open again."""
    d = Dram("ddr4", map="chrabaroco", trace=True)
    row, late = d.device.organisation.row_bytes, d.device.intervals["all_bank"] * d.device.tick_fs + 10**9
    for t, address in [(0, 0), (0, 64), (10**8, 9 * row), (2 * 10**8, 9 * row + 128), (late, 9 * row)]:
        d.submit(t, address, 64)
    d.finish()
    assert {k: d.counts()[1][k] for k in ("misses", "hits", "conflicts")} == {"misses": 2, "hits": 2, "conflicts": 1}


@pytest.mark.parametrize("write", [False, True])
def test_a_refresh_of_one_bank_takes_one_that_nobody_waits_for(write):
    d = Dram("hbm2", map="chrabaroco", refresh="per_bank", trace=True)
    due = d.device.intervals["per_bank"] // 2
    for bank in (0, 1, 3):
        d.submit(due * d.device.tick_fs, bank * d.device.channel_bytes // d.device.banks, 32, write)
    d.finish()
    assert next(b for _, c, b, _ in commands(d) if c == "REFB") == 2


def test_a_request_may_arrive_at_the_tick_up_to_which_was_run_and_not_before():
    d = Dram("ddr4")
    fs = d.device.tick_fs
    d.advance(1000 * fs)
    with pytest.raises(EmuError):
        d.submit(999 * fs, 0, 64)
    assert d.submit(1000 * fs, 0, 64) == 0


@pytest.mark.parametrize("name", ["hbm2", "hbm3", "gddr6"])
def test_every_bank_is_refreshed_once_a_round(name):
    d = Dram(name, refresh="per_bank", trace=True)
    in_rank, interval = d.device.organisation.groups * d.device.organisation.banks, d.device.intervals["per_bank"]
    d.advance((3 * in_rank + 1) * interval * d.device.tick_fs)
    check(d.device, commands(d), "per_bank")
    refreshed = [b for _, c, b, _ in commands(d) if c == "REFB"]
    for rank in range(d.device.banks // in_rank):
        mine = [b for b in refreshed if b // in_rank == rank]
        assert len(mine) >= 3 * in_rank
        for start in range(0, 3 * in_rank, in_rank):
            assert sorted(mine[start:start + in_rank]) == list(range(rank * in_rank, (rank + 1) * in_rank))
