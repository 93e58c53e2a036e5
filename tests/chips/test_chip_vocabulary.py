"""Do the names a chip file may use equal those of the instruction set's tables and of the machine page?"""

from __future__ import annotations

import re
from pathlib import Path

from emu.chip.vocabulary import CLASSES, FORMATS, PRICED_EVENTS, UNPRICED_EVENTS

ROOT = Path(__file__).parents[2]


def _rows(table: str) -> list[list[str]]:
    lines = (ROOT / "isa" / "tables" / table).read_text().splitlines()
    return [re.split(r"\t|\s{2,}", line) for line in lines if line.strip() and not line.startswith("#")]


def test_formats() -> None:
    names = [re.split(r"\s+", " ".join(row))[1] for row in _rows("formats.tsv")]
    assert set(FORMATS) == set(names) - {"int32", "e8m0"}  # what accumulates and what scales is no operand of mm


def test_vector_classes() -> None:
    vec = (ROOT / "isa" / "tables" / "vec.tsv").read_text()
    found = set(re.findall(r"\bvec\s+(\w+)\s", "\n".join(line for line in vec.splitlines() if not line.startswith("#"))))
    assert found == set(CLASSES)


def test_events() -> None:
    page = (ROOT / "docs" / "machine.md").read_text()
    section = page[page.index("## Events"): page.index("## Running")]
    named = set(re.findall(r"[a-z]+(?:_[a-z]+)+", section))
    plain = {e for e in (*PRICED_EVENTS, *UNPRICED_EVENTS) if not e.startswith(("array_macs_", "useful_macs_", "vec_"))}
    assert plain <= named
    assert "useful_macs_<fmt>" in section and "array_macs_<fmt>" in section and "vec_<class>" in section
