"""Is exactly as much moved and multiplied as the kernel needs and its mapping repeats, and never faster than the machine could?"""

from __future__ import annotations

import math

from hypothesis import assume, given, settings
from hypothesis import strategies as st

import emu
from emu.kernels.gemm import GemmTiling, gemm
from emu.kernels.lang import Tracer, format_bytes

TINY = emu.chip("tiny")
SHAPES = st.tuples(st.integers(1, 70), st.integers(1, 40), st.integers(1, 50))
TILINGS = st.builds(
    GemmTiling, st.sampled_from([8, 16, 32]), st.sampled_from([8, 16]), st.sampled_from([8, 16, 24]), st.sampled_from([1, 2, 4]),
    st.sampled_from([1, 2, 4]), st.booleans(), st.integers(1, 3), st.integers(1, 4),
)  # fmt: skip
FORMATS = st.sampled_from(["bf16", "fp8_e4m3", "int8", "fp32"])


def run(shape, tiling, fmt, fidelity="fast", chip=TINY):
    m, n, k = shape
    out = "int32" if fmt == "int8" else "fp32"
    t = Tracer(chip, "gemm")
    x, w, y = t.hbm("x", (m, k), fmt, "in"), t.hbm("w", (k, n), fmt, "weight"), t.hbm("y", (m, n), out, "out")
    gemm(t, x, w, y, tiling)
    return emu.Machine(chip, fidelity).run(t.program(), values=False, check=True)


def tiles(total, tile):
    """Valid extents of the tiles of an axis."""
    return [min(tile, total - at) for at in range(0, total, tile)]


def padded(extents, quantum):
    return sum(math.ceil(e / quantum) * quantum for e in extents)


@given(SHAPES, TILINGS, FORMATS)
@settings(max_examples=40, deadline=None)
def test_bytes_and_macs_have_closed_forms(shape, tiling, fmt):
    assume(tiling.split_m * tiling.split_n <= TINY.core_count)
    (m, n, k), size, t = shape, format_bytes(fmt), tiling
    assume(not t.a_resident or t.tile_m * k * size * t.depth_a <= 24 << 10)
    c = run(shape, tiling, fmt).counters
    rows, columns = len(tiles(m, t.tile_m)), len(tiles(n, t.tile_n))
    again = t.split_n if t.a_resident else columns  # x is read by every core of a row, or for every column tile
    assert c["hbm_read_bytes"] == size * (m * k * again + k * n * rows)
    assert c["hbm_write_bytes"] == 4 * m * n
    assert c[f"useful_macs_{fmt}"] == m * n * k
    q = TINY.core.matrix
    macs = padded(tiles(m, t.tile_m), q.quantum_m) * padded(tiles(n, t.tile_n), q.quantum_n) * padded(tiles(k, t.tile_k), q.quantum_k)
    assert c[f"array_macs_{fmt}"] == macs


@given(SHAPES, TILINGS, FORMATS, st.sampled_from(["fast", "ideal"]))
@settings(max_examples=40, deadline=None)
def test_no_run_beats_its_lower_bounds(shape, tiling, fmt, fidelity):
    assume(tiling.split_m * tiling.split_n <= TINY.core_count)
    assume(not tiling.a_resident or tiling.tile_m * shape[2] * format_bytes(fmt) * tiling.depth_a <= 24 << 10)
    r = run(shape, tiling, fmt, fidelity)
    c, cores, clock = r.counters, TINY.core_count, TINY.core.clock_hz
    bounds = {
        "compute": c[f"array_macs_{fmt}"] / (TINY.core.matrix.macs_per_clk[fmt] * cores * clock),
        "hbm": c["hbm_burst_bytes"] / TINY.hbm.bandwidth_bytes_per_s,
        "dma": (c["hbm_read_bytes"] + c["hbm_write_bytes"]) / (TINY.core.dma.bytes_per_clk * cores * clock),
        "sram write": c["sram_write_bytes"] / (2 * 64 * cores * clock),
        "latency": TINY.hbm.latency_s * 2,
    }
    for name, bound in bounds.items():
        assert r.seconds >= bound, name
    for which in ("stalls", "root_stalls"):
        for row in r.stalls_fs(which).values():
            assert sum(row.values()) == r.end_fs and min(row.values()) >= 0


@given(SHAPES, FORMATS)
@settings(max_examples=10, deadline=None)
def test_joules_are_linear_in_the_counts(shape, fmt):
    r = run(shape, GemmTiling(16, 8, 16, 2, 2, False), fmt)
    priced = sum(r.counters.get(name, 0) * value for name, value in TINY.energy.items()) if isinstance(TINY.energy, dict) else None
    if priced is not None:
        assert math.isclose(r.joules, priced * 1e-12 + TINY.power.static_w * r.seconds, rel_tol=1e-9)
    assert math.isclose(r.joules, sum(r.energy.values()), rel_tol=1e-12)
