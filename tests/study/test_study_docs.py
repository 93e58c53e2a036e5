"""Does docs/studies.md tell people to write what can be read?"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import emu
from emu.study.sweep import load_search

TEXT = (Path(__file__).parents[2] / "docs" / "studies.md").read_text()
BLOCKS = re.findall(r"```toml\n(.*?)```", TEXT, re.S)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda b: b.split("\n")[0])
def test_every_study_in_it_has_points(block, tmp_path):
    file = tmp_path / "s.toml"
    file.write_text(block)
    study = emu.load_study(file)
    assert study.points()
    if "[search]" in block:
        _, how = load_search(file)
        assert set(how) <= {"minimize", "maximize", "limits", "base", "trials"}


def test_it_names_what_exists():
    assert len(BLOCKS) == 2
    for name in re.findall(r"`(?:python )?((?:examples|benchmarks|emu|docs)/[\w/.]+)`", TEXT):
        assert (Path(__file__).parents[2] / name).exists(), name
    for script in re.findall(r"^\| `(\w+\.py)` \|", TEXT, re.M):
        assert (Path(__file__).parents[2] / "examples" / "studies" / script).exists()
