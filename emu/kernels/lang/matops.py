"""The matrix multiplication of the tracer: cuts a tile into what one instruction can do, repeating in hardware where it can."""

from __future__ import annotations

from typing import NamedTuple

from emu.errors import ProgramError
from emu.kernels.lang.expr import Value, clamp
from emu.kernels.lang.limits import Limits
from emu.kernels.lang.memory import Dim, Operand, View, view_of
from emu.kernels.lang.tree import Scalars, Use


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
    return View(view.buffer, view.offset, (Dim(size, rows.stride, size), last))


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

    def mm(self, acc: Operand, a: Operand, b: Operand, bt: bool = False) -> None:
        """acc += a @ b; the first product into a generation of an accumulator tile overwrites it. bt: b is stored [n, k].

        a is [m, k] or [r, m, k] (r independent products with the same b), acc likewise."""
        out, left, right = view_of(acc), view_of(a), view_of(b)
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
        self._cut_mm(out, left, right, n_axis, k_axis)

    def _cut_mm(self, out: View, left: View, right: View, n_axis: int, k_axis: int) -> None:
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
                        self._one_mm(out, left, right, (r, m, n, k), n_axis, k_axis)

    def _one_mm(self, out: View, left: View, right: View, parts: tuple[Part, Part, Part, Part], n_axis: int, k_axis: int) -> None:
        """One instruction; at most one of the four parts repeats, and it sets the stride from one repeat to the next."""
        r, m, n, k = parts
        o_batch, o_rows, o_cols = (d.stride for d in out.dims)
        l_batch, l_rows, l_cols = (d.stride for d in left.dims)
        n_stride, k_stride = right.dims[n_axis].stride, right.dims[k_axis].stride
        repeat = r.repeat * n.repeat * k.repeat
        out_step = left_step = right_step = 0
        if r.repeat > 1:
            out_step, left_step = o_batch, l_batch
        elif n.repeat > 1:
            out_step, right_step = self.limits.max_n * o_cols, self.limits.max_n * n_stride
        elif k.repeat > 1:
            left_step, right_step = self.limits.max_k * l_cols, self.limits.max_k * k_stride
        side_n, side_k = (Dim(n.extent, n_stride, n.size), Dim(k.extent, k_stride, k.size))
        right_dims = (side_n, side_k) if n_axis == 0 else (side_k, side_n)
        passes, rows = repeat, m.size
        if r.repeat > 1 and all(_adjoins(view) for view in (out, left)):
            passes, rows = 1, r.repeat * m.size  # ragged rows of all repeats are one shape
        uses = (
            _use("d0", "w", out, r.start * o_batch + m.start * o_rows + n.start * o_cols,
                 Dim(repeat, out_step, passes), Dim(m.extent, o_rows, rows), Dim(n.extent, o_cols, n.size)),
            _use("d1", "r", left, r.start * l_batch + m.start * l_rows + k.start * l_cols,
                 Dim(repeat, left_step, passes), Dim(m.extent, l_rows, rows), Dim(k.extent, l_cols, k.size)),
            _use("d2", "r", right, n.start * n_stride + k.start * k_stride, Dim(repeat, right_step, repeat), *right_dims),
        )
        piece = any(part.start for part in parts)
        self._emit("mm", "mm", uses, flags=("bt",) if n_axis == 0 else (), piece=piece)


def _use(slot: str, mode: str, view: View, offset: int, *dims: Dim) -> Use:
    moved = View(view.buffer, view.offset + offset, view.dims)
    return Use(slot, moved, mode, dims)
