"""Is a device at a chip's data rate the same device: ns kept, clocks kept where they are clocks, the peak that was asked for?"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

import emu
from emu.chip.dram import device, devices
from emu.chip.dram.rate import IN_CLOCKS, at_rate, clock_for, nominal_hz
from emu.machine.detailed import memory

WITH_DEVICE = [name for name in emu.chips() if emu.chip(name).hbm.device]


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
    assert len(WITH_DEVICE) >= 7
    for name in WITH_DEVICE:
        chip = emu.chip(name)
        m = memory(chip)
        peak = m.channels * m.device.peak_bytes_per_s
        assert 0.9999 < peak / chip.hbm.bandwidth_bytes_per_s <= 1
        assert m.channels * m.device.channel_bytes >= chip.hbm.capacity_bytes
        assert clock_for(m.device, chip.hbm.bandwidth_bytes_per_s, m.channels) == m.clock_hz
        assert m.chunk_bytes % chip.hbm.access_bytes == 0 and chip.hbm.access_bytes % m.device.burst_bytes == 0
