"""Does every chip of the field run, name its server, and keep clear of the traps in its figures?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import emu
from emu.models import Model

FIELD = sorted(set(emu.chips()) - {"tiny"})
DTYPES = {"bf16": "bf16", "fp8": "fp8_e4m3", "int8": "int8"}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Two layers in Llama's form."""
    shape = {"hidden_size": 1024, "num_attention_heads": 8, "num_key_value_heads": 2, "intermediate_size": 2816, "num_hidden_layers": 2}
    rest = {"vocab_size": 4096, "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "rope_theta": 1e4, "hidden_act": "silu"}
    path: Path = tmp_path_factory.mktemp("llama") / "config.json"
    path.write_text(json.dumps({"model_type": "llama", "tie_word_embeddings": False, **shape, **rest}))
    return emu.load_model(path)


@pytest.mark.parametrize("name", FIELD)
def test_runs_a_gemm_and_two_layers_or_refuses_by_name(name: str, llama: Model) -> None:
    chip = emu.chip(name)
    ran = 0
    for dtype, fmt in DTYPES.items():
        if fmt not in chip.core.matrix.macs_per_clk:
            with pytest.raises(emu.UnsupportedError, match=fmt):
                emu.estimate(llama, chip, dtype=dtype)
            with pytest.raises(emu.UnsupportedError, match=fmt):
                emu.gemm(chip, 256, 256, 256, dtype=dtype)
            continue
        if ran:  # one format shows that it runs; the others are its rates
            continue
        ran += 1
        product = emu.gemm(chip, 1024, 1024, 1024, dtype=dtype)
        assert 0 < product.bound_s <= product.seconds < 100 * product.bound_s
        if fmt == "int8" and "bf16" not in chip.core.matrix.macs_per_clk:  # around products of int8, attention multiplies in bf16
            with pytest.raises(emu.UnsupportedError, match="bf16"):
                emu.estimate(llama, chip, dtype=dtype)
            continue
        result = emu.estimate(llama, chip, prompt=128, generate=2, batch=4, dtype=dtype).to_dict()
        assert result["ttft_s"] > result["tpot_s"] > 0 and result["joules_per_token"] > 0
        assert result["hypothetical"] == chip.hypothetical
    assert ran


@pytest.mark.parametrize("name", FIELD)
def test_names_its_server(name: str) -> None:
    chip = emu.chip(name)
    assert chip.server is not None and chip.server.name and chip.server.topology
    assert chip.power.all_in_w is not None and chip.power.all_in_w > chip.power.tdp_w
    joined = [link for link in chip.links if link.name in chip.server.links]
    assert all(link.domain >= chip.server.chips for link in joined)
    assert joined or chip.server.topology == "none"


def test_servers_of_variants_are_their_own() -> None:
    servers = [emu.chip(name).server for name in ("h100", "h200", "b200", "gb200", "mi300x", "mi325x", "mi355x")]
    assert len({server.name for server in servers if server}) == len(servers)
    assert [server.chips for server in servers if server] == [8, 8, 8, 72, 8, 8, 8]


@pytest.mark.parametrize(
    ("name", "total_gb_per_s", "domain"),
    [("gb200", 900, 72), ("tpu-v5e", 180, 256), ("tpu-v5p", 540, 8960), ("tpu-v6e", 360, 256), ("tpu-v7", 600, 9216),
     ("maia-200", 1400, 6144), ("trainium1", 192, 16), ("trainium3", 1280, 144), ("inferentia2", 96, 12), ("gaudi-3", 600, 8),
     ("mi325x", 448, 8)],
)
def test_links_are_of_one_direction(name: str, total_gb_per_s: int, domain: int) -> None:
    (link,) = emu.chip(name).links
    assert link.total_bytes_per_s == total_gb_per_s * 10**9 and link.domain == domain


def test_capacities_are_gib_where_they_are() -> None:
    assert emu.chip("tpu-v5p").hbm.capacity_bytes == 95 << 30  # 103 GB
    assert emu.chip("tpu-v7").hbm.capacity_bytes == 192 << 30  # 206 GB
    assert emu.chip("gb200").hbm.capacity_bytes == 186 * 10**9  # not the 192 GB on the package
    assert emu.chip("mi325x").hbm.capacity_bytes == 256 * 10**9  # not XLA's 270


def test_conflicts_print_both_figures() -> None:
    one, three = emu.chip("trainium1"), emu.chip("trainium3")
    assert one.published_conflict["bf16"].figures == [184e12, 190e12] and one.core.clock_hz == 2_800_000_000
    assert three.published_conflict["bf16"].figures == [632e12, 671e12] and three.core.clock_hz == 2_400_000_000
    assert three.core.matrix.macs_per_clk["fp8_e4m3"] == 4 * three.core.matrix.macs_per_clk["bf16"]  # MX, 512 of k at a time
    assert "int8" not in three.core.matrix.macs_per_clk


def test_tpu_v1_meets_its_paper() -> None:
    chip = emu.chip("tpu-v1")
    assert chip.core.matrix.macs_per_clk == {"int8": 65536}
    assert chip.core.matrix.rows / chip.core.matrix.load_rows_per_clk == 256  # clocks to shift a tile of weights in
    large = emu.gemm(chip, 2048, 4096, 4096, dtype="int8")
    assert large.watts == pytest.approx(40, rel=0.25)  # busy, of the paper; no energy here was fitted to it
    vector = emu.gemm(chip, 8, 4096, 4096, dtype="int8")  # memory-bound: its time is the weights', at what DDR3 leaves
    assert vector.seconds == pytest.approx(4096**2 / (34e9 * 0.9), rel=0.1)


def test_mi355x_is_not_mi350x() -> None:
    chip = emu.chip("mi355x")
    assert chip.core.clock_hz == 2_400_000_000 and chip.core_count == 256
    assert chip.core.matrix.macs_per_clk["fp6_e2m3"] == chip.core.matrix.macs_per_clk["fp4_e2m1"]


@pytest.mark.parametrize(("text", "says"), [
    ('[server]\nname = "s"\nchips = 2\ntopology = "t"\nlinks = ["rong"]', "server.links: 'rong' is no link.*did you mean 'ring'"),
    ("[area]\ncores_made = 3", "cores_made: 3 is below core_count, 4"),
    ('[cost]\nmemory = "3 USD"', "unit of usd"),
])
def test_wrong_trade_figures(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'extends = "tiny"\n{text}\n')
    with pytest.raises(emu.ChipError, match=says):
        emu.load_chip(path)


def test_trade_is_no_part_of_what_runs() -> None:
    chip = emu.chip("h100")
    assert chip.vary({"server.chips": 4, "area.cores_made": 132, "cost.wafer": "1 USD"}).digest == chip.digest
