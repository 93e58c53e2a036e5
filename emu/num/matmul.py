"""Matrix products with the machine's bits."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from emu import _num
from emu.errors import UnsupportedError
from emu.num.blocks import Blocks
from emu.num.formats import format_of, known, number, pack

ORDERS = ("sequential", "block", "tree")
Operand = NDArray[Any] | Blocks


class Rule(Protocol):
    """How an engine adds: `chip.core.matrix.accumulate` of any chip."""

    @property
    def order(self) -> str: ...
    @property
    def block_k(self) -> int: ...
    @property
    def join(self) -> str: ...
    @property
    def width_bits(self) -> int: ...
    @property
    def inner_fraction_bits(self) -> int: ...
    @property
    def inner_rounding(self) -> str: ...


def _view(matrix: NDArray[Any], fmt: str) -> _num.View:
    raw = pack(matrix, fmt)
    size = max(known(fmt).bits // 8, 1)
    return raw.reshape(-1), 0, number(fmt), (matrix.shape[1], matrix.shape[0], 1, 1), (size, raw.shape[1], 0, 0)


def _matrix(x: Operand, fmt: str | None, name: str) -> tuple[NDArray[Any], str]:
    values = x.values if isinstance(x, Blocks) else np.asarray(x)
    if values.ndim != 2:
        raise UnsupportedError(f"{name}: a matrix is expected, this has {values.ndim} dimensions")
    if isinstance(x, Blocks):
        return values, x.fmt
    found = format_of(values)
    if fmt is not None and (fmt != "tf32" or found != "fp32") and fmt != found:
        raise UnsupportedError(f"{name}: its elements are {found}, not {fmt}; cast them first (emu.num.cast)")
    return values, fmt or found


def _scales(a: Operand, b: Operand, bt: bool) -> dict[str, Any]:
    """What the core is told of the blocks of either operand."""
    found: dict[str, Any] = {}
    for name, x, along in (("a", a, 1), ("b", b, 1 if bt else 0)):
        if not isinstance(x, Blocks):
            continue
        if x.axis % 2 != along:
            raise UnsupportedError(f"{name}: its scales run along axis {x.axis % 2}, k is axis {along}; quantize with axis={along}")
        if found and found["scale_block"] != x.block:
            raise UnsupportedError(f"a has scales for {found['scale_block']} elements, b for {x.block}; use one kind of blocks for both")
        found |= {f"scale_{name}": _view(x.scales, format_of(x.scales)), "scale_block": x.block}
    return found


def mm(a: Operand, b: Operand, *, bt: bool = False, acc: NDArray[Any] | None = None, accumulate: Rule | None = None,
       formats: tuple[str, str] | None = None) -> NDArray[Any]:
    """a [m, k] @ b [k, n] (bt: b is [n, k]) as the machine's mm computes it: fp32 [m, n], or int32 for int8 and int4.

    Operands are arrays of the formats' own dtypes (`emu.num.cast`) or `Blocks`, whose scales run along k. `formats` names them where the
    dtype does not: tf32 in float32 arrays. `acc` is added to; `accumulate` is a chip's rule, one fp32 chain over ascending k unless given.
    Tensor scales multiply the result (and not `acc`) once, rounded. Raises UnsupportedError for shapes, formats or blocks that do not fit
    each other.
    """
    (x, fmt_a), (y, fmt_b) = (_matrix(v, f, name) for v, f, name in zip((a, b), formats or (None, None), "ab"))
    m, k, n = x.shape[0], x.shape[1], y.shape[0] if bt else y.shape[1]
    if y.shape[1 if bt else 0] != k:
        raise UnsupportedError(f"a is {m} x {k}, b {y.shape[0]} x {y.shape[1]}{' (bt)' if bt else ''}: their k differs")
    wide = np.dtype(np.int32 if known(fmt_a).kind == "int" else np.float32)
    tensor = np.float32(1)
    for v in (a, b):
        tensor = tensor * v.tensor_scale if isinstance(v, Blocks) else tensor
    if acc is not None and (acc.shape != (m, n) or acc.dtype != wide):
        raise UnsupportedError(f"acc is {acc.dtype} {acc.shape}, the result {wide} {(m, n)}")
    inside = acc is not None and tensor == 1
    out = np.ascontiguousarray(acc).copy() if inside else np.zeros((m, n), wide)
    rule: dict[str, Any] = {} if accumulate is None else {
        "order": ORDERS.index(accumulate.order), "block_k": accumulate.block_k, "acc_last": accumulate.join == "acc_last",
        "width": accumulate.width_bits, "inner_bits": accumulate.inner_fraction_bits, "truncate": accumulate.inner_rounding == "truncate",
    }
    target = (out.reshape(-1).view(np.uint8), 0, number("int32" if wide.kind == "i" else "fp32"), (n, m, 1, 1), (4, 4 * n, 0, 0))
    try:
        _num.mm(target, _view(x, fmt_a), _view(y, fmt_b), bt, inside, **rule, **_scales(a, b, bt))
    except _num.Unsupported:
        with_scales = "with scales " if _scales(a, b, bt) else ""
        raise UnsupportedError(f"mm does not multiply {fmt_a} by {fmt_b} {with_scales}by this rule of accumulation") from None
    if tensor == 1:
        return out
    with np.errstate(all="ignore"):
        scaled = out * tensor
        return scaled if acc is None else acc + scaled
