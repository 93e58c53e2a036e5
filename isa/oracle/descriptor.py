"""Descriptors: the snapshot an engine instruction takes, and the elements it names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isa.oracle.errors import OracleError
from isa.oracle.formats import bits, dtype, is_packed, pack, row_bytes, size, unpack
from isa.oracle.memory import Memory, Space, rising
from isa.tables import Scales, load

SPACES = [space.name for space in sorted(load().spaces.values())]
FORMATS = [form.name for form in sorted(load().formats.values())]
FIELDS = [field.name for field in sorted(load().fields.values())]


def fresh_fields() -> dict[str, int]:
    """A descriptor register at program start."""
    return {name: entry.default for name, entry in load().fields.items()}


def _named(names: list[str], number: int, what: str) -> str:
    if not 0 <= number < len(names):
        raise OracleError(f"there is no {what} {number}")
    return names[number]


@dataclass(frozen=True)
class Descriptor:
    """A descriptor register of one core at the moment of issue."""

    memory: Memory
    owner: int
    fields: dict[str, int]

    def __getitem__(self, field: str) -> int:
        return self.fields[field]

    @property
    def fmt(self) -> str:
        return _named(FORMATS, self["fmt"], "format")

    @property
    def bits(self) -> int:
        return bits(self.fmt)

    @property
    def size(self) -> int:
        """Bytes of what is moved: an element, or a byte of a packed row."""
        return size(self.fmt)

    @property
    def space_name(self) -> str:
        return _named(SPACES, self["space"], "space")

    @property
    def space(self) -> Space:
        return self.memory.space(self.space_name, self.owner, self["core"])

    @property
    def extents(self) -> tuple[int, ...]:
        """n0, n1, n2, n3."""
        n = tuple(self[f"n{i}"] for i in range(4))
        if min(n) < 0:
            raise OracleError(f"a negative extent: n0..n3 = {n}")
        return n

    @property
    def strides(self) -> tuple[int, ...]:
        """Of n0, n1, n2, n3 in bytes; a packed row is dense, whatever its byte is."""
        if is_packed(self.fmt) and self["s0"] != 1:
            raise OracleError(f"{self.fmt} is packed: its innermost stride s0 is 1, not {self['s0']}")
        return (self["s0"] * self.size, self["s1"], self["s2"], self["s3"])

    def _moved(self, n: tuple[int, ...]) -> tuple[int, ...]:
        """Extents in what is moved: elements, or bytes of packed rows."""
        return (row_bytes(self.fmt, n[0]), *n[1:]) if is_packed(self.fmt) else n

    def read_bytes(self, n: tuple[int, ...], move: int = 0) -> NDArray[np.uint8]:
        """Elements over the extents n, from base + move: uint8 [n3, n2, n1, n0, size]; packed rows [n3, n2, n1, bytes, 1]."""
        return self.space.read(self["base"] + move, self._moved(n), self.strides, self.size)

    def write_bytes(self, n: tuple[int, ...], values: NDArray[np.uint8], move: int = 0) -> None:
        self.space.write(self["base"] + move, self._moved(n), self.strides, self.size, values)

    def read(self, n: tuple[int, ...], move: int = 0) -> NDArray[Any]:
        """Elements as numbers of the format, [n3, n2, n1, n0]."""
        if 0 in n:
            return np.zeros(n[::-1], dtype(self.fmt))
        raw = self.read_bytes(n, move)
        return unpack(raw.reshape(*raw.shape[:-2], -1), self.fmt, n[0])

    def write(self, n: tuple[int, ...], values: NDArray[Any], move: int = 0) -> None:
        raw = pack(values, self.fmt)
        self.write_bytes(n, raw.reshape(*self._moved(n)[::-1], self.size), move)

    def indices(self, count: int) -> list[int]:
        """An index list: int32, over the innermost extent."""
        if self.fmt != "int32":
            raise OracleError(f"an index list is int32, not {self.fmt}")
        return [int(i) for i in self.read((count, 1, 1, 1)).reshape(-1)]

    @property
    def scales(self) -> Scales:
        """The kind of scales."""
        return load().scales[_named(list(load().scales), self["scales"], "kind of scales")]

    def scale_view(self) -> Descriptor:
        """The scales, as a descriptor of their own."""
        moved = {"fmt": FORMATS.index(self.scales.format), "base": self["base"] + self["scale"], "s0": 1, "s1": self["scale_s1"]}
        return replace(self, fields=self.fields | moved | {"scales": 0, "s2": self["scale_s2"]})

    def must_lie_in(self, *names: str) -> None:
        if self.space_name not in names:
            raise OracleError(f"the operand lies in {self.space_name}, it must lie in {' or '.join(names)}")

    def is_rising(self) -> bool:
        return rising(self._moved(self.extents), self.strides, self.size)
