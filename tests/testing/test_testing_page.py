"""Is what docs/testing.md says of the example, the contracts and the strategies so?"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import emu
import isa
from emu.testing import CONTRACTS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text()


def test_the_example_says_what_the_page_quotes() -> None:
    """Rewrite the block from the output of `python examples/find_a_bug.py` where this fails after a change."""
    done = subprocess.run([sys.executable, "examples/find_a_bug.py"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"```\n{done.stdout}```\n" in PAGE and done.stdout.count("\n") == 2


def test_the_race_says_what_the_page_quotes() -> None:
    text = (ROOT / "examples" / "copy.s").read_text()
    assert text.count(".sem 2 free 2 ") == 1
    with pytest.raises(emu.ProgramError) as caught:
        emu.Machine("tiny", check=True).run(isa.assemble(text.replace(".sem 2 free 2 ", ".sem 2 free 3 ")), values=False)
    assert f"```\n{caught.value}\n```\n" in PAGE


def test_the_contracts_are_listed_in_order() -> None:
    assert re.findall(r"^\| `([a-z -]+)` \|", PAGE.split("| contract |")[1].split("\n\n")[0], re.MULTILINE) == list(CONTRACTS)


def test_every_name_of_the_page_is_there() -> None:
    table = PAGE.split("| strategy |")[1].split("\n\n")[0]
    for name in re.findall(r"`(\w+)\(", table):
        assert name in emu.testing.__all__ and hasattr(emu.testing, name), name
