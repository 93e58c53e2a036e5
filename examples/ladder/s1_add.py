"""Step 1. y = a + b: tiles are loaded, added and stored; every core takes the tiles whose turn it is.

    python examples/ladder/s1_add.py [chip]
"""

import sys

import numpy as np
from report import show

import emu


@emu.kernel
def add(k, a, b, y, tile):
    rows, width = y.shape
    tiles = -(-rows // tile)
    first = k.per_core(list(range(k.cores)))
    for i in k.loop(k.per_core([-(-(tiles - c) // k.cores) for c in range(k.cores)])):  # a hardware loop, traced once
        at, shape = ((i * k.cores + first) * tile, 0), (tile, width)
        left, right = k.fetch(a.at(at, shape)), k.fetch(b.at(at, shape))
        out = k.tile(shape, y.fmt, valid=left.valid)  # the last tile may have fewer rows
        k.add(out, left, right)
        k.store(y.at(at, shape), out)


@emu.kernel
def add_buffered(k, a, b, y, tile):
    """The same with two slots for each tile: the next loads run while this one is added and the one before is stored."""
    rows, width = y.shape
    tiles = -(-rows // tile)
    first = k.per_core(list(range(k.cores)))
    for i in k.loop(k.per_core([-(-(tiles - c) // k.cores) for c in range(k.cores)])):
        at, shape = ((i * k.cores + first) * tile, 0), (tile, width)
        left, right = k.fetch(a.at(at, shape), 2), k.fetch(b.at(at, shape), 2)
        out = k.tile(shape, y.fmt, depth=2, valid=left.valid)
        k.add(out, left, right)
        k.store(y.at(at, shape), out)


def main(chip="tiny"):
    draw = np.random.default_rng(0)
    a, b = (draw.standard_normal((500, 128)).astype(np.float32) for _ in range(2))
    given = {"a": (a, "bf16"), "b": (b, "bf16"), "y": (a.shape, "bf16", "out")}
    show("add, rows one by one", add.run(chip, **given, tile=1), a + b)
    show("add, 16 rows at a time", add.run(chip, **given, tile=16), a + b)
    show("add, double-buffered", add_buffered.run(chip, **given, tile=16), a + b)


if __name__ == "__main__":
    main(*sys.argv[1:])
