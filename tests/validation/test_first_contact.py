"""Is the sample of measured kernels the one its rule draws, and are small kernels predicted within a loose factor, launch included?"""

from __future__ import annotations

import hashlib
import importlib.util
import random
import sys
from pathlib import Path
from types import ModuleType

import pytest

import emu

ROOT = Path(__file__).parents[2]
SAMPLE_DIGEST = "f8b27727402819f599d862ee4246414e3340c696f8f12eeb10ef8ba966b747d2"


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("first_contact", ROOT / "benchmarks" / "first_contact.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


script = _script()
ROWS = script.read(script.ROWS)
SMALL = [r for chip in script.CHIPS for r in sorted((r for r in ROWS if r.chip == chip and r.flops < 10**9), key=lambda r: r.digest)[:3]]


def test_the_sample_is_the_committed_one() -> None:
    assert hashlib.sha256(script.ROWS.read_bytes()).hexdigest() == SAMPLE_DIGEST
    assert script.ROWS.read_text().startswith("#") and "aiconfigurator" in script.HEADER
    assert [sum(r.chip == chip for r in ROWS) for chip in script.CHIPS] == [script.COUNT, script.COUNT]


def test_the_rule_does_not_depend_on_order() -> None:
    shuffled = list(ROWS)
    random.Random(3).shuffle(shuffled)
    for chip in script.CHIPS:
        assert script.sample(shuffled, chip, 40) == script.sample(ROWS, chip, 40)
        assert script.sample(shuffled, chip) == [r for r in ROWS if r.chip == chip]


@pytest.mark.parametrize("row", SMALL, ids=lambda r: f"{r.chip}-{r.m}x{r.n}x{r.k}")
def test_small_kernels_within_a_loose_factor(row) -> None:
    outcome = script.predict(row)
    assert not outcome.failure
    assert 0.3 < outcome.seconds / row.seconds < 3
    assert 0 < outcome.launch_s < 2 * emu.chip(row.chip).stack["vllm"].launch_s


def test_launch_is_a_part_of_its_own() -> None:
    """A launch adds the shortest measured kernel less the machine's own shortest, so that one comes out as it was measured."""
    stack = emu.chip("h100").stack["vllm"]
    r, least = emu.gemm("h100", 16, 256, 256, stack="vllm"), emu.gemm("h100", 1, 64, 64, stack="vllm")
    assert least.seconds == pytest.approx(stack.launch_s)
    assert r.mapping["launch_s"] == pytest.approx(stack.launch_s - least.run.seconds)
    assert r.seconds == pytest.approx(r.run.seconds + r.mapping["launch_s"])
    assert r.mapping["operands"] == "cold"
    assert r.joules == pytest.approx(r.run.joules + r.mapping["launch_s"] * r.energy_report.static_w)
    assert (r.mapping["tile_m"], r.mapping["tile_n"]) in set(stack.tiles)


def test_a_long_thin_sum_is_divided() -> None:
    r = emu.gemm("a100", 16, 128, 16384, stack="vllm")
    alone = emu.gemm(emu.chip("a100").vary({"stack.vllm.split_k_limit": 1}), 16, 128, 16384, stack="vllm")
    assert r.mapping["split_k"] > 1 and alone.mapping["split_k"] == 1
    assert r.seconds < alone.seconds
    assert r.run.counters["useful_macs_bf16"] == alone.run.counters["useful_macs_bf16"] == 16 * 128 * 16384


def test_fp8_brings_its_quantising_kernel() -> None:
    r, wide = emu.gemm("h100", 512, 256, 1024, dtype="fp8", stack="vllm"), emu.gemm("h100", 512, 256, 1024, stack="vllm")
    assert r.mapping["quantized"] and "quantized" not in wide.mapping
    assert [label["name"] for label in r.run.labels][:2] == ["quantize", "gemm"]
    assert r.run.counters["useful_macs_fp8_e4m3"] == 512 * 256 * 1024 and r.run.counters["vec_reduce"] > 0
    assert r.seconds > wide.seconds  # twice the rate does not make up for a second kernel here


def test_what_the_stack_cannot_do_is_refused() -> None:
    with pytest.raises(emu.UnsupportedError, match="no stack"):
        emu.gemm("jalapeno", 16, 256, 256, stack="vllm")
