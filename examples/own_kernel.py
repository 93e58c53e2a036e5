"""A kernel of your own: y = softmax(x + bias) over the rows of x, on all cores of a chip, checked against NumPy.

    python examples/own_kernel.py [chip]
"""

import sys

import numpy as np

import emu


@emu.kernel
def softmax_of_sum(k, x, bias, y, tile: int) -> None:
    """Core c takes the tiles c, c + cores, ...; the next tile is loaded while this one is computed, because tiles are double-buffered."""
    rows, width = y.shape
    tiles = -(-rows // tile)
    first = k.per_core(list(range(k.cores)))
    count = k.per_core([max(0, -(-(tiles - c) // k.cores)) for c in range(k.cores)])
    for i in k.loop(count):  # a hardware loop: the body is traced once
        row = (i * k.cores + first) * tile
        a = k.fetch(x.at((row, 0), (tile, width)), 2)
        b = k.fetch(bias.at((row, 0), (tile, width)), 2)
        e = k.tile((tile, width), "fp32", valid=a.valid)  # the last tile may have fewer rows
        top = k.tile((tile, 1), "fp32", valid=(a.valid[0], 1))
        out = k.tile((tile, width), "bf16", "sram", 2, a.valid)
        k.add(e, a, b)
        k.rmax(top, e)
        k.sub(e, e, top)
        k.exp(e, e)
        k.rsum(top, e)
        k.div(out, e, top)
        k.store(y.at((row, 0), (tile, width)), out)


def main(chip: str = "tiny", rows: int = 50, width: int = 96) -> None:
    draw = np.random.default_rng(0)
    x, bias = (draw.standard_normal((rows, width)).astype(np.float32) for _ in range(2))
    run = softmax_of_sum.run(chip, x=(x, "bf16"), bias=(bias, "bf16"), y=(x.shape, "bf16", "out"), tile=8)  # it also looks for races
    e = np.exp(x + bias - (x + bias).max(-1, keepdims=True))
    error = np.abs(run.outputs["y"].astype(np.float32) - e / e.sum(-1, keepdims=True)).max()
    print(f"{run.cycles} cycles, {run.joules * 1e6:.3g} uJ, {run.instructions} instructions; largest error {error:.1e}")
    assert error < 4e-3, "bf16 holds 8 bits"


if __name__ == "__main__":
    main(*sys.argv[1:])
