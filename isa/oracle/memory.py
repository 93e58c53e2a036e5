"""Memory of a chip: the buffers of a program, every byte with a mark that says whether anybody wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from isa.oracle.errors import OracleError
from isa.program import Buffer

Bytes = NDArray[np.uint8]


class Segment:
    """Bytes of buffers that overlap one another."""

    def __init__(self, start: int, stop: int) -> None:
        self.start, self.stop = start, stop
        self.data = np.zeros(stop - start, np.uint8)
        self.written = np.zeros(stop - start, np.bool_)


class Space:
    """One memory space (of one core, where each has its own): buffers and the segments that hold their bytes."""

    def __init__(self, name: str, buffers: Sequence[Buffer]) -> None:
        self.name = name
        self.buffers = sorted((b for b in buffers if b.bytes), key=lambda b: b.offset)
        self.segments: list[Segment] = []
        for buffer in self.buffers:
            stop = buffer.offset + buffer.bytes
            if self.segments and buffer.offset < self.segments[-1].stop:
                last = self.segments.pop()
                self.segments.append(Segment(last.start, max(stop, last.stop)))
            else:
                self.segments.append(Segment(buffer.offset, stop))

    def find(self, low: int, high: int) -> tuple[Buffer, Segment]:
        """The buffer in which the bytes low..high-1 lie, and its segment."""
        for buffer in self.buffers:
            if buffer.offset <= low and high <= buffer.offset + buffer.bytes:
                return buffer, next(s for s in self.segments if s.start <= low < s.stop)
        near = [b for b in self.buffers if b.offset < high and low < b.offset + b.bytes]
        what = f"they leave buffer {near[0].name!r}" if near else "no buffer is there"
        raise OracleError(f"out of bounds: bytes {low:#x}..{high - 1:#x} of {self.name}: {what}")

    def region(self, base: int, n: Sequence[int], s: Sequence[int], size: int, write: bool) -> tuple[Bytes, NDArray[np.bool_], Buffer]:
        """Views [n3, n2, n1, n0, size] of data and of written marks. n and s (bytes) are innermost first; no extent is 0."""
        reach = [(extent - 1) * stride for extent, stride in zip(n, s)]
        low, high = base + sum(min(r, 0) for r in reach), base + sum(max(r, 0) for r in reach) + size
        buffer, segment = self.find(low, high)
        shape = (*reversed(n), size)
        steps = (*reversed(s), 1)
        data = as_strided(segment.data[base - segment.start :], shape, steps, writeable=write)
        written = as_strided(segment.written[base - segment.start :], shape, steps, writeable=write)
        return data, written, buffer

    def read(self, base: int, n: Sequence[int], s: Sequence[int], size: int) -> Bytes:
        """A copy of elements, [n3, n2, n1, n0, size]; an error when nobody wrote one of the bytes."""
        if 0 in n:
            return np.zeros((*reversed(n), size), np.uint8)
        data, written, buffer = self.region(base, n, s, size, write=False)
        if not written.all():
            first = np.argwhere(~written)[0]
            address = base + sum(int(i) * stride for i, stride in zip(first[:-1][::-1], s)) + int(first[-1])
            raise OracleError(f"uninitialised: nobody wrote byte {address:#x} of {self.name} (buffer {buffer.name!r})")
        return data.copy()

    def write(self, base: int, n: Sequence[int], s: Sequence[int], size: int, values: Bytes) -> None:
        """Store elements in row-major order; of several writes to a byte the last one stays."""
        if 0 in n:
            return
        data, written, _ = self.region(base, n, s, size, write=True)
        if rising(n, s, size):
            data[...] = values
        else:
            for index in np.ndindex(data.shape[:-1]):
                data[index] = values[index]
        written[...] = True


def rising(n: Sequence[int], s: Sequence[int], size: int) -> bool:
    """True when the elements lie one behind the other, none twice; so they do where there are none."""
    if 0 in n:
        return True
    least = size
    for extent, stride in zip(n, s):
        if extent > 1:
            if stride < least:
                return False
            least = extent * stride
    return True


class Memory:
    """All spaces of a chip; `system` are those of all chips that run together, `number` is this one's place there."""

    def __init__(self, buffers: Sequence[Buffer], cores: int, limits: dict[str, int] | None = None) -> None:
        self.system: list[Memory] = [self]
        self.number = 0
        of = {name: [b for b in buffers if b.space == name] for name in ("hbm", "shared", "sram", "acc")}
        for space, limit in (limits or {}).items():
            for buffer in of[space]:
                if buffer.offset + buffer.bytes > limit:
                    raise OracleError(f"buffer {buffer.name!r} ends at {buffer.offset + buffer.bytes} of {space}, which has {limit} bytes")
        self.chip = {name: Space(name, of[name]) for name in ("hbm", "shared")}
        self.core = [{name: Space(f"{name} of core {c}", of[name]) for name in ("sram", "acc")} for c in range(cores)]

    def space(self, name: str, core: int, owner: int = -1) -> Space:
        """The space a descriptor of `core` names; owner is the descriptor's field `core`."""
        if name in self.chip:
            return self.chip[name]
        if name == "far":
            if not -1 <= owner < len(self.system):
                raise OracleError(f"there is no chip {owner}")
            return self.system[self.number if owner == -1 else owner].chip["hbm"]
        if name != "peer":
            return self.core[core][name]
        if not -1 <= owner < len(self.core):
            raise OracleError(f"there is no core {owner}")
        return self.core[core if owner == -1 else owner]["sram"]

    def load(self, buffer: Buffer, values: NDArray[Any]) -> None:
        """Initialise a buffer of hbm from outside."""
        raw = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
        if raw.size:
            self.chip["hbm"].write(buffer.offset, (raw.size, 1, 1, 1), (1, 0, 0, 0), 1, raw.reshape(1, 1, 1, -1, 1))

    def store(self, buffer: Buffer) -> Bytes:
        """The bytes of a buffer of hbm; an error when some were never written."""
        return self.chip["hbm"].read(buffer.offset, (buffer.bytes, 1, 1, 1), (1, 0, 0, 0), 1).reshape(-1)
