"""Schema of a core: scratchpad, accumulators, matrix and vector engines, DMA, and the ports between them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from emu.chip.fields import Bytes, Count, CountOrNone, Cycles, Hertz, Number, PerClock, Section
from emu.chip.matrix import Matrix
from emu.chip.vocabulary import CLASSES

Class = Literal["add", "mul", "exp", "rsqrt", "compare", "convert", "reduce", "transpose", "gather"]


class Sram(Section):
    """The core's scratchpad."""

    capacity_bytes: Bytes = Field(gt=0)
    latency_cycles: Cycles
    banks: Count = 1
    bank_bytes: Bytes = 0
    """Bytes one bank gives per clock. Vector operands whose elements of one clock fall on the same bank take turns; 0: no bank does."""
    bandwidth_bytes_per_clk: PerClock = 0
    """Of all engines and DMA together; 0: each has its ports to itself."""
    partitions: CountOrNone = 0
    """Partitions of a (partition, free) layout; 0: flat addresses."""


class Acc(Section):
    """Accumulators: a register file, PSUM or tensor memory."""

    capacity_bytes: Bytes = Field(gt=0)
    work: bool = False
    """Whether rows that the vector engine works on (norms, softmax) live here and not in the scratchpad: a register file."""


class Vector(Section):
    """The vector engine."""

    lanes: Count
    startup_cycles: Cycles
    per_clk: dict[Class, Number]
    """Elements per core clock for each class of operation. Whole, except where the engine has a slower clock of its own."""

    @model_validator(mode="after")
    def _complete(self) -> Vector:
        absent = [c for c in CLASSES if c not in self.per_clk]
        if absent:
            raise ValueError(f"per_clk: no rate for {', '.join(absent)}; every class needs one")
        return self


class Dma(Section):
    """The DMA queues of a core; each queue is an instruction stream of its own."""

    load_queues: Count = Field(le=4)
    store_queues: Count = Field(le=2)
    start_cycles: Cycles
    """From issue to the first byte, beside the memory's latency."""
    issue_cycles: Cycles
    """Between two instructions of one queue."""
    bytes_per_clk: PerClock = Field(alias="bandwidth", gt=0)
    """Of all queues of the core together, in each direction."""
    queue: Count = Field(default=8, ge=1, le=16)
    """Descriptors that wait in a queue behind the one whose data moves; while there is no room its sequencer stands still."""
    inflight_bytes: Bytes = Field(gt=0)
    """Most bytes one queue may have outstanding; over the latency this bounds its rate."""
    engines: Count = 1
    """Engines of a core that share the pieces of each transfer, each with its part of the bandwidth."""
    piece_bytes: Bytes = 0
    """Most contiguous bytes of one descriptor; a longer run is cut. 0: a run is one piece, however long."""
    overhead_cycles: Cycles = 0
    """What a piece costs its engine beside the time of its bytes."""
    single_bytes_per_clk: PerClock = Field(default=0, alias="single")
    """Of a transfer within the scratchpad in which no element stays beside its neighbour (a transposition); 0: what any other takes."""


class Port(Section):
    """What one engine can move to and from one space of the core per clock."""

    engine: Literal["mm", "vec", "dma"]
    space: Literal["sram", "acc"]
    read_bytes_per_clk: PerClock = 0
    write_bytes_per_clk: PerClock = 0


class Core(Section):
    """One core; a chip has `core_count` alike."""

    clock_hz: Hertz = Field(gt=0, le=10**11)
    """Clock of the matrix engine. Engine, peak and bound share it; it is not the boost clock of the vector units."""
    issue_cycles: Cycles = Field(default=1, ge=1)
    """Per scalar instruction."""
    sram: Sram
    acc: Acc
    matrix: Matrix
    vector: Vector
    dma: Dma
    ports: list[Port] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_port_each(self) -> Core:
        pairs = [(p.engine, p.space) for p in self.ports]
        for pair in sorted({p for p in pairs if pairs.count(p) > 1}):
            raise ValueError(f"ports: {pair[0]} has more than one entry for {pair[1]}; join them")
        if self.acc.work and not (self.port_bytes_per_clk("dma", "acc", "read") and self.port_bytes_per_clk("vec", "acc", "write")):
            raise ValueError("acc.work: vec must be able to write acc and dma to read it; give `ports` both, or leave work out")
        if not (self.port_bytes_per_clk("mm", "sram", "read") or self.port_bytes_per_clk("mm", "acc", "read")):
            raise ValueError("ports: mm can read neither sram nor acc, so it has no operands; give it `read`")
        return self

    @property
    def period_fs(self) -> int:
        """The clock's period in whole femtoseconds, rounded up; engine, peak and bound share it."""
        return -(-(10**15) // self.clock_hz)

    def port_bytes_per_clk(self, engine: str, space: str, access: str) -> int:
        """Bytes per clock of a port; 0 where the chip has no such path (an instruction that needs it is illegal)."""
        for port in self.ports:
            if (port.engine, port.space) == (engine, space):
                return port.read_bytes_per_clk if access == "read" else port.write_bytes_per_clk
        return 0

