"""Is no limit beaten, is everything counted, and does a result depend on nothing but its question?"""

from __future__ import annotations

import pytest
import study_support as support
from hypothesis import Phase as Phase_
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from study_support import sampling

import emu
from emu.kernels.lang import format_bytes
from emu.mapper import choose
from emu.mapper.area import divide
from emu.models import Attention, Gemm
from emu.models.graph import format_of, wide_format
from emu.study.bound import op_bound, pass_bound
from emu.study.phase import Phase, Weighted

SIZES = st.one_of(st.integers(1, 20), st.sampled_from([31, 63, 64, 65, 97, 127, 128, 129, 256]))
QUICK = [Phase_.explicit, Phase_.generate]  # a failing case is shown as found: to shrink it would run hundreds of programs
DTYPES = ["bf16", "fp16", "fp8", "int8"]


def blocks(chip, n, fmt):
    """Columns as they lie in memory: whole blocks."""
    block = divide(chip, fmt).block
    return -(-n // block) * block


@settings(max_examples=40, deadline=None, derandomize=True, phases=QUICK)
@given(st.sampled_from(["tiny", "tiny", "jalapeno", "h100"]), SIZES, SIZES, SIZES, st.sampled_from(DTYPES))
def test_gemm(name, m, n, k, dtype):
    """Never faster than the bound, `ideal` never slower than `fast`; products and bytes are what the op needs plus what the mapping
    repeats."""
    chip = support.chip_named(name)
    fast = emu.gemm(chip, m, n, k, dtype)
    ideal = emu.gemm(chip, m, n, k, dtype, fidelity="ideal")
    assert fast.bound_s <= ideal.seconds <= fast.seconds
    assert 0 < fast.mfu <= 1 and 0 < fast.mbu <= 1
    fmt, t, c = format_of(dtype), fast.mapping, fast.run.counters
    wide = blocks(chip, n, fmt)
    rows, columns = -(-m // t["tile_m"]), -(-wide // t["tile_n"])
    assert c[f"useful_macs_{fmt}"] == m * wide * k <= c[f"array_macs_{fmt}"]
    assert sum(n for name, n in c.items() if name.startswith("useful_macs")) == m * wide * k
    again = t["split_n"] if t["a_resident"] else columns  # how often x is read
    asked, written = (rows * wide * k + again * m * k) * format_bytes(fmt), m * wide * format_bytes(wide_format(fmt))
    if chip.levels:  # a cache catches what is asked for again
        assert c["hbm_read_bytes"] <= asked
    else:
        assert c["hbm_read_bytes"] == asked
    assert c["hbm_write_bytes"] == written
    assert c["hbm_burst_bytes"] % chip.hbm.access_bytes == 0
    assert fast.joules == pytest.approx(sum(fast.energy.values()))


def test_a_cache_line_is_not_filled_for_free():
    """x and the first weights share a line of 128 bytes; both must come over the pins."""
    c = emu.gemm("h100", 12, 65, 2, "int8").run.counters
    assert c["hbm_burst_bytes"] >= (96 * 2 + 12 * 2) + 12 * 96 * 2


@settings(max_examples=25, deadline=None, derandomize=True, phases=QUICK)
@given(
    st.sampled_from(["tiny", "jalapeno"]), st.booleans(), st.integers(1, 3), st.sampled_from([(4, 4), (4, 2), (6, 1)]),
    st.sampled_from([8, 16, 64]), st.integers(2, 130), st.sampled_from(["bf16", "fp8"]),
)  # fmt: skip
def test_attention(name, decode, batch, heads, dim, length, dtype):
    """Work is at least what is not masked and, in decode, exactly that; the cache is read once, masked tiles of a prefill are not."""
    chip, q_heads, kv_heads = support.chip_named(name), *heads
    phase = "decode" if decode else "prefill"
    sizes = {"batch": batch, "q_heads": q_heads, "kv_heads": kv_heads, "head_dim": dim, "q_len": length, "kv_len": length, "dtype": dtype}
    result = emu.attention(chip, phase, **sizes)
    assert result.bound_s <= result.seconds
    macs = sum(n for name, n in result.run.counters.items() if name.startswith("useful_macs"))
    cache = 2 * batch * kv_heads * length * dim * format_bytes(format_of(dtype))
    assert result.flops <= 2 * macs
    if decode:
        assert 2 * macs == result.flops and result.run.counters["hbm_read_bytes"] >= cache
    else:
        tile = result.mapping["tile_kv"] + result.mapping["tile_q"]
        assert macs <= 2 * batch * q_heads * dim * length * min(length, (length + 1) / 2 + tile)


@settings(max_examples=25, deadline=None, derandomize=True, phases=QUICK)
@given(support.graphs(), support.chips())
def test_passes(drawn, chip):
    """Random small models on random chips: each op and the whole against their bounds, every product, every weight byte, every sum."""
    model, graph = drawn
    choice = choose(graph, chip)
    s = sampling.sample(model, graph, chip, choice, "fast", 0)
    assert s.fs >= pass_bound(graph, chip).seconds * 1e15 * (1 - 1e-12)
    assert s.fs >= support.everything(model, graph, chip, choice, "ideal").fs
    phase = Phase(chip, [Weighted(s, 1.0)])
    rows = phase.ops()
    assert sum(row["seconds"] for row in rows) == pytest.approx(phase.seconds, rel=1e-12)
    assert sum(row["share"] for row in rows) == pytest.approx(1.0)
    assert all(row["ratio"] is None or row["ratio"] >= 1 - 1e-9 for row in rows), [(r["name"], r["ratio"]) for r in rows]
    counted = counters_by_op(model, graph, chip, choice)
    for op, times in graph.ops():
        macs = sum(n for name, n in counted[op.name].items() if name.startswith("useful_macs"))
        if isinstance(op, Gemm):
            assert macs == op.m * blocks(chip, op.n, graph.dtype) * op.k * len(op.weights) * times
            weights = op.k * op.n * format_bytes(graph.tensors[op.weights[0]].fmt) * len(op.weights) * times
            assert counted[op.name]["hbm_read_bytes"] >= weights
        elif isinstance(op, Attention):
            assert macs >= op.flops // 2 * times
            assert macs == op.flops // 2 * times or op.q_len > 1
        else:
            assert macs == 0
        assert op_bound(op, graph, chip, times).compute_s * 1e15 <= s.fs


def counters_by_op(model, graph, chip, choice):
    """Op -> events, of a run of all layers; the events of all ops together are those of the run."""
    lowered, run = sampling.simulate(model, graph, chip, choice, graph.layers, "fast", 0)
    table = {op.name: dict.fromkeys(run.counters, 0) for op, _ in graph.ops()}
    for label in run.labels:
        into = table.setdefault(label["name"], dict.fromkeys(run.counters, 0))
        for event, n in label["counters"].items():
            into[event] += n
    assert {event: sum(row[event] for row in table.values()) for event in run.counters} == run.counters
    assert sum(label["seconds"] for label in run.labels) == pytest.approx(run.seconds)
    return table


@settings(max_examples=7, deadline=None, derandomize=True, phases=QUICK)
@given(support.models(), st.integers(1, 3), st.integers(1, 40), st.integers(1, 12), st.sampled_from(["bf16", "fp8"]), st.integers(0, 99))
def test_an_estimate(model, batch, prompt, generate, dtype, seed):
    """Phases against their bounds; the same question has the same answer, and the tokens of a dense model change no time."""
    assume(prompt + generate <= 40)
    ask = {"batch": batch, "prompt": prompt, "generate": generate, "dtype": dtype}
    one = emu.estimate(model, "tiny", **ask).to_dict()
    for phase in one["phases"].values():
        assert phase["bound_s"] <= phase["seconds"]
        assert phase["seconds"] == pytest.approx(sum(op["seconds"] for op in phase["ops"]), rel=1e-9)
        assert 0 < phase["mfu"] <= 1 and 0 < phase["mbu"] <= 1
        assert phase["joules"] == pytest.approx(sum(phase["energy"].values()))
    assert set(one["phases"]) == ({"prefill", "decode"} if generate > 1 else {"prefill"}) and (one["tpot_s"] is None) == (generate == 1)
    assert one["seconds"] == pytest.approx(one["ttft_s"] + (generate - 1) * (one["tpot_s"] or 0))
    assert emu.estimate(model, "tiny", **ask).to_dict() == one
    assert emu.estimate(model, "tiny", seed=seed, **ask).to_dict() | {"seed": 0} == one


@settings(max_examples=8, deadline=None, derandomize=True, phases=QUICK)
@given(support.graphs(dtypes=("bf16",)), st.sampled_from(["hbm.latency", "core.vector.startup"]))
def test_ideal_is_monotone(drawn, key):
    """`More of a resource never hurts` is a theorem only without contention: shorter latencies, same mapping, `ideal`."""
    model, graph = drawn
    chip = support.chip_named("tiny")
    better = chip.vary({key: {"hbm.latency": "10 ns", "core.vector.startup": "1 clk"}[key]})
    choice = choose(graph, chip)
    assert support.everything(model, graph, better, choice, "ideal").fs <= support.everything(model, graph, chip, choice, "ideal").fs
