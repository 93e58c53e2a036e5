"""Step 2. softmax over rows: five vector instructions a tile, on chip from the load to the store.

    python examples/ladder/s2_softmax.py [chip]
"""

import sys

import numpy as np
from deal import deal
from report import show

import emu


@emu.kernel
def softmax(k, x, y, tile, fused):
    rows, width = y.shape
    tiles = -(-rows // tile)
    for i in deal(k, tiles):
        at, shape = (i * tile, 0), (tile, width)
        t = k.fetch(x.at(at, shape), 2)
        e = k.tile(shape, "fp32", valid=t.valid)
        stat = k.tile((tile, 1), "fp32", valid=(t.valid[0], 1))  # a column; it broadcasts over the row
        out = k.tile(shape, y.fmt, depth=2, valid=t.valid)
        k.rmax(stat, t)
        k.sub(e, t, stat)
        k.exp(e, e)
        k.rsum(stat, e)
        if fused:
            k.rcp(stat, stat)  # one division a row, and a product for each element
            k.mul(out, e, stat)
        else:
            k.div(out, e, stat)  # a division for each element
        k.store(y.at(at, shape), out)


def main(chip="tiny"):
    x = np.random.default_rng(0).standard_normal((500, 128)).astype(np.float32)
    e = np.exp(x - x.max(-1, keepdims=True))
    want = e / e.sum(-1, keepdims=True)
    given = {"x": (x, "bf16"), "y": (x.shape, "bf16", "out"), "tile": 16}
    show("softmax, divisions", softmax.run(chip, **given, fused=False), want)
    show("softmax, reciprocals", softmax.run(chip, **given, fused=True), want)


if __name__ == "__main__":
    main(*sys.argv[1:])
