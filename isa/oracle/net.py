"""Remote DMA on the memories of several chips: what each instruction reads, and what it then writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from isa.oracle import vec
from isa.oracle.descriptor import SPACES, Descriptor
from isa.oracle.engines import Write, equal_width, transfer_size
from isa.oracle.errors import OracleError
from isa.oracle.formats import is_packed, to_fp32
from isa.tables import load


def operands(d: list[Descriptor], sums: bool) -> None:
    """What must hold of all of them: device memory, the sources here; of sums, one float format of whole bytes."""
    transfer_size(d[0])
    d[0].must_lie_in("hbm", "far")
    for source in d[1:]:
        source.must_lie_in("hbm")
        equal_width(d[0], source)
        if sums and (source.fmt != d[0].fmt or is_packed(d[0].fmt) or load().formats[d[0].fmt].kind != "float"):
            raise OracleError(f"a sum of {source.fmt} and {d[0].fmt}: both must be one float format")


def put(d: list[Descriptor]) -> Write:
    """Copy d1 to d0, wherever it is."""
    operands(d[:2], False)
    n = d[0].extents
    values = d[1].read_bytes(n)
    return lambda: d[0].write_bytes(n, values)


def _sum(d: list[Descriptor], keep: bool) -> Write:
    operands(d, True)
    n = d[0].extents
    total = vec.compute("vadd", d[0].fmt, [to_fp32(x.read(n), x.fmt) for x in d[1:]])

    def write() -> None:
        for target in (d[1], d[0]) if keep else (d[0],):
            target.write(n, total)

    return write


def puta(d: list[Descriptor]) -> Write:
    """d0 = d1 + d2."""
    return _sum(d, False)


def putk(d: list[Descriptor]) -> Write:
    """d0 = d1 = d1 + d2."""
    return _sum(d, True)


def chips_of(d: list[Descriptor]) -> list[int]:
    """The chips that a list names, in its order."""
    own, chips = d[0].memory.number, len(d[0].memory.system)
    first = own if d[2]["core"] == -1 else d[2]["core"]
    found = [first + j * d[2]["s1"] for j in range(d[2]["n0"])]
    if not found or any(not 0 <= chip < chips for chip in found):
        raise OracleError(f"a list of chips {found[:4]}, of which there are {chips}")
    return found


def elsewhere(d: Descriptor, chip: int) -> Descriptor:
    """The same bytes of another chip."""
    return replace(d, fields=d.fields | {"space": SPACES.index("far"), "core": chip})


def putm(d: list[Descriptor]) -> Write:
    """Copy d1 to d0 of every chip of the list."""
    operands(d[:2], False)
    d[0].must_lie_in("hbm")
    n, chips = d[0].extents, chips_of(d)
    values = d[1].read_bytes(n)

    def write() -> None:
        for chip in chips:
            elsewhere(d[0], chip).write_bytes(n, values)

    return write


def getr(d: list[Descriptor]) -> Write:
    """d0 = the sum of d1 of the chips of the list, one after the other in fp32, rounded once."""
    operands(d[:2], True)
    d[0].must_lie_in("hbm")
    n = d[0].extents
    total = None
    for chip in chips_of(d):
        term = to_fp32(elsewhere(d[1], chip).read(n), d[1].fmt)
        total = term if total is None else vec.compute("vadd", "fp32", [total, term])
    result = vec.compute("vmov", d[0].fmt, [np.asarray(total)])
    return lambda: d[0].write(n, result)


NET: dict[str, Callable[[list[Descriptor]], Write]] = {"put": put, "puta": puta, "putk": putk, "putm": putm, "getr": getr}
