"""Do `emu report` and `emu trace` write what they promise from a model, a study or a saved result, and name what cannot be?"""

import json
from pathlib import Path

import pytest

MODEL = str(Path(__file__).parents[2] / "examples/models/tiny-llama/config.json")
ASK = (MODEL, "--chip", "tiny", "--prompt", 16, "--generate", 2)


def test_a_report_of_a_model(shell, tmp_path):
    out = tmp_path / "r.html"
    code, printed, err = shell("report", *ASK, "--out", out, "--question", "How fast?", "--sensitivity")
    assert code == 0 and printed == "" and "report written to" in err
    text = out.read_text()
    assert "<h1>How fast?</h1>" in text and "What 1 % more of a figure gives" in text and 'id="timeline-data"' in text


def test_a_report_of_a_study_and_of_a_saved_result(shell, tmp_path):
    study = tmp_path / "s.toml"
    head = f'question = "Why?"\nmodel = "{MODEL}"\nchip = "tiny"\n'
    study.write_text(head + "[workload]\nprompt = 8\ngenerate = 2\n[vary]\nbatch = [1, 2, 3]\n")
    code, _, err = shell("report", study, "--out", tmp_path / "s.html", "--jobs", 1, "--quiet")
    assert code == 0 and err == "" and "<h1>Why?</h1>" in (tmp_path / "s.html").read_text()
    saved = tmp_path / "e.json"
    saved.write_text(shell("estimate", *ASK, "--json")[1])
    assert shell("report", saved, "--out", tmp_path / "e.html")[0] == 0 and "<figure" in (tmp_path / "e.html").read_text()


@pytest.mark.parametrize(("words", "wanted"), [
    (("gpt-2",), "needs --chip"), (("gtp-2", "--chip", "tiny"), "gpt-2"), (("gpt-2", "--chip", "tinny"), "tiny"),
    (("none.toml",), "none.toml"), (("gpt-2", "--chip", "tiny", "--out", "r.pdf"), "let its name end in .html"),
    (("gpt-2", "--chip", "tiny", "--out", "no/r.html"), "no folder"), (("gpt-2", "--batch", "0"), "--batch"),
    (("old.json",), "run it again"), (("part.json",), "not a whole result"), (("odd.json",), "not a whole result"),
    (("bad.json",), "not JSON"), (("gpt-2", "--chp", "tiny"), "--chip"),
    (("gpt-2", "--chip", "tiny", "--dtype", "bf61"), "bf16"),
])
def test_mistakes(shell, tmp_path, monkeypatch, words, wanted):
    monkeypatch.chdir(tmp_path)
    Path("old.json").write_text(json.dumps({"kind": "estimate", "schema_version": 0}))
    Path("bad.json").write_text("{")
    Path("part.json").write_text(json.dumps({"kind": "estimate", "schema_version": 1, "phases": 3}))
    Path("odd.json").write_text(json.dumps({"kind": "estimat", "schema_version": 1}))
    code, out, err = shell("report", *words)
    assert code == 2 and out == "" and wanted in err and "Traceback" not in err


def test_a_trace(shell, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = shell("trace", *ASK)
    assert code == 0 and out == "" and "timeline.json" in err
    events = json.loads(Path("timeline.json").read_text())["traceEvents"]
    assert {e["name"] for e in events if e["ph"] == "C"} == {"device memory, B/s", "power, W"}
    slices = [e for e in events if e["ph"] == "X" and "instructions" in e["args"]]
    assert {e["args"].get("layer") for e in slices if e["name"].endswith(": qkv")} == {0, 1}
    assert all(e["args"]["line"] for e in events if e["ph"] == "X" and "instructions" not in e["args"])
    opened = []
    from emu.report import serve

    monkeypatch.setattr(serve, "view", lambda path, port, told: (opened.append((path.name, port)), told("http://here")))
    code, _, err = shell("trace", "timeline.json", "--open", "--port", 8123)
    assert code == 0 and opened == [("timeline.json", 8123)] and "http://here" in err
    assert "already a timeline" in shell("trace", "timeline.json")[2]
    assert "needs --chip" in shell("trace", "gpt-2")[2]
