"""Streams of requests to measure a memory with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from emu.errors import UnsupportedError, did_you_mean

KINDS = ("sequential", "strided", "random")
MAX_REQUESTS = 1 << 26
Requests = tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.int64], NDArray[np.uint8]]


@dataclass(frozen=True)
class Pattern:
    """`requests` of `bytes` each. All are there from the start unless `interval_fs` spaces them: the memory is never short of work.

    `sequential` walks `streams` equal parts of `span_bytes` in turns, `strided` goes on by `stride_bytes`, `random` is uniform on
    multiples of `bytes`. A share `writes` of them, drawn with `seed`, are writes. The span is the device's capacity unless given."""

    kind: Literal["sequential", "strided", "random"] = "sequential"
    requests: int = 100_000
    bytes: int = 64
    writes: float = 0.0
    streams: int = 1
    stride_bytes: int = 64
    span_bytes: int | None = None
    interval_fs: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UnsupportedError(f"pattern.kind = {self.kind!r:.40}: no such pattern; {did_you_mean(str(self.kind), KINDS)}")
        if not 1 <= self.requests <= MAX_REQUESTS:
            raise UnsupportedError(f"pattern.requests = {self.requests!r:.40}: expected 1 to {MAX_REQUESTS}")
        if not 1 <= self.bytes <= 1 << 24 or not 1 <= self.streams <= 4096 or self.stride_bytes < 1:
            raise UnsupportedError("pattern: expected 1 to 2**24 bytes, 1 to 4096 streams and a stride of at least 1 byte")
        if not 0 <= self.writes <= 1 or self.interval_fs < 0:
            raise UnsupportedError("pattern: expected a share of writes in 0 to 1 and an interval of at least 0 fs")

    def generate(self, capacity_bytes: int) -> Requests:
        """(arrival in fs, address, bytes, write) of every request."""
        span = self.span_bytes if self.span_bytes is not None else capacity_bytes
        if not self.bytes * self.streams <= span <= capacity_bytes:
            raise UnsupportedError(f"pattern.span_bytes = {span}: the device has {capacity_bytes}, and each stream needs {self.bytes}")
        rng = np.random.default_rng(self.seed)
        j = np.arange(self.requests, dtype=np.int64)
        if self.kind == "random":
            addresses = rng.integers(0, span // self.bytes, self.requests) * self.bytes
        else:
            part = span // self.streams // self.bytes * self.bytes
            step = self.bytes if self.kind == "sequential" else self.stride_bytes
            addresses = j % self.streams * part + j // self.streams * step % (part - self.bytes + 1)
        writes = (rng.random(self.requests) < self.writes).astype(np.uint8)
        return j * self.interval_fs, addresses.astype(np.uint64), np.full(self.requests, self.bytes, np.int64), writes
