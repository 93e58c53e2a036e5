"""The matrix multiplication of the tracer: cuts a tile into what one instruction can do, repeating in hardware where it can."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from emu.errors import ProgramError, UnsupportedError
from emu.kernels.lang.expr import Value, clamp
from emu.kernels.lang.limits import Limits
from emu.kernels.lang.memory import Dim, Operand, View, view_of
from emu.kernels.lang.tree import Scalars, Use
from isa.tables import load


class Part(NamedTuple):
    """Elements start .. start + extent of an axis, `repeat` times in a row."""

    start: int
    extent: Value
    repeat: int = 1
    size: int = 0
    """Elements of it, masked ones too."""


def _cut(dim: Dim, limit: int) -> list[Part]:
    """The axis in pieces of at most `limit`, one instruction each."""
    extent = dim.extent
    most = extent if isinstance(extent, int) else dim.size
    found = [Part(start, clamp(extent - start, 0, limit), 1, min(limit, dim.size - start)) for start in range(0, most, limit)]
    return found or [Part(0, 0)]


def _fold(dim: Dim, limit: int) -> list[Part]:
    """The same with all whole pieces in one hardware repeat; ragged extents cannot be folded."""
    if not isinstance(dim.extent, int) or dim.extent <= limit:
        return _cut(dim, limit)
    times, rest = divmod(dim.extent, limit)
    return [Part(0, limit, times, limit)] + ([Part(times * limit, rest, 1, min(limit, dim.size - times * limit))] if rest else [])


def _flat(view: View) -> View:
    """[r, m, x] as [r * m, x] where the bytes allow it."""
    batch, rows, last = view.dims
    size = batch.size * rows.size
    return View(view.buffer, view.offset, (Dim(size, rows.stride, size), last), view.other)


def _can_flatten(view: View) -> bool:
    batch, rows, _ = view.dims
    return rows.extent == rows.size and batch.extent == batch.size and _adjoins(view)


def _adjoins(view: View) -> bool:
    """Whether [r, m, x], masked rows too, are r * m rows one behind the other."""
    batch, rows, _ = view.dims
    return batch.stride == rows.stride * rows.size


class MatOps:
    """Mixed into the tracer."""

    limits: Limits

    def _emit(
        self, stream: str, mnemonic: str, uses: tuple[Use, ...], scalars: Scalars | None = None, flags: tuple[str, ...] = (),
        piece: bool = False,
    ) -> None:
        raise NotImplementedError

    def mm(
        self, acc: Operand, a: Operand, b: Operand, bt: bool = False, a_scales: View | None = None, b_scales: View | None = None,
    ) -> None:
        """acc += a @ b; the first product into a generation of an accumulator tile overwrites it. bt: b is stored [n, k].

        a is [m, k] or [r, m, k] (r independent products with the same b), acc likewise. Scales of blocks of k, [m, blocks] and
        [blocks, n], lie in the same slots as the elements; their format says of which kind they are."""
        out, left, right = view_of(acc), view_of(a), view_of(b)
        scales = BlockScales(a_scales, b_scales)
        if scales.block and (bt or len(left.dims) != 2):
            raise UnsupportedError("mm with scales of blocks takes [m, k] and [k, n]")
        if scales.block and left.dims[1].size > self.limits.max_k and self.limits.max_k % scales.block:
            raise UnsupportedError(
                f"{self.limits.name}: one matrix instruction takes k up to {self.limits.max_k}, no whole blocks of {scales.block}; "
                "core.matrix.max_k must be a multiple"
            )
        if len(out.dims) == 3 and len(left.dims) == 3 and _can_flatten(out) and _can_flatten(left):
            out, left = _flat(out), _flat(left)
        if len(out.dims) == 2 and len(left.dims) == 2:
            out, left = out.as_dims(None, 0, 1), left.as_dims(None, 0, 1)
        n_axis, k_axis = (0, 1) if bt else (1, 0)
        if len(out.dims) != 3 or len(left.dims) != 3 or len(right.dims) != 2:
            raise ProgramError(f"mm takes [m, n], [m, k] and [k, n]; got {out.shape}, {left.shape}, {right.shape}")
        want = (left.dims[1].size, right.dims[n_axis].size, left.dims[2].size, left.dims[0].size)
        if want != (out.dims[1].size, out.dims[2].size, right.dims[k_axis].size, out.dims[0].size):
            stored = " stored [n, k]" if bt else ""
            raise ProgramError(f"mm shapes do not fit: {out.shape} += {left.shape} @ {right.shape}{stored}")
        self._cut_mm(out, left, right, n_axis, k_axis, scales)

    def _cut_mm(self, out: View, left: View, right: View, n_axis: int, k_axis: int, scales: BlockScales) -> None:
        limits = self.limits
        k_parts = _fold(left.dims[2], limits.max_k)
        folded = len(k_parts) > 1 or k_parts[0].repeat > 1
        n_parts = (_cut if folded else _fold)(out.dims[2], limits.max_n)
        folded = folded or any(part.repeat > 1 for part in n_parts)
        batch = out.dims[0].size
        r_parts = [Part(r, 1, 1, 1) for r in range(batch)] if folded else [Part(0, 1, batch, batch)]
        for r in r_parts:
            for m in _cut(out.dims[1], limits.max_m):
                for n in n_parts:
                    for k in k_parts:
                        self._one_mm(out, left, right, (r, m, n, k), n_axis, k_axis, scales)

    def _one_mm(
        self, out: View, left: View, right: View, parts: tuple[Part, Part, Part, Part], n_axis: int, k_axis: int, scales: BlockScales,
    ) -> None:
        """One instruction; at most one of the four parts repeats, and it sets the stride from one repeat to the next."""
        r, m, n, k = parts
        o_batch, o_rows, o_cols = (d.stride for d in out.dims)
        l_batch, l_rows, l_cols = left.dims
        over_n, over_k = right.dims[n_axis], right.dims[k_axis]
        repeat = r.repeat * n.repeat * k.repeat
        out_step = left_step = right_step = 0
        if r.repeat > 1:
            out_step, left_step = o_batch, l_batch.stride
        elif n.repeat > 1:
            out_step, right_step = self.limits.max_n * o_cols, _at(over_n, self.limits.max_n)
        elif k.repeat > 1:
            left_step, right_step = _at(l_cols, self.limits.max_k), _at(over_k, self.limits.max_k)
        side_n, side_k = Dim(n.extent, over_n.stride, n.size, over_n.bits), Dim(k.extent, over_k.stride, k.size, over_k.bits)
        right_dims = (side_n, side_k) if n_axis == 0 else (side_k, side_n)
        left_at = r.start * l_batch.stride + m.start * l_rows.stride + _at(l_cols, k.start)
        right_at = _at(over_n, n.start) + _at(over_k, k.start)
        passes, rows = repeat, m.size
        if r.repeat > 1 and all(_adjoins(view) for view in (out, left)):
            passes, rows = 1, r.repeat * m.size  # ragged rows of all repeats are one shape
        uses = (
            _use("d0", "w", out, r.start * o_batch + m.start * o_rows + n.start * o_cols,
                 Dim(repeat, out_step, passes), Dim(m.extent, o_rows, rows), Dim(n.extent, o_cols, n.size)),
            _use("d1", "r", left, left_at, Dim(repeat, left_step, passes), Dim(m.extent, l_rows.stride, rows),
                 Dim(k.extent, l_cols.stride, k.size, l_cols.bits), more=scales.of_a(left.offset + left_at, parts, self.limits.max_k)),
            _use("d2", "r", right, right_at, Dim(repeat, right_step, repeat), *right_dims,
                 more=scales.of_b(right.offset + right_at, parts, self.limits)),
        )
        piece = any(part.start for part in parts)
        self._emit("mm", "mm", uses, flags=("bt",) if n_axis == 0 else (), piece=piece)


def _use(slot: str, mode: str, view: View, offset: int, *dims: Dim, more: dict[str, Value] | None = None) -> Use:
    moved = View(view.buffer, view.offset + offset, view.dims, view.other)
    return Use(slot, moved, mode, dims, more or {})


def _at(dim: Dim, start: int) -> int:
    """Bytes to a place known while tracing."""
    offset = dim.at(start)
    assert isinstance(offset, int)
    return offset


_NONE: dict[str, Value] = {"scales": 0}
"""What an operand without scales must say: its descriptor may have had some in an operation before."""
_Parts = tuple[Part, Part, Part, Part]


class BlockScales(NamedTuple):
    """The scales of both operands of a product: [m, blocks] and [blocks, n]."""

    a: View | None
    b: View | None

    @property
    def block(self) -> int:
        """Elements of k that share a scale; 0 where neither operand has scales."""
        blocks = {kind_of(view.fmt)[1] for view in self if view is not None}
        if len(blocks) > 1:
            raise UnsupportedError(f"a and b have scales for blocks of {' and '.join(map(str, sorted(blocks)))} elements; use one kind")
        return blocks.pop() if blocks else 0

    def of_a(self, base: Value, parts: _Parts, max_k: int) -> dict[str, Value]:
        """Fields of the descriptor of a part of a, which begins at byte `base` of its slot."""
        if self.a is None:
            return _NONE
        kind, block = kind_of(self.a.fmt)
        _, m, _, k = parts
        rows, blocks = self.a.dims
        place = self.a.offset + m.start * rows.stride + k.start // block * blocks.stride
        return {"scales": kind, "scale": place - base, "scale_s1": rows.stride, "scale_s2": max_k // block * (k.repeat > 1)}

    def of_b(self, base: Value, parts: _Parts, limits: Limits) -> dict[str, Value]:
        """The same of b."""
        if self.b is None:
            return _NONE
        kind, block = kind_of(self.b.fmt)
        _, _, n, k = parts
        blocks, columns = self.b.dims
        step = limits.max_n * columns.stride if n.repeat > 1 else limits.max_k // block * blocks.stride if k.repeat > 1 else 0
        place = self.b.offset + n.start * columns.stride + k.start // block * blocks.stride
        return {"scales": kind, "scale": place - base, "scale_s1": blocks.stride, "scale_s2": step}


@cache
def kind_of(fmt: str) -> tuple[int, int]:
    """The kind of scales that are in this format, and the elements of a block: each kind has its own."""
    for kind in load().scales.values():
        if kind.format == fmt:
            return kind.id, kind.block
    raise UnsupportedError(f"{fmt} is no format of scales of blocks")
