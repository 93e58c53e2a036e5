"""Does a search find what a whole grid would, keep its limits, and go on where it was?"""

from __future__ import annotations

import json

import pytest
import study_support as support

import emu

optuna = pytest.importorskip("optuna")

AXES = {
    "chip.core.clock": ["500 MHz", "1 GHz", "2 GHz"], "chip.hbm.bandwidth": {"log": ["8 GB/s", "64 GB/s"], "points": 4}, "batch": [1, 2],
}  # fmt: skip
CASES = [{"model": support.llama()}, {"model": support.gpt2()}]


def study(**changes):
    return emu.Study(**{"chip": "tiny", "cases": CASES, "vary": AXES, "prompt": 8, "generate": 2} | changes)


GOALS = {"minimize": "joules_per_token", "maximize": "tokens_per_s", "limits": ["watts <= 1.15 * base.watts"], "base": "tiny"}


@pytest.fixture(scope="module")
def found():
    return study().search(**GOALS, trials=40, jobs=1)


def test_objectives_are_the_worst_case_and_limits_hold_in_all(found):
    table = study().run(jobs=1).rows
    base = {row["model"]: row for row in emu.Study(chip="tiny", cases=CASES, prompt=8, generate=2).run(jobs=1).rows}
    assert len(found.rows) == 40 and any(row["feasible"] for row in found.rows) and not all(row["feasible"] for row in found.rows)
    for row in found.rows:
        same = [r for r in table if all(r[axis] == row[axis] for axis in AXES)]
        assert len(same) == 2
        assert row["joules_per_token"] == max(r["joules_per_token"] for r in same)
        assert row["tokens_per_s"] == min(r["tokens_per_s"] for r in same)
        assert row["feasible"] == all(r["watts"] <= 1.15 * base[r["model"]]["watts"] for r in same)


def test_the_best_are_the_front_of_what_is_feasible(found):
    good = [row for row in found.rows if row["feasible"]]
    for row in good:
        beaten = any(
            o["joules_per_token"] <= row["joules_per_token"] and o["tokens_per_s"] >= row["tokens_per_s"]
            and (o["joules_per_token"], o["tokens_per_s"]) != (row["joules_per_token"], row["tokens_per_s"]) for o in good
        )  # fmt: skip
        twin = any(o["best"] and o["tokens_per_s"] == row["tokens_per_s"] for o in good)
        assert not (row["best"] and beaten) and (row["best"] or beaten or twin)
    order = [row["joules_per_token"] for row in found.best]
    assert order == sorted(order) and order


def test_the_same_seed_gives_the_same_trials_at_once_or_in_pieces(tmp_path):
    whole = study(seed=3).search(**GOALS, trials=9, jobs=1, storage=tmp_path / "whole.db")

    def stop(number, of, row):
        if number >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study(seed=3).search(**GOALS, trials=9, jobs=1, storage=tmp_path / "parts.db", done=stop)
    heard = []
    parts = study(seed=3).search(**GOALS, trials=9, jobs=1, storage=tmp_path / "parts.db", done=lambda n, of, _: heard.append(n))
    assert parts.to_dict() == whole.to_dict() and heard == [8, 9]
    names = optuna.get_all_study_names(f"sqlite:///{tmp_path / 'parts.db'}")  # what the dashboard lists
    assert len(names) == 1 and names[0].startswith("emu ")


def test_a_trial_drawn_and_not_told_is_run_on_resuming(tmp_path, monkeypatch):
    from emu.study import search

    whole = study().search(**GOALS, trials=8, jobs=1, storage=tmp_path / "whole.db")
    with monkeypatch.context() as patched:
        patched.setattr(search, "_round", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            study().search(**GOALS, trials=8, jobs=1, storage=tmp_path / "cut.db")
    assert study().search(**GOALS, trials=8, jobs=1, storage=tmp_path / "cut.db").to_dict() == whole.to_dict()


def test_failed_and_pruned_trials_have_reasons():
    result = study(vary={"batch": [1, 10**9], "prompt": [4, 8]}, where="prompt > 4").search(maximize="tokens_per_s", trials=12, jobs=1)
    reasons = {(row["batch"], row["prompt"]): row["error"] for row in result.rows}
    assert "would fit" in reasons[10**9, 8] and "condition" in reasons[1, 4] and reasons[1, 8] is None
    assert {row["batch"] for row in result.best} == {1}


@pytest.mark.parametrize(("how", "wanted"), [
    ({}, "minimize or maximize"), ({"minimize": "tokns"}, "unknown name"), ({"minimize": "usd"}, "tiny states no price"),
    ({"minimize": "base.watts"}, "which chip is to be beaten"), ({"minimize": "watts", "limits": "watts"}, "not a condition"),
    ({"minimize": "watts", "trials": 0}, "trials"), ({"minimize": "watts", "base": "tinny"}, "did you mean 'tiny'"),
    ({"minimize": "watts", "storage": "none/x.db"}, "none/x.db"),
    ({"minimize": "watts", "limits": "base.wats < 3", "base": "tiny"}, "base.wats"),
    ({"minimize": "sequences_per_s"}, "no such figure"), ({"minimize": "chip"}, "not a number"),
])
def test_mistakes(how, wanted):
    with pytest.raises(emu.EmuError, match=wanted):
        study(cases=CASES[:1], vary={"batch": [1]}).search(**{"trials": 1, "jobs": 1} | how)


def test_it_prints_exports_and_draws(found, tmp_path):
    text = str(found)
    assert "minimize joules_per_token, maximize tokens_per_s" in text and max(map(len, text.split("\n"))) <= 100
    assert found.to_csv().count("\n") == 41 and json.loads(found.to_json())["kind"] == "search"
    found.plot(tmp_path / "front.svg")
    assert (tmp_path / "front.svg").stat().st_size > 1000


def test_from_the_shell(tmp_path):
    from emu.cli import main

    file = tmp_path / "s.toml"
    text = (
        'model = "examples/models/tiny-llama/config.json"\nchip = "tiny"\n[workload]\nprompt = 8\ngenerate = 2\n[vary]\nbatch = [1, 2]\n'
        '"chip.core.clock" = ["1 GHz", "2 GHz"]\n[search]\nmaximize = "tokens_per_joule"\nlimits = ["watts <= 100"]\ntrials = 5\n'
    )
    file.write_text(text)
    assert main(["search", str(file), "--jobs", "1", "--quiet"]) == 0 and (tmp_path / "s.trials.db").exists()
    wrongs = ("maximize", "maximise"), ("[search]", "[serch]"), ("tokens_per_joule", "tokens_per_jule"), ("trials = 5", "trials = true")
    for change in wrongs:
        file.write_text(text.replace(*change))
        assert main(["search", str(file), "--jobs", "1"]) == 2
