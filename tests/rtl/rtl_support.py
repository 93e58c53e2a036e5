"""Lists of products for both sides: the array in Verilog, and the matrix engine of a chip with the same geometry."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

import emu
import isa
from emu.chip.schema import Chip
from emu.machine import Machine
from emu.machine.array import ready_cycles
from emu.machine.config import period_fs

HERE = Path(__file__).parent
TINY = emu.chip("tiny")
SIDE = 16
PORTS = [{"engine": e, "space": s, "read": "4096 B/clk", "write": "4096 B/clk"} for e in ("mm", "vec", "dma") for s in ("sram", "acc")]
STREAMED = {"weight_stationary": "m", "input_stationary": "n", "output_stationary": "k"}
DATAFLOWS = tuple(STREAMED)
MUTANTS = {"a register more in the cells than the edges expect": 1, "a stream begins before its last weights are in": 2,
           "new weights do not wait for the old ones": 3}  # fmt: skip


@dataclass(frozen=True)
class Array:
    """Geometry of the array; `load_rows` is 0 where nothing is stationary."""

    dataflow: str
    rows: int
    cols: int
    hop: int = 1
    psum_hop: int = 1
    shadow: bool = True
    load_rows: int = 1

    def chip(self) -> Chip:
        """`tiny` with this array, one MAC per cell and clock, and ports that never hold it up."""
        most = {"core.matrix.max_m": self.rows if self.dataflow == "output_stationary" else self.cols, "core.matrix.max_n": self.cols,
                "core.matrix.max_k": self.rows, f"core.matrix.max_{STREAMED[self.dataflow]}": 64}  # fmt: skip
        return TINY.vary({
            "core.matrix.dataflow": self.dataflow, "core.matrix.rows": self.rows, "core.matrix.cols": self.cols, "core.ports": PORTS,
            "core.matrix.rate": {"int8": 1}, "core.matrix.hop": f"{self.hop} clk", "core.matrix.psum_hop": f"{self.psum_hop} clk",
            "core.matrix.shadow": self.shadow, "core.matrix.load_rows_per_clk": self.load_rows, "core.acc.capacity": "1 MiB",
            "core.sram.capacity": "1 MiB", **most,
        })  # fmt: skip


@dataclass(frozen=True)
class Product:
    """One mm instruction: `reps` products of m x k by k x n, issued after so many scalar instructions; `add` to those before."""

    m: int
    n: int
    k: int
    reps: int
    scalars: int
    add: bool


@st.composite
def arrays(draw: Any, dataflows: tuple[str, ...] = DATAFLOWS) -> Array:
    flow = draw(st.sampled_from(dataflows))
    loads = flow != "output_stationary"
    side, hop = st.integers(1, SIDE), st.integers(1, 2)
    return Array(flow, draw(side), draw(side), draw(hop), draw(hop) if loads else 1, draw(st.booleans()), draw(hop) if loads else 0)


@st.composite
def products(draw: Any, array: Array) -> list[Product]:
    """Products that fit; as narrow as a single lane at times, a stream shorter or longer than a load."""
    stream = st.one_of(st.integers(1, 6), st.integers(1, 40))
    lanes = {"m": array.rows if array.dataflow == "output_stationary" else array.cols, "n": array.cols, "k": array.rows}
    extents = {axis: st.one_of(st.just(most), st.integers(1, most)) for axis, most in lanes.items()} | {STREAMED[array.dataflow]: stream}
    found: list[Product] = []
    for _ in range(draw(st.integers(1, 5))):
        m, n, k = (draw(extents[axis]) for axis in "mnk")
        add = bool(found) and draw(st.booleans())
        if add:
            m, n = found[-1].m, found[-1].n
        reps = found[-1].reps if add else draw(st.integers(1, 3))
        found.append(Product(m, n, k, reps, draw(st.integers(0, 20)), add))
    return found


def operands(work: list[Product], seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each product (reps, m, k) and (reps, k, n) int8."""
    rng = np.random.default_rng(seed)
    return [tuple(rng.integers(-128, 128, shape, dtype=np.int8) for shape in ((p.reps, p.m, p.k), (p.reps, p.k, p.n))) for p in work]


Results = list[dict[tuple[int, int, int], tuple[int, int]]]
"""For each product (repeat, i, j) -> (cycle in which it can be read, value); cycles from the first tile's first stream."""


class Layout:
    """Places of operands and results: a byte range of sram for each operand, of acc for results that are not added to earlier ones."""

    def __init__(self, work: list[Product]) -> None:
        self.a: list[int] = []
        self.b: list[int] = []
        self.c: list[int] = []
        at = out = 0
        for p in work:
            self.a.append(at)
            self.b.append(at + p.reps * p.m * p.k)
            at += p.reps * (p.m + p.n) * p.k
            self.c.append(self.c[-1] if p.add else out)
            out = max(out, self.c[-1] + 4 * p.reps * p.m * p.n)
        self.bytes_in, self.bytes_out = at, out


def program(work: list[Product], layout: Layout) -> isa.Program:
    """Everything into sram, the instructions, everything out of acc."""
    body = []
    for p, a, b, c in zip(work, layout.a, layout.b, layout.c):
        for d, base, rows, cols, size in ((0, c, p.m, p.n, 4), (1, a, p.m, p.k, 1), (2, b, p.k, p.n, 1)):
            body.append(f"dset d{d}.base, {base}\n dset d{d}.n1, {rows}\n dset d{d}.n0, {cols}\n dset d{d}.s1, {cols * size}\n"
                        f" dset d{d}.s2, {rows * cols * size}")  # fmt: skip
        body.append(f"dset d0.n2, {p.reps}\n dset d0.accumulate, {int(p.add)}\n" + " nop\n" * p.scalars + " mm d0, d1, d2")
    mm = "\n ".join(body)
    return isa.assemble(f"""
.program tiles
.cores 1
.buffer x hbm 0 {layout.bytes_in} in int8 {layout.bytes_in}
.buffer y hbm 0x100000 {layout.bytes_out} out int32 {layout.bytes_out // 4}
.buffer s sram 0 {layout.bytes_in} temp
.buffer t acc 0 {layout.bytes_out} temp
.sem 1 there 0
.sem 2 done 0
.stream ld0
 dset d0.space, sram
 dset d0.fmt, int8
 dset d1.fmt, int8
 dset d0.n0, {layout.bytes_in}
 dma d0, d1 signal=there
 halt
.stream mm
 dset d0.space, acc
 dset d0.fmt, int32
 dset d1.space, sram
 dset d1.fmt, int8
 dset d2.space, sram
 dset d2.fmt, int8
 wait there, 1
 {mm}
 signal done, 1
 halt
.stream st0
 dset d0.base, 0x100000
 dset d0.fmt, int32
 dset d0.n0, {layout.bytes_out // 4}
 dset d1.space, acc
 dset d1.fmt, int32
 wait done, 1
 dma d0, d1
 halt
""")


def issue_gaps(code: isa.Program) -> list[int]:
    """Clocks from each mm's first stream to the issue of the next: one for itself and one for each scalar instruction between."""
    words = [isa.decode(w).mnemonic for w in code.streams["mm"]]
    at = [j for j, w in enumerate(words) if w == "mm"]
    return [0] + [b - a for a, b in zip(at, at[1:])]


def engine(array: Array, work: list[Product], data: list[tuple[np.ndarray, np.ndarray]]) -> Results:
    """What the matrix engine says: the start of each stream from a trace, elements by the engine's own rule, values from the run."""
    chip, layout = array.chip(), Layout(work)
    code = program(work, layout)
    flat = np.concatenate([part.ravel() for pair in data for part in pair])
    run = Machine(chip).run(code, {"x": flat}, trace=True)
    records = sorted((start, end) for _, stream, _, _, start, end in run.raw["records"] if stream == 0)
    found, clk = [], period_fs(chip)
    for p, c, (start, end) in zip(work, layout.c, records):
        ready = ready_cycles(chip, p.m, p.n, p.k)
        last = (end - start) // clk  # from the first repeat's start to the last one's end: repeats follow each other evenly
        busy = getattr(p, STREAMED[array.dataflow])
        interval = (last - busy) // max(p.reps - 1, 1)
        assert (last - busy) % max(p.reps - 1, 1) == 0
        values = run.outputs["y"].view(np.int32).ravel()[c // 4 : c // 4 + p.reps * p.m * p.n].reshape(p.reps, p.m, p.n)
        offset = (start - records[0][0]) // clk
        found.append({at: (int(offset + at[0] * interval + ready[at[1:]]), int(values[at])) for at in np.ndindex(p.reps, p.m, p.n)})
    return found


def in_verilog(binary: Path, array: Array, work: list[Product], data: list[tuple[np.ndarray, np.ndarray]], mutant: int = 0) -> Results:
    """What the array in Verilog says. Input stationary is weight stationary with the operands exchanged (SPEC.md)."""
    gaps, turned = issue_gaps(program(work, Layout(work))), array.dataflow == "input_stationary"
    outputs = array.dataflow == "output_stationary"
    tiles: list[tuple[int, ...]] = []
    owners: list[tuple[int, int]] = []
    a_of, b_of, at, places = [], [], [0, 0, 0], [0]
    for j, (p, gap) in enumerate(zip(work, gaps)):
        a, b = (data[j][1].transpose(0, 2, 1), data[j][0].transpose(0, 2, 1)) if turned else data[j]
        m, n = (p.n, p.m) if turned else (p.m, p.n)
        place = places[-1] if p.add else at[2]
        places.append(place)
        for r in range(p.reps):
            a_at, b_at, c_at = at[0] + r * m * p.k, at[1] + r * n * p.k, place + r * (1 if outputs else m)
            tiles.append((int(r > 0) + 2 * p.add, gap, m, n, p.k, a_at, b_at, c_at))
            owners.append((j, r))
        at = [at[0] + a.size, at[1] + b.size, max(at[2], place + p.reps * (1 if outputs else m))]
        a_of.append(a.ravel())
        b_of.append(b.ravel())
    flat_a, flat_b = np.concatenate(a_of), np.concatenate(b_of)
    head = (int(outputs), int(array.shadow), max(array.load_rows, 1), array.rows, array.hop, array.psum_hop, mutant)
    text = "\n".join(" ".join(map(str, row)) for row in [head, (len(tiles), flat_a.size, flat_b.size), *tiles, flat_a, flat_b])
    said = subprocess.run([binary], input=text, capture_output=True, text=True, timeout=60, check=True).stdout
    events = [tuple(map(int, line.split()[1:])) for line in said.splitlines() if line[0] == "r"]
    return _sorted_out(events, tiles, owners, len(work), turned, outputs)


def _sorted_out(
    events: list[tuple[int, ...]], tiles: list[tuple[int, ...]], owners: list[tuple[int, int]], products: int, turned: bool, outputs: bool,
) -> Results:
    """Each result to its tile: the results of one lane come in the order of the tiles."""
    lanes: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    for cycle, at, row, column, value in events:
        lanes.setdefault((row if outputs else 0, column), []).append((cycle, at, value))
    found: Results = [{} for _ in range(products)]
    taken = dict.fromkeys(lanes, 0)
    for (_, _, m, n, _, _, _, place), (j, r) in zip(tiles, owners):
        for i in range(m):
            for c in range(n):
                lane = (i if outputs else 0, c)
                cycle, at, value = lanes[lane][taken[lane]]
                taken[lane] += 1
                assert at == (place if outputs else place + i)
                found[j][(r, c, i) if turned else (r, i, c)] = (cycle, value)
    assert all(taken[lane] == len(lanes[lane]) for lane in lanes)
    return found
