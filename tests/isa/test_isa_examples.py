"""Do the example programs assemble, survive every form, and compute what they say?"""

from __future__ import annotations

from pathlib import Path

import pytest

import isa

FOLDER = Path(__file__).resolve().parents[2] / "examples"
EXAMPLES = sorted(FOLDER.glob("*.s"))


def load(name: str) -> isa.Program:
    return isa.assemble((FOLDER / f"{name}.s").read_text(encoding="ascii"))


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_every_example_survives_every_form(path: Path) -> None:
    program = load(path.stem)
    assert program.name == path.stem
    assert isa.assemble(program.to_text()) == program == isa.Program.from_bytes(program.to_bytes())


def test_the_examples_are_there() -> None:
    assert {"copy", "gemm", "softmax"} <= {path.stem for path in EXAMPLES}
