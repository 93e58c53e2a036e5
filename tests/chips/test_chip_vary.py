"""Is a varied chip the chip that was asked for, and does it say so?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import emu

TINY = emu.chip("tiny")
H100 = emu.chip("h100")


def test_vary_changes_what_follows() -> None:
    chip = TINY.vary({"hbm.bandwidth": "4.8 TB/s", "core.matrix.rows": 256})
    assert chip.hbm.bandwidth_bytes_per_s == 4_800_000_000_000
    assert chip.peak_flops("bf16") == 32 * TINY.peak_flops("bf16")
    assert chip.core.matrix.quantum_k == 256 and chip.core.matrix.fill_cycles == 256 + 8 - 1
    assert TINY.core.matrix.rows == 8
    assert chip.varied == {"hbm.bandwidth": "4.8 TB/s", "core.matrix.rows": 256}
    assert chip.vary({"core.clock": "2 GHz"}).varied.keys() == {"hbm.bandwidth", "core.matrix.rows", "core.clock"}
    assert chip.provenance("hbm.bandwidth").source == "chip.vary"


def test_vary_reaches_lists_and_shared_figures() -> None:
    chip = H100.vary({"levels.l2.capacity": "60 MiB", "links.0.count": 36, "core.vector.per_clk.exp": 32, "core.ports.0.read": "256 B/clk"})
    assert {lv.name: lv.capacity_bytes for lv in chip.levels}["l2"] == 60 << 20 and chip.links[0].count == 36
    assert chip.core.vector.per_clk["exp"] == 32 and chip.core.vector.per_clk["add"] == 128
    assert chip.core.port_bytes_per_clk("mm", "sram", "read") == 256
    assert chip.provenance("core.vector.per_clk.add").tag == "recalled"
    assert chip.provenance("core.vector.per_clk.exp").tag == "assumed"
    assert not chip.published and H100.published


def test_unknown_keys_are_named_together() -> None:
    with pytest.raises(emu.ChipError) as caught:
        TINY.vary({"hbm.bandwith": "4.8 TB/s", "core.matrx.rows": 3, "links.rng.count": 3, "hbm.bandwidth": 4.8e12, "nonsense": 1})
    text = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 5
    for piece in (
        "did you mean 'bandwidth'", "did you mean 'core.matrix.rows'", "links.rng.count: unknown key", "has no unit", "nonsense: unknown",
    ):
        assert piece in text, piece


ODD = ["", ".", "hbm.", "hbm.bandwidth.x", "links.-1.count", "links.99.count", "links.²", "a" * 5000, "core..clock"]


@pytest.mark.parametrize("key", ODD)
def test_odd_keys(key: str) -> None:
    with pytest.raises(emu.ChipError):
        TINY.vary({key: "1 GHz"})


def test_digest() -> None:
    assert TINY.digest == emu.chip("tiny").digest
    assert TINY.vary({"title": "another"}).digest == TINY.digest
    assert TINY.vary({"hbm.bandwidth": "64 GB/s"}).digest == TINY.digest
    assert TINY.vary({"hbm.bandwidth": "65 GB/s"}).digest != TINY.digest
    assert TINY.vary({"energy.vec_add": "2 pJ"}).digest != TINY.digest
    assert len({TINY.digest, H100.digest, emu.chip("jalapeno").digest}) == 3


def test_to_dict_is_json_with_units_in_its_keys() -> None:
    page = json.loads(json.dumps(H100.to_dict()))
    assert page["hbm"]["bandwidth_bytes_per_s"] == 3_352_000_000_000
    assert page["core"]["matrix"]["fill_cycles"] == 100 and page["digest"] == H100.digest
    assert "core.dma.load_queues" in page["assumed"]
    assert page["peak_flops"]["bf16"] == H100.peak_flops("bf16")


def test_extends_merges_and_keeps_origins(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('extends = "h100"\nname = "mine"\n[hbm]\nbandwidth = "4.8 TB/s"\n[core.vector.per_clk]\nexp = 32\n')
    chip = emu.load_chip(path)
    assert chip.hbm.bandwidth_bytes_per_s == 4_800_000_000_000 and chip.hbm.capacity_bytes == H100.hbm.capacity_bytes
    assert chip.core.vector.per_clk["exp"] == 32 and chip.core.vector.per_clk["mul"] == 128
    assert chip.provenance("hbm.bandwidth").file == str(path) and chip.provenance("hbm.bandwidth").tag is None
    assert str(chip.provenance("hbm.latency").file).endswith("h100.toml")
    assert [f.key for f in chip.unlabelled()] == ["core.vector.per_clk.exp", "hbm.bandwidth"]


@given(st.integers(1, 64), st.integers(1, 64), st.sampled_from([1, 2, 4, 9]), st.sampled_from(["columns", "rows", "square"]))
def test_geometry_scales_the_peak(rows: int, cols: int, units: int, fuse: str) -> None:
    if fuse == "square" and units == 2:
        units = 4
    chip = TINY.vary({"core.matrix.rows": rows, "core.matrix.cols": cols, "core.matrix.units": units, "core.matrix.fuse": fuse,
                      "core.matrix.rate": {"bf16": 1, "fp8_e4m3": 2}})
    matrix = chip.core.matrix
    assert chip.peak_flops("bf16") == 2 * rows * cols * units * 4 * 1e9
    assert chip.peak_flops("fp8_e4m3") == 2 * chip.peak_flops("bf16")
    assert matrix.quantum_n * matrix.quantum_k == rows * cols * units and matrix.quantum_m == 1


@pytest.mark.parametrize(("dataflow", "quanta"), [("output_stationary", (8, 16, 1)), ("input_stationary", (16, 1, 8)), ("dot", (1, 16, 8))])
def test_quanta_follow_the_dataflow(dataflow: str, quanta: tuple[int, int, int]) -> None:
    matrix = TINY.vary({"core.matrix.dataflow": dataflow, "core.matrix.units": 2,
                        "core.matrix.load_rows_per_clk": int(dataflow == "input_stationary")}).core.matrix
    assert (matrix.quantum_m, matrix.quantum_n, matrix.quantum_k) == quanta
