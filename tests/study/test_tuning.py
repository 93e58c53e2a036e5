"""Does emu.tune try what it is told to, say why something failed, and remember nothing but in the file it is told to write?"""

from __future__ import annotations

import itertools
import math
import typing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import emu
from emu.report import schema
from emu.study.tuned import _value

SHAPES = [{"x": ((40, 32), "bf16"), "y": ((40, 32), "bf16", "out")}, {"x": ((9, 200), "bf16"), "y": ((9, 200), "bf16", "out")}]


@emu.kernel
def scale(k, x, y, tile, depth=2, by=2.0, note=None):
    """y = by x, `tile` rows at a time."""
    rows, width = x.shape
    for i in k.loop(-(-rows // tile)):
        t = k.fetch(x.at((i * tile, 0), (tile, width)), depth)
        o = k.tile((tile, width), y.fmt, depth=depth, valid=t.valid)
        k.mul(o, t, by)
        k.store(y.at((i * tile, 0), (tile, width)), o)


@pytest.fixture(scope="module")
def tuning():
    return emu.tune(scale, {"tile": [1, 4, 8, 500], "depth": [1, 2]}, "tiny", SHAPES, cores=1)


def test_it_tries_every_combination_and_the_best_is_the_best(tuning):
    assert [v.parameters for v in tuning.variants] == [{"tile": t, "depth": d} for t, d in itertools.product([1, 4, 8, 500], [1, 2])]
    machine, score = emu.Machine("tiny"), {}
    for v in tuning.variants:
        if v.failed:
            continue
        runs = [machine.run(scale.trace("tiny", 1, **shape, **v.parameters), values=False) for shape in SHAPES]
        assert [(r.seconds, r.joules, r.cycles) for r in runs] == list(zip(v.seconds, v.joules, v.cycles))
        score[tuple(v.parameters.items())] = math.log(v.seconds[0]) + math.log(v.seconds[1])
    assert tuple(tuning.best.items()) == min(score, key=score.__getitem__)
    for j in (0, 1):
        assert tuning.best_for(j) == min((v for v in tuning.variants if not v.failed), key=lambda v: v.seconds[j]).parameters
    assert min(v.ratio for v in tuning.ranked) >= 1


def test_what_fails_is_a_row_with_its_reason(tuning):
    failed = [v for v in tuning.variants if v.parameters["tile"] == 500]
    for v in failed:
        assert "x 40x32 bf16" in v.failed or "x 9x200 bf16" in v.failed
        assert "does not fit" in v.failed and v.ratio is None
    for text in (str(tuning), tuning._repr_html_()):
        assert "does not fit" in text and "of the best" in text and "6 ran, 2 failed" in text
    with pytest.raises(emu.EmuError, match="none of 1 variants runs; the first: .*does not fit"):
        emu.tune(scale, {"tile": [5000]}, "tiny", SHAPES[0])


def test_the_librarys_kernels_and_what_is_no_number(tmp_path):
    from emu.kernels.gemm import GemmTiling, gemm

    shapes = {"x": ((64, 64), "bf16"), "w": ((64, 64), "bf16", "weight"), "out": ((64, 64), "bf16", "out")}
    tuning = emu.tune(gemm, {"tiling": [GemmTiling(16, 16, 16), GemmTiling(16, 32, 64), GemmTiling(512, 512, 64)]}, "tiny", shapes)
    assert tuning.best["tiling"] in (GemmTiling(16, 16, 16), GemmTiling(16, 32, 64)) and len(tuning.ranked) == 2
    assert "tile_m=16" in str(tuning).replace("\n", "")
    with pytest.raises(emu.UnsupportedError, match="parameter tiling is a GemmTiling"):
        tuning.write(tmp_path / "gemm.toml")


def test_other_goals():
    least = emu.tune(scale, [{"tile": 1}, {"tile": 8}], "tiny", SHAPES[0], by="joules", cores=1)
    assert least.best == min(least.variants, key=lambda v: v.joules[0]).parameters


@pytest.mark.parametrize("suffix", [".toml", ".json"])
def test_a_file_says_all_and_is_checked(tuning, tmp_path, suffix):
    path = tmp_path / f"scale{suffix}"
    tuning.write(path)
    again = emu.Tuning.read(path)
    assert again.to_dict() == tuning.to_dict() and again.parameters(scale, "tiny") == tuning.best
    with pytest.raises(emu.UnsupportedError, match="chip 'jalapeno' is another one"):
        again.parameters(scale, "jalapeno")
    other = emu.kernel(lambda k, x, y, tile, depth: None)
    with pytest.raises(emu.UnsupportedError, match="is another one, or has changed"):
        again.parameters(other, "tiny")
    text = path.read_text()
    for broken, says in (
        (text.replace("tuning_version", "version"), "not a tuning of version 1"), (text[: len(text) // 2], "scale"), ("", "not a tuning"),
        (text.replace("ratio", "rating"), "keys are missing"), ("[]", "scale"), (text.replace("x 40x32", "\x00"), "scale"),
    ):  # fmt: skip
        path.write_text(broken)
        with pytest.raises(emu.UnsupportedError, match=says):
            emu.Tuning.read(path)


def test_what_cannot_be_written_is_refused(tuning, tmp_path):
    with pytest.raises(emu.UnsupportedError, match=r"\.toml or \.json"):
        tuning.write(tmp_path / "scale.yaml")
    odd = emu.tune(scale, [{"tile": np.int64(1), "note": ("a",)}], "tiny", SHAPES[0])
    with pytest.raises(emu.UnsupportedError, match="parameter note is a tuple"):
        odd.write(tmp_path / "odd.toml")
    with pytest.raises(emu.UnsupportedError, match="cannot be read|no such|No such"):
        emu.Tuning.read(tmp_path / "missing.toml")


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN = st.one_of(TEXT, st.integers(-(1 << 62), 1 << 62), st.booleans(), st.floats(allow_nan=False, allow_infinity=False))


@given(st.recursive(PLAIN, st.lists))
@settings(deadline=None, max_examples=40)
def test_values_are_read_back_as_toml(value):
    import tomllib

    assert tomllib.loads(f"x = {_value(value)}")["x"] == value


@pytest.mark.parametrize(("how", "says"), [
    ((scale, {}, "tiny", []), "nothing to try"),
    ((scale, {"tile": range(10_000)}, "tiny", SHAPES), "10000 combinations of tile; 4096 at most"),
    ((len, {"tile": [1]}, "tiny", SHAPES), "tune takes a kernel"),
])  # fmt: skip
def test_questions_that_are_none(how, says):
    with pytest.raises(emu.UnsupportedError, match=says):
        emu.tune(*how)
    with pytest.raises(emu.UnsupportedError, match="by='watts'"):
        emu.tune(scale, {"tile": [1]}, "tiny", SHAPES, by="watts")


def test_the_dict_is_the_documented_one(tuning):
    assert set(typing.get_type_hints(schema.TuningDict)) == set(tuning.to_dict())
    assert set(typing.get_type_hints(schema.VariantRow)) == set(tuning.to_dict()["variants"][0])
