"""mm: the compiled core against the oracle for every pair of formats, order of accumulation and ragged shape, at every code level."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from values_support import LEVELS, at_level, canonical_bits

from emu import _num
from emu.testing.profile import checked
from emu.testing.tensors import random_elements
from isa.oracle.descriptor import FORMATS
from isa.oracle.formats import dtype, pack, size
from isa.oracle.mm import Accumulate, mm

NARROW = ["bf16", "fp16", "fp8_e4m3", "fp8_e5m2", "tf32", "fp6_e2m3", "fp6_e3m2", "fp4_e2m1"]
PAIRS = [(a, b) for a in NARROW for b in NARROW] + [("fp32", "fp32")] + [(a, b) for a in ("int8", "int4") for b in ("int8", "int4")]
ORDERS = {"sequential": 0, "block": 1, "tree": 2}
BLOCKS, JOINS = st.sampled_from([1, 2, 4, 7, 16, 64]), st.sampled_from(["acc_first", "acc_last"])
RULES = st.one_of(
    st.builds(Accumulate, st.sampled_from(sorted(ORDERS)), BLOCKS, JOINS),
    st.builds(Accumulate, st.sampled_from(sorted(ORDERS)), BLOCKS, JOINS, st.sampled_from([10, 17, 22, 31, 32]), st.just(0),
              st.sampled_from(["nearest", "truncate"])),
    st.builds(Accumulate, st.just("block"), BLOCKS, JOINS, st.sampled_from([17, 22, 32]), st.sampled_from([1, 7, 13, 24, 25, 32]),
              st.sampled_from(["nearest", "truncate"])),
)


def as_view(x: np.ndarray, fmt: str, pad: int = 0) -> tuple[np.ndarray, _num.View]:
    """Memory and view of a matrix whose rows are `pad` elements longer than needed."""
    rows, columns = x.shape
    packed = pack(x, fmt)
    memory = np.zeros((rows, packed.shape[1] + pad * size(fmt)), np.uint8)
    memory[:, : packed.shape[1]] = packed
    raw = memory.reshape(-1)
    return raw, (raw, 0, FORMATS.index(fmt), (columns, rows, 1, 1), (size(fmt), memory.shape[1], 0, 0))


def arguments(rule: Accumulate) -> dict[str, int]:
    """The rule as the C side takes it."""
    return {"order": ORDERS[rule.order], "block_k": rule.block_k, "acc_last": rule.join == "acc_last", "width": rule.width,
            "inner_bits": rule.inner_fraction_bits, "truncate": rule.inner_rounding == "truncate"}


def compare(seed: int, pair: tuple[str, str], m: int, n: int, k: int, bt: bool, accumulate: bool, rule: Accumulate, wild: bool,
            pad: int) -> None:
    rng = np.random.default_rng(seed)
    target = "int32" if pair[0] in ("int8", "int4") else "fp32"
    a = random_elements(rng, pair[0], m * k, wild).reshape(m, k)
    b = random_elements(rng, pair[1], k * n, wild).reshape((n, k) if bt else (k, n))
    c = random_elements(rng, target, m * n, wild).reshape(m, n)
    raw, view_c = as_view(c, target, pad)
    before = raw.copy()
    views = [as_view(a, pair[0], pad)[1], as_view(b, pair[1], 2 * pad)[1]]
    want = mm(c if accumulate else None, a, b, (target, *pair), bt, rule)
    expected, _ = as_view(want, target, pad)
    for level in LEVELS:
        raw[:] = before
        with at_level(level):
            _num.mm(view_c, *views, bt, accumulate, **arguments(rule))
        assert np.array_equal(raw.view(f"u{size(target)}"), expected.view(f"u{size(target)}")), f"level {level}"


@checked(1500)
@given(
    seed=st.integers(0, 2**32), pair=st.sampled_from(PAIRS), m=st.sampled_from([1, 2, 3, 5, 7, 12, 13, 25, 0]),
    n=st.sampled_from([1, 2, 8, 15, 16, 17, 31, 33, 65, 0]), k=st.sampled_from([1, 2, 3, 5, 7, 16, 17, 31, 64, 65, 0]), bt=st.booleans(),
    accumulate=st.booleans(), rule=RULES, wild=st.booleans(), pad=st.sampled_from([0, 0, 3]),
)
def test_core_equals_oracle(seed, pair, m, n, k, bt, accumulate, rule, wild, pad):
    compare(seed, pair, m, n, k, bt, accumulate, rule, wild, pad)


@pytest.mark.parametrize("pair", PAIRS[::5] + PAIRS[-4:])
def test_long_k(pair):
    """More than one block of the integer path, and sums that grow."""
    compare(3, pair, 3, 20, 2500, False, True, Accumulate(), False, 0)


@checked(800)
@given(
    seed=st.integers(0, 2**32), a=st.sampled_from(NARROW), b=st.sampled_from(NARROW), m=st.sampled_from([1, 2, 7, 13]),
    n=st.sampled_from([1, 5, 16, 33]), k=st.sampled_from([0, 1, 15, 16, 31, 33, 64, 70]), bt=st.booleans(), accumulate=st.booleans(),
    rule=RULES, wild=st.booleans(), kind=st.sampled_from([("e8m0", 32), ("fp8_e4m3", 16), ("e8m0", 5)]),
    which=st.sampled_from(["both", "a", "b"]),
)
def test_scaled_core_equals_oracle(seed, a, b, m, n, k, bt, accumulate, rule, wild, kind, which):
    rng, (fmt, block) = np.random.default_rng(seed), kind
    blocks = -(-k // block)
    x = random_elements(rng, a, m * k, wild).reshape(m, k)
    y = random_elements(rng, b, k * n, wild).reshape((n, k) if bt else (k, n))
    c = random_elements(rng, "fp32", m * n, wild).reshape(m, n)
    down = random_elements(rng, fmt, m * blocks, wild).reshape(m, blocks) if which != "b" else None
    across = random_elements(rng, fmt, n * blocks, wild).reshape((n, blocks) if bt else (blocks, n)) if which != "a" else None
    want = mm(c if accumulate else None, x, y, ("fp32", a, b), bt, rule, down, across, block)
    raw, view_c = as_view(c, "fp32", 2)
    expected, _ = as_view(want, "fp32", 2)
    before = raw.copy()
    scales = {"scale_a": None if down is None else as_view(down, fmt, 1)[1], "scale_b": None if across is None else as_view(across, fmt)[1]}
    for level in LEVELS:
        raw[:] = before
        with at_level(level):
            _num.mm(view_c, as_view(x, a, 1)[1], as_view(y, b)[1], bt, accumulate, **arguments(rule), **scales, scale_block=block)
        assert np.array_equal(raw.view(np.uint32), expected.view(np.uint32)), f"level {level}"


def test_int8_wraps():
    k = 1 << 17
    a, b = np.full((1, k), -128, np.int8), np.full((k, 1), -128, np.int8)
    raw, view = as_view(np.array([[2**31 - 1]], np.int32), "int32")
    _num.mm(view, as_view(a, "int8")[1], as_view(b, "int8")[1], 0, 1)
    assert raw.view(np.int32)[0] == (2**31 - 1 + k * 16384 + 2**31) % 2**32 - 2**31


@pytest.mark.parametrize("level", LEVELS)
def test_one_rounding_where_the_product_leaves_fp32(level):
    """bf16: a product below fp32's range still tips a tie of the sum; a product above it may be brought back by the accumulator."""
    def one(a: float, b: float, c: float) -> np.float32:
        raw, view = as_view(np.array([[c]], np.float32), "fp32")
        x, y = (as_view(np.array([[v]], np.float32).astype(dtype("bf16")), "bf16")[1] for v in (a, b))
        with at_level(level):
            _num.mm(view, x, y, 0, 1)
        return raw.view(np.float32)[0]

    assert one(2.0**-100, 2.0**-49, 2.0**-149) == 2.0**-148
    assert one(1.5 * 2.0**-100, 2.0**-50, 0.0) == 2.0**-149
    assert one(2.0**-100, 2.0**-50, 0.0) == 0
    assert one(2.0**100, 2.0**28, -(2.0**127)) == 2.0**127


def test_fp32_is_never_fused():
    a = np.float32(1 + 2.0**-23)
    raw, view = as_view(np.array([[-1.0]], np.float32), "fp32")
    for level in LEVELS:
        raw[:] = np.float32([-1.0]).view(np.uint8)
        with at_level(level):
            _num.mm(view, *[as_view(np.array([[a]]), "fp32")[1]] * 2, 0, 1)
        assert raw.view(np.float32)[0] == np.float32(a * a) - np.float32(1)


def test_nan_is_canonical():
    x = np.array([[0xFFC1]], np.uint16).view(dtype("bf16"))
    raw, view = as_view(np.zeros((1, 1), np.float32), "fp32")
    _num.mm(view, as_view(x, "bf16")[1], as_view(x, "bf16")[1])
    assert raw.view(np.uint32)[0] == 0x7FC00000 and canonical_bits(raw.view(np.float32))[0] == 0xFFFFFFFF


def test_tree_pairs_neighbours():
    """One and four half ulps: ((1 + h) + (h + h)) + h, the odd last product moving up; in sequence each h is lost."""
    a = np.array([[1, 2**-24, 2**-24, 2**-24, 2**-24]], np.float32).astype(dtype("bf16"))
    b = np.ones((5, 1), dtype("bf16"))
    out = mm(None, a, b, ("fp32", "bf16", "bf16"), False, Accumulate("tree"))
    assert out[0, 0] == np.float32(1 + 2**-22)
    assert mm(None, a, b, ("fp32", "bf16", "bf16"), False, Accumulate())[0, 0] == 1


def test_unsupported_combinations_are_refused():
    x = {f: as_view(np.zeros((2, 2), dtype(f)), f)[1] for f in FORMATS}
    for acc, a, b in [("fp32", "fp32", "bf16"), ("fp32", "int8", "int8"), ("int32", "bf16", "bf16"), ("bf16", "bf16", "bf16"),
                      ("fp32", "int32", "int32")]:
        with pytest.raises(_num.Unsupported):
            _num.mm(x[acc], x[a], x[b])
    with pytest.raises(_num.Unsupported):
        _num.mm(x["fp32"], x["bf16"], x["bf16"], 0, 0, 1, 0)
    with pytest.raises(_num.Unsupported):
        _num.mm(x["fp32"], as_view(np.zeros((2, 3), dtype("bf16")), "bf16")[1], x["bf16"])
