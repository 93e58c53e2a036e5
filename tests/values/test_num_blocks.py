"""emu.num: MX and NVFP4 quantisation against their definitions, and products of block-scaled tensors against the oracle."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_mm import RULES

import emu
from emu import num
from emu.chip.matrix import Accumulate as ChipRule
from emu.num.blocks import MX_FORMATS
from emu.testing.profile import checked
from emu.testing.tensors import random_elements
from isa.oracle.mm import Accumulate, mm

EXPONENT = {"fp8_e4m3": 8, "fp8_e5m2": 15, "fp6_e2m3": 2, "fp6_e3m2": 4, "fp4_e2m1": 2}


def tensor(seed: int, rows: int, count: int, wild: bool) -> np.ndarray:
    return random_elements(np.random.default_rng(seed), "fp32", rows * count, wild).reshape(rows, count)


@checked(120)
@given(seed=st.integers(0, 2**32), rows=st.integers(1, 3), count=st.sampled_from([1, 5, 31, 32, 33, 64, 70]),
       fmt=st.sampled_from(sorted(MX_FORMATS)), wild=st.booleans())
def test_mx_is_its_definition(seed, rows, count, fmt, wild):
    """Block by block, in exact fractions."""
    x = tensor(seed, rows, count, wild)
    q = num.quantize_mx(x, fmt)
    assert q.values.shape == x.shape and q.scales.shape == (rows, -(-count // 32)) and q.block == 32
    for i in range(rows):
        for j in range(q.scales.shape[1]):
            some, scale = x[i, 32 * j : 32 * j + 32], q.scales[i, j : j + 1].view(np.uint8)[0]
            if not np.isfinite(some).all():
                assert scale == 255 and not q.values[i, 32 * j : 32 * j + 32].astype(np.float32).any()
                continue
            most = Fraction(float(np.abs(some).max()))
            exponent = min(max((math.floor(math.log2(most)) if most else -1000) - EXPONENT[fmt], -127), 127)
            assert scale == exponent + 127
            exact = (some.astype(np.float64) * 2.0**-exponent).astype(np.float32)
            assert np.array_equal(q.values[i, 32 * j : 32 * j + 32].view(np.uint8), num.cast(exact, fmt, saturate=True).view(np.uint8))


def test_mx_keeps_what_its_elements_hold():
    x = np.ldexp(num.decode(np.arange(256, dtype=np.uint8)[None], "fp8_e4m3", 256), 3)[0]
    x = x[np.isfinite(x) & (np.abs(x) < 448)]  # the largest binade is where the scale takes it
    x[::32] = 256 * 8
    assert np.array_equal(num.quantize_mx(x).dequantize(), x)


@checked(80)
@given(seed=st.integers(0, 2**32), rows=st.integers(1, 3), count=st.sampled_from([1, 15, 16, 17, 40]),
       given_scale=st.sampled_from([None, 1.0, 0.02]))
def test_nvfp4_is_its_definition(seed, rows, count, given_scale):
    x = tensor(seed, rows, count, False)
    x[0, 0] = 0
    q = num.quantize_nvfp4(x, tensor_scale=given_scale)
    top = np.float32(np.abs(x).max())
    t = np.float32(given_scale) if given_scale else (top / np.float32(2688) if top else np.float32(1))
    assert q.tensor_scale == t and q.scales.shape == (rows, -(-count // 16))
    for i in range(rows):
        for j in range(q.scales.shape[1]):
            some = x[i, 16 * j : 16 * j + 16]
            scale = num.cast(np.float32([np.abs(some).max() / np.float32(6) / t]), "fp8_e4m3", saturate=True)
            assert scale.view(np.uint8)[0] == q.scales[i, j : j + 1].view(np.uint8)[0]
            s = scale.astype(np.float32) * t
            want = num.cast(some / s if s else np.zeros_like(some), "fp4_e2m1")
            assert np.array_equal(want.view(np.uint8), q.values[i, 16 * j : 16 * j + 16].view(np.uint8))


def test_nvfp4_error_is_bounded():
    """An element's error is at most half of the widest step of e2m1 (1), in units of its block's scale, where the scale holds amax."""
    x = tensor(5, 8, 256, False)
    q = num.quantize_nvfp4(x)
    unit = np.repeat(q.scales.astype(np.float32), 16, 1) * q.tensor_scale
    assert (np.abs(q.dequantize() - x) <= 1.0001 * unit + 1e-12).all() and q.nbytes == 8 * 128 + 8 * 16


def test_special_blocks():
    x = np.zeros((1, 96), np.float32)
    x[0, 40], x[0, 70] = np.inf, np.nan
    for q in (num.quantize_mx(x), num.quantize_nvfp4(x)):
        back = q.dequantize()
        assert not back[0, :32].any() and np.isnan(back[0, 40]) and np.isnan(back[0, 70])


@checked(300)
@given(seed=st.integers(0, 2**32), m=st.sampled_from([1, 3, 13]), n=st.sampled_from([1, 6, 33]), k=st.sampled_from([1, 31, 32, 33, 80]),
       bt=st.booleans(), kind=st.sampled_from(["mx", "nvfp4", "mixed", "one"]), rule=RULES)
def test_scaled_products_are_the_oracles(seed, m, n, k, bt, kind, rule):
    a, b = tensor(seed, m, k, False), tensor(seed + 1, n, k, False)
    b = b if bt else np.ascontiguousarray(b.T)
    along = 1 if bt else 0
    x = num.quantize_nvfp4(a) if kind == "nvfp4" else num.quantize_mx(a, "fp8_e4m3")
    other = "fp4_e2m1" if kind == "mixed" else "fp6_e3m2"
    y = num.quantize_nvfp4(b, axis=along) if kind == "nvfp4" else num.quantize_mx(b, other, axis=along)
    right = num.cast(b, "bf16") if kind == "one" else y
    fields = {"order": rule.order, "block_k": max(rule.block_k, 1), "join": rule.join, "inner_fraction_bits": rule.inner_fraction_bits}
    if rule.width < 32 or rule.inner_fraction_bits:
        fields["inner_rounding"] = rule.inner_rounding
    chip_rule = ChipRule.model_validate({**fields, "width": f"{rule.width} bit"})
    got = num.mm(x, right, bt=bt, accumulate=chip_rule)
    scale_b = None if kind == "one" else y.scales
    values = right if kind == "one" else y.values
    fmt = "bf16" if kind == "one" else y.fmt
    want = mm(None, x.values, values, ("fp32", x.fmt, fmt), bt, rule, x.scales, scale_b, x.block)
    with np.errstate(all="ignore"):
        want = want * (x.tensor_scale * y.tensor_scale) if kind == "nvfp4" else want
    assert np.array_equal(got.view(np.uint32), want.view(np.uint32))


def test_products_are_near_those_of_numpy():
    """Not bits: that what the formats lose is all that is lost."""
    a, b = tensor(1, 20, 200, False), tensor(2, 30, 200, False)
    x, y = num.quantize_mx(a, "fp6_e2m3"), num.quantize_mx(b, "fp4_e2m1")
    assert np.allclose(num.mm(x, y, bt=True), x.dequantize() @ y.dequantize().T, rtol=1e-5, atol=1e-4)
    assert np.array_equal(num.mm(num.cast(a * 20, "int8"), num.cast(b * 3, "int4"), bt=True),
                          num.cast(a * 20, "int8").astype(np.int32) @ num.cast(b * 3, "int4").astype(np.int32).T)
    acc = np.ones((20, 30), np.float32)
    assert np.allclose(num.mm(x, y, bt=True, acc=acc), 1 + x.dequantize() @ y.dequantize().T, rtol=1e-5, atol=1e-4)
    plain = num.mm(num.cast(a, "tf32"), num.cast(b, "tf32"), bt=True, formats=("tf32", "tf32"))
    assert np.array_equal(plain, mm(None, num.cast(a, "tf32"), num.cast(b, "tf32"), ("fp32", "tf32", "tf32"), True, Accumulate()))


A, B = num.quantize_mx(np.ones((2, 40), np.float32)), num.quantize_nvfp4(np.ones((3, 40), np.float32))


@pytest.mark.parametrize("call, words", [
    (lambda: num.mm(A, B, bt=True), "a has scales for 32 elements, b for 16"),
    (lambda: num.mm(A, num.quantize_mx(np.ones((40, 3), np.float32))), "b: its scales run along axis 1, k is axis 0"),
    (lambda: num.mm(A, np.ones((41, 3), np.float32)), "their k differs"),
    (lambda: num.mm(A, np.ones((40, 3), np.float32)), "does not multiply fp8_e4m3 by fp32 with scales"),
    (lambda: num.mm(np.ones((2, 2), np.int8), np.ones((2, 2), np.float32)), "does not multiply int8 by fp32"),
    (lambda: num.mm(np.ones(2, np.float32), np.ones((2, 2), np.float32)), "a: a matrix is expected"),
    (lambda: num.mm(np.ones((2, 2), np.float32), np.ones((2, 2), np.float32), formats=("bf16", "fp32")), "cast them first"),
    (lambda: num.mm(A, A, bt=True, acc=np.ones((2, 3), np.float32)), "acc is float32"),
    (lambda: num.quantize_mx(np.ones(3), "fp8"), "is none of MX; expected one of"),
    (lambda: num.quantize_mx(np.ones(3), axis=1), "axis 1"),
    (lambda: num.quantize_nvfp4(np.ones(3), tensor_scale=0.0), "positive"),
], ids=range(11))
def test_what_does_not_fit_is_refused_by_name(call, words):
    with pytest.raises(emu.UnsupportedError, match=words):
        call()
