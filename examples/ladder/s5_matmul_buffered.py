"""Step 5. Two slots for every tile: loads, products, the way out and stores of neighbouring tiles run side by side.

    python examples/ladder/s5_matmul_buffered.py [chip]
"""

import sys

from deal import deal
from report import show
from s3_matmul_naive import problem

import emu


@emu.kernel
def matmul(k, x, w, y, tile, depth):
    (rows, inner), columns, t = x.shape, y.shape[1], tile
    for i in deal(k, rows // t):
        row = i * t
        for j in k.loop(columns // t):
            acc = k.tile((t, t), "fp32", "acc", 2 if 8 * t * t <= k.limits.acc_bytes else 1)
            for s in k.loop(inner // t):
                a = k.fetch(x.at((row, s * t), (t, t)), depth, space="sram")
                b = k.fetch(w.at((s * t, j * t), (t, t)), depth, space="sram")
                k.mm(acc, a, b)
            out = k.tile((t, t), y.fmt, "sram", depth)
            k.mov(out, acc)
            k.store(y.at((row, j * t), (t, t)), out)


def main(chip="tiny"):
    x, w, given = problem()
    show("matmul, double-buffered", matmul.run(chip, **given, tile=48, depth=2), x @ w)
    shapes = {name: (array[0].shape if name != "y" else array[0], *array[1:]) for name, array in given.items()}
    tuning = emu.tune(matmul, {"tile": [16, 24, 32, 48, 64], "depth": [1, 2, 3, 4]}, chip, shapes)
    failed = sum(bool(v.failed) for v in tuning.variants)
    print(f"{'tuned':24s} {tuning.best}, the best of {len(tuning.variants)} variants; {failed} do not fit or do not divide")
    show("matmul, tuned", matmul.run(chip, **given, **tuning.best), x @ w)


if __name__ == "__main__":
    main(*sys.argv[1:])
