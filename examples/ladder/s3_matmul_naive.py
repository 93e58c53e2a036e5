"""Step 3. y = x @ w, the naive way: each 8 x 8 piece of y asks for all of its rows and columns again, one product at a time.

    python examples/ladder/s3_matmul_naive.py [chip]
"""

import sys

import numpy as np
from deal import deal
from report import show

import emu

SIZE = 192


@emu.kernel
def matmul(k, x, w, y):
    (rows, depth), columns, t = x.shape, y.shape[1], 8
    for i in deal(k, rows // t):
        row = i * t
        for j in k.loop(columns // t):
            acc = k.tile((t, t), "fp32", "acc")
            for s in k.loop(depth // t):
                a = k.fetch(x.at((row, s * t), (t, t)), space="sram")  # one slot: the next load waits for the product
                b = k.fetch(w.at((s * t, j * t), (t, t)), space="sram")
                k.mm(acc, a, b)
            out = k.tile((t, t), y.fmt, "sram")
            k.mov(out, acc)
            k.store(y.at((row, j * t), (t, t)), out)


def problem():
    """Operands, what the kernels are called with, and what must come out."""
    draw = np.random.default_rng(0)
    x, w = (draw.standard_normal((SIZE, SIZE)).astype(np.float32) for _ in range(2))
    return x, w, {"x": (x, "bf16"), "w": (w, "bf16", "weight"), "y": ((SIZE, SIZE), "bf16", "out")}


def main(chip="tiny"):
    x, w, given = problem()
    show("matmul, naive", matmul.run(chip, **given), x @ w)


if __name__ == "__main__":
    main(*sys.argv[1:])
