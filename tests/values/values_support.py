"""The same memory for both sides: emu._num works on views of it, the oracle on descriptors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import ml_dtypes
import numpy as np
from hypothesis import settings

from emu import _num
from isa.oracle.descriptor import FORMATS, Descriptor, fresh_fields
from isa.oracle.formats import bits, dtype, is_packed, size
from isa.oracle.memory import Memory
from isa.program import Buffer
from isa.tables import load

OPCODES = {name: spec.opcode for name, spec in load().specs.items()}
BYTES = 1 << 17
FLOATS = ["fp32", "bf16", "fp16", "fp8_e4m3", "fp8_e5m2", "tf32"]
PACKED = [name for name in FORMATS if is_packed(name)]
LEVELS = sorted({_num.force_level(level) for level in (0, 1, 2)})
_num.force_level(-1)


def canonical_bits(x: np.ndarray) -> np.ndarray:
    """Bits with every NaN made the same, so that arrays compare with ==."""
    bits = x.view(f"u{x.itemsize}").copy()
    if x.dtype.kind not in "iu":
        nan = np.isnan(x)
        bits[nan] = np.iinfo(bits.dtype).max
    return bits


def special_values(name: str) -> np.ndarray:
    """Elements of a format that are likely to be treated wrongly."""
    if name in ("int8", "int32", "int4"):
        info = ml_dtypes.iinfo(dtype(name))
        some = [0, 1, -1, 2, 3, -3, info.max, info.min, info.max - 1, info.min + 1] + [100] * (name != "int4")
        return np.array([int(i) for i in some], np.int64).astype(dtype(name))
    info = ml_dtypes.finfo(dtype(name))
    numbers = [0.0, -0.0, 1, -1, 0.5, 1.5, 2.5, -2.5, 3, 127.5, -128.5, 448, 464, 480, 57344, 65504, 65520, np.inf, -np.inf, np.nan, 1e-8,
               float(info.max), float(info.min), float(info.tiny), float(info.smallest_subnormal), 2.0**31, -(2.0**31), 2.0**24 + 2, 3e38]
    with np.errstate(all="ignore"):
        return np.array(numbers, np.float32).astype(dtype(name))


def random_elements(rng: np.random.Generator, name: str, count: int, wild: bool) -> np.ndarray:
    """Tame: normal numbers of moderate size. Wild: any bits, with many special values."""
    width = size(name)
    if wild:
        raw = rng.integers(0, min(256, 1 << bits(name)), count * width, np.uint8)
        raw = ((raw.astype(np.int8) ^ 8) - 8).astype(dtype(name)) if name == "int4" else raw.view(dtype(name)).copy()
        special = special_values(name)
        where = rng.random(count) < 0.4
        raw[where] = special[rng.integers(0, len(special), int(where.sum()))]
        return raw
    with np.errstate(all="ignore"):
        scale = {"int8": 50, "int32": 1e5, "int4": 3}.get(name, 2)
        normal = (rng.standard_normal(count) * scale).astype(np.float32)
        if name == "int4":
            normal = np.clip(normal, -8, 7)
        return (np.abs(normal) if name == "e8m0" else normal).astype(dtype(name))


class Bench:
    """A chip of one core with one sram and one acc buffer, all bytes written."""

    def __init__(self, rng: np.random.Generator) -> None:
        buffers = [Buffer("s", "sram", 0, BYTES), Buffer("a", "acc", 0, BYTES)]
        self.memory = Memory(buffers, 1)
        for space in ("sram", "acc"):
            segment = self.memory.core[0][space].segments[0]
            segment.data[:] = rng.integers(0, 256, BYTES, np.uint8)
            segment.written[:] = True

    def bytes(self, space: str) -> np.ndarray:
        return self.memory.core[0][space].segments[0].data

    def descriptor(self, **fields: int | str) -> Descriptor:
        """space and fmt by name; s0 in elements as the machine has it."""
        values = fresh_fields()
        for name, value in fields.items():
            table = {"space": ["hbm", "sram", "acc", "peer", "shared"], "fmt": FORMATS}.get(name, [])
            values[name] = table.index(value) if isinstance(value, str) else value
        return Descriptor(self.memory, 0, values)


def view(descriptor: Descriptor, memory: np.ndarray, n: tuple[int, ...] | None = None) -> _num.View:
    """The C side's view of a descriptor over a copy of its space."""
    return (memory, descriptor["base"], FORMATS.index(descriptor.fmt), n or descriptor.extents, descriptor.strides)


def random_bytes(rng: np.random.Generator, name: str, count: int, wild: bool) -> np.ndarray:
    """`count` bytes of elements of a format."""
    if is_packed(name):
        return rng.integers(0, 256, count, np.uint8)
    return random_elements(rng, name, count // size(name), wild).view(np.uint8)


def checked(examples: int) -> settings:
    """Hypothesis with the same examples on every run; EMU_HYPOTHESIS=deep for many more, chosen anew."""
    if os.environ.get("EMU_HYPOTHESIS") == "deep":
        return settings(max_examples=examples * 30, deadline=None)
    return settings(max_examples=examples, deadline=None, derandomize=True)


@contextmanager
def at_level(level: int) -> Iterator[None]:
    """Run the compiled core at a code level."""
    assert _num.force_level(level) == level
    try:
        yield
    finally:
        _num.force_level(-1)
