"""vec instructions: the compiled core against the oracle on the same memory, every byte of it, at every code level."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from values_support import BYTES, LEVELS, OPCODES, Bench, at_level, random_bytes, view

from emu import _num
from emu.testing.profile import checked
from isa.oracle import vec as oracle
from isa.oracle.descriptor import FORMATS
from isa.oracle.engines import run_vec
from isa.oracle.formats import is_packed, row_bytes, size

SOURCES = {name: 1 for name in oracle.UNARY} | {name: 2 for name in oracle.BINARY}
SOURCES |= {"vmac": 2, "vfill": 0, "vmask": 1, "vtrans": 1}
NO_SAT = {"vmax", "vmin", "vge", "vmac"}


@st.composite
def extents(draw) -> tuple[int, ...]:
    """Ragged extents, sometimes zero, the innermost sometimes longer than a chunk."""
    small = st.sampled_from([1, 1, 2, 3, 5, 0, 7])
    inner = st.sampled_from([1, 2, 3, 7, 31, 32, 33, 65, 257, 0])
    n = [draw(inner), draw(small), draw(small), draw(st.sampled_from([1, 1, 1, 2]))]
    if draw(st.booleans()):
        n[0], n[1] = n[1], n[0]
    return tuple(n) if np.prod(n) <= 4000 else (n[0], n[1], 1, 1)


@st.composite
def layout(draw, n: tuple[int, ...], fmt: str, kind: str) -> dict[str, int]:
    """Strides and a base so that everything lies in the memory. Kinds: dense, padded, any (broadcast, reversed, interleaved)."""
    strides, width = [], size(fmt)
    moved = (row_bytes(fmt, n[0]), *n[1:]) if is_packed(fmt) else n
    least = row_bytes(fmt, n[0]) if is_packed(fmt) else width
    for dim, extent in enumerate(moved):
        if dim == 0 and is_packed(fmt):
            stride = width
        elif kind == "any":
            stride = draw(st.sampled_from([0, 1, 2, 3, -1, -2, 40])) * width
        else:
            stride = least + (draw(st.sampled_from([0, 1, 3])) * width if kind == "padded" else 0)
            least = stride * max(extent, 1)
        strides.append(stride if dim == 0 or kind != "any" else stride + draw(st.sampled_from([0, 0, 5])))
    reach = [(extent - 1) * s for extent, s in zip(moved, strides) if extent > 1]
    low, high = -sum(min(r, 0) for r in reach), BYTES - sum(max(r, 0) for r in reach) - width
    base = draw(st.integers(low, min(high, low + 600)))
    return {"base": base, "s0": strides[0] // width, **{f"s{i}": strides[i] for i in (1, 2, 3)}}


def operand(draw, n: tuple[int, ...], kinds: list[str], formats: list[str], space: str) -> dict[str, int | str]:
    fmt = draw(st.sampled_from(formats))
    fields = draw(layout(n, fmt, draw(st.sampled_from(kinds))))
    return {"space": space, "fmt": fmt, **{f"n{i}": n[i] for i in range(4)}, **fields}


@st.composite
def cases(draw):
    """A mnemonic, its descriptors' fields, flags, and a seed for the contents."""
    name = draw(st.sampled_from(sorted(SOURCES)))
    n = draw(extents())
    if name == "vtrans":
        n = (*n[:2], 1, 1)
    spaces = st.sampled_from(["sram", "acc"])
    target = {"vtrans": (n[1], n[0], 1, 1), "vrsum": (1, *n[1:]), "vrmax": (1, *n[1:])}.get(name, n)
    own = [f for f in FORMATS if not is_packed(f)] if name == "vtrans" else FORMATS
    d = [operand(draw, target, ["dense", "padded"] + ([] if name == "vmac" else ["any"]), own, draw(spaces))]
    for _ in range(SOURCES[name]):
        formats = [str(d[0]["fmt"])] if name == "vtrans" else FORMATS
        d.append(operand(draw, n, ["dense", "padded", "any"], formats, draw(spaces)))
    if len(d) > 1 and name not in ("vtrans", "vrsum", "vrmax") and draw(st.integers(0, 4)) == 0:
        d[1] = dict(d[0])  # in place
    last = {"scalar": draw(st.one_of(st.integers(0, 2**32 - 1), st.sampled_from([0x3F800000, 0xFF800000]))),
            "diag": draw(st.integers(-9, 9)), "window": draw(st.sampled_from([0, 0, 1, 3, 50]))}
    immediate = SOURCES[name] == 2 and draw(st.booleans())
    sat = name in ("vmov", *oracle.BINARY) and name not in NO_SAT and draw(st.booleans())
    random = name in ("vmov", "vadd", "vsub", "vmul", "vdiv") and d[0]["fmt"] != "e8m0" and draw(st.booleans())
    d[0]["seed"] = draw(st.integers(0, 2**32 - 1))
    return name, d, last, {"imm": immediate, "sat": sat, "sr": random}, draw(st.integers(0, 2**32)), draw(st.booleans())


def fill(bench: Bench, rng: np.random.Generator, fmt: str, wild: bool) -> None:
    for space in ("sram", "acc"):
        memory = bench.bytes(space)
        memory[:] = random_bytes(rng, fmt, BYTES, wild)


def compare(case, level: int) -> None:
    """Run both sides on equal memory; then both memories must be equal."""
    name, fields, last, flags, seed, wild = case
    rng = np.random.default_rng(seed)
    bench = Bench(rng)
    fill(bench, rng, str(fields[-1]["fmt"]), wild)
    copies = {space: bench.bytes(space).copy() for space in ("sram", "acc")}
    d = [bench.descriptor(**f) for f in fields]
    immediate = bench.descriptor(**last)
    views = [view(x, copies[x.space_name], None if name in ("vtrans", "vrsum", "vrmax") else d[0].extents) for x in d]
    number = flags["imm"] << 1 | flags["sat"] << 2 | flags["sr"] << 3
    sources = [*views[1:], None, None][:2]
    with at_level(level):
        _num.vec(OPCODES[name], views[0], *sources, number, last["scalar"], last["diag"], last["window"], fields[0].get("seed", 0))
    if name == "vfill":
        d = [d[0], d[0], immediate]
    elif name == "vmask" or flags["imm"]:
        d = [d[0], d[1], immediate]
    run_vec(name, d, flags)
    for space, memory in copies.items():
        where = np.flatnonzero(memory != bench.bytes(space))
        assert not where.size, f"{name}: {space} differs at bytes {where[:8]}"


@pytest.mark.parametrize("level", LEVELS)
@checked(250)
@given(case=cases())
def test_core_equals_oracle(level, case):
    compare(case, level)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", sorted(SOURCES))
def test_every_instruction_on_special_values(name, level):
    """Every pair of special values of fp32 and bf16."""
    for fmt in ("fp32", "bf16", "fp8_e4m3"):
        n = (60, 16, 1, 1)
        target = {"vtrans": (16, 60, 1, 1), "vrsum": (1, 16, 1, 1), "vrmax": (1, 16, 1, 1)}.get(name, n)
        common = {"fmt": fmt, "space": "sram"}
        d = [{**common, "base": 0, **{f"n{i}": target[i] for i in range(4)}, "s1": target[0] * 4}]
        for i in range(SOURCES[name]):
            d.append({**common, "base": 8192 * (i + 1), "n0": 60, "n1": 16, "s1": 240 + 4 * i})
        last = {"scalar": 0x7F800001, "diag": 2, "window": 20}
        compare((name, d, last, {"imm": False, "sat": False, "sr": False}, 7, True), level)


def test_running_sums_have_the_documented_order():
    x = np.zeros((1, 1, 1, 70), np.float32)
    x[..., 0], x[..., 32], x[..., 64], x[..., 16] = 1e8, 3.0, -1e8, 1.0
    assert oracle.vrsum(x).item() == ((np.float32(1e8) + np.float32(3)) - np.float32(1e8)) + np.float32(1)


def test_unsupported_calls_are_refused():
    memory = np.zeros(256, np.uint8)
    good = (memory, 0, 0, (4, 1, 1, 1), (4, 0, 0, 0))
    for opcode in (0, 0x50, 0x6C, 0x84, 0xC0, 300, -1):
        with pytest.raises(_num.Unsupported):
            _num.vec(opcode, good, good, good)
    with pytest.raises(ValueError, match="outside"):
        _num.vec(OPCODES["vmov"], good, (memory, 244, 0, (4, 1, 1, 1), (4, 0, 0, 0)))
    with pytest.raises(_num.Unsupported):
        _num.vec(OPCODES["vtrans"], good, (memory, 0, 1, (2, 2, 1, 1), (2, 4, 0, 0)))
