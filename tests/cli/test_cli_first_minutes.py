"""A new user's first minutes in an empty folder: does every slip get one message that says what to do next, and does the shell help?"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MODEL = str(Path(__file__).parents[2] / "examples/models/tiny-llama/config.json")
GOOD = {
    "--chip": "tiny", "--batch": "1", "--prompt": "8", "--generate": "2", "--dtype": "bf16", "--kv-dtype": "bf16", "--fidelity": "fast",
    "--stack": "bare", "--seed": "0", "--data": "normal", "--clock": "1 GHz", "--regime": "steady", "--format": "text",
}  # fmt: skip
SLIPS = [
    ("MODEL", "gtp-2", "gpt-2"), ("MODEL", "none/config.json", "none/config.json"), ("--chip", "tinny", "tiny"),
    ("--chip", "my.toml", "my.toml"),
    ("--batch", "one", "--batch"), ("--batch", "0", "--batch"), ("--prompt", "-1", "--prompt"), ("--generate", "1.5", "--generate"),
    ("--dtype", "bf61", "bf16"), ("--kv-dtype", "fp9", "fp8"), ("--fidelity", "fsat", "fast"), ("--stack", "bear", "bare"),
    ("--seed", "x", "--seed"), ("--data", "nromal", "normal"), ("--clock", "1 GZ", "GHz"), ("--regime", "stedy", "steady"),
    ("--format", "jsn", "json"),
]  # fmt: skip


def words(changes):
    given = GOOD | {k: v for k, v in changes.items() if k.startswith("--")}
    return [changes.get("MODEL", MODEL), *(word for pair in given.items() for word in pair)]


def test_all_of_it_right_works(shell):
    code, out, err = shell("estimate", *words({}))
    assert code == 0 and err == "" and "time to first token" in out


@pytest.mark.parametrize(("option", "value", "wanted"), SLIPS, ids=lambda v: str(v))
def test_a_slip_in_every_argument(shell, tmp_path, monkeypatch, option, value, wanted):
    monkeypatch.chdir(tmp_path)
    code, out, err = shell("estimate", *words({option: value}))
    assert code == 2 and out == "" and wanted in err and "Traceback" not in err, err


@pytest.mark.parametrize("option", GOOD)
def test_a_slip_in_every_option_name(shell, option):
    code, out, err = shell("estimate", *(word.replace(option, option[:-1]) if word == option else word for word in words({})))
    assert code == 2 and out == "" and option in err and "Traceback" not in err, err


def test_from_an_empty_folder_to_a_report(tmp_path):
    """Own chip, a sweep over it, a report: in processes of their own, as typed."""
    (tmp_path / "mine.toml").write_text('schema_version = 1\nextends = "tiny"\nname = "mine"\n[hbm]\nbandwidth = "32 GB/s"\n')
    (tmp_path / "s.toml").write_text(
        f'model = "{MODEL}"\nchip = "mine.toml"\n[workload]\nprompt = 8\ngenerate = 2\n[vary]\nbatch = [1, 2]\n'
    )

    def emu(*command, **more):
        done = subprocess.run([sys.executable, "-m", "emu", *command], cwd=tmp_path, capture_output=True, text=True, timeout=120, **more)
        assert "Traceback" not in done.stderr and done.returncode == 0, done.stderr
        return done.stdout

    assert "mine" in emu("estimate", MODEL, "--chip", "mine.toml", "--prompt", "8", "--generate", "2")
    assert json.loads(emu("sweep", "s.toml", "--jobs", "1", "--json"))["rows"][0]["chip"].endswith("mine.toml")
    assert emu("report", "s.toml", "--jobs", "1", "--quiet") == "" and (tmp_path / "report.html").exists()
    colourless = emu("estimate", MODEL, "--chip", "mine.toml", "--prompt", "8", "--generate", "2", env=os.environ | {"NO_COLOR": "1"})
    assert "\x1b" not in colourless


@pytest.mark.parametrize(("typed", "at", "wanted"), [
    ("emu sw", 1, "sweep"), ("emu estimate llama-3", 2, "llama-3-8b"), ("emu estimate gpt-2 --chip jal", 4, "jalapeno"),
    ("emu estimate gpt-2 --kv", 3, "--kv-dtype"), ("emu estimate gpt-2 --format m", 4, "markdown"),
])
@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_the_shell_completes(typed, at, wanted, shell_name):
    of_shell = {
        "bash": {"COMP_WORDS": typed, "COMP_CWORD": str(at)}, "zsh": {"_TYPER_COMPLETE_ARGS": typed},
        "fish": {"_TYPER_COMPLETE_ARGS": typed, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }
    env = os.environ | {"_EMU_COMPLETE": f"complete_{shell_name}"} | of_shell[shell_name]
    code = "import sys; from emu.cli import main; sys.exit(main([]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert wanted in done.stdout and "Traceback" not in done.stderr, done


@pytest.mark.parametrize("command", [("estimate",), ("op", "gemm", "--m", "8", "--n", "8", "--k", "8")], ids=lambda c: c[0])
@pytest.mark.parametrize("form", ["json", "csv", "markdown"])
def test_every_form_goes_through_a_pipe(shell, command, form):
    asked = words({"--format": form}) if command == ("estimate",) else [*command[1:], "--chip", "tiny", "--format", form]
    code, out, err = shell(command[0], *asked)
    assert code == 0 and err == "" and "\x1b" not in out
    assert json.loads(out) if form == "json" else out.startswith("## ") if form == "markdown" else "," in out.split("\n")[0]
