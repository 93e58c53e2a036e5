"""mm: one repeat, for each way in which a chip may accumulate, and with scales for blocks of k."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isa.oracle.errors import OracleError
from isa.oracle.formats import canonical, dtype, to_fp32
from isa.tables import load

A = NDArray[Any]
INTEGERS = ("int8", "int4")
SCALES = ("e8m0", "fp8_e4m3")
NOTHING = -100000  # the exponent of a zero


@dataclass(frozen=True)
class Accumulate:
    """How a chip adds up: order sequential | block | tree, the size of a block, where the accumulator joins; the bits of an accumulator;
    and the fraction bits to which a block's terms are aligned (0: they are not), with how bits go: nearest | truncate."""

    order: str = "sequential"
    block_k: int = 0
    join: str = "acc_first"
    width: int = 32
    inner_fraction_bits: int = 0
    inner_rounding: str = "nearest"


def is_narrow(name: str) -> bool:
    """Floats of at most 11 significant bits, whose products are exact."""
    form = load().formats[name]
    return form.kind == "float" and form.mantissa <= 10


def fit(x: A, rule: Accumulate) -> A:
    """fp32 values with as many bits as an accumulator has."""
    drop = 32 - rule.width
    if not drop:
        return x
    word = x.view(np.uint32)
    half = np.uint32((1 << drop - 1) - 1) + (word >> np.uint32(drop) & np.uint32(1))
    word = word + (np.uint32(0) if rule.inner_rounding == "truncate" else half)
    return np.where(np.isfinite(x), (word >> np.uint32(drop) << np.uint32(drop)).view(np.float32), x)


def step(c: A, a: A, b: A, fused: bool, rule: Accumulate) -> A:
    """c + a b for a column a and a row b. Fused: one rounding, because the product is exact in double and the sum has room."""
    if fused:
        return fit((a.astype(np.float64)[:, None] * b.astype(np.float64)[None, :] + c.astype(np.float64)).astype(np.float32), rule)
    product = a[:, None] * b[None, :]
    return fit(c + product, rule)


def chain(c: A, a: A, b: A, fused: bool, rule: Accumulate) -> A:
    """Over ascending k."""
    for k in range(a.shape[1]):
        c = step(c, a[:, k], b[k, :], fused, rule)
    return c


def tree(a: A, b: A, rule: Accumulate) -> A:
    """Products rounded, then neighbours pairwise; an odd last one moves up."""
    level = [fit(a[:, k][:, None] * b[k, :][None, :], rule) for k in range(a.shape[1])]
    while len(level) > 1:
        pairs = [fit(level[i] + level[i + 1], rule) for i in range(0, len(level) - 1, 2)]
        level = pairs + level[len(level) // 2 * 2 :]
    return level[0]


def exponent(x: A) -> A:
    """Of the leading bit, no less than that of fp32's least normal number; zeros have none."""
    return np.where(x == 0, NOTHING, np.maximum(np.frexp(x)[1] - 1, -126))


def cut(x: A, rule: Accumulate) -> A:
    """To whole numbers, as the rule rounds."""
    return np.trunc(x) if rule.inner_rounding == "truncate" else np.rint(x)


def aligned(c: A | None, a: A, b: A, fused: bool, rule: Accumulate) -> A:
    """The exact sum of products (and of c), each first cut to a multiple of 2^(top - bits), top the largest exponent among them."""
    products = a.astype(np.float64)[:, :, None] * b.astype(np.float64)[None, :, :]  # [m, k, n]
    if not fused:
        products = (a[:, :, None] * b[None, :, :]).astype(np.float64)
    top = np.max(exponent(a)[:, :, None] + exponent(b)[None, :, :], axis=1)
    if c is not None:
        top = np.maximum(top, exponent(c))
    top = np.where(top < -1000, 0, top)
    shift = rule.inner_fraction_bits - top
    total = np.zeros(top.shape) if c is None else 0.0 + cut(np.ldexp(c.astype(np.float64), shift), rule)
    for k in range(a.shape[1]):
        total = total + cut(np.ldexp(products[:, k, :], shift), rule)
    fraction, power = np.frexp(np.ldexp(total, -shift))
    kept = np.ldexp(cut(np.ldexp(fraction, rule.width - 8), rule), power - (rule.width - 8))
    return np.where(np.isfinite(total), kept, total).astype(np.float32)


def block_sum(a: A, b: A, fused: bool, rule: Accumulate) -> A:
    """The products of one block, from +0."""
    if rule.inner_fraction_bits:
        return aligned(None, a, b, fused, rule)
    return chain(np.zeros((a.shape[0], b.shape[1]), np.float32), a, b, fused, rule)


def matmul_float(c: A, a: A, b: A, fused: bool, rule: Accumulate) -> A:
    """One repeat on fp32 arrays [m, n], [m, k], [k, n]."""
    if rule.inner_fraction_bits and rule.order != "block":
        raise OracleError(f"terms are aligned within blocks only: {rule}")
    zero = np.zeros_like(c)
    if rule.order == "tree":
        return fit(c + tree(a, b, rule), rule) if a.shape[1] else c
    last = rule.join == "acc_last"
    if rule.order == "sequential":
        return fit(c + chain(zero, a, b, fused, rule), rule) if last else chain(c, a, b, fused, rule)
    if rule.order != "block" or rule.block_k < 1:
        raise OracleError(f"no such accumulation: {rule}")
    total = zero if last else c
    for k in range(0, a.shape[1], rule.block_k):
        some_a, some_b = a[:, k : k + rule.block_k], b[k : k + rule.block_k, :]
        if rule.inner_fraction_bits and not last:
            total = aligned(total, some_a, some_b, fused, rule)
        else:
            total = fit(total + block_sum(some_a, some_b, fused, rule), rule)
    return fit(c + total, rule) if last else total


def matmul_scaled(c: A, a: A, b: A, scales: tuple[A, A], block: int, rule: Accumulate) -> A:
    """Blocks of k with scales [m, blocks] and [blocks, n]: a block's sum, from +0, times the exact product of its scales, rounded once."""
    total = np.zeros_like(c) if rule.join == "acc_last" else c
    for j, k in enumerate(range(0, a.shape[1], block)):
        some_a, some_b = a[:, k : k + block], b[k : k + block, :]
        part = matmul_float(np.zeros_like(c), some_a, some_b, True, rule)
        factor = scales[0][:, j].astype(np.float64)[:, None] * scales[1][j, :].astype(np.float64)[None, :]
        total = fit(total + fit((part.astype(np.float64) * factor).astype(np.float32), rule), rule)
    return fit(c + total, rule) if rule.join == "acc_last" else total


def integers(acc: A | None, a: A, b: A) -> A:
    """Exact, modulo 2^32."""
    total = np.zeros((a.shape[0], b.shape[1]), np.int64) if acc is None else acc.astype(np.int64)
    for k in range(a.shape[1]):
        total = total + a[:, k].astype(np.int64)[:, None] * b[k, :].astype(np.int64)[None, :]
    return (total & 0xFFFFFFFF).astype(np.uint32).view(np.int32)


def mm(acc: A | None, a: A, b: A, formats: tuple[str, str, str], bt: bool, rule: Accumulate, scale_a: A | None = None,
       scale_b: A | None = None, block: int = 0) -> A:
    """The new accumulators. `acc` is None when they are overwritten; formats are those of acc, a and b.

    scale_a [m, blocks] and scale_b [blocks, n] (bt: [n, blocks]) hold the scales of blocks of `block` elements of k, in e8m0 or fp8_e4m3.
    """
    if bt:
        b = b.T
    if formats[0] == "int32" and formats[1] in INTEGERS and formats[2] in INTEGERS and scale_a is None and scale_b is None:
        return integers(acc, a, b)
    fused = is_narrow(formats[1]) and is_narrow(formats[2])
    if formats[0] != "fp32" or not fused and formats[1:] != ("fp32", "fp32"):
        raise OracleError(f"mm does not take {formats[1]} and {formats[2]} into {formats[0]}")
    c = np.zeros((a.shape[0], b.shape[1]), dtype("fp32")) if acc is None else acc
    a, b = to_fp32(a, formats[1]), to_fp32(b, formats[2])
    with np.errstate(all="ignore"):
        if scale_a is None and scale_b is None:
            return canonical(matmul_float(c, a, b, fused, rule), "fp32")
        if not fused or block < 1:
            raise OracleError(f"mm takes no scales with {formats[1]} and {formats[2]} in blocks of {block}")
        blocks = -(-a.shape[1] // block)
        ones = np.ones((a.shape[0], blocks)), np.ones((blocks, b.shape[1]))
        down = ones[0] if scale_a is None else to_fp32(scale_a)
        across = ones[1] if scale_b is None else to_fp32(scale_b.T if bt else scale_b)
        if down.shape != ones[0].shape or across.shape != ones[1].shape:
            raise OracleError(f"{blocks} blocks of k: the scales are {down.shape} and {across.shape}")
        return canonical(matmul_scaled(c, a, b, (down, across), block, rule), "fp32")
