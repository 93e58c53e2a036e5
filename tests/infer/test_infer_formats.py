"""The real all-MiniLM-L6-v2 in every format: one table from one command, each row a run of its own that has the reference's bits."""

from __future__ import annotations

import json

import infer_support as support
import numpy as np
import pytest

import emu
from emu.models.exact import Exact
from emu.study.formats import FORMATS
from emu.study.infer import CALIBRATION, Sentence
from emu.study.numerics import chosen

TEXT = "A cat sits on the mat."
LEAST = {"bf16": 0.9995, "fp8": 0.995, "int8": 0.995, "mxfp8": 0.99, "mxfp4_a16": 0.94, "mxfp4_a8": 0.94, "mxfp4": 0.89, "nvfp4_a16": 0.96,
         "nvfp4": 0.95}


@pytest.fixture(scope="module")
def place():
    return support.minilm_folder()


@pytest.fixture(scope="module")
def table(place):
    return emu.infer_formats(place, "jalapeno", TEXT).to_dict()


def test_every_format_has_its_row(table):
    rows = {row["dtype"]: row for row in table["formats"]}
    assert tuple(rows) == FORMATS and table["refused"] == {}
    for dtype, row in rows.items():
        assert LEAST[dtype] < row["cosine_to_reference"] < 1, dtype
        assert row["cycles"] > 0 and row["joules"] > 0 and row["scales"] == ("unit" if dtype == "bf16" else "dynamic")
    assert len({row["program"] for row in rows.values()}) == len(rows)


def test_fewer_bits_are_fewer_bytes_and_not_nearer(table):
    rows = {row["dtype"]: row for row in table["formats"]}
    sizes = [rows[dtype]["weights_bytes"] for dtype in ("bf16", "mxfp8", "fp8", "nvfp4", "mxfp4")]
    assert sizes == sorted(sizes, reverse=True)
    layers = 6 * (384 * 3 * 384 + 384 * 384 + 2 * 384 * 1536)  # elements of the matrices: what is not quantised is the same in all
    assert rows["bf16"]["weights_bytes"] - rows["mxfp4"]["weights_bytes"] == layers * (16 - 4) // 8 - layers // 32
    near = {dtype: row["cosine_to_reference"] for dtype, row in rows.items()}
    assert near["bf16"] > max(near["fp8"], near["int8"]) > near["nvfp4_a16"] > near["nvfp4"] > near["mxfp4"]
    assert near["nvfp4_a16"] > near["mxfp4_a16"] and near["mxfp4_a8"] > near["mxfp4"]
    assert rows["mxfp4_a16"]["joules"] < rows["bf16"]["joules"]


def test_a_row_is_what_infer_says(place, table):
    one = emu.infer(place, "jalapeno", TEXT, "nvfp4").to_dict()
    row = next(row for row in table["formats"] if row["dtype"] == "nvfp4")
    assert {key: one[key] for key in row if key != "program"} | {"program": one["digests"]["program"]} == row


@pytest.mark.parametrize("dtype, scales", [("nvfp4", "dynamic"), ("int8", "static"), ("fp8", "dynamic"), ("bf16", "dynamic")])
def test_bit_equal_to_the_reference_with_the_same_numerics(place, dtype, scales):
    """All six layers, real weights: the embedding has the bits of NumPy, which knows nothing of tiles and instructions."""
    sentence, chip = Sentence(place, "Why not?"), support.chip_named("jalapeno")
    got = sentence.embed(chip, dtype, scales, CALIBRATION[:1], check=True, trace=False, max_memory=None)
    fixed = sentence.factors(got.graph, CALIBRATION[:1])
    wanted = Exact(sentence.model, sentence.weights, chosen(chip), dtype, scales=scales, fixed=fixed).encode([sentence.ids])
    assert np.array_equal(got.embedding.view(np.uint32), wanted[0].astype(np.float32).view(np.uint32))


def test_a_chip_that_lacks_formats(place):
    """Its table says which and why; asked for by name they are refused."""
    table = emu.infer_formats(place, "a100", "Hello").to_dict()
    assert [row["dtype"] for row in table["formats"]] == ["bf16", "int8"]
    assert set(table["refused"]) == set(FORMATS) - {"bf16", "int8"}
    assert "a100" in table["refused"]["mxfp4"] and "fp4_e2m1" in table["refused"]["mxfp4"]
    with pytest.raises(emu.UnsupportedError, match="a100: the matrix engine has no rate for 'fp8_e4m3'"):
        emu.infer_formats(place, "a100", "Hello", ["bf16", "mxfp8"])
    with pytest.raises(emu.UnsupportedError, match="mx scales of blocks"):
        emu.infer(place, "h100", "Hello", "mxfp8")
    with pytest.raises(emu.UnsupportedError, match="give 8-bit floats dynamic or static scales"):
        emu.infer(place, "h100", "Hello", "fp8", scales="unit")


def test_the_command(place, capsys):
    from emu.cli import main

    assert main(["infer", str(place), "--chip", "jalapeno", "--text", TEXT, "--dtype", "bf16, mxfp4", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [(row["dtype"], row["scales"]) for row in shown["formats"]] == [("bf16", "unit"), ("mxfp4", "dynamic")]
