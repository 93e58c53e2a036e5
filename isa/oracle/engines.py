"""Engine instructions on memory: what each reads (`read`), and what it then writes (`write`).

The two halves are apart because a DMA stream may read for a later transfer before an earlier one has written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isa.oracle import vec
from isa.oracle.descriptor import SPACES, Descriptor
from isa.oracle.errors import OracleError
from isa.oracle.formats import is_packed, row_bytes, to_fp32
from isa.oracle.mm import Accumulate, mm

MAX_TRANSFER = 16 << 20
Operands = dict[str, int]
Write = Callable[[], None]
LOCAL = ("sram", "acc")


def equal_width(d0: Descriptor, d1: Descriptor) -> None:
    if d0.bits != d1.bits:
        raise OracleError(f"formats {d0.fmt} and {d1.fmt} differ in width")


def transfer_size(d0: Descriptor) -> None:
    n0, *others = d0.extents
    count = row_bytes(d0.fmt, n0) * int(np.prod([int(n) for n in others], dtype=object))
    if count > MAX_TRANSFER:
        raise OracleError(f"a transfer of {count} bytes; at most {MAX_TRANSFER}")


def flat_rows(d: Descriptor) -> tuple[int, int]:
    """n0 and n1 of a list of rows."""
    n0, n1, n2, n3 = d.extents
    if n2 != 1 or n3 != 1:
        raise OracleError(f"gather and scatter have rows of n0 elements, n1 of them: n2 = {n2}, n3 = {n3}")
    return n0, n1


def dma(d: list[Descriptor]) -> Write:
    """Copy d1 to d0."""
    transfer_size(d[0])
    equal_width(d[0], d[1])
    n = d[0].extents
    values = d[1].read_bytes(n)
    return lambda: d[0].write_bytes(n, values)


def gather(target: Descriptor, table: Descriptor, index: Descriptor) -> Write:
    """Row i of target = the row of the table at byte idx[i] * s1."""
    equal_width(target, table)
    n0, n1 = flat_rows(target)
    rows = [table.read_bytes((n0, 1, 1, 1), i * table["s1"]) for i in index.indices(n1)] if n0 else []

    def write() -> None:
        for i, row in enumerate(rows):
            target.write_bytes((n0, 1, 1, 1), row, i * target["s1"])

    return write


def dmag(d: list[Descriptor]) -> Write:
    transfer_size(d[0])
    return gather(d[0], d[1], d[2])


def dmas(d: list[Descriptor]) -> Write:
    """The row of d0 at byte idx[i] * s1 = row i of d1, ascending."""
    transfer_size(d[0])
    equal_width(d[0], d[1])
    n0, n1 = flat_rows(d[0])
    rows = [(i * d[0]["s1"], d[1].read_bytes((n0, 1, 1, 1), at * d[1]["s1"])) for at, i in enumerate(d[2].indices(n1))] if n0 else []

    def write() -> None:
        for move, row in rows:
            d[0].write_bytes((n0, 1, 1, 1), row, move)

    return write


def multicast_cores(d: list[Descriptor]) -> list[int]:
    """The cores that a multicast reaches."""
    first = d[2].owner if d[2]["core"] == -1 else d[2]["core"]
    cores = [first + j * d[2]["s1"] for j in range(max(d[2]["n0"], 0))]
    for core in cores:
        if not 0 <= core < len(d[2].memory.core):
            raise OracleError(f"a multicast to core {core}, which does not exist")
    return cores


def dmam(d: list[Descriptor]) -> Write:
    """Copy d1 to d0 in the sram of several cores."""
    transfer_size(d[0])
    equal_width(d[0], d[1])
    d[0].must_lie_in("sram", "peer")
    n, cores = d[0].extents, multicast_cores(d)
    values = d[1].read_bytes(n)

    def write() -> None:
        for core in cores:
            replace(d[0], owner=core, fields=d[0].fields | {"space": SPACES.index("sram")}).write_bytes(n, values)

    return write


def scale_block(a: Descriptor, b: Descriptor) -> int:
    """Elements of k that share a scale, 0 where neither operand has scales."""
    sizes = {x.scales.block for x in (a, b) if x.scales.block}
    if len(sizes) > 1:
        raise OracleError(f"mm: a has {a.scales.name} scales, b {b.scales.name}: blocks of one size are needed")
    return max(sizes, default=0)


def read_scales(d: Descriptor, extents: tuple[int, int], repeat: int) -> NDArray[Any] | None:
    """The scales of an operand for one repeat, [n1, n0]; None where it has none."""
    if not d.scales.block:
        return None
    return d.scale_view().read((*extents, 1, 1), repeat * d["scale_s2"])[0, 0]


def run_mm(d: list[Descriptor], operands: Operands, rule: Accumulate) -> None:
    """All repeats of mm."""
    bt = bool(operands["bt"])
    d[0].must_lie_in("acc")
    d[1].must_lie_in(*LOCAL)
    d[2].must_lie_in(*LOCAL)
    if d[0]["accumulate"] not in (0, 1):
        raise OracleError(f"accumulate is 0 or 1, not {d[0]['accumulate']}")
    n, m, repeats, _ = d[0].extents
    k, a_rows, _, _ = d[1].extents
    b_shape = d[2].extents[:2]
    if a_rows != m or b_shape != ((k, n) if bt else (n, k)):
        raise OracleError(f"mm: the accumulators are {m}x{n}, a is {a_rows}x{k}, b is {b_shape[1]}x{b_shape[0]}{' (bt)' if bt else ''}")
    formats = (d[0].fmt, d[1].fmt, d[2].fmt)
    block = scale_block(d[1], d[2])
    blocks = -(-k // block) if block else 0
    extents = ((blocks, m), (blocks, n) if bt else (n, blocks))
    for r in range(repeats):
        a = d[1].read((k, m, 1, 1), r * d[1]["s2"])[0, 0]
        b = d[2].read((*b_shape, 1, 1), r * d[2]["s2"])[0, 0]
        overwrite = d[0]["accumulate"] == 0 and (r == 0 or d[0]["s2"] != 0)
        old = None if overwrite else d[0].read((n, m, 1, 1), r * d[0]["s2"])[0, 0]
        down, across = (read_scales(x, extent, r) for x, extent in zip(d[1:], extents))
        d[0].write((n, m, 1, 1), mm(old, a, b, formats, bt, rule, down, across, block)[None, None], r * d[0]["s2"])


def run_vec(mnemonic: str, d: list[Descriptor], operands: Operands) -> None:
    """One vec instruction; d0 to d2 as far as the instruction has them."""
    for descriptor in d[: 2 if operands.get("imm") or mnemonic in ("vfill", "vmask") else 3]:
        if not (mnemonic == "vfill" and descriptor is d[1]):
            descriptor.must_lie_in(*LOCAL)
    n, sat, seed = d[0].extents, bool(operands.get("sat")), d[0]["seed"] if operands.get("sr") else None
    if mnemonic == "vgather":
        gather(d[0], d[2], d[1])()
    elif mnemonic == "vtrans":
        transpose(d[0], d[1])
    elif mnemonic == "vfill":
        shape = tuple(reversed(n))
        bits = np.full(shape, d[2]["scalar"] & 0xFFFFFFFF, np.uint32)
        d[0].write(n, vec.compute("vmov", d[0].fmt, [bits.view(np.float32)]))
    elif mnemonic in ("vrsum", "vrmax"):
        rows = (1, *d[1].extents[1:])
        if 0 not in rows:
            d[0].write(rows, vec.compute(mnemonic, d[0].fmt, [to_fp32(d[1].read(d[1].extents), d[1].fmt)]))
    else:
        elementwise(mnemonic, d, n, sat, bool(operands.get("imm")), seed)


def elementwise(mnemonic: str, d: list[Descriptor], n: tuple[int, ...], sat: bool, immediate: bool, seed: int | None) -> None:
    """Sources over the extents of d0."""
    two = mnemonic in vec.BINARY or mnemonic == "vmac"
    sources = [to_fp32(x.read(n), x.fmt) for x in ((d[1], d[2]) if two and not immediate else (d[1],))]
    extra: dict[str, Any] = {"seed": seed}
    if seed is not None and d[0].fmt == "e8m0":
        raise OracleError("e8m0 is not rounded stochastically")
    if mnemonic == "vmac":
        if 0 not in n and not d[0].is_rising():
            raise OracleError("vmac: the destination names an element twice or runs backwards")
        extra["old"] = to_fp32(d[0].read(n), d[0].fmt)
    if mnemonic == "vmask":
        extra |= {"diag": d[2]["diag"], "window": d[2]["window"]}
    scalar = d[2]["scalar"] & 0xFFFFFFFF if len(d) > 2 else 0
    d[0].write(n, vec.compute(mnemonic, d[0].fmt, sources, sat=sat, scalar=scalar, **extra))


def transpose(d0: Descriptor, d1: Descriptor) -> None:
    """d0[j, i] = d1[i, j], bytes as they are."""
    n0, n1 = flat_rows(d1)
    if d0.fmt != d1.fmt:
        raise OracleError(f"vtrans: formats {d0.fmt} and {d1.fmt} differ")
    if is_packed(d0.fmt):
        raise OracleError(f"vtrans moves bytes, and {d0.fmt} is packed")
    values = d1.read_bytes((n0, n1, 1, 1))
    d0.write_bytes((n1, n0, 1, 1), np.swapaxes(values, 2, 3))


DMA: dict[str, Callable[[list[Descriptor]], Write]] = {"dma": dma, "dmag": dmag, "dmas": dmas, "dmam": dmam}
