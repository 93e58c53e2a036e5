"""Which points a study has: are ranges, conditions, formulas and draws what they say, and is every mistake named before anything runs?"""

from __future__ import annotations

import itertools

import pytest
import study_support as support
from hypothesis import given
from hypothesis import strategies as st

import emu
from emu.study.sweep.axes import values_of

BASE = {"model": support.llama(), "chip": "tiny"}


@given(st.integers(1, 10**6), st.integers(2, 10**6), st.integers(2, 40))
def test_log_range_of_counts(first, factor, points):
    found = values_of("batch", {"log": [first, first * factor], "points": points})
    assert found[0] == first and found[-1] == first * factor and len(found) <= points
    assert all(isinstance(v, int) for v in found) and found == sorted(set(found))
    step = factor ** (1 / (points - 1))
    for exact, value in zip([first * step**j for j in range(points)], found if len(found) == points else []):
        assert abs(value - exact) <= 0.5 + 1e-6 * exact


@pytest.mark.parametrize(("given_", "values"), [
    ([3, 1, 3, 2], [3, 1, 2]), ({"linear": [1, 9], "points": 5}, [1, 3, 5, 7, 9]), ({"linear": [0.5, 1.0], "points": 3}, [0.5, 0.75, 1]),
    ({"range": [128, 400], "step": 128}, [128, 256, 384]), ({"range": [0.1, 0.3], "step": 0.1}, [0.1, 0.2, 0.3]),
    ({"log": ["1 MiB", "16 MiB"], "points": 5}, ["1 MiB", "2 MiB", "4 MiB", "8 MiB", "16 MiB"]),
    ({"log": ["1 TB/s", "4 TB/s"], "points": 3}, ["1 TB/s", "2 TB/s", "4 TB/s"]),
    ({"range": ["100 ns", "300 ns"], "step": "100 ns"}, ["100 ns", "200 ns", "300 ns"]),
    ({"log": ["500 GB/s", "2 TB/s"], "points": 3}, ["500 GB/s", "1 TB/s", "2 TB/s"]), ([True, 1, "1"], [True, 1, "1"]),
])
def test_values(given_, values):
    found = values_of("x", given_)
    assert found == values and [type(v) for v in found] == [type(v) for v in values]


@pytest.mark.parametrize(("given_", "wanted"), [
    ([], "0 values"), (3, "expected a list"), ("fp8", "expected a list"), ([[1]], "expected numbers"), ([float("nan")], "expected numbers"),
    ({"lgo": [1, 2]}, "expected one of log"), ({"log": [1, 2], "point": 3}, "did you mean 'points'"), ({"log": [1, 2]}, "points = None"),
    ({"log": [0, 2], "points": 3}, "above 0"), ({"log": [2, 1], "points": 3}, "smaller one first"), ({"log": [1], "points": 3}, "two ends"),
    ({"log": ["1 GB", "2 GHz"], "points": 3}, "like ends"), ({"log": ["1 KB", "2 KB"], "points": 3}, "KiB"),
    ({"range": [0, 1], "step": 0}, "step"), ({"range": [0, 10**9], "step": 1}, "at most"), ({"log": [1, 9], "points": True}, "points"),
    ({"log": [1, 2], "linear": [1, 2], "points": 2}, "one of"), ({"linear": [1, True], "points": 2}, "expected a number"),
])
def test_bad_values(given_, wanted):
    with pytest.raises(emu.EmuError, match=wanted):
        values_of("x", given_)


def test_a_grid_in_order():
    study = emu.Study(**BASE, vary={"batch": [1, 2], "dtype": ["bf16", "fp8"], "prompt": [8]}, generate=4)
    assert study.axes == ["batch", "dtype", "prompt"] and study.size == 4
    assert [(p["batch"], p["dtype"]) for p in study.points()] == list(itertools.product([1, 2], ["bf16", "fp8"]))
    assert all(p["generate"] == 4 and p["prompt"] == 8 for p in study.points())


def test_cases_go_together_and_come_first():
    cases = [{"dtype": "bf16", "batch": 1}, {"dtype": "fp8", "batch": 8}]
    study = emu.Study(**BASE, cases=cases, vary={"prompt": [8, 16]})
    found = [(p["dtype"], p["batch"], p["prompt"]) for p in study.points()]
    assert found == [("bf16", 1, 8), ("bf16", 1, 16), ("fp8", 8, 8), ("fp8", 8, 16)]


def test_formulas_follow_and_conditions_hold():
    study = emu.Study(
        **BASE, vary={"chip.core_count": [1, 2, 4], "batch": [1, 2, 4, 8]}, set={"chip.noc.x": "chip.core_count"},
        where=["batch * prompt <= 64", "chip.core.sram.capacity >= 1 KiB", "model.layers == 2", "dtype == 'bf16'", "chip != 'h100'"],
        prompt=16, generate=2,
    )
    found = study.points()
    assert all(p["chip.noc.x"] == p["chip.core_count"] for p in found)
    assert {p["batch"] for p in found} == {1, 2, 4} and len(found) == 9
    row = study.run(jobs=1).rows[0]
    assert row["chip.noc.x"] == 1 and row["tpot_s"] > 0


@given(st.integers(1, 60), st.integers(0, 5))
def test_a_sample_is_of_the_grid_and_follows_from_the_seed(sample, seed):
    axes = {"batch": list(range(1, 8)), "prompt": list(range(2, 9)), "dtype": ["bf16", "fp8"]}
    whole = emu.Study(**BASE, vary=axes, where="(batch + prompt) % 2 == 0").points()
    drawn, again = (emu.Study(**BASE, vary=axes, where="(batch + prompt) % 2 == 0", sample=sample, seed=seed).points() for _ in range(2))
    assert drawn == again and len(drawn) == min(sample, len(whole))
    numbers = [whole.index(p | {"seed": 0}) for p in drawn]
    assert numbers == sorted(set(numbers))


def test_a_sample_of_a_space_too_large_to_list():
    axes = {f"chip.energy.{name}": [f"{n} pJ" for n in range(1, 100)] for name in ("vec_add", "vec_mul", "vec_exp", "sram_read_bytes")}
    study = emu.Study(**BASE, vary=axes, sample=5)
    assert study.size == 99**4 and len(study.points()) == 5
    with pytest.raises(emu.EmuError, match="sample"):
        emu.Study(**BASE, vary=axes)


@pytest.mark.parametrize(("changes", "wanted"), [
    ({"vary": {"chip.hbm.bandwith": ["1 GB/s"]}}, "did you mean 'hbm.bandwidth'"), ({"vary": {"bacth": [1]}}, "did you mean 'batch'"),
    ({"vary": {"model.layer": [1]}}, "did you mean 'layers'"), ({"vary": {"mapping.decode.qkv": [1]}}, "mapping.PHASE.OPERATION.FIELD"),
    ({"vary": {"chip.core.matrx.rows": [1]}}, "unknown key"), ({"vary": {"chip": ["tinny"]}}, "did you mean 'tiny'"),
    ({"vary": {"model": ["lama-3-8b"]}}, "llama-3-8b"), ({"where": "batch < 0"}, "no point of 1"), ({"where": "batch <"}, "the end"),
    ({"where": "bacth < 3"}, "did you mean 'batch'"), ({"where": "chip.hbm.bandwith < 3"}, "did you mean 'hbm.bandwidth'"),
    ({"where": "model.layer < 3"}, "did you mean 'layers'"), ({"vary": {"batch": [1]}, "set": {"batch": "2"}}, "both varied and set"),
    ({"sample": 0}, "sample"), ({"seed": -1}, "seed"), ({"batchs": 3}, "did you mean 'batch'"), ({"chip": None}, "needs a chip"),
    ({"model": None}, "needs a model"), ({"chip": 3}, "expected the name of a chip"), ({"set": {"noc.x": "1"}}, "unknown setting"),
    ({"vary": {"model.family": ["gpt"]}}, "unknown field"), ({"vary": {"chip.levels.l9.capacity": ["1 MiB"]}}, "unknown key"),
])
def test_mistakes_are_named_before_anything_runs(changes, wanted):
    with pytest.raises(emu.EmuError, match=wanted):
        emu.Study(**{**BASE, **changes}).points()


def test_from_a_file(tmp_path):
    file = tmp_path / "study.toml"
    (tmp_path / "mine.toml").write_text('schema_version = 1\nextends = "tiny"\nname = "mine"\n')
    file.write_text(
        'question = "why"\nmodel = "gpt-2"\nchip = "mine.toml"\nwhere = "batch * prompt <= 64"\nseed = 3\n[workload]\nprompt = 16\n'
        '[vary]\nchip.hbm.bandwidth = {log = ["16 GB/s", "64 GB/s"], points = 3}\n"batch" = [1, 8]\n'
    )
    study = emu.load_study(file)
    assert study.question == "why" and study.axes == ["chip.hbm.bandwidth", "batch"] and len(study.points()) == 3
    assert study.points()[0]["chip.hbm.bandwidth"] == "16 GB/s" and study.points()[0]["seed"] == 3
    assert len(emu.load_study(file, sample=2, seed=7).points()) == 2


@pytest.mark.parametrize(("text", "wanted"), [
    ("modle = 'x'", "did you mean 'model'"), ("seed = 'x'", "expected a whole number"), ("seed = true", "expected a whole number"),
    ("model = 'gpt-2'\nchip = 'tiny'\n[vary]\nbatch = 3", "expected a list"), ("[workload]\nchip = 'x'\n", "study.toml"),
    ("x = [", "not valid TOML"), ("cases = [3]\nmodel='gpt-2'\nchip='tiny'", "cases"),
    ("model = 'gpt-2'\nchip = 'tiny'\n[set]\nbatch = 3", "expected formulas"),
    ("model = 'gpt-2'\nchip = 'tiny'\n[workload]\nseed = 3\n", "workload"),
])
def test_mistakes_in_a_file(tmp_path, text, wanted):
    file = tmp_path / "study.toml"
    file.write_text(text)
    with pytest.raises(emu.EmuError, match=wanted) as error:
        emu.load_study(file)
    assert "study.toml" in str(error.value)


def test_models_vary_too():
    model = emu.model("llama-3-8b")
    assert model.vary({"layers": 40, "kv_heads": 4}).config.layers == 40
    for changes, wanted in (
        ({"kv_heads": 5}, "divisor"), ({"head_dim": 127}, "even"), ({"layers": 0}, "whole number"), ({"tied": 1}, "true or false"),
        ({"activation": "relu"}, "one of"),
        ({"family": "bert"}, "config.json"), ({"layer": 3}, "did you mean 'layers'"), ({"layers": True}, "whole"),
    ):
        with pytest.raises(emu.ModelError, match=wanted):
            model.vary(changes)


def test_two_chips_of_one_name_are_refused():
    tiny = support.chip_named("tiny")
    with pytest.raises(emu.EmuError, match="two different ones are called 'tiny'"):
        emu.Study(model=support.llama(), vary={"batch": [1]}, cases=[{"chip": tiny}, {"chip": tiny.vary({"hbm.bandwidth": "9 GB/s"})}])
    other = tiny.vary({"hbm.bandwidth": "9 GB/s", "name": "slow"})
    study = emu.Study(model=support.llama(), vary={"chip": [tiny, other]}, prompt=8, generate=2)
    rows = study.run(jobs=1).rows
    assert [row["chip"] for row in rows] == ["tiny", "slow"] and rows[0]["tpot_s"] < rows[1]["tpot_s"]


def test_a_figure_that_one_of_the_chips_lacks_fails_only_there():
    asked = {"model": support.llama(), "prompt": 8, "generate": 1, "vary": {"chip": ["tiny", support.few_cores_of_h100()]}}
    asked["vary"]["chip.levels.l2.latency"] = ["200 ns"]
    tiny, h100 = emu.Study(**asked).run(jobs=1).rows
    assert "levels" in tiny["error"] and h100.get("error") is None and h100["ttft_s"] > 0
    with pytest.raises(emu.EmuError, match="unknown key"):
        emu.Study(**{**asked, "vary": {"chip.levels.l2.latency": ["200 ns"]}, "chip": "tiny"})
