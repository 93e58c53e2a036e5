"""Is a device at a chip's data rate the same device: ns kept, clocks kept where they are clocks, the peak that was asked for?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import emu
from emu.chip.dram import device, devices
from emu.chip.dram.rate import IN_CLOCKS, at_rate, clock_for, nominal_hz
from emu.machine.detailed import memory

TOO_FAST = {"jalapeno-max"}
"""HBM4 at 10.7 Gb/s per pin, a third above what the device's table is of: refused, docs/detailed.md."""
WITH_DEVICE = [name for name in emu.chips() if emu.chip(name).hbm.device and name not in TOO_FAST]


@given(st.sampled_from(devices()), st.integers(26, 124))
def test_nanoseconds_stay_and_a_burst_stays_a_burst(name, percent):
    base = device(name)
    d = at_rate(name, nominal_hz(base) * percent // 100, base.organisation.rows)
    for key, ticks in d.timing.items():
        if key in IN_CLOCKS:
            assert ticks == base.timing[key]
        else:  # rounded up to whole clocks, no further
            asked, clock = base.timing[key] * base.tick_fs, d.tick_fs * d.ticks_per_clock
            assert asked - clock * 1e-5 <= ticks * d.tick_fs < asked + clock


def test_at_its_own_rate_it_is_the_table_s():
    for name in devices():
        d = device(name)
        assert at_rate(name, nominal_hz(d), d.organisation.rows) is d


def test_chips_have_their_bandwidth_and_room_for_their_bytes():
    """Never more than the chip's peak, which bounds are of."""
    assert len(WITH_DEVICE) >= 24
    for name in WITH_DEVICE:
        chip = emu.chip(name)
        m = memory(chip)
        peak = m.channels * m.device.peak_bytes_per_s
        assert 0.9999 < peak / chip.hbm.bandwidth_bytes_per_s <= 1
        assert m.channels * m.device.channel_bytes >= chip.hbm.capacity_bytes
        assert clock_for(m.device, chip.hbm.bandwidth_bytes_per_s, m.channels) == m.clock_hz
        assert m.chunk_bytes % chip.hbm.access_bytes == 0 and chip.hbm.access_bytes % m.device.burst_bytes == 0


def test_what_no_table_is_near_to_is_refused():
    for name in TOO_FAST:
        with pytest.raises(emu.UnsupportedError, match=r"want a clock of 2\.686 GHz, its table is for 2 GHz"):
            memory(emu.chip(name))
    without = [name for name in emu.chips() if not emu.chip(name).hbm.device]
    assert without == ["tpu-v5e"]  # 16 GiB in one stack cannot give its 820 GB/s, and how many there are is not published


def test_a_chip_s_device_is_of_the_kind_that_it_states():
    for name in WITH_DEVICE:
        hbm = emu.chip(name).hbm
        assert hbm.device == "hbm2" if name == "tiny" else hbm.kind.lower().split("-")[0] == hbm.device, name
