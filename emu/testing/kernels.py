"""Random kernels in the kernel language, each with what it should compute in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from emu.kernels import Kernel, Tracer
from emu.kernels.lang import Tile
from emu.testing.tensors import extents
from isa.oracle.formats import from_fp32

Array = NDArray[Any]
BINARY: dict[str, Callable[[Array, Any], Array]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "max": np.maximum, "min": np.minimum,
}  # fmt: skip
CONSTANTS = (0.0, 1.0, -1.0, 0.5, 3.0)


@dataclass(frozen=True)
class Step:
    """One operation on rows: `op` of the value before and input `other`, a constant, or (`spread`) the row's own largest element."""

    op: str
    other: int | float | None

    def __str__(self) -> str:
        what = "its row's maximum" if self.other is None else f"x{self.other}" if isinstance(self.other, int) else str(self.other)
        return f"{self.op} {what}"


@dataclass(frozen=True)
class RowKernel:
    """y = the steps one after another on the rows of x0, through tiles of `tile` rows and rings of `depth` slots. Every step is rounded as
    IEEE fp32 rounds, so NumPy gives the same bits."""

    rows: int
    width: int
    tile: int
    depth: int
    formats: tuple[str, ...]
    out_fmt: str
    steps: tuple[Step, ...] = field(default=())

    @property
    def kernel(self) -> Kernel:
        """To be traced without arguments."""
        return Kernel(self.trace)

    def trace(self, k: Tracer) -> None:
        shape, part = (self.rows, self.width), (self.tile, self.width)
        xs = [k.hbm(f"x{j}", shape, fmt, "in") for j, fmt in enumerate(self.formats)]
        y = k.hbm("y", shape, self.out_fmt, "out")
        tiles = -(-self.rows // self.tile)
        ends = [tiles * c // k.cores for c in range(k.cores + 1)]
        first = k.per_core(ends[:-1])
        for i in k.loop(k.per_core([b - a for a, b in zip(ends, ends[1:])])):
            row = (first + i) * self.tile
            inputs = [k.fetch(x.at((row, 0), part), self.depth, name=x.name) for x in xs]
            value = inputs[0]
            for number, step in enumerate(self.steps):
                value = self._step(k, step, value, inputs, f"v{number}")
            out = k.tile(part, self.out_fmt, "sram", self.depth, value.valid, "out")
            for x in inputs[1:]:  # every input is read, whatever the steps are
                k.mov(k.tile(part, "fp32", valid=x.valid, name=f"{x.name}_read"), x)
            k.mov(out, value)
            k.store(y.at((row, 0), part), out)

    def _step(self, k: Tracer, step: Step, value: Tile, inputs: list[Tile], name: str) -> Tile:
        new = k.tile(value.shape, "fp32", valid=value.valid, name=name)
        other: Any = inputs[step.other] if isinstance(step.other, int) else step.other
        if other is None:
            other = k.tile((self.tile, 1), "fp32", valid=(value.valid[0], 1), name=f"{name}_top")
            k.rmax(other, value)
        getattr(k, step.op)(new, value, other)
        return new

    def oracle(self, inputs: Mapping[str, Array]) -> Array:
        """y, in its format."""
        xs = [np.asarray(inputs[f"x{j}"]).astype(np.float32) for j in range(len(self.formats))]
        value = xs[0]
        with np.errstate(all="ignore"):
            for step in self.steps:
                other: Any = xs[step.other] if isinstance(step.other, int) else step.other
                if other is None:
                    other = value.max(-1, keepdims=True)
                value = BINARY[step.op](value, np.asarray(other, np.float32))
        return from_fp32(value, self.out_fmt)


@st.composite
def kernels(draw: st.DrawFn, most_steps: int = 4) -> RowKernel:
    """Kernels over the rows of one to three inputs; sizes at the edges of tiles. They fit on `tiny` and on every preset."""
    formats = tuple(draw(st.lists(st.sampled_from(["bf16", "fp16", "fp32"]), min_size=1, max_size=3)))
    tile = draw(st.sampled_from([1, 2, 4, 8]))
    others = st.one_of(st.integers(0, len(formats) - 1), st.sampled_from(CONSTANTS), st.none())
    steps = draw(st.lists(st.builds(Step, st.sampled_from(sorted(BINARY)), others), max_size=most_steps))
    return RowKernel(
        draw(extents(tile, 40)), draw(st.sampled_from([1, 3, 8, 17, 32])), tile, draw(st.integers(1, 3)), formats,
        draw(st.sampled_from(["bf16", "fp32"])), tuple(steps),
    )  # fmt: skip
