"""Is what is not run exactly what would have been run? Layers to the femtosecond and the event; decode steps to 0.1 %."""

from __future__ import annotations

from dataclasses import replace

import pytest
import study_support as support
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from study_support import sampling

import emu
from emu.mapper import choose
from emu.study.decode import TOLERANCE, knots_of, weights_of


def same(some, every):
    """Time, time by operation and events."""
    assert (some.fs, some.op_fs, some.counters) == (every.fs, every.op_fs, every.counters)
    assert sum(some.op_fs.values()) == some.fs


def extrapolated(model, graph, chip, choice):
    """The pass with layers repeated, on a chip whose layers would else all be run (times on it do not depend on addresses)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "addresses_are_free", lambda chip: False)
        return sampling.sample(model, graph, chip, choice, "fast", 0)


def both(model, graph, chip):
    choice = choose(graph, chip)
    every = support.everything(model, graph, chip, choice)
    same(sampling.sample(model, graph, chip, choice, "fast", 0), every)
    some = extrapolated(model, graph, chip, choice)
    same(some, every)
    return some


@pytest.mark.parametrize("name", ["tiny", "jalapeno"])
@pytest.mark.parametrize("build", [support.llama, support.gpt2])
@pytest.mark.parametrize("phase", [("prefill", 1, 32, 32), ("decode", 2, 1, 40)])
def test_twelve_layers(name, build, phase):
    """Layers are left out, and nothing is lost by it; on jalapeno these layers fit the weight ring many times over, so all are run."""
    model = build(num_hidden_layers=12) if build is support.llama else build(n_layer=12)
    some = both(model, model.graph(*phase, "bf16", None, 64), support.chip_named(name))
    if name == "tiny" and phase[0] == "prefill":
        assert some.layers_run < 12 and some.period_fs and 0 < some.repeated < some.layers_run


def test_large_layers():
    """Ten layers of llama-3-8b, decoded on h100, where a cache makes this the way estimates are made. Neighbours may differ by a clock now
    and then, as the memory's share of a clock drifts: equal to 0.1 %, not to the femtosecond. Events are exact."""
    model = emu.model("llama-3-8b")
    model = replace(model, config=replace(model.config, layers=10))
    graph = model.graph("decode", 1, 1, 513, "bf16", None, 640)
    chip = support.chip_named("h100")
    choice = choose(graph, chip)
    some = extrapolated(model, graph, chip, choice)
    every = support.everything(model, graph, chip, choice)
    assert some.layers_run <= 6
    assert some.counters == every.counters and some.fs == pytest.approx(every.fs, rel=1e-3)


def test_behind_a_cache():
    """Where times depend on addresses. The cache of four such cores holds all these layers: after the first none is cold."""
    model, chip = support.llama(num_hidden_layers=12), support.few_cores_of_h100()
    graph = model.graph("prefill", 1, 32, 32, "bf16", None, 64)
    choice = choose(graph, chip)
    same(sampling.sample(model, graph, chip, choice, "fast", 0), support.everything(model, graph, chip, choice))


@settings(max_examples=15, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
@given(support.graphs(layers=11), support.chips())
def test_any_model_on_any_chip(drawn, chip):
    model, graph = drawn
    both(model, graph, chip)


def test_unequal_layers_are_all_run(monkeypatch):
    """Without three equal neighbours nothing is extrapolated."""
    model, chip = support.llama(num_hidden_layers=12), support.chip_named("tiny")
    graph = model.graph("prefill", 1, 16, 16, "bf16", None, 16)
    real, calls = sampling._layer_releases, []

    def jittered(lowered, run, layer):
        calls.append(layer)
        return [(label, fs + len(calls)) for label, fs in real(lowered, run, layer)]

    monkeypatch.setattr(sampling, "_layer_releases", jittered)
    s = extrapolated(model, graph, chip, choose(graph, chip))
    assert s.layers_run == 12 and s.period_fs is None and calls


@pytest.mark.parametrize("name", ["tiny", "jalapeno"])
def test_decode_knots_stand_for_all_steps(name):
    """Mean time per output token from a few knots against every step run."""
    model, chip = support.llama(num_hidden_layers=3), support.chip_named(name)
    prompt, generate = 20, 40
    result = emu.estimate(model, chip, prompt=prompt, generate=generate)
    room = prompt + generate - 1
    choice = choose(model.graph("decode", 1, 1, room, "bf16", None, room), chip)
    graphs = [model.graph("decode", 1, 1, n, "bf16", None, room) for n in range(prompt + 1, room + 1)]
    steps = [support.everything(model, graph, chip, choice) for graph in graphs]
    assert len(steps) == generate - 1 == result.phases["decode"].count
    whole = sum(s.fs for s in steps) / 1e15
    assert result.phases["decode"].seconds == pytest.approx(whole, rel=TOLERANCE)
    assert len(result.phases["decode"].knots) < len(steps)
    joules = result.phases["decode"].energy.joules
    events = {n: sum(s.counters[n] for s in steps) for n in steps[0].counters}
    from emu.power import energy

    assert joules == pytest.approx(energy(chip, events, whole).joules, rel=2 * TOLERANCE)
    for k in result.phases["decode"].knots:
        assert k["seconds"] == steps[k["kv_len"] - prompt - 1].fs / 1e15


class _Step:
    def __init__(self, fs):
        self.fs = fs


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 400), st.integers(0, 400), st.integers(0, 50), st.integers(1, 300), st.integers(0, 10**6))
def test_knots_follow_any_line_with_steps_in_it(first, count, slope, tile, jump):
    """Lines are met exactly; a staircase is bisected. The weights stand for every step once."""
    last = first + count
    cost = {n: 10**8 + slope * n for n in range(first, last + 1)}
    found = knots_of(first, last, lambda n: _Step(cost[n]))
    weights = weights_of(list(found))
    assert sum(weights) == pytest.approx(count + 1)
    total = sum(w * s.fs for w, s in zip(weights, found.values()))
    assert total == pytest.approx(sum(cost.values()), rel=1e-9)
    stairs = {n: 10**8 + jump * (n // tile) for n in cost}
    found = knots_of(first, last, lambda n: _Step(stairs[n]))
    assert {first, last} <= set(found) and all(found[n].fs == stairs[n] for n in found)
