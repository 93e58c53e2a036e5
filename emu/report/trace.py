"""Timelines in the Chrome trace-event format, which https://ui.perfetto.dev and chrome://tracing open.

One process a core, one thread an engine stream. Operations (kernels, layers) are slices that contain the instructions they consist of.
Streams are pipelined: an instruction may complete after the next one has started, and slices of one thread must nest, so a slice ends at
the latest where the next begins and its arguments carry the true completion. Whatever the engine did not simulate one by one is marked:
``repeat`` and ``folded_repeats`` on slices, ``cores_folded`` in the metadata.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, TextIO

MAX_SLICES = 500_000  # about 60 MB of JSON, which Perfetto opens in some seconds
FS_PER_US = 1e9
COUNTERS = -2  # the process under which bandwidth and watts stand
STREAM_ORDER = ("ld0", "ld1", "ld2", "ld3", "mm", "vec", "st0", "st1")  # as data passes through a core


class TraceRecord(NamedTuple):
    """One instruction on one engine stream, from its start to its completion, in femtoseconds."""

    core: int
    stream: str
    start_fs: int
    end_fs: int
    name: str
    op_name: str = ""  # the operation it belongs to; consecutive ones of a stream share a slice
    line: str = ""  # its source line
    repeat: int = 1  # hardware repeats that one instruction stands for
    layer: int | None = None  # of the model


class Counter(NamedTuple):
    """A quantity over time; it keeps each value until the next point."""

    name: str
    points: list[tuple[int, float]]  # femtosecond, value


class Fold(NamedTuple):
    """A stretch of time that stands for ``repeats`` equal ones (layers, iterations) which were not simulated again."""

    name: str
    start_fs: int
    end_fs: int
    repeats: int


def write_trace(
    path: str | Path,
    records: Iterable[TraceRecord],
    metadata: Mapping[str, Any] | None = None,
    folds: Iterable[Fold] = (),
    max_slices: int = MAX_SLICES,
    unrecorded: int = 0,
    counters: Iterable[Counter] = (),
) -> int:
    """Write the file and return how many instructions it holds; beyond ``max_slices`` the later ones are dropped and the file says so.

    ``unrecorded`` is how many more instructions ran after the recorder had stopped: they count as dropped.
    """
    kept, dropped = bounded(records, max_slices)
    dropped += unrecorded
    about: dict[str, Any] = dict(metadata or {}) | {"instructions": len(kept), "truncated_instructions": dropped}
    if dropped:
        last_us = max(r.start_fs for r in kept) / FS_PER_US if kept else 0.0
        about["truncated"] = f"the timeline stops at {last_us:.3f} us: {dropped} later instructions are not shown"
    with Path(path).open("w", encoding="utf-8") as file:
        _write(file, _events(kept, list(folds), about, list(counters)), about)
    return len(kept)


def bounded(records: Iterable[TraceRecord], max_slices: int) -> tuple[list[TraceRecord], int]:
    """The first ones in time, over all streams together, so that what is shown is complete up to a moment."""
    ordered = sorted((r if isinstance(r, TraceRecord) else TraceRecord(*r) for r in records), key=lambda r: r.start_fs)
    return ordered[:max_slices], max(0, len(ordered) - max_slices)


def _write(file: TextIO, events: Iterable[dict[str, Any]], about: Mapping[str, Any]) -> None:
    """One event a line: the whole is never held as one string."""
    file.write('{"displayTimeUnit": "ns", "otherData": ' + json.dumps(about) + ', "traceEvents": [\n')
    for i, event in enumerate(events):
        file.write((",\n" if i else "") + json.dumps(event, separators=(",", ":")))
    file.write("\n]}\n")


def _events(
    records: list[TraceRecord], folds: list[Fold], about: Mapping[str, Any], counters: list[Counter]
) -> Iterator[dict[str, Any]]:
    streams = sorted({(r.core, r.stream) for r in records}, key=lambda s: (s[0], _rank(s[1]), s[1]))
    threads = {stream: i + 1 for i, stream in enumerate(streams)}
    yield from _names(threads, about, bool(folds), bool(counters))
    by_stream: dict[tuple[int, str], list[TraceRecord]] = {stream: [] for stream in streams}
    for r in records:
        by_stream[r.core, r.stream].append(r)
    timed = [event for stream, thread in threads.items() for event in _stream_events(by_stream[stream], thread)]
    timed += [{"ph": "C", "name": c.name, "pid": COUNTERS, "ts": _us(at), "args": {"value": v}} for c in counters for at, v in c.points]
    timed += [_slice(f"{f.name} (stands for {f.repeats})", -1, 0, f.start_fs, f.end_fs, {"folded_repeats": f.repeats}) for f in folds]
    if "truncated" in about and records:
        last = records[-1]
        thread = threads[last.core, last.stream]
        timed.append({"ph": "i", "s": "g", "name": about["truncated"], "pid": last.core, "tid": thread, "ts": _us(last.start_fs)})
    # Where two slices start together the longer one is the outer one and must come first.
    yield from sorted(timed, key=lambda e: (e["ts"], -e.get("dur", 0.0)))


def in_order(streams: Iterable[str]) -> list[str]:
    """Streams as data passes through a core."""
    return sorted(streams, key=lambda s: (_rank(s), s))


def _rank(stream: str) -> int:
    return STREAM_ORDER.index(stream) if stream in STREAM_ORDER else len(STREAM_ORDER)


def _names(threads: Mapping[tuple[int, str], int], about: Mapping[str, Any], folds: bool, counters: bool) -> Iterator[dict[str, Any]]:
    for core in sorted({core for core, _ in threads}):
        folded = f" (stands for {about['cores_folded']} equal cores)" if about.get("cores_folded", 1) > 1 else ""
        yield {"ph": "M", "name": "process_name", "pid": core, "tid": 0, "args": {"name": f"core {core}{folded}"}}
        yield {"ph": "M", "name": "process_sort_index", "pid": core, "tid": 0, "args": {"sort_index": core}}
    for (core, stream), thread in threads.items():
        yield {"ph": "M", "name": "thread_name", "pid": core, "tid": thread, "args": {"name": stream}}
        yield {"ph": "M", "name": "thread_sort_index", "pid": core, "tid": thread, "args": {"sort_index": thread}}
    if counters:
        yield {"ph": "M", "name": "process_name", "pid": COUNTERS, "tid": 0, "args": {"name": "chip"}}
        yield {"ph": "M", "name": "process_sort_index", "pid": COUNTERS, "tid": 0, "args": {"sort_index": COUNTERS}}
    if folds:
        yield {"ph": "M", "name": "process_name", "pid": -1, "tid": 0, "args": {"name": "folded repeats"}}


def _stream_events(records: list[TraceRecord], thread: int) -> Iterator[dict[str, Any]]:
    """Slices of one stream: an operation's around those of its instructions."""
    start = 0
    for (op, layer), group in groupby(records, key=lambda r: (r.op_name, r.layer)):
        members = list(group)
        following = records[start + len(members)].start_fs if start + len(members) < len(records) else None
        end = _clipped(max(r.end_fs for r in members), following)
        if op:
            args = {"instructions": len(members)} | ({} if layer is None else {"layer": layer})
            yield _slice(op, members[0].core, thread, members[0].start_fs, end, args)
        for i, r in enumerate(members):
            yield _instruction(r, thread, members[i + 1].start_fs if i + 1 < len(members) else following)
        start += len(members)


def _clipped(end_fs: int, following_fs: int | None) -> int:
    return end_fs if following_fs is None else min(end_fs, following_fs)


def _instruction(r: TraceRecord, thread: int, following_fs: int | None) -> dict[str, Any]:
    args: dict[str, Any] = {}
    end = _clipped(r.end_fs, following_fs)
    if end < r.end_fs:
        args["completes_after_us"] = _us(r.end_fs - r.start_fs)
    if r.repeat > 1:
        args["repeat"] = r.repeat
    if r.line:
        args["line"] = r.line
    return _slice(r.name, r.core, thread, r.start_fs, end, args)


def _slice(name: str, core: int, thread: int, start_fs: int, end_fs: int, args: dict[str, Any]) -> dict[str, Any]:
    return {"ph": "X", "name": name, "pid": core, "tid": thread, "ts": _us(start_fs), "dur": _us(end_fs) - _us(start_fs), "args": args}


def _us(fs: int) -> float:
    return fs / FS_PER_US
