"""Do chips of one run exchange exactly what the program says, at what the links allow, with every byte counted?"""

from __future__ import annotations

import numpy as np
import pytest
from chips_programs import CHIP, GBPS, KINDS, NS, WIRES, machine, program, shifted
from hypothesis import given, settings
from hypothesis import strategies as st

import emu
from emu.machine.fabric import Fabric, Wire
from isa.oracle import run as oracle


def inputs(chips: int, words: int = 64) -> np.ndarray:
    return np.random.default_rng(chips * words).normal(size=(chips, words)).astype(np.float32)


@given(st.sampled_from(sorted(KINDS)), st.integers(2, 7), st.data())
@settings(max_examples=40, deadline=None)
def test_a_shift_moves_every_byte_over_the_links_between(kind, chips, data):
    by = data.draw(st.integers(1, chips - 1))
    x, p = inputs(chips), shifted(chips, by)
    run = machine(KINDS[kind](chips)).run(p, {"x": x})
    assert (run.outputs["y"] == np.roll(x, by, axis=0)).all()
    again = machine(KINDS[kind](chips)).run(p, values=False, order_seed=5)
    assert (again.end_fs, again.counters) == (run.end_fs, run.counters)
    ways = [(min(by, chips - by) if kind == "ring" else abs((c + by) % chips - c) if kind == "line" else 1) for c in range(chips)]
    hops = 2 * chips if kind == "switch" else sum(ways)
    assert run.counters["link_bytes"] == sum(run.raw["links"]) == 256 * hops
    assert run.seconds >= 256 / 8e9 + 500e-9 * max(ways)


@given(st.integers(2, 5), st.integers(1, 40), st.sampled_from(("", "ll", "ll128")), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_the_core_gives_the_oracles_bits(chips, words, flags, seed):
    body = f"""
        ldp r1, 0
        dsetr d0.core, r1, 0
        dset d3.n0, {words}
        dset d3.base, 0x200000
        dset d2.n0, {words}
        dset d2.base, 0x200000
        dset d2.space, far
        dsetr d2.core, r1, 0
        put d2, d1 signal=here {flags}
        puta d0, d3, d1 wait=here signal=here {flags}
        wait here, 1
        putk d0, d3, d1 signal=there {flags}
        wait there, 1
    """
    to = ",".join(str((c + 1) % chips) for c in range(chips))
    head = f".buffer t hbm 0x200000 {4 * words} temp\n.sem 2 there 0"
    p = program(chips, body, words, (to,), head)
    x = np.random.default_rng(seed).normal(size=(chips, words)).astype(np.float32)
    fabric = Fabric(chips, "switch", 8 * GBPS, 500 * NS, wires=WIRES)
    want = oracle(p, {"x": x}, seed=seed % 7 or None)["y"]
    assert (machine(fabric).run(p, {"x": x}, order_seed=3).outputs["y"].view(np.int32) == want.view(np.int32)).all()


def test_the_switch_adds_in_the_order_of_chips_and_copies_to_all():
    body = """
        dset d2.n0, 3
        dset d2.s1, 1
        dset d2.core, 0
        dset d3.n0, 64
        dset d3.base, 0x200000
        getr d3, d1, d2
        fence
        dset d0.space, hbm
        put d0, d3
    """
    p = program(3, body, head=".buffer t hbm 0x200000 256 temp", token=False)
    x = (inputs(3) * np.float32(1e6)) ** 3
    fabric = Fabric(3, "switch", 8 * GBPS, 500 * NS, in_switch=True)
    got = machine(fabric).run(p, {"x": x}).outputs["y"]
    want = (x[0] + x[1]) + x[2]
    assert (got == want).all() and (oracle(p, {"x": x})["y"] == want).all()
    assert ((x[2] + x[1]) + x[0] != want).any(), "another order would give other bits"
    with pytest.raises(emu.EmuError, match="no switch that copies and adds"):
        machine(KINDS["ring"](3)).run(p, {"x": x})


def test_transfers_that_share_a_link_share_its_rate():
    """Two chips send to a third: half the rate each; each to its own: the whole."""
    words = 1 << 16
    send = "ldp r1, 0\n loopr r1, end\n dset d0.core, 2\n ldp r2, 1\n dsetr d0.base, r2, 0\n dset d0.n0, 32768\n put d0, d1\nend:"
    alone, both = (program(3, send, words, (who, "0x100000,0x120000,0x100000"), token=False) for who in ("1,0,0", "1,1,0"))
    fast, slow = (machine(KINDS["switch"](3), check=False).run(p, values=False).seconds for p in (alone, both))
    each = 4 * 32768 / 8e9
    assert slow - fast == pytest.approx(each, rel=1e-3) and fast > each


def test_a_token_from_another_chip_takes_the_way_there():
    body = "ldp r1, 0\n csignal here, r1, 1\n wait here, 1\n dset d0.core, -1\n put d0, d1"
    p = program(4, body, params=("1,2,3,0",))
    quick, slow = (machine(Fabric(4, "switch", 8 * GBPS, hop * NS)).run(p, values=False).seconds for hop in (100, 900))
    assert slow - quick == pytest.approx(800e-9, abs=1e-12)


def test_flags_are_bytes_on_the_wire():
    fabric = Fabric(2, "switch", 8 * GBPS, 500 * NS, wires=WIRES)
    plain, ll, ll128 = (machine(fabric).run(shifted(2, 1, 1 << 14, flags), values=False) for flags in ("", "ll", "ll128"))
    size = 4 << 14
    assert plain.counters["link_bytes"] == 4 * size
    assert ll.counters["link_bytes"] == 2 * plain.counters["link_bytes"]
    assert ll128.counters["link_bytes"] == 4 * -(-size // 120) * 128
    assert ll.seconds == pytest.approx(size / 2e9 + 600e-9, rel=0.01), "2 GB/s of data, and what the protocol waits"


def test_deadlocks_races_and_strangers_are_named():
    cycle = r"(?s)deadlock.* a cycle: chip 0, core 0.*chip 1, core 0, stream net0.*waits for 2 of semaphore 'here'"
    with pytest.raises(emu.EmuError, match=cycle):
        machine(KINDS["switch"](2)).run(program(2, "wait here, 2\n csignal here, r0, 1"), values=False)
    race = program(2, "ldp r1, 0\n dsetr d0.core, r1, 0\n put d0, d1\n dset d0.core, -1\n put d0, d1", params=("1,0",), token=False)
    writes = r"a write .* by chip 0, core 0.*a write .* by chip 1, core 0.*net0 of chip 0, core 0 takes"
    with pytest.raises(emu.EmuError, match=rf"(?s)race on hbm bytes .*buffer 'y'.*{writes}"):
        machine(KINDS["switch"](2)).run(race, values=False)
    with pytest.raises(emu.EmuError, match="names no chip"):
        machine(KINDS["switch"](2)).run(program(2, "dset d0.core, 2\n put d0, d1 signal=here\n wait here, 1"), values=False)
    with pytest.raises(emu.EmuError, match="is for 3 chips; the fabric joins 2"):
        machine(KINDS["switch"](2)).run(shifted(3, 1), values=False)
    with pytest.raises(emu.EmuError, match="is for 2 chips; give Machine"):
        emu.Machine(CHIP).run(shifted(2, 1), values=False)


def test_links_are_told_by_name_and_a_lone_chip_has_none():
    run = machine(KINDS["ring"](3)).run(shifted(3, 1), values=False)
    assert run.links == {"0 +x": 256, "1 +x": 256, "2 +x": 256}
    alone = program(1, "dset d0.core, 1\n put d0, d1", token=False)
    with pytest.raises(emu.EmuError, match="names no chip"):
        machine(KINDS["ring"](3)).run(alone, values=False)
    with pytest.raises(emu.EmuError, match="cannot hold 8 of flags"):
        Wire(8, 8)


def test_joules_are_those_of_all_chips():
    run = machine(KINDS["switch"](2)).run(shifted(2, 1), values=False)
    assert run.energy["links"] == pytest.approx(run.counters["link_bytes"] * CHIP.energy["link_bytes"] * 1e-12)
    assert run.energy["static"] == pytest.approx(2 * 0.5 * run.seconds)
