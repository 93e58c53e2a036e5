"""Conversions: the compiled core against ml_dtypes, exhaustively where the source has at most 16 bits."""

from __future__ import annotations

import numpy as np
import pytest
from values_support import FLOATS, LEVELS, canonical_bits

from emu import _num
from emu.testing.tensors import random_elements
from isa.oracle.descriptor import FORMATS
from isa.oracle.formats import bits, dtype, from_fp32, largest, pack, size, to_fp32, unpack

SHORT = [name for name in FORMATS if bits(name) <= 16]
SMALL = ["bf16", "fp16", "fp8_e4m3", "fp8_e5m2", "fp6_e2m3", "fp6_e3m2", "fp4_e2m1"]


@pytest.fixture(params=LEVELS)
def level(request):
    _num.force_level(request.param)
    yield request.param
    _num.force_level(-1)


def core(x: np.ndarray, source: str, target: str, sat: bool = False) -> np.ndarray:
    out = _num.convert(pack(x, source), FORMATS.index(source), FORMATS.index(target), sat, x.size)
    return unpack(out, target, x.size)


def every(source: str) -> np.ndarray:
    """All codes of a format of at most 16 bits."""
    codes = np.arange(1 << bits(source), dtype=f"u{size(source)}")
    if source == "int4":
        return ((codes.view(np.int8) ^ 8) - 8).astype(dtype(source))
    return codes.view(dtype(source))


def around_ties(target: str) -> np.ndarray:
    """fp32 values at, just below and just above every tie of an 8- or 16-bit float format."""
    with np.errstate(all="ignore"):
        values = np.sort(every(target).astype(np.float32))
        values = np.unique(values[np.isfinite(values)]).astype(np.float64)
        ties = ((values[1:] + values[:-1]) / 2).astype(np.float32)
        top = np.float32(values[-1] + (values[-1] - values[-2]) / 2)
    ties = np.concatenate([ties, [top, -top]]).astype(np.float32)
    return np.concatenate([ties, np.nextafter(ties, np.float32(np.inf)), np.nextafter(ties, np.float32(-np.inf))])


@pytest.mark.parametrize("source", SHORT)
def test_every_code_to_fp32_is_exact(source, level):
    x = every(source)
    assert np.array_equal(canonical_bits(core(x, source, "fp32")), canonical_bits(x.astype(np.float32)))


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("source", SHORT)
def test_every_code_to_every_format(source, target, level):
    x = every(source)
    for sat in (False, True):
        want = from_fp32(to_fp32(x, source), target, sat)
        assert np.array_equal(core(x, source, target, sat).view(f"u{size(target)}"), want.view(f"u{size(target)}"))


@pytest.mark.parametrize("target", SMALL)
def test_ties_round_to_even_as_ml_dtypes(target, level):
    x = around_ties(target)
    with np.errstate(all="ignore"):
        want = x.astype(dtype(target))
    assert np.array_equal(canonical_bits(core(x, "fp32", target)), canonical_bits(want))


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("source", ["fp32", "int32", "tf32"])
def test_random_words(source, target, level):
    x = random_elements(np.random.default_rng(1), source, 100_000, wild=True)
    for sat in (False, True):
        want = from_fp32(to_fp32(x, source), target, sat)
        assert np.array_equal(core(x, source, target, sat).view(f"u{size(target)}"), want.view(f"u{size(target)}"))


@pytest.mark.parametrize("target", ["int8", "int32"])
def test_floats_to_integers(target, level):
    x = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 126.5, 127.49, 127.5, 1e10, -1e10, np.inf, -np.inf, np.nan, 2**31 - 128], np.float32)
    top, bottom = np.iinfo(dtype(target)).max, np.iinfo(dtype(target)).min
    last = top if target == "int8" else 2**31 - 128
    big = [top if target == "int8" else 128, top, bottom, top, bottom, 0, last]
    assert core(x, "fp32", target).tolist() == [0, 2, 2, 0, -2, 126, 127, *big]


@pytest.mark.parametrize("target", FLOATS)
def test_saturation_keeps_everything_finite(target, level):
    x = random_elements(np.random.default_rng(2), "fp32", 50_000, wild=True)
    out = core(x, "fp32", target, sat=True).astype(np.float32)
    assert np.isfinite(out[~np.isnan(x)]).all() and np.isnan(out[np.isnan(x)]).all()
    assert np.abs(out[~np.isnan(x)]).max() == float(largest(target))
