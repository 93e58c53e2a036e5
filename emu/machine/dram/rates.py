"""Rates measured with the detailed DRAM, by class of pattern: what a faster model may take for a device. One generated file each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Literal, cast

from emu.chip.dram import Device, devices
from emu.errors import CacheError, UnsupportedError, did_you_mean
from emu.machine.dram.pattern import Pattern
from emu.machine.dram.system import Dram

Kind = Literal["sequential", "strided", "random"]
FOLDER = Path(__file__).parent / "rates"
MAPS = ("stream", "mop", "robaracoch", "streams")
BYTES = (64, 256, 1024, 4096)
WRITES = (0.0, 0.5, 1.0)
FAR = 1 << 16
MOVED_BYTES = 2 << 20  # in each measurement: 7 refresh intervals of the fastest channel, 40 of the slowest


@dataclass(frozen=True)
class Class:
    """A class of requests: runs of `bytes` that lie together; where the next one is; how many walks go on in turns; how many write."""

    map: str
    kind: Kind
    bytes: int
    stride_bytes: int
    streams: int
    writes: float

    def pattern(self) -> Pattern:
        """The requests that measure it, as many as move MOVED_BYTES."""
        return Pattern(self.kind, MOVED_BYTES // self.bytes, self.bytes, self.writes, self.streams, self.stride_bytes)


@dataclass(frozen=True)
class Rate:
    """What one channel gives a class that always has work for it: a share of its peak, and nanoseconds from admission to the last data."""

    of: Class
    share_of_peak: float
    latency_ns: float


def classes() -> Iterator[Class]:
    """All of them, in the order of the files."""
    for name in MAPS:
        for size in BYTES:
            walks: list[tuple[Kind, int, int]] = [
                ("sequential", size, 1), ("sequential", size, 16), ("strided", 4 * size, 1), ("strided", FAR, 1), ("random", size, 1),
            ]
            for kind, stride, streams in walks:
                for writes in WRITES:
                    yield Class(name, kind, size, stride, streams, writes)


def measure(chosen: Device, c: Class) -> Rate:
    """One rate: default queue, pages left open, the device's own refresh."""
    r = Dram(chosen, map=c.map).run(c.pattern())
    return Rate(c, round(r.share_of_peak, 4), round(r.latency_s["mean"] * 1e9, 1))


@lru_cache(maxsize=32)
def rates(name: str) -> tuple[Rate, ...]:
    """The rates of a device that comes with emu, as generated. CacheError for a file that is not of that form."""
    if name not in devices():
        raise UnsupportedError(f"no DRAM device is named {str(name)[:60]!r}; {did_you_mean(str(name), devices())}")
    path = FOLDER / f"{name}.tsv"
    try:
        lines = [line.split("\t") for line in path.read_text().splitlines() if line and line[0] != "#"]
        made = tuple(Rate(Class(m, cast(Kind, kind), int(b), int(stride), int(streams), float(w)), float(share), float(ns))
                     for m, kind, b, stride, streams, w, share, ns in lines[1:])
    except (OSError, ValueError) as error:
        raise CacheError(f"{path}: not a table of rates ({error}); python -m emu.machine.dram.generate writes it") from None
    return made


def rate(name: str, **of: object) -> Rate:
    """The rate of exactly one class: rate("hbm3", map="stream", kind="random", bytes=64, writes=0.0)."""
    keys = [f.name for f in fields(Class)]
    for key in of:
        if key not in keys:
            raise UnsupportedError(f"rate: {key!r:.40} is no part of a class; {did_you_mean(key, keys)}")
    found = [r for r in rates(name) if all(getattr(r.of, key) == value for key, value in of.items())]
    if len(found) != 1:
        raise UnsupportedError(f"rate: {len(found)} classes of {name} match {of}; one is needed, and each is named by {', '.join(keys)}")
    return found[0]
