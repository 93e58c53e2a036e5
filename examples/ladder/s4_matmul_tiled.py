"""Step 4. Tiles that fit: 48 x 48 of y at a time, so that each byte loaded takes part in 48 products instead of 8.

    python examples/ladder/s4_matmul_tiled.py [chip]
"""

import sys

from deal import deal
from report import show
from s3_matmul_naive import problem

import emu


@emu.kernel
def matmul(k, x, w, y, tile):
    (rows, depth), columns, t = x.shape, y.shape[1], tile
    for i in deal(k, rows // t):
        row = i * t
        for j in k.loop(columns // t):
            acc = k.tile((t, t), "fp32", "acc")
            for s in k.loop(depth // t):
                a = k.fetch(x.at((row, s * t), (t, t)), space="sram")
                b = k.fetch(w.at((s * t, j * t), (t, t)), space="sram")
                k.mm(acc, a, b)  # cut into what one instruction of the chip can do
            out = k.tile((t, t), y.fmt, "sram")
            k.mov(out, acc)
            k.store(y.at((row, j * t), (t, t)), out)


def main(chip="tiny"):
    x, w, given = problem()
    show("matmul, tiles of 16", matmul.run(chip, **given, tile=16), x @ w)
    show("matmul, tiles of 48", matmul.run(chip, **given, tile=48), x @ w)


if __name__ == "__main__":
    main(*sys.argv[1:])
