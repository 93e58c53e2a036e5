"""Does a new chip file load as it stands, is it the chip it is like, and does a comparison say what was changed?"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import emu
from emu.chip import document
from emu.chip.compare import differences
from emu.chip.load import build
from emu.chip.schema import Chip
from emu.chip.template import STARTING_POINTS, new_chip

PRESETS = emu.chips()
PUBLISHED = ("published.", "published_conflict.")


def _made(path: Path, name: str, complete: bool) -> Chip:
    path.write_text(new_chip(path, emu.chip(name), name, complete), encoding="utf-8")
    return emu.load_chip(path)


@pytest.mark.parametrize("complete", [False, True], ids=["short", "complete"])
@pytest.mark.parametrize("name", PRESETS)
def test_it_is_the_same_chip_under_another_name(tmp_path: Path, name: str, complete: bool) -> None:
    old, made = emu.chip(name), _made(tmp_path / "mine.toml", name, complete)
    assert made.name == "mine" and made.hypothetical and name in made.title
    assert made.vary({"hypothetical": old.hypothetical}).digest == old.digest
    assert not made.published and not made.published_conflict
    assert [d.key for d in differences(old, made) if not d.key.startswith(PUBLISHED)] == []


@pytest.mark.parametrize("name", PRESETS)
def test_a_complete_one_keeps_tags_and_sources_and_needs_no_other_file(tmp_path: Path, name: str) -> None:
    made = _made(tmp_path / "mine.toml", name, True)
    assert "extends" not in (tmp_path / "mine.toml").read_text()
    figures = {f.key: (f.value, f.tag, f.source) for f in emu.chip(name).figures() if not f.key.startswith(PUBLISHED)}
    assert {f.key: (f.value, f.tag, f.source) for f in made.figures()} == figures


def test_a_short_one_is_changed_by_taking_a_mark_away(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    made = _made(path, "h100", False)
    text = path.read_text().replace("# [hbm]", "[hbm]").replace('# bandwidth = "3.352 TB/s"', 'bandwidth = "4 TB/s"')
    path.write_text(text)
    changed = emu.load_chip(path)
    assert changed.hbm.bandwidth_bytes_per_s == 4 * 10**12 and changed.hbm.stacks == made.hbm.stacks
    (found,) = differences(made, changed)
    assert (found.key, found.ratio) == ("hbm.bandwidth", pytest.approx(4 / 3.352))
    assert all(f"# {key.rpartition('.')[2]} = " in text for key in STARTING_POINTS if key != "hbm.bandwidth")


def test_like_a_file_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    base = tmp_path / "a" / "base.toml"
    base.write_text('extends = "tiny"\nname = "base"\ncore_count = 2\n[noc]\nx = 2\n')
    path = tmp_path / "next.toml"
    path.write_text(new_chip(path, emu.load_chip(base), str(base)))
    assert '"a/base.toml"' in path.read_text() and emu.load_chip(path).core_count == 2


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_survives_being_written_out(source: str, note: str) -> None:
    chip = emu.chip("tiny").vary({"note": note})
    chip._source["hbm"]["latency"] = {"value": "100 ns", "tag": "assumed", "source": source}
    text = new_chip(Path("x.toml"), build(chip._source, chip._origin, "x"), "tiny", complete=True)
    read = document.parse(text.encode(), "x.toml")
    assert read["hbm"]["latency"]["source"] == source
    assert build(read, {}, "x.toml").note == note


@pytest.mark.parametrize("name", ["mine", "a b.toml", ".toml", "mine.txt", "-x.toml"])
def test_odd_names_are_refused(name: str) -> None:
    with pytest.raises(emu.EmuError, match="NAME.toml"):
        new_chip(Path(name), emu.chip("tiny"), "tiny")


def test_what_nothing_could_extend_is_refused(tmp_path: Path) -> None:
    with pytest.raises(emu.EmuError, match="must be named NAME.toml"):
        new_chip(tmp_path / "mine.toml", emu.chip("tiny"), "some/tiny")


def test_differences_see_meaning_not_spelling() -> None:
    h100 = emu.chip("h100")
    assert differences(h100, h100) == []
    assert differences(h100, h100.vary({"power.tdp": "0.7 kW", "hbm.capacity": "80000 MB"})) == []
    (found,) = differences(h100, h100.vary({"levels.l2.capacity": "100 MiB"}))
    assert found.key == "levels.l2.capacity" and found.ratio == 2 and found.b == "100 MiB*"
    keys = {d.key: d for d in differences(h100, emu.chip("b200"))}
    assert keys["peak.bf16"].ratio == pytest.approx(2.249, rel=1e-3) and keys["peak.fp4_e2m1"].a == "-"
    assert keys["links.nvlink4.count"].b == "-" and keys["links.nvlink5.count"].a == "-"
    assert keys["core.matrix.fill"].a == "100 clk*" and keys["core.matrix.fill"].b == "104 clk"


@pytest.mark.parametrize(("a", "b"), [("h100", "b200"), ("tpu-v1", "mi300x"), ("tiny", "jalapeno")])
def test_differences_are_the_same_the_other_way_round(a: str, b: str) -> None:
    there = {d.key: d for d in differences(emu.chip(a), emu.chip(b))}
    back = {d.key: d for d in differences(emu.chip(b), emu.chip(a))}
    assert there.keys() == back.keys()
    for key, found in there.items():
        assert (found.a, found.b) == (back[key].b, back[key].a)
        if found.ratio and back[key].ratio:
            assert found.ratio * (back[key].ratio or 0) == pytest.approx(1)
