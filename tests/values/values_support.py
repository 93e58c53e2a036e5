"""The same memory for both sides: emu._num works on views of it, the oracle on descriptors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from emu import _num
from emu.testing.tensors import random_elements
from isa.oracle.descriptor import FORMATS, Descriptor, fresh_fields
from isa.oracle.formats import is_packed, size
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


@contextmanager
def at_level(level: int) -> Iterator[None]:
    """Run the compiled core at a code level."""
    assert _num.force_level(level) == level
    try:
        yield
    finally:
        _num.force_level(-1)
