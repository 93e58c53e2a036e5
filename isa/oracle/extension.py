"""Users' instructions: the meaning they come with, called for every element or for every row. Slow, and meant to be read.

Sources are converted to fp32, the meaning computes in whatever it says, its results are fp32 and are rounded once to the destination's
format. A meaning of elements takes (old element of d0 if it is `rw`), an element of d1, then one of d2 or the scalar, and returns a number.
A meaning of rows takes the row of d0 to fill (with `rw` it holds the old one), rows of d1 and d2, each as long as its own n0, and the
scalar."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isa.oracle.descriptor import Descriptor
from isa.oracle.dither import stochastic
from isa.oracle.errors import OracleError
from isa.oracle.formats import from_fp32, to_fp32
from isa.words import Extension

LOCAL = ("sram", "acc")


def run(added: Extension, d: list[Descriptor], operands: dict[str, int]) -> None:
    """One instruction on its descriptors."""
    access = {operand.name: operand.access for operand in added.spec.operands if operand.kind == "descriptor"}
    immediate = access.get("d2") == "s" or bool(operands.get("imm"))
    sources = [d[1]] + ([d[2]] if access.get("d2") == "r" and not immediate else [])
    n = d[0].extents
    extents = [(x.extents[0], *n[1:]) if added.rows else n for x in sources]
    for x in (d[0], *sources):
        x.must_lie_in(*LOCAL)
    if 0 in n[1:] or (n[0] == 0 and not added.rows):
        return
    read = [to_fp32(x.read(extent), x.fmt) for x, extent in zip(sources, extents)]
    keeps = access["d0"] == "rw"
    if keeps and not d[0].is_rising():
        raise OracleError(f"{added.spec.mnemonic}: the destination names an element twice or runs backwards")
    old = to_fp32(d[0].read(n), d[0].fmt) if keeps else np.zeros(n[::-1], np.float32)
    scalar = [np.uint32(d[2]["scalar"] & 0xFFFFFFFF).view(np.float32)] if immediate else []
    with np.errstate(all="ignore"):
        out = rows_of(added, old, read, scalar) if added.rows else elements_of(added, [old] if keeps else [], read, scalar)
        sat = bool(operands.get("sat"))
        if not operands.get("sr"):
            d[0].write(n, from_fp32(out, d[0].fmt, sat))
        elif d[0].fmt == "e8m0":
            raise OracleError("e8m0 is not rounded stochastically")
        else:
            d[0].write(n, stochastic(out, d[0].fmt, d[0]["seed"], sat))


def rows_of(added: Extension, old: NDArray[Any], read: list[NDArray[Any]], scalar: list[Any]) -> NDArray[Any]:
    """The meaning called for every row, which it changes in place."""
    assert added.meaning is not None
    out = old.copy()
    for at in np.ndindex(old.shape[:-1]):
        added.meaning(out[at], *(np.ascontiguousarray(x[at]) for x in read), *scalar)
    return out


def elements_of(added: Extension, old: list[NDArray[Any]], read: list[NDArray[Any]], scalar: list[Any]) -> NDArray[Any]:
    """The meaning called for every element; `old` is empty where it is not given the one of before."""
    assert added.meaning is not None
    out = np.empty_like(read[0])
    for at in np.ndindex(out.shape):
        out[at] = added.meaning(*(x[at] for x in (*old, *read)), *scalar)
    return out
