"""Do sharded results equal unsharded ones, bit for bit, whatever tiling the mapper may choose? And does it always choose the same?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import emu
from emu.mapper import choose, layers_ahead
from emu.mapper.area import divide
from emu.mapper.choose import _attentions, _gemms, gemm_program
from emu.mapper.gemm import GemmShape, ranked
from emu.study.infer import block_weights

TINY = emu.chip("tiny")


def product(chip, shape, tiling, x, w):
    """x @ w by the program of one tiling, padding cut off."""
    area = divide(chip, shape.fmt)
    program = gemm_program(chip, shape, area, tiling)
    given = {"x": x, "w": block_weights(w, area.block)}
    return np.asarray(emu.Machine(chip).run(program, given, check=True).outputs["y"])[:, : w.shape[1]]


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.integers(1, 40), st.integers(1, 70), st.integers(1, 100), st.integers(0, 10**6))
def test_every_tiling_and_every_number_of_cores_gives_the_same_bits(m, n, k, seed):
    """The order along k is the chip's, not the mapping's: one core's product is that of five, and of the mapper's last choice."""
    draw = np.random.default_rng(seed)
    x, w = draw.standard_normal((m, k)).astype(np.float32), draw.standard_normal((k, n)).astype(np.float32)
    found = []
    for cores in (1, 4, 5):
        chip = TINY.vary({"core_count": cores, "noc.x": cores})
        area = divide(chip, "bf16")
        shape = GemmShape(m, -(-n // area.block) * area.block, k, "bf16", "fp32")
        tilings = ranked(shape, chip, area)
        found += [product(chip, shape, t, x, w) for t in {0: tilings[0], 1: tilings[len(tilings) // 2], 2: tilings[-1]}.values()]
    assert len({y.tobytes() for y in found}) == 1
    assert np.allclose(found[0], x @ w, atol=0.05 * np.sqrt(k), rtol=0.05)


@pytest.mark.parametrize("phase", [("prefill", 2, 24, 24), ("decode", 2, 1, 40)])
@pytest.mark.parametrize("name", ["tiny", "jalapeno"])
def test_the_choice_depends_on_the_question_alone(name, phase):
    """Chosen anew with nothing remembered, it is the same."""
    model = emu.load_model(Path(__file__).parents[2] / "examples" / "models" / "tiny-llama" / "config.json")
    chip = emu.chip(name)
    graph = model.graph(*phase, "bf16", None, 64)
    first = choose(graph, chip)
    _gemms.clear()
    _attentions.clear()
    assert choose(graph, chip) == first


def test_a_re_mapped_chip_never_loses_to_its_old_mapping():
    """With more of a resource the old tilings are among the candidates; the best of all of them, simulated, is no slower than any."""
    from emu.mapper.choose import time_fs

    area = divide(TINY, "bf16")
    shape = GemmShape(64, 128, 96, "bf16", "bf16")
    times = [time_fs(TINY, gemm_program(TINY, shape, area, t)) for t in ranked(shape, TINY, area)]
    best = emu.gemm(TINY, 64, 128, 96).run.end_fs
    assert best <= min(times[:3]) and best <= 1.1 * min(times), f"{best / min(times):.2f}x the quickest of {len(times)}"


def test_loaders_are_as_far_ahead_as_the_ring_allows():
    """A ring of more slots is further ahead; layers with more tiles of weights bring it nearer. At least one layer always."""
    model, chip = emu.model("llama-3-8b"), emu.chip("jalapeno")
    graph = model.graph("decode", 1, 1, 513, "bf16", None, 640)
    choice = choose(graph, chip)
    assert layers_ahead(graph, chip, choice) == 1
    slim = {name: replace(t, tile_k=1 << 20) if hasattr(t, "tile_k") else t for name, t in choice.items()}
    assert layers_ahead(graph, chip, slim) > 1
