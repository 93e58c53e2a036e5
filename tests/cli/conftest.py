"""The shell face is tested against recording fakes of what it calls; the real thing is called in test_cli_real.py."""

import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import emu
from emu.cli import main

SAMPLES = runpy.run_path(str(Path(__file__).parents[1] / "report" / "samples.py"))


class Result:
    """A result with a sample's dict."""

    def __init__(self, dictionary, outputs=None):
        self.dictionary, self.outputs, self.traced = dictionary, outputs or {}, []

    def to_dict(self):
        return self.dictionary

    def trace(self, path):
        Path(path).write_text("{}")


class Recorder:
    """A stand-in for emu.study and emu.Machine that remembers what it was asked for."""

    def __init__(self):
        self.calls = []
        self.error = None

    def answer(self, name, sample, *args, **kwargs):
        self.calls.append((name, args, kwargs))
        if self.error is not None:
            raise self.error
        return Result(SAMPLES[sample], {"y": np.arange(4, dtype=np.float32)})

    def machine(self, chip, fidelity="fast"):
        return SimpleNamespace(run=lambda program, **kwargs: self.answer("run", "RUN", chip, program, fidelity=fidelity, **kwargs))


@pytest.fixture
def fake(monkeypatch):
    recorder = Recorder()
    study = SimpleNamespace(
        estimate=lambda *a, **k: recorder.answer("estimate", "ESTIMATE", *a, **k),
        gemm=lambda *a, **k: recorder.answer("gemm", "OP", *a, **k),
        attention=lambda *a, **k: recorder.answer("attention", "OP", *a, **k),
        infer=lambda *a, **k: recorder.answer("infer", "INFER", *a, **k),
        infer_formats=lambda *a, **k: recorder.answer("infer_formats", "INFER_FORMATS", *a, **k),
    )
    monkeypatch.setitem(vars(emu), "study", study)
    monkeypatch.setitem(vars(emu), "Machine", recorder.machine)
    return recorder


@pytest.fixture
def shell(capsys):
    """Run a command line in this process: (exit code, stdout, stderr)."""

    def run(*words):
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def process():
    """Run a command line in a process of its own."""

    def run(*words, **kwargs):
        options = {"capture_output": True, "text": True, "timeout": 120} | kwargs
        return subprocess.run([sys.executable, "-m", "emu", *map(str, words)], **options)

    return run
