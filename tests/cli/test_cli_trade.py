"""Do the commands about chips draw, compare, write and price them?"""

import json

import pytest


def test_show_draws_and_svg_is_written(shell, tmp_path):
    code, out, _ = shell("chips", "show", "h100")
    assert code == 0 and "┌ core x 132," in out and "* assumed:" in out and "published 989" in out
    code, out, _ = shell("chips", "show", "trainium1")
    assert code == 0 and "in conflict: 184.0 TFLOP/s, 190.0 TFLOP/s" in " ".join(out.split())
    path = tmp_path / "h100.svg"
    code, out, err = shell("chips", "show", "h100", "--svg", path)
    assert code == 0 and out == "" and str(path) in err and path.read_text(encoding="utf-8").startswith("<svg ")
    code, _, err = shell("chips", "show", "h100", "--svg", tmp_path / "no" / "h100.svg")
    assert code == 2 and "--svg" in err


def test_diff(shell):
    code, out, _ = shell("chips", "diff", "h100", "b200")
    assert code == 0 and "peak.bf16" in out and "2.25x" in out
    found = json.loads(shell("chips", "diff", "h100", "b200", "--json")[1])
    assert found["a"] == "h100" and any(d["key"] == "hbm.bandwidth" and d["ratio"] > 2 for d in found["differences"])
    assert "every figure is the same" in shell("chips", "diff", "tiny", "tiny")[1]
    assert shell("chips", "diff", "h100", "h1000")[0] == 2


@pytest.mark.parametrize("flags", [(), ("--complete",)])
def test_new(shell, tmp_path, flags):
    path = tmp_path / "mine.toml"
    code, out, err = shell("chips", "new", path, "--like", "h100", *flags)
    assert code == 0 and out == "" and "written" in err
    code, out, _ = shell("chips", "show", path)
    assert code == 0 and "hypothetical" in out
    code, _, err = shell("chips", "new", path, "--like", "h100")
    assert code == 2 and "exists already" in err
    assert shell("chips", "new", tmp_path / "mine.txt", "--like", "h100")[0] == 2
    assert "did you mean 'h100'" in shell("chips", "new", tmp_path / "b.toml", "--like", "h10")[2]


def test_area(shell):
    code, out, _ = shell("chips", "area")
    assert code == 0 and "error left out" in out and "maia-200" in out and "mean" in out
    found = json.loads(shell("chips", "area", "--json")[1])["dies"]
    assert {d["chip"] for d in found} >= {"a100", "h100", "tpu-v1"} and all(abs(d["error"]) < 0.5 for d in found)
    code, out, _ = shell("chips", "area", "mi300x")
    assert code == 0 and "IOD die, 6 nm" in out and "area.mac" in out


def test_cost(shell, tmp_path):
    code, out, _ = shell("chips", "cost", "h100")
    assert code == 0 and "144 cores made" in out and "cost.wafer" in out
    base = json.loads(shell("chips", "cost", "h100", "--json")[1])
    dear = json.loads(shell("chips", "cost", "h100", "--json", "--set", "cost.wafer=40000 USD", "--set", "cost.clustering=10")[1])
    assert dear["made_usd"] > base["made_usd"] and dear["varied"] == {"cost.wafer": "40000 USD", "cost.clustering": "10"}
    assert "hypothetical" in shell("chips", "cost", "jalapeno-max")[1]
    assert "--set cost.wafer" in shell("chips", "cost", "h100", "--set", "cost.wafer")[2]
    assert "cost.wafr: unknown key; did you mean 'wafer'" in shell("chips", "cost", "h100", "--set", "cost.wafr=1 USD")[2]


def test_cost_of_tokens_joins_an_estimate(shell, tmp_path):
    path = tmp_path / "estimate.json"
    path.write_text(shell("estimate", "examples/models/tiny-llama", "--chip", "h100", "--prompt", 32, "--generate", 4, "--json")[1])
    code, out, err = shell("chips", "cost", "h100", "--estimate", path)
    assert code == 0 and "decode, a million tokens" in out, err
    found = json.loads(shell("chips", "cost", "h100", "--estimate", path, "--basis", "rental", "--json")[1])
    assert found["tokens"]["basis"] == "rental" and found["tokens"]["decode_usd_per_million_tokens"] > 0
    assert "not of h200" in shell("chips", "cost", "h200", "--estimate", path)[2]
    path.write_text("{")
    assert "not the JSON of a result" in shell("chips", "cost", "h100", "--estimate", path)[2]
    path.write_text("[]")
    assert shell("chips", "cost", "h100", "--estimate", path)[0] == 2


@pytest.mark.parametrize("words", [("area",), ("area", "mi300x"), ("cost", "mi300x"), ("diff", "h100", "mi300x"), ("diff", "tiny", "h100")])
def test_pages_fit_100_columns(shell, words):
    code, out, _ = shell("chips", *words)
    assert code == 0 and max(map(len, out.split("\n"))) <= 100
