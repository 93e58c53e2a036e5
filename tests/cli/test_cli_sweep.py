"""Does `emu sweep` do for a study what a user needs: a table, files, going on after an interrupt, and reasons?"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

MODEL = Path(__file__).parents[2] / "examples/models/tiny-llama/config.json"
STUDY = f'''
question = "What does bandwidth buy?"
model = "{MODEL}"
chip = "tiny"
[workload]
prompt = 16
generate = 2
[vary]
chip.hbm.bandwidth = ["16 GB/s", "64 GB/s"]
batch = [1, 2]
'''


@pytest.fixture
def study(tmp_path):
    file = tmp_path / "study.toml"
    file.write_text(STUDY)
    return file


def test_a_table_in_every_form(shell, study, tmp_path):
    code, out, err = shell("sweep", study, "--jobs", 1, "--out", tmp_path / "t.csv")
    assert code == 0 and out.startswith("What does bandwidth buy?") and "64 GB/s" in out and "4 of 4 combinations" in out
    assert "table written to" in err and max(map(len, out.split("\n"))) <= 100
    result = json.loads(shell("sweep", study, "--jobs", 1, "--json")[1])
    assert result["kind"] == "study" and [r["batch"] for r in result["rows"]] == [1, 2, 1, 2] and result["seed"] == 0
    assert shell("sweep", study, "--jobs", 1, "--format", "csv")[1] == (tmp_path / "t.csv").read_text()
    code, out, err = shell("sweep", study, "--jobs", 1, "--format", "markdown", "--quiet")
    assert code == 0 and err == "" and "| --:|" not in out and "|--:|" in out
    assert (tmp_path / "study.rows.jsonl").exists()  # the three later ones ran nothing


def test_rows_of_an_earlier_run_are_used_or_forgotten(shell, study, monkeypatch):
    from emu.study.sweep import point

    ran = []
    real = point._estimate
    monkeypatch.setattr(point, "_estimate", lambda s: ran.append(s) or real(s))
    for words, count in (((), 4), ((), 4), (("--fresh",), 8), (("--sample", 2), 8), (("--journal", study.with_name("other")), 12)):
        assert shell("sweep", study, "--jobs", 1, *words)[0] == 0 and len(ran) == count


@pytest.mark.parametrize(("change", "wanted"), [
    (("bandwidth", "bandwith"), "did you mean 'hbm.bandwidth'"), (('chip = "tiny"', 'chip = "tinny"'), "did you mean 'tiny'"),
    (("batch = [1, 2]", "batch = 3"), "expected a list"), (("question", "qestion"), "did you mean 'question'"),
    (("prompt = 16", "promt = 16"), "did you mean 'prompt'"), (("[vary]", "[vari]"), "did you mean 'vary'"),
    (("batch = [1, 2]", "batch = [10000000]"), "no point has figures"),
])
def test_mistakes_are_one_message(shell, study, change, wanted):
    study.write_text(STUDY.replace(*change))
    code, out, err = shell("sweep", study, "--jobs", 1)
    assert code == 2 and wanted in err and "Traceback" not in err and (out == "" or "no point" in wanted)


@pytest.mark.parametrize(("words", "wanted"), [
    (("--out", "t.xlsx"), ".parquet"), (("--out", "none/t.csv"), "no folder"), (("--format", "cvs"), "did you mean 'csv'"),
    (("--jobs", "0"), "--jobs"), (("--journal", "."), "."), (("--sampel", "3"), "--sample"),
])
def test_mistyped_options(shell, study, words, wanted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = shell("sweep", study, *words)
    assert code == 2 and out == "" and wanted in err and "Traceback" not in err
    assert shell("sweep", tmp_path / "none.toml")[0] == 2


def test_ctrl_c_says_how_to_go_on(study):
    study.write_text(STUDY.replace("batch = [1, 2]", "batch = {range = [1, 400], step = 1}"))
    child = subprocess.Popen(
        [sys.executable, "-m", "emu", "sweep", study, "--jobs", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    rows = study.with_suffix(".rows.jsonl")
    while not rows.exists() or rows.stat().st_size == 0:
        assert child.poll() is None
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=30)
    assert child.returncode == 130 and out == "" and "of 800 points are kept in" in err and "Traceback" not in err


def test_a_bar_with_the_time_left_on_a_terminal_only(study):
    pty = pytest.importorskip("pty")
    for quiet, shown in (((), True), (("--quiet",), False)):
        master, slave = pty.openpty()
        command = [sys.executable, "-m", "emu", "sweep", study, "--jobs", "1", "--fresh", *quiet]
        env = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=slave, env=env, text=True)
        os.close(slave)
        try:
            seen = os.read(master, 1 << 16).decode()
        except OSError:  # nothing was written before the other end was closed
            seen = ""
        os.close(master)
        assert done.returncode == 0 and "What does" in done.stdout
        assert ("4/4" in seen and ":" in seen) == shown, seen
