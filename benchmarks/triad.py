"""A stream-heavy fp32 vector kernel under the power cap of a chip, by arithmetic intensity.

    python benchmarks/triad.py [chip]

y = x a + b and so on, `fused` times, over arrays far larger than every cache: what gpu-benches calls gpu-roofline. Measured on MI300X
(RRZE-HPC/gpu-benches@1038c5d): pinned at 750 W, 1,254 MHz at 4.07 TB/s, 914 MHz at 15 and 1,203 MHz at 63 FLOP per byte. Those are FP64
multiply-adds in one instruction each; here they are fp32, and a multiply-add is two roundings of this machine's vmac."""

from __future__ import annotations

import sys

import emu
from emu.chip.schema import Chip
from emu.machine import Run
from emu.power import Settled, steady

FUSED = (1, 4, 16, 64)
ROWS, WIDTH, TILES = 16, 256, 48
"""Of a tile, and tiles for each core."""


@emu.kernel
def triad(k, tiles: int, fused: int, rows: int = ROWS, width: int = WIDTH) -> None:
    """Every core streams its own tiles: in, `fused` multiply-adds an element in registers, out."""
    x = k.hbm("x", (k.cores * tiles * rows, width), "fp32", "in")
    y = k.hbm("y", (k.cores * tiles * rows, width), "fp32", "out")
    space = "acc"
    first = k.per_core([core * tiles * rows for core in range(k.cores)])
    for i in k.loop(tiles):
        at = (first + i * rows, 0)
        tile = k.fetch(x.at(at, (rows, width)), 3, space=space)
        out = k.tile((rows, width), "fp32", space, 3)
        k.mul(out, tile, 0.5)
        for _ in k.loop(fused):
            k.mac(out, tile, 0.5)
        k.store(y.at(at, (rows, width)), out)


def run(chip: Chip, fused: int, tiles: int = TILES, regime: str = "steady") -> Settled[Run]:
    """The kernel where the cap leaves it."""
    return steady(chip, triad.trace(chip, tiles=tiles, fused=fused), regime=regime)


def main(name: str = "mi300x") -> None:
    chip = emu.chip(name)
    print(f"{chip}, cap {chip.power.limit_w:g} W")
    for fused in FUSED:
        found = run(chip, fused)
        work, counters = found.work, found.work.counters
        moved = counters["hbm_read_bytes"] + counters["hbm_write_bytes"]
        rate, flops = moved / work.seconds / 1e12, 2 * counters["vec_mul"] / work.seconds / 1e12
        clock = f"{found.clock_hz / 1e6:5.0f} MHz of {found.full_clock_hz / 1e6:.0f}"
        drawn = f"{work.watts:5.0f} W, {found.tried} clocks tried  {found.infeasible}"
        print(f"{flops / rate:6.2f} FLOP/B  {clock}  {rate:5.2f} TB/s  {flops:6.1f} TFLOP/s  {drawn}")


if __name__ == "__main__":
    main(*sys.argv[1:])
