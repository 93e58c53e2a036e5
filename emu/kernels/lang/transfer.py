"""Shapes of transfers: both sides reduced to the same few axes, so that contiguous bytes move in one run."""

from __future__ import annotations

from emu.errors import ProgramError
from emu.kernels.lang.memory import Dim, View


def _squeezed(view: View) -> tuple[Dim, ...]:
    return tuple(d for d in view.dims if not (d.size == 1 and d.extent == 1))


def matched(target: View, source: View) -> tuple[tuple[Dim, ...], tuple[Dim, ...]]:
    """Axes of both sides without those of one element; they must agree, in ragged extents too."""
    to, origin = _squeezed(target), _squeezed(source)
    if tuple(d.extent for d in to) != tuple(d.extent for d in origin):
        raise ProgramError(
            f"a transfer between different shapes: {source.buffer.name} {source.shape} (valid {source.extents}) "
            f"to {target.buffer.name} {target.shape} (valid {target.extents})",
        )
    return to, origin


def merged(to: tuple[Dim, ...], origin: tuple[Dim, ...]) -> tuple[tuple[Dim, ...], tuple[Dim, ...]]:
    """Neighbouring axes that are contiguous on both sides become one."""
    out: list[Dim] = []
    inp: list[Dim] = []
    for a, b in zip(to, origin):
        if out and _joins(out[-1], a) and _joins(inp[-1], b):
            outer = out[-1].extent
            assert isinstance(a.extent, int)
            size = out[-1].size * a.extent
            out[-1] = Dim(outer * a.extent, a.stride, size, a.bits)
            inp[-1] = Dim(outer * a.extent, b.stride, size, b.bits)
        else:
            out.append(a)
            inp.append(b)
    if len(out) > 4:
        raise ProgramError("a transfer has at most four axes")
    return tuple(out), tuple(inp)


def _joins(outer: Dim, inner: Dim) -> bool:
    if not isinstance(inner.extent, int):
        return False
    return 8 * outer.stride == inner.bits * inner.extent if inner.bits else outer.stride == inner.stride * inner.extent


