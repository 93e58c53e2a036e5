"""Operands of products whose blocks of k have scales: elements and, behind them in the same slot, the scales."""

from __future__ import annotations

from collections.abc import Sequence

from emu.kernels.lang import Tensor, Tile, Tracer, Value, View
from emu.kernels.lang.matops import kind_of
from emu.kernels.lang.memory import array_bytes, exactly


def blocks_of(scales: Tensor | View, k0: Value, count: int) -> tuple[Value, int]:
    """The first block of `count` elements from the k0-th, where one must begin, and the number of blocks."""
    block = kind_of(scales.fmt)[1]
    return exactly(k0, block, f"blocks of {block} elements with a scale"), -(-count // block)


def grouped_shape(rows: int, blocks: int, block: int, max_k: int) -> tuple[int, int, int]:
    """How the scales [rows, blocks] of rows lie in device memory: [groups][rows][g], those of one instruction's k together. Rows that are
    loaded slice by slice then come in long runs. What is missing in the last group is padded."""
    group = max(1, max_k // block)
    return -(-blocks // group), rows, group


def slice_of(scales: View | None, k0: Value, count: int) -> View | None:
    """The scales [rows, blocks] of `count` elements from the k0-th."""
    if scales is None:
        return None
    first, blocks = blocks_of(scales, k0, count)
    return scales[:, first : first + blocks]


def weight_bytes(w: Tensor, tile_k: int, tile_n: int) -> int:
    """Of a slot for a tile of weights and its scales."""
    scales = 0 if w.scales is None else array_bytes((blocks_of(w.scales, 0, tile_k)[1], tile_n), w.scales.fmt)
    return array_bytes((tile_k, tile_n), w.fmt) + scales


def scaled_tile(
    k: Tracer, shape: Sequence[int], fmt: str, valid: Sequence[Value], scales: Sequence[int], scale_fmt: str, scales_valid: Sequence[Value],
    depth: int, name: str, space: str,
) -> Tile:
    """A tile whose slots also hold scales of this shape and format, behind its elements."""
    size = array_bytes(shape, fmt) + array_bytes(scales, scale_fmt)
    tile = k.next(k.ring(name, size, depth, space), shape, fmt, valid)
    tile.scales = tile.behind(scales, scale_fmt, scales_valid)
    return tile
