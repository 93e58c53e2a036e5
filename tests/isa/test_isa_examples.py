"""Do the example programs, and random ones, survive every form, run to their end, and compute what they say?"""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import isa
from isa import oracle
from isa.strategy import programs

FOLDER = Path(__file__).resolve().parents[2] / "examples"
EXAMPLES = sorted(FOLDER.glob("*.s"))
TINY = {"sram": 64 * 1024, "acc": 16 * 1024}  # bytes per core of chip `tiny`
SEEDS = [None, 1, 2]  # None: in order; else a random legal interleaving


def load(name: str) -> isa.Program:
    return isa.assemble((FOLDER / f"{name}.s").read_text(encoding="ascii"))


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_every_example_survives_every_form(path: Path) -> None:
    program = load(path.stem)
    assert program.name == path.stem
    assert isa.assemble(program.to_text()) == program == isa.Program.from_bytes(program.to_bytes())


def test_the_examples_are_there() -> None:
    assert {"copy", "gemm", "gemm_mxfp4", "softmax"} <= {path.stem for path in EXAMPLES}


@pytest.mark.parametrize("seed", SEEDS)
def test_copy(seed: int | None) -> None:
    x = np.random.default_rng(0).integers(-128, 128, 16384).astype(np.int8)
    assert np.array_equal(oracle.run(load("copy"), {"x": x}, memory_bytes=TINY, seed=seed)["y"], x)


@pytest.mark.parametrize("seed", SEEDS)
def test_gemm(seed: int | None) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((64, 64)).astype(ml_dtypes.bfloat16) for _ in range(2))
    c = oracle.run(load("gemm"), {"a": a, "b": b}, memory_bytes=TINY, seed=seed)["c"].astype(np.float64)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    # One rounding to bf16 (half of 2**-7 of the value) after 64 fp32 additions of terms below the sum of magnitudes.
    bound = np.abs(exact) * 2.0**-8 + (np.abs(a.astype(np.float64)) @ np.abs(b.astype(np.float64))) * 64 * 2.0**-24
    assert np.all(np.abs(c - exact) <= bound * 1.01)


@pytest.mark.parametrize("seed", SEEDS)
def test_gemm_mxfp4(seed: int | None) -> None:
    """Products and sums of fp4 with scales that differ little are exact in fp32."""
    rng = np.random.default_rng(0)
    a, b = (rng.choice([0, 0.5, -1, 1.5, 2, -3, 4, 6], (rows, 64)).astype(ml_dtypes.float4_e2m1fn) for rows in (16, 8))
    scales = [np.exp2(rng.integers(-3, 4, (rows, 2))).astype(ml_dtypes.float8_e8m0fnu) for rows in (16, 8)]
    inputs = {"a": a, "b": b, "a_scale": scales[0], "b_scale": scales[1]}
    c = oracle.run(load("gemm_mxfp4"), inputs, memory_bytes=TINY, seed=seed)["c"]
    wide = [x.astype(np.float64) * np.repeat(s.astype(np.float64), 32, 1) for x, s in zip((a, b), scales)]
    assert np.array_equal(c, wide[0] @ wide[1].T)


@pytest.mark.parametrize("seed", SEEDS)
def test_softmax(seed: int | None) -> None:
    x = (np.random.default_rng(0).standard_normal((16, 64)) * 30).astype(np.float32)
    y = oracle.run(load("softmax"), {"x": x}, memory_bytes=TINY, seed=seed)["y"]
    e = np.exp(x.astype(np.float64) - x.max(axis=1, keepdims=True))
    np.testing.assert_allclose(y, e / e.sum(axis=1, keepdims=True), rtol=1e-5, atol=1e-38)


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(programs(), st.integers(0, 2**32))
def test_random_programs_run_to_their_end_in_any_order(program: isa.Program, seed: int) -> None:
    x = np.arange(512).astype(np.int8)
    assert oracle.run(program, {"x": x}) == oracle.run(program, {"x": x}, seed=seed) == {}
