"""mm: one repeat, for each order in which a chip may accumulate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isa.oracle.errors import OracleError
from isa.oracle.formats import canonical, dtype

A = NDArray[Any]
NARROW = ("bf16", "fp16", "fp8_e4m3", "fp8_e5m2")


@dataclass(frozen=True)
class Accumulate:
    """How a chip adds up: order sequential | block | tree, the size of a block, and where the accumulator joins."""

    order: str = "sequential"
    block_k: int = 0
    join: str = "acc_first"


def step(c: A, a: A, b: A, fused: bool) -> A:
    """c + a b for a column a and a row b. Fused: one rounding, because the product is exact in double and the sum has room."""
    if fused:
        return (a.astype(np.float64)[:, None] * b.astype(np.float64)[None, :] + c.astype(np.float64)).astype(np.float32)
    product = a[:, None] * b[None, :]
    return c + product


def chain(c: A, a: A, b: A, fused: bool) -> A:
    """Over ascending k."""
    for k in range(a.shape[1]):
        c = step(c, a[:, k], b[k, :], fused)
    return c


def tree(a: A, b: A) -> A:
    """Products rounded, then neighbours pairwise; an odd last one moves up."""
    level = [a[:, k][:, None] * b[k, :][None, :] for k in range(a.shape[1])]
    while len(level) > 1:
        pairs = [level[i] + level[i + 1] for i in range(0, len(level) - 1, 2)]
        level = pairs + level[len(level) // 2 * 2 :]
    return level[0]


def matmul_float(c: A, a: A, b: A, fused: bool, rule: Accumulate) -> A:
    """One repeat on fp32 arrays [m, n], [m, k], [k, n]."""
    zero = np.zeros_like(c)
    if rule.order == "tree":
        return c + tree(a, b) if a.shape[1] else c
    last = rule.join == "acc_last"
    if rule.order == "sequential":
        return c + chain(zero, a, b, fused) if last else chain(c, a, b, fused)
    if rule.order != "block" or rule.block_k < 1:
        raise OracleError(f"no such accumulation: {rule}")
    total = zero if last else c
    for k in range(0, a.shape[1], rule.block_k):
        total = total + chain(zero, a[:, k : k + rule.block_k], b[k : k + rule.block_k, :], fused)
    return c + total if last else total


def mm(acc: A | None, a: A, b: A, formats: tuple[str, str, str], bt: bool, rule: Accumulate) -> A:
    """The new accumulators. `acc` is None when they are overwritten; formats are those of acc, a and b."""
    if bt:
        b = b.T
    if formats == ("int32", "int8", "int8"):
        total = np.zeros((a.shape[0], b.shape[1]), np.int64) if acc is None else acc.astype(np.int64)
        for k in range(a.shape[1]):
            total = total + a[:, k].astype(np.int64)[:, None] * b[k, :].astype(np.int64)[None, :]
        return (total & 0xFFFFFFFF).astype(np.uint32).view(np.int32)
    fused = formats[1] in NARROW and formats[2] in NARROW
    if formats[0] != "fp32" or not fused and formats[1:] != ("fp32", "fp32"):
        raise OracleError(f"mm does not take {formats[1]} and {formats[2]} into {formats[0]}")
    c = np.zeros((a.shape[0], b.shape[1]), dtype("fp32")) if acc is None else acc
    with np.errstate(all="ignore"):
        return canonical(matmul_float(c, a.astype(np.float32), b.astype(np.float32), fused, rule), "fp32")
