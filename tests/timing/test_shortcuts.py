"""Folding and fast-forward equal the long way: to the femtosecond, to the event, to the last stall."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from timing_programs import loads, pipeline

import emu
from emu.kernels import Tracer
from emu.kernels.gemm import Epilogue, GemmTiling, gemm
from emu.machine import Machine
from emu.mapper import choose, lower
from emu.models import Model
from emu.study.sample import inputs_for

TINY = emu.chip("tiny")
SHORTCUTS = [{"folding": True}, {"fast_forward": True}, {"folding": True, "fast_forward": True}]
COMPARED = ("end_fs", "counters", "stalls", "root_stalls", "label_stalls", "releases", "instructions")


def equal_in_all_ways(program, inputs=None, chip=TINY):
    machine = Machine(chip)
    long = machine.run(program, inputs, values=False)
    runs = [machine.run(program, inputs, values=False, **how) for how in SHORTCUTS]
    for run in runs:
        for what in COMPARED:
            assert run.raw[what] == long.raw[what], what
    return runs[-1]


@given(
    st.integers(1, 40), st.sampled_from([8, 5]), st.integers(1, 3), st.sampled_from([1, 7, 16]), st.integers(1, 3), st.integers(1, 4),
    st.sampled_from(["vexp", "vmov"]),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_pipelines(tiles, width, depth, rows, reps, cores, vec):
    equal_in_all_ways(pipeline(tiles, width, depth, rows, reps, cores, vec))


@given(st.lists(st.sampled_from([64, 4096, 5000, 60000]), min_size=1, max_size=4), st.integers(1, 200))
@settings(max_examples=30, deadline=None)
def test_loads_of_unequal_cores(sizes, repeat):
    equal_in_all_ways(loads(sizes, cores=len(sizes), repeat=repeat))


def gemm_program(m, n, k, tiling, fmt="bf16", residual=False):
    t = Tracer(TINY, "gemm")
    x, w = t.hbm("x", (m, k), fmt, "in"), t.hbm("w", (k, n), fmt, "weight")
    out = t.hbm("y", (m, n), "bf16", "out")
    extra = t.hbm("r", (m, n), "bf16", "in") if residual else None
    t.weight_ring(tiling.tile_k * tiling.tile_n * 2, tiling.depth_w)
    with t.op("gemm"):
        gemm(t, x, w, out, tiling, Epilogue(residual=extra, scale=1.0 if fmt == "int8" else None))
    return t.program()


@given(
    st.integers(1, 130), st.integers(1, 70), st.integers(1, 140), st.sampled_from([8, 16]), st.sampled_from([8, 16]), st.sampled_from([8,
    24]), st.sampled_from([(1, 1), (2, 2), (4, 1), (1, 3)]), st.booleans(), st.booleans(), st.sampled_from(["bf16", "fp8_e4m3", "int8"]),
)  # fmt: skip
@example(128, 64, 128, 16, 16, 8, (2, 2), False, False, "bf16")
@settings(max_examples=40, deadline=None)
def test_gemms_ragged_or_not(m, n, k, tile_m, tile_n, tile_k, split, resident, residual, fmt):
    tiling = GemmTiling(tile_m, tile_n, tile_k, *split, a_resident=resident)
    equal_in_all_ways(gemm_program(m, n, k, tiling, fmt, residual))


def small_llama(layers: int) -> Model:
    from dataclasses import replace

    model = emu.load_model("examples/models/tiny-llama/config.json")
    return replace(model, config=replace(model.config, layers=layers))


@pytest.mark.parametrize("phase,q_len,kv_len,layers", [("prefill", 40, 40, 2), ("decode", 1, 70, 12), ("prefill", 64, 64, 9)])
def test_whole_models(phase, q_len, kv_len, layers):
    model = small_llama(layers)
    graph = model.graph(phase, 2, q_len, kv_len)
    program = lower(graph, TINY, choose(graph, TINY), layers).program
    equal_in_all_ways(program, inputs_for(model, graph, 0, {b.name for b in program.buffers}))


def test_most_of_a_long_loop_is_skipped():
    """Otherwise equality would be a claim about nothing."""
    run = equal_in_all_ways(gemm_program(512, 512, 512, GemmTiling(16, 16, 8, 2, 2, a_resident=False)))
    assert run.skipped_fraction > 0.9
    assert run.raw["executed"] < run.instructions / 10
