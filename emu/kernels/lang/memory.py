"""What a kernel's instructions refer to: tensors in device memory, tiles on chip, and views (parts) of either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import TYPE_CHECKING

from emu.errors import ProgramError, UnsupportedError, did_you_mean
from emu.kernels.lang.expr import Expr, Value, clamp, lower, upper
from emu.kernels.lang.percore import Const

if TYPE_CHECKING:
    from emu.kernels.lang.tree import Block, Region


@cache
def format_bits(fmt: str) -> int:
    """Bits of one element."""
    from isa.tables import load

    formats = load().formats
    if fmt not in formats:
        raise UnsupportedError(f"unknown number format {fmt!r}; {did_you_mean(fmt, formats)}")
    return formats[fmt].bits


@cache
def format_bytes(fmt: str) -> int:
    """Bytes of one element that takes whole ones."""
    if format_bits(fmt) < 8:
        raise UnsupportedError(f"number format {fmt!r} is packed: this part of a kernel moves whole bytes; use fp8, or int8 with scales")
    return format_bits(fmt) // 8


def array_bytes(shape: Sequence[int], fmt: str) -> int:
    """Of a row-major array; rows of packed elements end at a byte."""
    return prod(shape[:-1]) * (-(-shape[-1] * format_bits(fmt) // 8))


@dataclass(frozen=True)
class Dim:
    """One axis of a view: how many elements are valid, how far apart they are in bytes, and how many there can be at most.

    `bits` of an innermost axis of packed elements, which lie bit behind bit and have no stride."""

    extent: Value
    stride: int
    size: int
    bits: int = 0

    def at(self, start: Value) -> Value:
        """Bytes from the first element to another one."""
        return exactly(start * self.bits, 8, "packed elements are cut within a byte") if self.bits else start * self.stride


def exactly(value: Value, by: int, trouble: str) -> Value:
    """value / by, which must leave no rest in any iteration."""

    def part(c: Const) -> Const:
        if c % by != 0:
            raise UnsupportedError(f"{trouble}: {c} is no multiple of {by}; let tiles begin at a multiple")
        return c // by

    if not isinstance(value, Expr):
        return part(value)
    lo, hi = (None if c is None else part(c) for c in (value.lo, value.hi))
    return Expr(part(value.const), tuple((index, part(c)) for index, c in value.terms), lo, hi)


@dataclass(frozen=True, eq=False)
class View:
    """Part of a tensor or tile; dims outermost first. Python slices narrow it, an index drops an axis; ragged extents stay valid."""

    buffer: Tensor | Tile
    offset: Value
    dims: tuple[Dim, ...]
    other: str = ""
    """The format of bytes of the buffer that hold something else than its elements: the scales behind them."""
    chip: Value | None = None
    """Whose memory it is, if another chip's."""

    @property
    def fmt(self) -> str:
        return self.other or self.buffer.fmt

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(d.size for d in self.dims)

    @property
    def extents(self) -> tuple[Value, ...]:
        return tuple(d.extent for d in self.dims)

    def __getitem__(self, key: slice | Value | tuple[slice | Value, ...]) -> View:
        keys = key if isinstance(key, tuple) else (key,)
        if len(keys) > len(self.dims):
            raise ProgramError(f"{self.buffer.name}: {len(keys)} indices for {len(self.dims)} axes")
        offset, dims = self.offset, []
        for dim, part in zip(self.dims, keys):
            if isinstance(part, slice):
                start, length = _range(part, dim, self.buffer.name)
                dims.append(Dim(_within(dim, start, length), dim.stride, length, dim.bits))
                offset = offset + dim.at(start)
            else:
                offset = offset + dim.at(part)
        return View(self.buffer, offset, (*dims, *self.dims[len(keys):]), self.other, self.chip)

    def on(self, chip: Value) -> View:
        """The same bytes in the memory of another chip, to send there."""
        return View(self.buffer, self.offset, self.dims, self.other, chip)

    def as_dims(self, *order: int | None) -> View:
        """Axes in another order; None inserts an axis of one element."""
        return View(self.buffer, self.offset, tuple(Dim(1, 0, 1) if axis is None else self.dims[axis] for axis in order), self.other)

    def grouped(self, groups: int, valid: Sequence[Value]) -> View:
        """[rows, columns] as [groups, rows, columns / groups], which is how blocks of columns are stored elsewhere."""
        rows, columns = self.dims
        width = columns.size // groups
        step = columns.at(width)
        assert isinstance(step, int)
        dims = Dim(valid[0], step, groups), Dim(valid[1], rows.stride, rows.size), Dim(valid[2], columns.stride, width, columns.bits)
        return View(self.buffer, self.offset, dims, self.other)

    def in_blocks(self, width: int, valid: Value | None = None) -> View:
        """[.., columns] as [.., columns / width, width]; every column counts, or those of the first `valid` blocks."""
        last = self.dims[-1]
        if valid is None and last.extent != last.size or last.size % width:
            raise ProgramError(f"{self.buffer.name}: {last.extent} of {last.size} columns are not whole blocks of {width}")
        step = last.at(width)
        assert isinstance(step, int)
        count = last.size // width
        blocks = Dim(count if valid is None else valid, step, count)
        return View(self.buffer, self.offset, (*self.dims[:-1], blocks, Dim(width, last.stride, width, last.bits)), self.other)


def _range(part: slice, dim: Dim, name: str) -> tuple[Value, int]:
    start: Value = 0 if part.start is None else part.start
    stop: Value = dim.size if part.stop is None else part.stop
    length = stop - start
    if part.step is not None or not isinstance(length, int) or length < 0:
        raise ProgramError(f"{name}: the length of a slice must be known while tracing; write t[i * n : i * n + n]")
    return start, length


def _within(dim: Dim, start: Value, length: int) -> Value:
    """The valid part of `length` elements from `start`."""
    extent = dim.extent
    if isinstance(extent, Expr) and extent.clamped and isinstance(start, Expr):
        if extent.hi is not None and lower(extent.hi - start) < length:
            raise UnsupportedError("a slice that moves in a loop must divide the tile it moves in")
        extent = Expr(extent.const, extent.terms)
    return clamp(extent - start, 0, length)


class Sliceable:
    """Views by slicing and whole views, shared by tensors and tiles."""

    view: View

    def __getitem__(self, key: slice | Value | tuple[slice | Value, ...]) -> View:
        return self.view[key]


class Tensor(Sliceable):
    """A row-major tensor in device memory. `offset` is where in its buffer it begins: it may depend on a loop over layers."""

    def __init__(self, name: str, shape: Sequence[int], fmt: str, role: str, address: int, offset: Value = 0) -> None:
        self.name = name
        self.shape = tuple(shape)
        self.fmt = fmt
        self.role = role
        self.address = address
        self.offset = offset
        self.view = View(self, offset, _row_major(self.shape, self.shape, fmt))
        self.scales: Tensor | None = None
        """Of blocks of the elements along k, if they have some: the same shape but for k."""

    @property
    def bytes(self) -> int:
        return array_bytes(self.shape, self.fmt)

    def scaled(self, scales: Tensor | None) -> Tensor:
        """The same tensor with the scales of its blocks."""
        other = Tensor(self.name, self.shape, self.fmt, self.role, self.address, self.offset)
        other.scales = scales
        return other

    def at(self, origin: Sequence[Value], shape: Sequence[int], valid: Sequence[Value | None] | None = None) -> View:
        """The block of `shape` that begins at `origin`, cut at the tensor's edges; `valid` narrows an axis further."""
        if len(origin) != len(self.shape) or len(shape) != len(self.shape):
            raise ProgramError(f"{self.name} has {len(self.shape)} axes; the origin has {len(origin)}, the shape {len(shape)}")
        offset = self.offset
        dims = []
        for axis, (start, size, dim) in enumerate(zip(origin, shape, self.view.dims)):
            extent = clamp(dim.size - start, 0, size)
            if valid is not None and valid[axis] is not None:
                extent = valid[axis]  # type: ignore[assignment]
            offset = offset + dim.at(start)
            dims.append(Dim(extent, dim.stride, size, dim.bits))
        return View(self, offset, tuple(dims))

    def reshape(self, shape: Sequence[int]) -> Tensor:
        """The same bytes under another row-major shape."""
        other = Tensor(self.name, shape, self.fmt, self.role, self.address, self.offset)
        if other.bytes != self.bytes:
            raise ProgramError(f"{self.name} {self.shape} cannot be seen as {tuple(shape)}")
        return other

    def select(self, i: Value) -> Tensor:
        """The i-th of the tensors stacked along the first axis, for example the weights of layer i."""
        one = Tensor(self.name, self.shape[1:], self.fmt, self.role, self.address, self.offset + i * self.view.dims[0].stride)
        one.scales = self.scales.select(i) if self.scales is not None else None
        return one


def _row_major(shape: Sequence[int], extents: Sequence[Value], fmt: str) -> tuple[Dim, ...]:
    bits = format_bits(fmt)
    dims = [Dim(extents[-1], 0, shape[-1], bits) if bits < 8 else Dim(extents[-1], bits // 8, shape[-1])]
    stride = array_bytes(shape[-1:], fmt)
    for count, extent in zip(reversed(shape[:-1]), reversed(extents[:-1])):
        dims.append(Dim(extent, stride, count))
        stride *= count
    return tuple(reversed(dims))


class Ring:
    """On-chip memory of `depth` slots. `next` takes the following slot: one generation per execution of the block it stands in."""

    def __init__(self, name: str, slot_bytes: int, depth: int, space: str, line: str, region: Region | None) -> None:
        self.name = name
        self.slot_bytes = slot_bytes
        self.depth = depth
        self.space = space
        self.line = line
        self.region = region
        self.base = 0
        self.cluster = 1
        """Neighbouring cores whose slots are filled together, by the first of them."""
        self.generations: list[Tile] = []

    @property
    def persistent(self) -> bool:
        """Lives across operations: the weight ring."""
        return self.region is None

    @property
    def bytes(self) -> int:
        return self.slot_bytes * self.depth


class Tile(Sliceable):
    """One generation of a ring, seen with a shape and a format.

    `part`: the producer's or the consumers' side alone, where a generation outlives the block that writes it; "" is both."""

    def __init__(
        self, ring: Ring, shape: Sequence[int], fmt: str, valid: Sequence[Value] | None, block: Block, part: str = "",
    ) -> None:
        self.ring = ring
        self.part = part
        self.shape = tuple(shape)
        self.fmt = fmt
        self.block = block
        self.since: Block | None = None
        """The block whose execution begins a sum that goes on over generations, in one slot."""
        need = array_bytes(self.shape, fmt)
        if need > ring.slot_bytes:
            raise ProgramError(f"a tile {self.shape} {fmt} of {need} bytes does not fit a slot of {ring.name} ({ring.slot_bytes} bytes)")
        extents = tuple(valid) if valid is not None else self.shape
        if len(extents) != len(self.shape) or any(upper(e) > s for e, s in zip(extents, self.shape)):
            raise ProgramError(f"{ring.name}: valid extents {extents} exceed the shape {self.shape}")
        self.view = View(self, 0, _row_major(self.shape, extents, fmt))
        self.scales: View | None = None
        """Scales of its blocks, behind its elements."""

    @property
    def name(self) -> str:
        return self.ring.name

    @property
    def valid(self) -> tuple[Value, ...]:
        return self.view.extents

    def grouped(self, groups: int, valid: Sequence[Value]) -> View:
        """As `View.grouped`."""
        return self.view.grouped(groups, valid)

    def reshape(self, shape: Sequence[int], valid: Sequence[Value] | None = None, fmt: str | None = None) -> View:
        """The bytes of this generation under another row-major shape."""
        return View(self, 0, _row_major(shape, tuple(valid) if valid is not None else tuple(shape), fmt or self.fmt))

    def behind(self, shape: Sequence[int], fmt: str, valid: Sequence[Value]) -> View:
        """What lies behind the elements in the same slot: their scales, row-major."""
        begin = array_bytes(self.shape, self.fmt)
        if begin + array_bytes(shape, fmt) > self.ring.slot_bytes:
            raise ProgramError(f"{tuple(shape)} {fmt} does not fit a slot of {self.name} behind {self.shape} {self.fmt}")
        return View(self, begin, _row_major(shape, valid, fmt), fmt)


Operand = View | Tensor | Tile


def view_of(operand: Operand) -> View:
    """The whole of a tensor or tile, or the view itself."""
    return operand if isinstance(operand, View) else operand.view


def whole(dim: Dim) -> bool:
    """Whether every element of the axis is valid, in every iteration."""
    return isinstance(dim.extent, int) and dim.extent == dim.size
