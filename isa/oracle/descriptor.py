"""Descriptors: the snapshot an engine instruction takes, and the elements it names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isa.oracle.errors import OracleError
from isa.oracle.formats import dtype, size
from isa.oracle.memory import Memory, Space, rising
from isa.tables import load

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
    def size(self) -> int:
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
        """Of n0, n1, n2, n3 in bytes."""
        return (self["s0"] * self.size, self["s1"], self["s2"], self["s3"])

    def read_bytes(self, n: tuple[int, ...], move: int = 0) -> NDArray[np.uint8]:
        """Elements over the extents n, from base + move: uint8 [n3, n2, n1, n0, size]."""
        return self.space.read(self["base"] + move, n, self.strides, self.size)

    def write_bytes(self, n: tuple[int, ...], values: NDArray[np.uint8], move: int = 0) -> None:
        self.space.write(self["base"] + move, n, self.strides, self.size, values)

    def read(self, n: tuple[int, ...], move: int = 0) -> NDArray[Any]:
        """Elements as numbers of the format, [n3, n2, n1, n0]."""
        return self.read_bytes(n, move).view(dtype(self.fmt))[..., 0]

    def write(self, n: tuple[int, ...], values: NDArray[Any], move: int = 0) -> None:
        raw = np.ascontiguousarray(values, dtype(self.fmt))[..., None].view(np.uint8)
        self.write_bytes(n, raw, move)

    def indices(self, count: int) -> list[int]:
        """An index list: int32, over the innermost extent."""
        if self.fmt != "int32":
            raise OracleError(f"an index list is int32, not {self.fmt}")
        return [int(i) for i in self.read((count, 1, 1, 1)).reshape(-1)]

    def must_lie_in(self, *names: str) -> None:
        if self.space_name not in names:
            raise OracleError(f"the operand lies in {self.space_name}, it must lie in {' or '.join(names)}")

    def is_rising(self) -> bool:
        return rising(self.extents, self.strides, self.size)
