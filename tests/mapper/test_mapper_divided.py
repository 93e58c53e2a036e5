"""Is the sum over K divided among cores where that is quicker, with the right values, and refused where a second pass could not follow?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import emu
from emu.errors import UnsupportedError
from emu.kernels.gemm import Epilogue, GemmTiling, gemm
from emu.kernels.lang import Tracer
from emu.kernels.split_k import gemm_divided
from emu.mapper.area import divide
from emu.mapper.choose import choose_gemm, gemm_image, gemm_program, time_fs
from emu.mapper.gemm import GemmShape, most_parts, ranked, rated
from emu.study.infer import block_weights

TINY, JALAPENO = emu.chip("tiny"), emu.chip("jalapeno")


@pytest.mark.parametrize("m", [16, 64, 128])
def test_few_tiles_and_a_long_sum(m):
    """512 columns are few tiles for 32 cores: divided, the product takes less than half the time of the best undivided one."""
    area, shape = divide(JALAPENO, "bf16"), GemmShape(m, 512, 65536, "bf16", "bf16")
    tiling, _ = choose_gemm(JALAPENO, shape, area)
    undivided = min(time_fs(JALAPENO, gemm_image(JALAPENO, shape, area, t)) for t in ranked(shape, JALAPENO, area)[:8])
    assert tiling.split_k > 1
    assert 2 * time_fs(JALAPENO, gemm_image(JALAPENO, shape, area, tiling)) < undivided
    result = emu.gemm(JALAPENO, m, 512, 65536)
    assert result.mapping["split_k"] == tiling.split_k and 1 <= result.mapping["gap_to_bound"] < 2.5


def test_many_tiles_are_not_divided():
    assert emu.gemm(JALAPENO, 512, 4096, 4096).mapping["split_k"] == 1


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.integers(1, 12), st.integers(1, 16), st.integers(60, 400), st.integers(0, 10**6))
def test_a_divided_sum_is_the_product_and_its_bits_depend_on_the_parts_alone(m, n, k, seed):
    """However many cores share a part, in whatever grid; and close to the undivided product."""
    draw = np.random.default_rng(seed)
    x, w = draw.standard_normal((m, k)).astype(np.float32), draw.standard_normal((k, n)).astype(np.float32)
    area = divide(TINY, "bf16")
    shape = GemmShape(m, -(-n // area.block) * area.block, k, "bf16", "fp32")
    found = [t for _, t in rated(shape, TINY, area, 10_000, parts=4, everything=True) if t.split_k > 1]
    bits = {}
    for tiling in found[:: max(1, len(found) // 6)]:
        program = gemm_program(TINY, shape, area, tiling)
        run = emu.Machine(TINY).run(program, {"x": x, "w": block_weights(w, area.block)}, check=True)
        y = np.asarray(run.outputs["y"])[:, :n]
        assert np.allclose(y, x @ w, atol=0.05 * np.sqrt(k), rtol=0.05)
        assert bits.setdefault((tiling.split_k, tiling.tile_k), y.tobytes()) == y.tobytes()


FUSED = [{"bias": True}, {"activation": "silu"}, {"residual": True}, {"gates": 1, "activation": "swiglu"}, {"norm": True}]


@pytest.mark.parametrize("fused", FUSED)
def test_nothing_fused_is_divided(fused):
    shape = GemmShape(16, 512, 65536, "bf16", "bf16", **fused)
    assert most_parts(JALAPENO, shape) == 1 and most_parts(JALAPENO, GemmShape(16, 512, 65536, "bf16", "bf16")) == 32


def test_refusals_name_what_cannot_be():
    k = Tracer(TINY, "refused")
    x, w, out = k.hbm("x", (8, 32), "bf16", "in"), k.hbm("w", (32, 8), "bf16", "weight"), k.hbm("y", (8, 8), "bf16", "out")
    residual, tiling = k.hbm("r", (8, 8), "bf16", "in"), GemmTiling(8, 8, 8, a_resident=False, split_k=2)
    with pytest.raises(UnsupportedError, match="split_k 2: the pass that adds the parts cannot take over residual and silu"):
        gemm_divided(k, x, w, out, tiling, 64, Epilogue(residual=residual, activation="silu"))
    with pytest.raises(UnsupportedError, match="a divided sum takes two passes"), k.op("gemm"):
        gemm(k, x, w, out, tiling)
