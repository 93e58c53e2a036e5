"""Transcendental functions: every bit equal to the oracle, and the stated error against mpmath."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
from values_support import LEVELS, OPCODES, at_level

from emu import _num
from emu.testing.tensors import special_values
from isa.oracle import transcendental
from isa.oracle.formats import canonical, dtype, from_fp32, to_fp32

# name: largest error in units of the last place of fp32, exact function. Results below the normal range count in units of 2^-149.
STATED = {"exp": 1.1, "exp2": 1.1, "log2": 1.6, "tanh": 1.6, "erf": 2.1, "sigmoid": 2.1, "sin": 2.6, "cos": 2.6}
EXACT = {
    "exp": mp.exp, "exp2": lambda x: mp.mpf(2) ** x, "log2": lambda x: mp.log(x, 2), "tanh": mp.tanh, "erf": mp.erf,
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)), "sin": mp.sin, "cos": mp.cos,
}


def core(name: str, x: np.ndarray, fmt: int = 0) -> np.ndarray:
    width, count = x.itemsize, x.size
    out = np.zeros_like(x)
    views = [(a.view(np.uint8), 0, fmt, (count, 1, 1, 1), (width, 0, 0, 0)) for a in (out, x)]
    _num.vec(OPCODES["v" + name], *views)
    return out


def oracle(name: str, x: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return getattr(transcendental, name)(x)


def arguments(name: str, count: int, seed: int) -> np.ndarray:
    """Random bits, and values where the function does something."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2**32, count, np.uint32).view(np.float32)
    normal = (rng.standard_normal(count) * np.exp(rng.uniform(-3, 5, count))).astype(np.float32)
    near = (1 + rng.standard_normal(count // 4) * 2.0 ** rng.integers(-23, 0, count // 4)).astype(np.float32)
    edges = (np.arange(1, count // 4) * (np.pi / 4)).astype(np.float32)
    return np.concatenate([bits, normal, near, edges, special_values("fp32")])


def error_in_ulps(name: str, x: np.ndarray, result: np.ndarray) -> float:
    worst = 0.0
    for argument, value in zip(x.tolist(), result.tolist()):
        exact = EXACT[name](mp.mpf(argument))
        if abs(exact) >= mp.mpf(2) ** 128 - mp.mpf(2) ** 103:
            assert abs(value) == np.inf or value == np.finfo(np.float32).max
            continue
        exponent = max(int(mp.floor(mp.log(abs(exact), 2))) if exact else -126, -126)
        worst = max(worst, float(abs(exact - value) / mp.mpf(2) ** (exponent - 23)))
    return worst


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", sorted(STATED))
def test_core_equals_oracle_on_random_fp32(name, level):
    x = arguments(name, 100_000, 5)
    with at_level(level):
        out = core(name, x)
    assert np.array_equal(out.view(np.uint32), canonical(oracle(name, x), "fp32").view(np.uint32))


@pytest.mark.parametrize("name", sorted(STATED))
@pytest.mark.parametrize("fmt", ["bf16", "fp16"])
def test_core_equals_oracle_on_all_16_bit_arguments(name, fmt):
    x = np.arange(1 << 16, dtype=np.uint16).view(dtype(fmt))
    want = from_fp32(oracle(name, to_fp32(x)), fmt)
    assert np.array_equal(core(name, x, {"bf16": 1, "fp16": 2}[fmt]).view(np.uint16), want.view(np.uint16))


@pytest.mark.parametrize("name", sorted(STATED))
def test_error_against_mpmath(name):
    x = arguments(name, 1500, 9)
    x = x[np.isfinite(x) & ((x > 0) | (name != "log2"))]
    with mp.workprec(260):
        assert error_in_ulps(name, x, oracle(name, x)) <= STATED[name]


@pytest.mark.parametrize("name", sorted(STATED))
def test_error_over_16_bit_arguments(name):
    """Every bf16 and fp16 argument, against double precision, itself within 1e-15 where it is used."""
    x = np.concatenate([np.arange(1 << 16, dtype=np.uint16).view(dtype(f)).astype(np.float32) for f in ("bf16", "fp16")])
    x = x[np.isfinite(x) & ((x > 0) | (name != "log2"))]
    x = np.unique(x)
    with np.errstate(all="ignore"):
        wide = x.astype(np.float64)
        erf = np.frompyfunc(mp.fp.erf, 1, 1)
        exact = {"exp": np.exp, "exp2": np.exp2, "log2": np.log2, "tanh": np.tanh, "sin": np.sin, "cos": np.cos,
                 "erf": lambda v: erf(v).astype(np.float64), "sigmoid": lambda v: 1 / (1 + np.exp(-v))}[name](wide)
        inside = np.abs(exact) < 2.0**128 - 2.0**103
        unit = 2.0 ** (np.maximum(np.floor(np.log2(np.maximum(np.abs(exact), 2.0**-150))), -126) - 23)
        worst = (np.abs(oracle(name, x) - exact) / unit)[inside].max()
    assert worst <= STATED[name]


def test_values_everybody_expects():
    zero, one, inf = np.float32([0, -0.0]), np.float32([1]), np.float32([np.inf, -np.inf])
    assert core("exp", zero).tolist() == [1, 1] and core("exp2", np.float32([3, -149, -150])).tolist() == [8, 2.0**-149, 0]
    assert core("exp", inf).tolist() == [np.inf, 0] and core("log2", np.float32([0, 8, 1])).tolist() == [-np.inf, 3, 0]
    assert np.isnan(core("log2", -one))[0] and core("log2", inf)[0] == np.inf and core("log2", np.float32([2.0**-149]))[0] == -149
    for name in ("tanh", "erf", "sin"):
        assert np.array_equal(np.signbit(core(name, zero)), [False, True]) and not core(name, zero).any()
    assert core("tanh", inf).tolist() == [1, -1] and core("erf", inf).tolist() == [1, -1] and core("sigmoid", inf).tolist() == [1, 0]
    assert np.isnan(core("sin", inf)).all() and np.isnan(core("cos", inf)).all() and core("cos", zero).tolist() == [1, 1]
