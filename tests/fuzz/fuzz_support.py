"""Broken copies of valid files, and the bounds within which a reader must refuse them."""

from __future__ import annotations

import json
import os
import resource
import signal
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

SECONDS = 30.0 if "libasan" in os.environ.get("LD_PRELOAD", "") else 5.0
"""Of processor time: this machine may be busy. The sanitizers take theirs."""
GROWTH_BYTES = 512 << 20
SIZES = (0, 1, 2, 7, 8, 255, 256, 65535, 65536, *((1 << bits) - less for bits in (31, 32, 63) for less in (0, 1)), (1 << 64) - 1)
SCALARS: tuple[Any, ...] = (
    *SIZES, -1, -(1 << 31), -(1 << 63), 0.5, -0.0, 1e308, 1e-320, 10**40, True, False, None, "", "a" * 500, "\x00", "é", "1e999", "nan",
    "-1 GB/s", "9999999999 THz", "1 GHz", "64 B/clk", [], {}, [[]], [1] * 50, {"a": {"a": {"a": {}}}}, {"value": 1, "tag": "x"},
)  # fmt: skip


TOML_NAMES = ("x", "'a.b'", "é", "extends", "schema_version", '"\\u0000"')
TOML_VALUES = (
    "0", "-1", "1", "3", "9999999999999999999999", "0x7fffffffffffffff", "1e400", "nan", "inf", "0.3", "true", "2000-01-01", "'''x'''",
    *(f'"{text}"' for text in (
        "", "x", "0 GB/s", "-3 clk", "1e30 GB/s", "1 clk", "1e-30 s", "7 fs", "1 Hz", "100 GHz", "64 B/clk", "1 KiB", "8 EiB",
        "1000000000 clk", "weight_stationary", "dot",
    )),
    "[]", "[1, 2]", "[[], {}]", "{}", "{value = 1}", '{value = "1 GHz", source = "x", tag = "y"}', "{a = {b = {c = {}}}}",
)  # fmt: skip


class Hung(Exception):
    """A reader that takes longer than it may; no EmuError, so that nothing catches it by the way."""


@contextmanager
def bounded(seconds: float = SECONDS) -> Iterator[None]:
    """Within it the time is limited (the core asks for signals too), and this process may not grow by more than GROWTH_BYTES."""

    def ring(*_: object) -> None:
        raise Hung(f"more than {seconds} s")

    before, most = signal.signal(signal.SIGPROF, ring), _peak()
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    assert _peak() - most < GROWTH_BYTES, f"{(_peak() - most) >> 20} MiB were taken"


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


@st.composite
def edited(draw: st.DrawFn, data: bytes, others: tuple[bytes, ...] = (), most: int = 4) -> bytes:
    """Bytes that were changed in up to `most` places: bits, whole numbers, runs that are cut, doubled, moved or of another file."""
    out = bytearray(data)
    for _ in range(draw(st.integers(1, most))):
        at = draw(st.integers(0, len(out)))
        length = draw(st.sampled_from([1, 2, 4, 8, 16, 64]))
        match draw(st.sampled_from(["bit", "byte", "number", "cut", "twice", "move", "insert", "other", "end"])):
            case "bit" if at < len(out):
                out[at] ^= 1 << draw(st.integers(0, 7))
            case "byte" if at < len(out):
                out[at] = draw(st.sampled_from([0, 1, 0x20, 0x7F, 0x80, 0xFE, 0xFF]))
            case "number":
                width = draw(st.sampled_from([1, 2, 4, 8]))
                raw = struct.pack("<Q", draw(st.sampled_from(SIZES)))[:width]
                out[at : at + width] = raw
            case "cut":
                del out[at : at + length]
            case "twice":
                out[at:at] = out[at : at + length]
            case "move":
                run = out[at : at + length]
                del out[at : at + length]
                to = draw(st.integers(0, len(out)))
                out[to:to] = run
            case "insert":
                out[at:at] = draw(st.binary(min_size=1, max_size=9))
            case "other" if others:
                source = draw(st.sampled_from(others))
                begin = draw(st.integers(0, len(source)))
                out[at : at + length] = source[begin : begin + length]
            case "end":
                del out[at:]
    return bytes(out)


@st.composite
def edited_lines(draw: st.DrawFn, text: str, most: int = 3) -> str:
    """Text whose lines were dropped, doubled, swapped, or in which a value became another one."""
    lines = text.split("\n")
    for _ in range(draw(st.integers(1, most))):
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["value", "value", "value", "drop", "twice", "swap", "name", "section"])):
            case "value" if "=" in lines[at]:
                lines[at] = f"{lines[at].split('=')[0]}= {draw(st.sampled_from(TOML_VALUES))}"
            case "drop":
                lines[at] = ""
            case "twice":
                lines.insert(at, lines[at])
            case "swap":
                to = draw(st.integers(0, len(lines) - 1))
                lines[at], lines[to] = lines[to], lines[at]
            case "name" if "=" in lines[at]:
                lines[at] = f"{draw(st.sampled_from(TOML_NAMES))} ={lines[at].split('=', 1)[1]}"
            case "section":
                lines.insert(at, draw(st.sampled_from(["[core]", "[[core]]", "[hbm.x]", "[[links]]", "[core.matrix.rate.bf16]", "[x]"])))
    return "\n".join(lines)


@st.composite
def edited_json(draw: st.DrawFn, value: Any, most: int = 3) -> bytes:
    """JSON in which values became others, keys went, doubled or changed; now and then its bytes are broken too."""
    tree = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(1, most))):
        node, key = _somewhere(draw, tree)
        if node is None:
            break
        match draw(st.sampled_from(["value", "value", "drop", "rename", "deeper"])):
            case "value":
                node[key] = deepcopy(draw(st.sampled_from(SCALARS)))  # it may be changed next
            case "drop":
                del node[key]
            case "rename" if isinstance(node, dict):
                node[draw(st.sampled_from(["x", "", "model_type", "num_experts", "__metadata__", "é"]))] = node.pop(key)
            case "deeper":
                node[key] = [node[key]] if draw(st.booleans()) else {"x": node[key]}
    raw = json.dumps(tree).encode()
    return draw(edited(raw, most=2)) if draw(st.integers(0, 3)) == 0 else raw


def _somewhere(draw: st.DrawFn, tree: Any) -> tuple[Any, Any]:
    """A container in the tree and a key of it."""
    places = []
    todo = [tree]
    while todo:
        node = todo.pop()
        keys = list(node) if isinstance(node, dict) else list(range(len(node))) if isinstance(node, list) else []
        places += [(node, key) for key in keys]
        todo += [node[key] for key in keys]
    return draw(st.sampled_from(places)) if places else (None, None)
