"""A product of packed, block-scaled tiles that stream through a ring of slots: each holds a, its scales, b and its scales."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import emu
import isa
from emu import num

SCALES = {"mx": ("e8m0", 32), "nvfp4": ("fp8_e4m3", 16)}
RATES = {"tf32": 1, "fp6_e2m3": 2, "fp6_e3m2": 2, "fp4_e2m1": 4, "int4": 4}
CHIP = emu.chip("tiny").vary({
    "core.matrix.max_k": 64, "core.matrix.scales": ["mx", "nvfp4"], **{f"core.matrix.rate.{fmt}": rate for fmt, rate in RATES.items()},
})


@dataclass(frozen=True)
class Streamed:
    """`tiles` products [m, k] x [k, n] (b stored [n, k]) summed in the accumulators; scales "" for none."""

    tiles: int
    m: int
    n: int
    k: int
    fmt: str
    scales: str = ""
    depth: int = 2

    @property
    def parts(self) -> list[int]:
        """Bytes of a, its scales, b and its scales."""
        block = SCALES[self.scales][1] if self.scales else 0
        blocks = -(-self.k // block) if block else 0
        row = num.row_bytes(self.fmt, self.k)
        return [self.m * row, self.m * blocks, self.n * row, self.n * blocks]

    @property
    def slot(self) -> int:
        return sum(self.parts)

    def operand(self, number: int, at: int, rows: int) -> str:
        """Words that set the descriptor of a or b."""
        data, scale = self.parts[2 * number - 2 : 2 * number]
        row = num.row_bytes(self.fmt, self.k)
        fields = {"space": "sram", "fmt": self.fmt, "base": at, "n0": self.k, "n1": rows, "s1": row}
        fields |= {"ring_lo": at, "ring_size": self.slot * self.depth, "ring_step": self.slot}
        if self.scales:
            fields |= {"scales": self.scales, "scale": data, "scale_s1": scale // rows}
        return "\n".join(f"        dset d{number}.{name}, {value}" for name, value in fields.items())

    def program(self) -> isa.Program:
        acc = "int32" if self.fmt == "int4" else "fp32"
        out = self.m * self.n * 4
        return isa.assemble(f"""
.program streamed
.cores 1
.buffer x hbm 0x0 {self.tiles * self.slot} in int8 {self.tiles * self.slot}
.buffer y hbm 0x1000000 {out} out {acc} {self.m}x{self.n}
.buffer ring sram 0x0 {self.slot * self.depth} temp
.buffer sum acc 0x0 {out} temp
.sem 1 full 0
.sem 2 free {self.depth}
.sem 3 done 0
.stream ld0
        dset d0.space, sram
        dset d0.fmt, int8
        dset d0.n0, {self.slot}
        dset d0.ring_size, {self.slot * self.depth}
        dset d0.ring_step, {self.slot}
        dset d1.fmt, int8
        loop {self.tiles}, loaded
        dma d0, d1 wait=free signal=full
        dnext d0
        dadd d1.base, {self.slot}
loaded:
        halt
.stream mm
        dset d0.space, acc
        dset d0.fmt, {acc}
        dset d0.n0, {self.n}
        dset d0.n1, {self.m}
        dset d0.s1, {self.n * 4}
{self.operand(1, 0, self.m)}
{self.operand(2, sum(self.parts[:2]), self.n)}
        loop {self.tiles}, summed
        mm d0, d1, d2 wait=full signal=free bt
        dset d0.accumulate, 1
        dnext d1
        dnext d2
summed:
        signal done, 1
        halt
.stream st0
        wait done, 1
        dset d1.space, acc
        dset d1.fmt, {acc}
        dset d0.base, 0x1000000
        dset d0.fmt, {acc}
        dset d0.n0, {self.m * self.n}
        dma d0, d1
        halt
""")

    def tensors(self, seed: int) -> list[tuple[num.Blocks | np.ndarray, num.Blocks | np.ndarray]]:
        """a and b of every tile."""
        rng = np.random.default_rng(seed)
        return [(self._tensor(rng, self.m), self._tensor(rng, self.n)) for _ in range(self.tiles)]

    def _tensor(self, rng: np.random.Generator, rows: int) -> num.Blocks | np.ndarray:
        x = (rng.standard_normal((rows, self.k)) * 2).astype(np.float32)
        if not self.scales:
            return num.cast(x, self.fmt)
        return num.quantize_mx(x, self.fmt) if self.scales == "mx" else num.quantize_nvfp4(x, tensor_scale=1.0)

    def bytes_of(self, tensors: list[tuple[num.Blocks | np.ndarray, num.Blocks | np.ndarray]]) -> np.ndarray:
        """What hbm holds of them."""
        raw = []
        for pair in tensors:
            for x in pair:
                raw.append(num.pack(x.values if isinstance(x, num.Blocks) else x, self.fmt).reshape(-1))
                raw.append(x.scales.view(np.uint8).reshape(-1) if isinstance(x, num.Blocks) else np.zeros(0, np.uint8))
        return np.concatenate(raw).view(np.int8)
