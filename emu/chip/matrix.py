"""Schema of the matrix engine, and what follows from its geometry: rates, quanta, fill, instruction limits."""

from __future__ import annotations

import math
from fractions import Fraction as Ratio
from typing import Literal

from pydantic import Field, model_validator

from emu.chip.fields import Bits, Bytes, Count, CountOrNone, Cycles, Number, Section

Format = Literal["fp32", "bf16", "fp16", "fp8_e4m3", "fp8_e5m2", "int8", "tf32", "fp6_e2m3", "fp6_e3m2", "fp4_e2m1", "int4"]

ScaleKind = Literal["mx", "nvfp4"]


class Accumulate(Section):
    """How the engine adds (docs/machine.md, "Values"): part of what a chip computes, not only of how fast."""

    order: Literal["sequential", "block", "tree"] = "sequential"
    block_k: Count = Field(default=1, le=1 << 16)
    inner_fraction_bits: CountOrNone = Field(default=0, le=32, alias="inner_fraction_bits")
    """Fraction bits, below the largest exponent among them, to which the terms of a block are aligned before they are added; 0: each step
    is an fp32 operation."""
    inner_rounding: Literal["nearest", "truncate"] = "nearest"
    """How bits go where terms are aligned and where sums are fitted to the width."""
    join: Literal["acc_first", "acc_last"] = "acc_first"
    width_bits: Bits = Field(default=32, ge=10, le=32)
    """Of a floating-point accumulator: a sign, 8 bits of exponent, the rest fraction. Integers have 32."""

    @model_validator(mode="after")
    def _follow(self) -> Accumulate:
        if self.inner_fraction_bits and self.order != "block":
            raise ValueError(f'inner_fraction_bits: terms are aligned within blocks, and order is "{self.order}"; use order = "block"')
        if self.inner_rounding == "truncate" and not self.inner_fraction_bits and self.width_bits == 32:
            raise ValueError("inner_rounding: nothing is truncated; give inner_fraction_bits, or a width below 32")
        return self


class Matrix(Section):
    """`units` arrays of `rows` x `cols` cells that run one instruction stream in lock-step."""

    dataflow: Literal["weight_stationary", "output_stationary", "input_stationary", "dot"]
    rows: Count = Field(le=1 << 16)
    """Cells along the summation (weight- and input-stationary, dot) or along m (output-stationary)."""
    cols: Count = Field(le=1 << 16)
    """Cells along n (along m for input-stationary)."""
    units: Count = Field(default=1, le=1 << 10)
    fuse: Literal["columns", "rows", "square"] = "columns"
    """How the units join: side by side, stacked along the summation, or as a square."""
    rate: dict[Format, Number] | None = None
    """MACs per cell and clock for each format; a format left out is not supported. Or give `macs_per_clk`."""
    macs_per_clk: dict[Format, Number] = Field(default_factory=dict)
    """MACs per core and clock; derived from `rate` and the geometry unless given."""
    quantum_m: CountOrNone = 0
    quantum_n: CountOrNone = 0
    quantum_k: CountOrNone = 0
    max_m: CountOrNone = 0
    max_n: CountOrNone = 0
    max_k: CountOrNone = 0
    """Largest m, n, k of one repeat of an mm instruction; n and k are one quantum unless given."""
    load_rows_per_clk: CountOrNone = 0
    """Rows of the stationary operand that enter the array per clock; 0 where the dataflow holds nothing stationary."""
    shadow: bool = False
    """Whether the next stationary tile loads behind the current stream."""
    hop_cycles: Cycles = Field(default=1, ge=1)
    """From one cell to the next."""
    psum_hop_cycles: Cycles = Field(default=0, ge=0)
    """The same for a partial sum on its way down the summation (registers per row); as `hop` unless given."""
    fill_cycles: Cycles = -1  # -1 is replaced by what the geometry says
    """From the end of the stream to the last result in the accumulators; derived from rows, cols and the hops unless given."""
    staged_bytes: Bytes = 0
    """Bytes of each row of a that must have come from the scratchpad before a repeat's stream begins; they delay its result, not the next
    repeat. 0: the first ones stream at once."""
    min_rows: CountOrNone = 0
    """A stream takes as long as one of so many rows, or of as many as the stationary tile has columns, if that is less; 0: as its own. Only
    where m streams."""
    drain_overlap: bool = True
    """Whether the next tile may enter while the last results of this one are still on their way out."""
    min_interval_cycles: Cycles = Field(default=1, ge=1)
    fragment_m: CountOrNone = 0
    """b is read again from the scratchpad for every fragment_m rows of m; 0: read once."""
    fragment_n: CountOrNone = 0
    """a is read again for every fragment_n columns of n; 0: read once."""
    scales: list[ScaleKind] = []
    """Kinds of scales that operands may have, one for a block of k: mx (e8m0 for 32 elements), nvfp4 (e4m3 for 16)."""
    accumulate: Accumulate = Accumulate()

    def spans(self) -> tuple[int, int]:
        """Rows and columns of the units joined as `fuse` says."""
        side = math.isqrt(self.units)
        down, across = {"columns": (1, self.units), "rows": (self.units, 1), "square": (side, side)}[self.fuse]
        return self.rows * down, self.cols * across

    @model_validator(mode="after")
    def _follow(self) -> Matrix:
        if self.min_rows and self.dataflow != "weight_stationary":
            raise ValueError("min_rows: only a weight-stationary array streams rows past a tile of columns; leave it out")
        if self.fuse == "square" and math.isqrt(self.units) ** 2 != self.units:
            raise ValueError(f"fuse: {self.units} units make no square; use columns or rows")
        if (self.rate is None) == (not self.macs_per_clk):
            raise ValueError("give either `rate` (MACs per cell and clock) or `macs_per_clk`, for at least one format")
        if (self.dataflow in ("weight_stationary", "input_stationary")) != (self.load_rows_per_clk > 0):
            raise ValueError("load_rows_per_clk: a weight- or input-stationary array loads at least 1 row per clock, others load 0")
        self._derive(macs_per_clk=self._macs())
        rows, cols = self.spans()
        m, n, k = {
            "weight_stationary": (1, cols, rows),
            "output_stationary": (rows, cols, 1),
            "input_stationary": (cols, 1, rows),
            "dot": (1, cols, rows),
        }[self.dataflow]
        self._derive(quantum_m=self.quantum_m or m, quantum_n=self.quantum_n or n, quantum_k=self.quantum_k or k)
        self._derive(max_m=self.max_m or 512, max_n=self.max_n or max(self.quantum_n, 1), max_k=self.max_k or max(self.quantum_k, 1))
        self._derive(psum_hop_cycles=self.psum_hop_cycles or self.hop_cycles)
        if self.fill_cycles < 0:
            self._derive(fill_cycles=self._fill())
        for axis in "mnk":
            if getattr(self, f"max_{axis}") < getattr(self, f"quantum_{axis}"):
                raise ValueError(f"max_{axis}: {getattr(self, f'max_{axis}')} is below the quantum {getattr(self, f'quantum_{axis}')}")
        return self

    def joined(self) -> tuple[int, int]:
        """Rows and columns of one systolic array of joined units; units that only stand side by side are arrays of their own."""
        down = {"rows": self.units, "square": math.isqrt(self.units), "columns": 1}[self.fuse]
        return self.rows * down, self.cols * (math.isqrt(self.units) if self.fuse == "square" else 1)

    def _fill(self) -> int:
        """Cycles a value spends on its way: across a systolic array, or up the adder tree of a dot-product unit (docs/machine.md)."""
        rows, cols = self.joined()
        if self.dataflow == "dot":
            return ((self.rows - 1).bit_length() + 1) * self.hop_cycles
        if self.dataflow == "output_stationary":  # operands to the last cell, whose sum then enters its accumulator
            return (rows + cols - 2) * self.hop_cycles + 1
        return rows * self.psum_hop_cycles + (cols - 1) * self.hop_cycles

    def _macs(self) -> dict[Format, int]:
        cells = self.rows * self.cols * self.units
        rates = {f: Ratio(str(r)) for f, r in (self.macs_per_clk or self.rate or {}).items()}
        given = {f: r * (1 if self.macs_per_clk else cells) for f, r in rates.items()}
        for fmt, macs in given.items():
            if macs < 1 or macs != int(macs):
                raise ValueError(f"rate.{fmt}: {float(macs)} MACs per clock is not a whole number >= 1")
        return {f: int(macs) for f, macs in given.items()}

