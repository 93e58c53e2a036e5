"""Does every step of the ladder run, agree with NumPy, stay short and pay? What they print is held against docs/kernels.md elsewhere
(benchmarks/kernels_page.py --check)."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LADDER = ROOT / "examples" / "ladder"
STEPS = sorted(LADDER.glob("s*_*.py"))


def test_each_is_short_and_quoted():
    page = (ROOT / "docs" / "kernels.md").read_text()
    assert [step.name[:2] for step in STEPS] == [f"s{n}" for n in range(1, 10)]
    assert all(len(path.read_text().splitlines()) < 60 for path in LADDER.glob("*.py"))
    assert all(f"$ python examples/ladder/{step.name}\n" in page and f"]({Path('..', step.relative_to(ROOT))})" in page for step in STEPS)


def cases():
    """Every step on both chips but one: the naive product on 132 cores with values takes half a minute, and says no more."""
    both = [(step, chip) for step in STEPS for chip in ("tiny", "h100") if (step.name[:2], chip) != ("s3", "h100")]
    return [pytest.param(step, chip, id=f"{step.stem}-{chip}") for step, chip in both]


@pytest.mark.parametrize(("step", "chip"), cases())
def test_a_step(step, chip):
    done = subprocess.run([sys.executable, step, chip], capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "x bound" in done.stdout and "uJ" in done.stdout and "largest stall" in done.stdout and "error" in done.stdout
    if chip == "tiny":
        pays(step, done.stdout)


def pays(step, out):
    """Each variant takes fewer cycles than the one before it; together, two kernels more than the one into which they are fused."""
    cycles = [int(n.replace(",", "")) for n in re.findall(r"([\d,]+) cycles +[\d.]+ x bound", out)]
    saved = re.search(r"saved +([\d,]+) cycles", out)
    if saved is not None:
        assert int(saved[1].replace(",", "")) > 0
    else:
        assert cycles == sorted(cycles, reverse=True) and len(set(cycles)) == len(cycles)
