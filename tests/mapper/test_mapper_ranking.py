"""Is the compiled ranking of tilings what a few lines of Python say it is, and does its pruning ever lose the best one?"""

from __future__ import annotations

from itertools import product
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import emu
from emu.mapper.area import divide
from emu.mapper.choose import gemm_program
from emu.mapper.gemm import GemmShape, chip_numbers, ranked, rated, shape_numbers

TINY, JALAPENO = emu.chip("tiny"), emu.chip("jalapeno")
CHIPS = [
    TINY,
    TINY.vary({"core_count": 6, "noc.x": 6, "core.matrix.quantum_m": 4, "core.sram.capacity": "24 KiB"}),
    TINY.vary({"core.matrix.units": 4, "core.acc.capacity": "64 KiB", "hbm.latency": "700 ns", "hbm.bandwidth": "16 GB/s"}),
    JALAPENO,
    emu.chip("h100"),
    emu.chip("h100").vary({"levels.l2.capacity": "1 MiB"}),
]
KINDS = [
    {}, {"residual": True}, {"bias": True, "residual": True}, {"gates": 1, "activation": "swiglu"},
    {"bias": True, "activation": "gelu_erf"}, {"rows": True, "columns": True},
    {"fmt": "fp8_e4m3", "w_fmt": "fp6_e2m3", "x_scales": "mx", "w_scales": "mx", "residual": True},
]  # fmt: skip
SHAPES = st.tuples(st.integers(1, 700), st.integers(1, 900), st.integers(1, 2000), st.sampled_from(KINDS))


def shape_on(chip, m, n, k, kind):
    block = divide(chip, "bf16").block
    return GemmShape(m, ceil(n / block) * block, k, out_fmt="bf16", **({"fmt": "bf16"} | kind))


def chunk(c, s, tile_m, tile_n, held):
    """Rows of the epilogue at a time; 0 if none fits."""
    room = c["free"] - held - 4096 - 8 * tile_n * s["vectors"]
    return next((tile_m // p for p in range(1, tile_m + 1) if tile_m % p == 0 and tile_m // p * s["row"] * tile_n <= room), 0)


def cycles(c, s, among, tile_m, tile_n, tile_k, split_m, split_n, keep, depth_a, chunk_m, by_columns=False):
    """The analytic time once more, as docs/decisions tells it."""
    tile_k = min(tile_k, s["k"])
    rows, columns, slices, steps = ceil(s["m"] / tile_m), ceil(s["n"] / tile_n), ceil(s["k"] / tile_k), ceil(s["k"] / c["max_k"])
    mine_m, mine_n = ceil(rows / split_m), ceil(columns / split_n)
    tiles, x_size, size = mine_m * mine_n, s["x_size"], s["w_size"]
    padded = ceil(tile_m / c["quantum_m"]) * c["quantum_m"] * ceil(tile_n / c["quantum_n"]) * c["quantum_n"] * c["max_k"]
    again_a = ceil(tile_n / c["fragment_n"]) if c["fragment_n"] else 1
    again_b = ceil(tile_m / c["fragment_m"]) if c["fragment_m"] else 1
    port = (tile_m * again_a * x_size + tile_n * again_b * size) * c["max_k"] / c["mm_port"]
    products = s["weights"] * max(steps * max(padded / c["macs"], c["load"], port, c["interval"]), slices * (c["load"] + 40))
    epilogue = tile_m * tile_n * s["element"] + s["instructions"] * tile_m // chunk_m * c["startup"]
    x = tile_m * (s["k"] if keep else tile_k) * x_size
    fetches, use = (mine_m, products * mine_n) if keep else (tiles * slices, products / slices)
    out, chunks, w = tile_m * tile_n * s["out_size"], tile_m // chunk_m, tiles * tile_n * s["k"] * size * s["weights"]
    fair = min(c["queue"], c["dma"] / 2, *([] if c["cache"] else [c["hbm"] / (split_m * split_n) / 2]))
    turns = fetches * (c["trip"] + x / fair + use) / depth_a if fetches > depth_a else 0
    outs = tiles * chunks * (c["trip"] + out / chunks / fair + epilogue / chunks) / 2 if tiles * chunks > 2 else 0
    twice = 8 * tile_m * tile_n * s["weights"] <= c["acc"]
    compute = max((x + tile_k * tile_n * size) / c["queue"] + tiles * products + (0 if twice else (tiles - 1) * epilogue), turns)
    vector, ring = max(tiles * epilogue, outs), c["slots"] * tile_k * tile_n * size
    bytes_x, bytes_w = s["m"] * s["k"] * x_size, s["k"] * s["n"] * size * s["weights"]
    bytes_out = s["m"] * s["n"] * s["outs"] * s["out_size"]
    again_x, again_w = split_n if keep else columns, rows
    if c["cache"]:
        used_x, used_w = bytes_x / mine_m, bytes_w / mine_n
        again_x = 1 if keep or 2 * used_x <= c["cache"] else mine_n
        again_w = 1 if bytes_w + 2 * used_x <= c["cache"] else mine_m
        if by_columns:
            again_x = 1 if bytes_x + 2 * used_w <= c["cache"] else mine_n
            again_w = 1 if 2 * used_w <= c["cache"] else mine_m
    memory = (bytes_x * again_x + bytes_w * again_w + bytes_out) / c["hbm"]
    if c["cache"]:
        asked = bytes_x * ((split_n if keep else columns) - again_x) + bytes_w * (rows - again_w)
        memory = (memory**4 + (asked / c["shared"]) ** 4) ** 0.25

    def after(ahead):
        left = max(0, w - ahead)
        streams = max(left / c["queue"], x * fetches / c["queue"], (left + x * fetches + out * tiles * s["outs"]) / c["dma"])
        bus = max(0, memory - ahead * split_m * split_n / c["hbm"])
        return sum(t**4 for t in (compute, vector, streams, bus)) ** 0.25 + 2 * c["trip"] + epilogue

    return (after(0) + after(ring)) / 2 if among else after(0)


@settings(max_examples=25, deadline=None)
@given(SHAPES, st.sampled_from(CHIPS), st.booleans())
def test_the_time_is_the_stated_one(what, chip, among):
    shape, area = shape_on(chip, *what), divide(chip, "bf16")
    c, s = chip_numbers(chip, area, shape.fmt), shape_numbers(chip, shape)
    for found, t in rated(shape, chip, area, 100_000, among=among, everything=True)[::7]:
        tile_m, tile_n = min(t.tile_m, shape.m), min(t.tile_n, shape.n)
        rest = t.split_m, t.split_n, t.a_resident, t.depth_a, t.chunk_m or tile_m, t.by_columns
        own = cycles(c, s, among, tile_m, tile_n, t.tile_k, *rest)
        assert found == pytest.approx(own, rel=1e-9), t


@settings(max_examples=25, deadline=None)
@given(SHAPES, st.sampled_from(CHIPS), st.booleans())
def test_pruning_never_drops_the_best(what, chip, among):
    """Of all tilings, the quickest by analysis is the first of the pruned list; the list is in order and holds no tiling twice."""
    shape, area = shape_on(chip, *what), divide(chip, "bf16")
    every, few = rated(shape, chip, area, 1_000_000, among=among, everything=True), rated(shape, chip, area, among=among)
    assert every[0] == few[0]
    assert [c for c, _ in few] == sorted(c for c, _ in few) and len({t for _, t in few}) == len(few)
    assert {t for _, t in few} <= {t for _, t in every}
    assert few == rated(shape, chip, area, among=among)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60), st.integers(1, 64), st.integers(1, 300), st.sampled_from(CHIPS[:3]), st.sampled_from([{}, {"residual": True}]))
def test_no_size_and_no_grid_left_out_is_much_better(m, n, k, chip, kind):
    """By more than 5 %: every height, width and depth of a tile and every grid of cores, tried one by one. The list leaves out heights that
    only divide into other numbers of epilogue rows."""
    shape, area = shape_on(chip, m, n, k, kind), divide(chip, "bf16")
    c, s = chip_numbers(chip, area, shape.fmt), shape_numbers(chip, shape)
    best = float("inf")
    quantum = c["quantum_m"]
    heights = sorted({min(t, m) for t in range(quantum, min(c["max_m"], m) + quantum, quantum) if min(t, m) <= c["max_m"]})
    for tile_m, tile_n, keep in product(heights, range(area.block, min(c["max_n"], shape.n) + 1, area.block), (0, 1)):
        fits = min(area.slot_bytes // (tile_n * 2) // c["max_k"], ceil(k / c["max_k"]))
        if 4 * tile_m * tile_n > c["acc"] or not fits:
            continue
        for tile_k in {fits // p * c["max_k"] for p in (1, 2, 4) if p <= fits}:
            held = tile_m * (k if keep else tile_k) * 2
            deep = next(((d, r) for d in ((2, 1) if keep else (3, 2)) if (r := chunk(c, s, tile_m, tile_n, d * held))), None)
            for split_m in range(1, min(chip.core_count, ceil(m / tile_m)) + 1) if deep else ():
                for split_n in range(1, min(chip.core_count // split_m, ceil(shape.n / tile_n)) + 1):
                    best = min(best, cycles(c, s, False, tile_m, tile_n, tile_k, split_m, split_n, keep, *deep))
    assert rated(shape, chip, area)[0][0] <= 1.05 * best


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 400), st.sampled_from(CHIPS[:3]), st.integers(0, 10**6))
def test_what_is_listed_compiles(m, n, k, chip, pick):
    """No tiling of the list is too large for the memories of a core."""
    shape, area = shape_on(chip, m, n, k, {"residual": True}), divide(chip, "bf16")
    tilings = ranked(shape, chip, area)
    gemm_program(chip, shape, area, tilings[pick % len(tilings)])
