"""emu.num: conversions against ml_dtypes itself, on every 16-bit code and on random words; stochastic rounding; packed bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from values_support import LEVELS, PACKED, at_level

import emu
from emu import num
from emu.testing.profile import checked
from emu.testing.tensors import random_elements, special_values
from isa.oracle import formats as oracle
from isa.oracle.dither import stochastic

FLOATS = ["bf16", "fp16", "fp8_e4m3", "fp8_e5m2", "fp6_e2m3", "fp6_e3m2", "fp4_e2m1"]
SIXTEEN = ["bf16", "fp16"]
WORDS = st.one_of(
    st.integers(0, 2**32 - 1),
    st.sampled_from(special_values("fp32").view(np.uint32).tolist()),
    st.builds(lambda code, low: code << 16 | low, st.integers(0, 65535), st.sampled_from([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF])),
)


def every(fmt: str) -> np.ndarray:
    """All codes of a format of at most 16 bits, one element in each item."""
    size = num.dtype(fmt).itemsize
    codes = np.arange(1 << oracle.bits(fmt), dtype=f"u{size}")
    return ((codes.view(np.int8) ^ 8) - 8).astype(num.dtype(fmt)) if fmt == "int4" else codes.view(num.dtype(fmt))


def as_ml_dtypes(x: np.ndarray, fmt: str) -> np.ndarray:
    """What ml_dtypes makes of fp32 values, in bits; NaNs, before and after, become the positive quiet one, as everywhere in the machine."""
    clean = np.where(np.isnan(x), np.float32(np.nan), x)
    with np.errstate(all="ignore"):
        out = clean.astype(num.dtype(fmt))
        return np.where(np.isnan(out), np.array(np.nan, np.float32).astype(out.dtype), out).view(f"u{out.itemsize}")


def bits_of(array: np.ndarray) -> np.ndarray:
    return array.view(f"u{array.itemsize}")


@pytest.mark.parametrize("target", FLOATS)
@pytest.mark.parametrize("source", SIXTEEN)
def test_every_16_bit_code_is_as_ml_dtypes(source, target):
    x = every(source)
    wide = x.astype(np.float32)
    assert np.array_equal(bits_of(num.cast(x, target)), as_ml_dtypes(wide, target))
    top = np.float32(np.max(every(target).astype(np.float32)[np.isfinite(every(target).astype(np.float32))]))
    saturated = num.cast(x, target, saturate=True)
    assert np.array_equal(bits_of(saturated), as_ml_dtypes(np.clip(wide, -top, top), target))


@pytest.mark.parametrize("source", SIXTEEN)
def test_every_16_bit_code_to_integers_and_scales(source):
    x = every(source)
    wide = np.nan_to_num(x.astype(np.float32), nan=0.0, posinf=3e38, neginf=-3e38).astype(np.float64)
    assert np.array_equal(num.cast(x, "int8").astype(np.int64), np.clip(np.rint(wide), -128, 127))
    assert np.array_equal(num.cast(x, "int4").astype(np.int64), np.clip(np.rint(wide), -8, 7))
    assert np.array_equal(num.cast(x, "int32").astype(np.int64), np.clip(np.rint(wide), -(2**31), 2**31 - 1))
    just_above = (x.astype(np.float32) > 2.0**-127) & (x.astype(np.float32) < 1.5 * 2.0**-127)  # ml_dtypes 0.6 takes these to 2^-126
    scales = bits_of(num.cast(x, "e8m0"))
    assert np.array_equal(scales[~just_above], as_ml_dtypes(x.astype(np.float32), "e8m0")[~just_above]) and not scales[just_above].any()


@pytest.mark.parametrize("fmt", [f for f in num.NAMES if oracle.bits(f) <= 16])
def test_every_code_comes_back(fmt):
    x = every(fmt)
    wide = num.decode(num.pack(x, fmt), fmt, x.size)
    assert np.array_equal(wide, x.astype(np.float32), equal_nan=True)
    number = ~np.isnan(wide)
    assert np.array_equal(np.signbit(wide)[number], np.signbit(x.astype(np.float32))[number])
    assert np.array_equal(bits_of(num.cast(wide, fmt))[number], bits_of(x)[number])
    assert np.array_equal(bits_of(num.unpack(num.pack(x, fmt), fmt, x.size)), bits_of(x))


@checked(2000)
@given(words=st.lists(WORDS, min_size=1, max_size=40), target=st.sampled_from(FLOATS))
def test_random_fp32_is_as_ml_dtypes(words, target):
    x = np.array(words, np.uint32).view(np.float32)
    for level in LEVELS:
        with at_level(level):
            assert np.array_equal(bits_of(num.cast(x, target)), as_ml_dtypes(x, target))


@checked(200)
@given(words=st.lists(WORDS, min_size=1, max_size=40))
def test_tf32_is_the_nearest_of_its_two_neighbours(words):
    """By exact arithmetic in double: neither neighbour on the grid of 2^(e - 10) is nearer, and a tie is even."""
    x = np.array(words, np.uint32).view(np.float32)
    out = num.cast(x, "tf32")
    assert not (out.view(np.uint32) & 0x1FFF).any() and np.array_equal(np.isnan(out), np.isnan(x))
    inside = np.isfinite(out) & np.isfinite(x)
    wide, got = x[inside].astype(np.float64), out[inside].astype(np.float64)
    step = np.ldexp(1.0, np.maximum(np.frexp(wide)[1] - 1, -126) - 10)
    assert (np.abs(got - wide) <= step / 2).all()
    tie = np.abs(got - wide) == step / 2
    assert not (out.view(np.uint32)[inside][tie] >> 13 & 1).any()


@checked(150)
@given(seed=st.integers(0, 2**32 - 1), draw=st.integers(0, 2**32), target=st.sampled_from([f for f in num.NAMES if f != "e8m0"]),
       wild=st.booleans(), shape=st.sampled_from([(3,), (2, 5), (1, 300), (7, 33), (2, 3, 17)]), saturate=st.booleans())
def test_stochastic_rounding_is_the_oracles(seed, draw, target, wild, shape, saturate):
    x = random_elements(np.random.default_rng(draw), "fp32", int(np.prod(shape)), wild).reshape(shape)
    want = stochastic(x, target, seed, saturate)
    for level in LEVELS:
        with at_level(level):
            got = num.cast(x, target, rounding="stochastic", seed=seed, saturate=saturate)
        assert np.array_equal(bits_of(got), bits_of(np.ascontiguousarray(want))), f"level {level}"


@pytest.mark.parametrize("target", ["bf16", "fp8_e4m3", "fp8_e5m2", "fp6_e2m3", "fp4_e2m1", "int8", "int4"])
def test_stochastic_rounding_is_unbiased(target):
    """Between two neighbours the mean of many draws is the value itself: within 5 standard deviations."""
    count = 1 << 16
    for x in (1.0 + 2.0**-9, 1.3, 2.9, -1.71, 5.5):
        got = num.cast(np.full(count, x, np.float32), target, rounding="stochastic", seed=11).astype(np.float64)
        low, high = got.min(), got.max()
        assert len(np.unique(got)) <= 2 and low <= np.float32(x) <= high
        assert abs(got.mean() - float(np.float32(x))) <= 5 * (high - low) / 2 / np.sqrt(count)
    exact = num.decode(num.encode(np.arange(-9, 9, 0.25, dtype=np.float32), target), target, 72)
    assert np.array_equal(num.cast(exact, target, rounding="stochastic", seed=5).astype(np.float32), exact)


def test_draws_depend_on_seed_and_index_alone():
    x = np.full(1000, 1.3, np.float32)
    first = num.cast(x, "fp8_e4m3", rounding="stochastic", seed=1)
    assert np.array_equal(bits_of(first), bits_of(num.cast(x.reshape(10, 100), "fp8_e4m3", rounding="stochastic", seed=1)).reshape(-1))
    assert np.array_equal(bits_of(first)[:17], bits_of(num.cast(x[:17], "fp8_e4m3", rounding="stochastic", seed=1)))
    other = num.cast(x, "fp8_e4m3", rounding="stochastic", seed=2)
    assert np.count_nonzero(bits_of(first) != bits_of(other)) > 300  # 1.3 lies 0.4 of a step above its lower neighbour: 0.48 of them differ


def test_packed_bytes_are_those_of_hardware():
    """The lowest bits first: fp4 1.0 (2) and 6.0 (7) are 0x72; four fp6 codes are a 24-bit little-endian word."""
    assert num.encode(np.float32([1, 6, -0.5]), "fp4_e2m1").tolist() == [0x72, 0x09]
    codes = np.array([1, 2, 3, 63, 5], np.uint8).view(num.dtype("fp6_e2m3"))
    word = 1 | 2 << 6 | 3 << 12 | 63 << 18
    assert num.pack(codes, "fp6_e2m3").tolist() == [word & 255, word >> 8 & 255, word >> 16, 5]
    assert num.encode(np.array([-8, 7, -1], np.int8), "int4").tolist() == [0x78, 0x0F]


@checked(100)
@given(fmt=st.sampled_from(PACKED), rows=st.integers(0, 3), count=st.integers(0, 41), seed=st.integers(0, 999))
def test_packing_is_the_oracles(fmt, rows, count, seed):
    x = random_elements(np.random.default_rng(seed), fmt, rows * count, True).reshape(rows, count)
    raw = num.pack(x, fmt)
    assert raw.shape == (rows, num.row_bytes(fmt, count)) and np.array_equal(raw, oracle.pack(x, fmt))
    assert np.array_equal(bits_of(num.unpack(raw, fmt, count)), bits_of(x)) and np.array_equal(num.encode(x, fmt), raw)
    assert np.array_equal(num.decode(raw, fmt, count), x.astype(np.float32))


@pytest.mark.parametrize("call, words", [
    (lambda: num.cast([1.0], "fp5"), "did you mean"),
    (lambda: num.cast([1.0], "bf16", rounding="down"), "nearest"),
    (lambda: num.cast([0.1], "bf16"), "twice"),
    (lambda: num.cast([1.0], "e8m0", rounding="stochastic"), "not rounded stochastically"),
    (lambda: num.cast([1.0], "bf16", seed=-1), "seed -1"),
    (lambda: num.cast(np.array(["x"]), "bf16"), "no format"),
    (lambda: num.decode(np.zeros(3, np.uint8), "fp4_e2m1", 7), "take 4"),
    (lambda: num.unpack(np.zeros(3, np.uint8), "fp6_e2m3", 9), "take 7"),
], ids=range(8))
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(emu.UnsupportedError, match=words):
        call()


def test_scalars_and_nothing():
    assert num.cast(np.float32(1.5), "fp4_e2m1").shape == () and float(num.cast(1.5, "int4")) == 2
    assert num.cast(np.zeros((2, 0), np.float32), "fp6_e2m3").shape == (2, 0)
    assert num.decode(np.zeros((0, 2), np.uint8), "int4", 4).shape == (0, 4)
