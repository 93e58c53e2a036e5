"""Do the worked studies run, at reduced size, print their answer and leave their report?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STUDIES = ROOT / "examples" / "studies"
ANSWERS = {
    "freight_train": ("beside h100", "jalapeno", "USD/kWh"), "megabyte_of_sram": ("SRAM of the chip, MiB", "first token"),
    "where_the_watt_goes": ("prefill", "decode", "hbm"),
}  # fmt: skip


def test_there_is_no_other():
    assert {path.stem for path in STUDIES.glob("*.py")} == set(ANSWERS)
    assert all(len(path.read_text().splitlines()) < 60 for path in STUDIES.glob("*.py"))


@pytest.mark.parametrize("name", ANSWERS)
def test_a_study(name, tmp_path):
    report = tmp_path / "r.html"
    command = [sys.executable, STUDIES / f"{name}.py", report, "--small"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert all(text in done.stdout for text in ANSWERS[name]), done.stdout
    text = report.read_text()
    assert text.count("<figure") >= 1 and "Repeat it" in text and f"{name}.py" in text and "<h1>" in text
