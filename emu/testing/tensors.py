"""Arrays in the machine's formats: elements that are likely to be treated wrongly, shapes at the edges of tiles, inputs of a program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from isa import Buffer, Program
from isa.oracle.formats import bits, dtype, size

GIVEN = ("in", "weight", "index", "inout")
Array = NDArray[Any]


def special_values(fmt: str) -> Array:
    """Elements of a format that are likely to be treated wrongly."""
    if fmt in ("int8", "int32", "int4"):
        whole = ml_dtypes.iinfo(dtype(fmt))
        some = [0, 1, -1, 2, 3, -3, whole.max, whole.min, whole.max - 1, whole.min + 1] + [100] * (fmt != "int4")
        return np.array([int(i) for i in some], np.int64).astype(dtype(fmt))
    info = ml_dtypes.finfo(dtype(fmt))
    numbers = [0.0, -0.0, 1, -1, 0.5, 1.5, 2.5, -2.5, 3, 127.5, -128.5, 448, 464, 480, 57344, 65504, 65520, np.inf, -np.inf, np.nan, 1e-8,
               float(info.max), float(info.min), float(info.tiny), float(info.smallest_subnormal), 2.0**31, -(2.0**31), 2.0**24 + 2, 3e38]
    with np.errstate(all="ignore"):
        return np.array(numbers, np.float32).astype(dtype(fmt))


def random_elements(rng: np.random.Generator, fmt: str, count: int, wild: bool) -> Array:
    """Tame: normal numbers of moderate size. Wild: any bits, with many special values."""
    width = size(fmt)
    if wild:
        raw = rng.integers(0, min(256, 1 << bits(fmt)), count * width, np.uint8)
        raw = ((raw.astype(np.int8) ^ 8) - 8).astype(dtype(fmt)) if fmt == "int4" else raw.view(dtype(fmt)).copy()
        special = special_values(fmt)
        where = rng.random(count) < 0.4
        raw[where] = special[rng.integers(0, len(special), int(where.sum()))]
        return raw
    with np.errstate(all="ignore"):
        scale = {"int8": 50, "int32": 1e5, "int4": 3}.get(fmt, 2)
        normal = (rng.standard_normal(count) * scale).astype(np.float32)
        if fmt == "int4":
            normal = np.clip(normal, -8, 7)
        return (np.abs(normal) if fmt == "e8m0" else normal).astype(dtype(fmt))


def extents(tile: int = 8, largest: int = 70) -> st.SearchStrategy[int]:
    """Sizes of an axis: 1, the neighbours of whole tiles, and any other."""
    edges = sorted({1, *(n + d for n in range(tile, largest, tile) for d in (-1, 0, 1) if 1 <= n + d <= largest)})
    return st.one_of(st.integers(1, largest), st.sampled_from(edges))  # in this order examples shrink to small numbers


@st.composite
def tensors(draw: st.DrawFn, shape: Sequence[int], fmt: str = "bf16", wild: bool = False) -> Array:
    """An array of `shape` in the format's NumPy type (isa.oracle.formats.dtype): zeros, equal numbers, or random ones; `wild` also NaNs,
    infinities, subnormals and any other bits."""
    count = int(np.prod(shape, dtype=np.int64))
    kind = draw(st.sampled_from(["zeros", "equal", "normal", *(["wild"] if wild else [])]))
    if kind == "zeros":
        return np.zeros(tuple(shape), np.float32).astype(dtype(fmt))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    flat = random_elements(rng, fmt, 1 if kind == "equal" else count, kind == "wild")
    return np.resize(flat, tuple(shape))


def given_buffers(program: Program) -> list[Buffer]:
    """The buffers that a run of the program with values takes as inputs."""
    return [b for b in program.buffers if b.space == "hbm" and b.role in GIVEN]


def inputs_for(program: Program, seed: int = 0) -> dict[str, Array]:
    """Inputs for every buffer that takes some: normal numbers; zeros where they decide addresses (role index)."""
    rng = np.random.default_rng(seed)
    made: dict[str, Array] = {}
    for b in given_buffers(program):
        fmt, count = b.format or "int8", int(np.prod(b.shape, dtype=np.int64))
        flat = np.zeros(count, dtype(fmt)) if b.role == "index" else random_elements(rng, fmt, count, False)
        made[b.name] = flat.reshape(b.shape)
    return made


@st.composite
def inputs(draw: st.DrawFn, program: Program, wild: bool = False) -> dict[str, Array]:
    """Inputs of a program, each buffer drawn by itself; what decides addresses (role index) is zero."""
    return {
        b.name: np.zeros(b.shape, dtype(b.format or "int8")) if b.role == "index" else draw(tensors(b.shape, b.format or "int8", wild))
        for b in given_buffers(program)
    }  # fmt: skip
