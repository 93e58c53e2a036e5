"""Does a wrong chip file say what is wrong, all of it at once, and where?"""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

import emu
from emu.chip.document import MAX_BYTES, MAX_EXTENDS, PRESETS


def _write(tmp_path: Path, text: str, name: str = "mine.toml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def _problems(path: Path) -> tuple[str, ...]:
    with pytest.raises(emu.ChipError) as caught:
        emu.load_chip(path)
    assert caught.value.problems
    return caught.value.problems


def test_all_at_once_with_file_and_key(tmp_path: Path) -> None:
    text = 'extends = "tiny"\ncore_cout = 4\n[hbm]\nbandwith = "3 TB/s"\nlatency = 100\nstacks = "8 GB"\n[noc]\ntopology = "mash"\n'
    path = _write(tmp_path, text + '[core]\nclock = "1 W"\n[energy]\nvec_ad = "1 pJ"\n[links]\nname = "a"\n')
    found = _problems(path)
    joined = "\n".join(found)
    assert len(found) == 8
    assert all(line.startswith(str(path)) for line in found)
    for piece in ("core_cout: unknown key; did you mean 'core_count'?", "hbm.bandwith: unknown key; did you mean 'bandwidth'?",
                  "hbm.latency: 100 has no unit", "hbm.stacks: expected a plain number", "did you mean 'mesh'?", "unit of w",
                  "did you mean 'vec_add'?", "links: "):
        assert piece in joined, piece


def test_a_misspelt_required_key_is_one_problem(tmp_path: Path) -> None:
    text = (PRESETS / "tiny.toml").read_text().replace('capacity = "64 MiB"', 'capcity = "64 MiB"')
    assert [p.split(": ", 1)[1] for p in _problems(_write(tmp_path, text))] == ["hbm.capcity: unknown key; did you mean 'capacity'?"]


def test_a_missing_key_says_what_it_is(tmp_path: Path) -> None:
    text = (PRESETS / "tiny.toml").read_text().replace('latency = "100 ns"\n', "")
    (line,) = _problems(_write(tmp_path, text))
    assert "hbm.latency: missing" in line and "first byte" in line


@pytest.mark.parametrize(
    ("figure", "says"),
    [
        ('{value = "1 GHz", tag = "sourcd"}', "did you mean 'sourced'"),
        ('{value = "1 GHz", sauce = "x"}', "did you mean 'source'"),
        ('{value = "1 GHz", source = 3}', "expected text"),
        ('{value = 1}', "has no unit"),
        ('{tag = "sourced"}', "expected text such as"),
    ],
)
def test_figures(tmp_path: Path, figure: str, says: str) -> None:
    assert says in _problems(_write(tmp_path, f'extends = "tiny"\n[core]\nclock = {figure}\n'))[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("core_count = 5", "x \\* y is 4, but core_count is 5"),
        ("[core.matrix]\nload_rows_per_clk = 0", "loads at least 1 row"),
        ("[core.matrix]\nmacs_per_clk = {bf16 = 64}", "either `rate`"),
        ("[core.matrix]\nrate = {bf16 = 0.3}", "not a whole number"),
        ('[core.matrix]\nunits = 3\nfuse = "square"', "no square"),
        ("[core.matrix]\nmax_n = 4", "below the quantum"),
        ("[core.vector.per_clk]\nexp = 0", "exp"),
        ('[energy]\nvec_add = "0 pJ"', "says why it costs nothing"),
        ('[energy]\nuseful_macs_bf16 = "1 pJ"', "count it twice"),
        ('[power]\nidle = "9 W"', "cannot exceed tdp"),
        ('[published]\nfp16 = "1 W"', "unit of w"),
        ("schema_version = 2", "reads version 1"),
        ('[stack.x]\nmode = "whole-layer"\nlaunch = "1 us"', "launches nothing"),
        ("scopes = [{name = 'die', count = 3}]", "do not divide"),
        ("[hbm]\nachieved_fraction = 1.5", "achieved_fraction"),
    ],
)
def test_impossible_chips(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(emu.ChipError, match=says):
        emu.load_chip(_write(tmp_path, 'extends = "tiny"\n' + text + "\n"))


def test_extends_is_bounded_and_acyclic(tmp_path: Path) -> None:
    for i in range(MAX_EXTENDS + 3):
        _write(tmp_path, f'extends = "c{i + 1}.toml"\n', f"c{i}.toml")
    _write(tmp_path, 'extends = "tiny"\n', f"c{MAX_EXTENDS + 3}.toml")
    assert emu.load_chip(tmp_path / f"c{MAX_EXTENDS}.toml").core_count == 4
    with pytest.raises(emu.ChipError, match="more than 8"):
        emu.load_chip(tmp_path / "c0.toml")
    _write(tmp_path, 'extends = "b.toml"\n', "a.toml")
    with pytest.raises(emu.ChipError, match="a.toml -> b.toml -> a.toml"):
        emu.load_chip(_write(tmp_path, 'extends = "a.toml"\n', "b.toml").parent / "a.toml")
    with pytest.raises(emu.ChipError, match="did you mean 'tiny'"):
        emu.load_chip(_write(tmp_path, 'extends = "tinny"\n'))
    for bad in ("3", "''", "['tiny']", "'../../etc/passwd'"):
        with pytest.raises(emu.ChipError, match="extends"):
            emu.load_chip(_write(tmp_path, f"extends = {bad}\n"))


HOSTILE = {
    "deep arrays": "a = " + "[" * 3000 + "]" * 3000,
    "deep tables": "a = " + "{b=" * 1000 + "1" + "}" * 1000,
    "long dotted key": ".".join("a" * 500_000) + " = 1",
    "many dotted keys": "\n".join(f"[{'.'.join('a' * 500)}.b{i}]" for i in range(1000)),
    "nested within bounds": "[core.matrix.rows.a.b.c.d.e.f.g.h.i.j.k.l]\nx = 1",
    "long number": "core_count = " + "9" * 4000,
    "exponent": 'core_count = 1e308\n[hbm]\ncapacity = "1e300 GB"',
    "nan": "core_count = nan",
    "date": "core_count = 2024-01-01",
    "huge count": "core_count = 999999999999999999999",
    "not toml": "]]]",
    "null": "a = 1\0",
    "value bomb": "core_count = " + "{value = " * 400 + "1" + "}" * 400,
    "section as text": 'core = "x"',
    "list as section": "hbm = [1, 2]",
    "wide": "\n".join(f"k{i} = {i}" for i in range(30_000)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(tmp_path: Path, name: str) -> None:
    text = HOSTILE[name]
    with pytest.raises(emu.ChipError) as caught:
        emu.load_chip(_write(tmp_path, 'extends = "tiny"\n' + text))
    assert len(caught.value.problems) <= 101 and len(str(caught.value)) < 40_000


def test_hostile_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(emu.ChipError, match="UTF-8"):
        emu.load_chip(path)
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(emu.ChipError, match="bytes"):
        emu.load_chip(path)
    for bad in (tmp_path, tmp_path / "absent.toml", "a\0b", Path("/dev/zero")):
        with pytest.raises(emu.ChipError, match="not a file|cannot be read"):
            emu.load_chip(bad)


def test_an_error_survives_the_way_back_from_a_worker() -> None:
    error = emu.ChipError("two", ["a", "b"])
    back = pickle.loads(pickle.dumps(error))
    assert str(back) == "two" and back.problems == ("a", "b")
    assert all(issubclass(getattr(emu, n), emu.EmuError) for n in ("ChipError", "ModelError", "ProgramError", "CapacityError"))
