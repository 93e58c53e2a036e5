"""TPU v1's six workloads as programs, and how their cycles divide: beside the counters of its paper.

Shapes are not published, only counts and totals (Jouppi et al., ISCA 2017, table 1). `SHAPES` follows from these by one rule: all matrices
of a workload are alike and square (an LSTM gate twice as deep as wide), as large as the weights divide, in whole tiles of 256;
convolutions are 3 x 3, over as many positions as operations per weight and the batch leave. Where table 1 leaves a choice (CNN1), maps
are 14 x 14."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from emu.chip.schema import Chip
from emu.kernels import Tracer, kernel
from emu.kernels.lang import Tile
from emu.kernels.resident import Map, Shared, conv, dense, lstm_cell, max_pool, shared, weights
from emu.machine import Machine
from emu.machine.result import Run
from isa import Program

TILE = 256
FIFO = 4
STAGE = 5
"""Convolutions in front of each pool."""
ACC_ROWS = 4096
SHARES = ("active", "weight_stall", "weight_shift", "non_matrix")
"""How the paper divides cycles: the array works; waits for weights from memory; waits for a tile to shift in; everything else."""
COUNTERS = Path(__file__).parent / "data" / "tpu-v1-counters.csv"


@dataclass(frozen=True)
class Workload:
    """What table 1 says, and the shapes inferred from it."""

    kind: str
    batch: int
    layers: int
    """Matrices (mlp, cnn) or cells of four gates (lstm)."""
    width: int
    """Columns of a matrix; channels of a convolution."""
    side: int = 0
    """Lines and columns of an image."""
    dense: int = 0
    """Matrices of `wide` x `wide` behind the convolutions."""
    wide: int = 0
    pools: int = 0


# Weights in millions, here and in table 1: MLP0 5 x 2048^2, 21.0 of 20. MLP1 4 x 1024^2, 4.2 of 5. LSTM0 5 cells of four gates and 4 dense
# layers, 24 matrices, 47 of 52. LSTM1 9 cells and 1 dense layer, 37 matrices of 678 columns padded to 768, 34 of 34. CNN0 16 x 9 x 236^2,
# 8.0 of 8. CNN1 72 x 9 x 206^2 and 4 x 4352^2, 103 of 100.
SHAPES: dict[str, Workload] = {
    "MLP0": Workload("mlp", 200, 5, 2048), "MLP1": Workload("mlp", 168, 4, 1024),
    "LSTM0": Workload("lstm", 64, 5, 1024, dense=4), "LSTM1": Workload("lstm", 96, 9, 768, dense=1),
    "CNN0": Workload("cnn", 8, 16, 236, side=19), "CNN1": Workload("cnn", 32, 72, 206, side=14, dense=4, wide=4352, pools=13),
}  # fmt: skip


@kernel
def mlp(k: Tracer, w: Workload) -> None:
    """Dense layers one after the other."""
    s = shared(k, w.batch, 2, w.batch, TILE, FIFO)
    x = k.fetch(k.hbm("x", (w.batch, w.width), "int8", "in").at((0, 0), (w.batch, w.width)), 1, name="x", space="sram")
    _dense_chain(k, s, x, w.layers, w.width)


def _dense_chain(k: Tracer, s: Shared, x: Tile, layers: int, width: int) -> None:
    """Dense layers to device memory."""
    rows = x.shape[0]
    for i in range(layers):
        y = k.tile((rows, width), "int8", "sram", 1, name=f"d{i}")
        dense(k, s, x, weights(k, f"wd{i}", x.shape[1], width, TILE), y)
        x = y
    k.store(k.hbm("out", (rows, width), "int8", "out").at((0, 0), (rows, width)), x)


@kernel
def lstm(k: Tracer, w: Workload) -> None:
    """Cells one after the other, each with gates over its input and its last output; the state of all is kept, in fp32."""
    rows, width, cells = w.batch, w.width, w.layers
    s = shared(k, rows, 2, rows, TILE, FIFO)
    inputs = k.hbm("x", (rows, 2 * width), "int8", "in")
    gates = [k.hbm(f"w{gate}", (cells * width // TILE, 2 * width, TILE), "int8", "in") for gate in "ifgo"]
    ring = k.ring("xh", rows * 2 * width, 2)
    first = k.put(ring, (rows, 2 * width), "int8")
    k.mov(first, k.fetch(inputs.at((0, 0), (rows, 2 * width)), 1, name="x", space="sram"))
    c = k.tile((rows, width), "fp32", "sram", 1, name="c")
    k.fill(c, 0.0)
    for cell in k.loop(cells):
        xh, after = k.get(ring, (rows, 2 * width), "int8"), k.put(ring, (rows, 2 * width), "int8")
        k.fill(after[:, width:], 0.0)
        lstm_cell(k, s, xh, gates, cell * (width // TILE), c, after[:, :width])
    _dense_chain(k, s, k.get(ring, (rows, 2 * width), "int8"), w.dense, width)


@kernel
def cnn(k: Tracer, w: Workload) -> None:
    """Convolutions, in stages of five with a pool behind where there are pools, and dense layers on what they leave."""
    where, group = Map(w.batch, w.side, w.side), max(1, min(w.batch, ACC_ROWS // ((w.side + 1) * (w.side + 1))))
    shape = (where.rows, w.width)
    s = shared(k, max(group * where.image, w.batch), 1, w.batch, TILE, FIFO)
    kernels = k.hbm("wc", (w.layers, 9 * w.width, TILE), "int8", "in")
    ring = k.ring("maps", where.rows * w.width, 2)
    k.mov(k.put(ring, shape, "int8"), k.fetch(k.hbm("x", shape, "int8", "in").at((0, 0), shape), 1, name="x", space="sram"))
    for stage in k.loop(w.pools):
        for i in k.loop(STAGE - 1):
            conv(k, s, k.get(ring, shape, "int8"), kernels, stage * STAGE + i, k.put(ring, shape, "int8"), where, group)
        unpooled = k.tile(shape, "int8", "sram", 1, name="unpooled")
        conv(k, s, k.get(ring, shape, "int8"), kernels, stage * STAGE + STAGE - 1, unpooled, where, group)
        max_pool(k, unpooled, k.put(ring, shape, "int8"), where)
    for i in k.loop(w.layers - w.pools * STAGE - 1):
        conv(k, s, k.get(ring, shape, "int8"), kernels, w.pools * STAGE + i, k.put(ring, shape, "int8"), where, group)
    last = k.tile(shape, "int8", "sram", 1, name="last")
    conv(k, s, k.get(ring, shape, "int8"), kernels, w.layers - 1, last, where, group)
    if not w.dense:
        k.store(k.hbm("out", shape, "int8", "out").at((0, 0), shape), last)
        return
    x = k.tile((w.batch, w.wide), "int8", "sram", 1, name="flat")
    k.fill(x, 0.0)
    k.mov(x[:, : w.width], last[where.first(0) : where.first(0) + w.batch, :])  # one pixel of each stands for what is flattened
    _dense_chain(k, s, x, w.dense, w.wide)


KERNELS = {"mlp": mlp, "lstm": lstm, "cnn": cnn}


def chip_for(chip: Chip, name: str) -> Chip:
    """The chip as it runs this workload: the LSTMs have 16-bit activations, for which the array takes twice as long."""
    if SHAPES[name].kind != "lstm":
        return chip
    matrix = chip.core.matrix
    return chip.vary({"core.matrix.rate": {"int8": matrix.macs_per_clk["int8"] / (matrix.rows * matrix.cols * matrix.units) / 2}})


def program(chip: Chip, name: str) -> Program:
    """A workload's program."""
    w = SHAPES[name]
    return KERNELS[w.kind].trace(chip, w=w)


def run(chip: Chip, name: str) -> Run:
    """A workload, timing only."""
    used = chip_for(chip, name)
    return Machine(used).run(program(used, name), values=False)


def shares(done: Run) -> dict[str, float]:
    """How the matrix engine's time divides; the shares sum to 1."""
    ((_, root),) = ((key, row) for key, row in done.stalls_fs("root_stalls").items() if key[1] == "mm")
    weights_fs = root["dram_bandwidth"] + root["dram_latency"]
    found = {"active": root["busy"], "weight_stall": weights_fs, "weight_shift": root["load"]}
    found["non_matrix"] = done.end_fs - sum(found.values())
    return {name: fs / done.end_fs for name, fs in found.items()}


def counters() -> dict[str, dict[str, float]]:
    """Workload -> share -> what the paper's counters say (table 3, rows 1 and 4 to 6), of 1."""
    lines = [line for line in COUNTERS.read_text().splitlines() if not line.startswith("#")]
    return {row["workload"]: {name: float(row[name]) / 100 for name in SHARES} for row in csv.DictReader(lines)}


def difference(predicted: dict[str, float], measured: dict[str, float]) -> float:
    """Mean absolute difference of the four shares."""
    return sum(abs(predicted[name] - measured[name]) for name in SHARES) / len(SHARES)
