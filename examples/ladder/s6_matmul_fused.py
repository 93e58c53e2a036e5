"""Step 6. y = silu(x @ w + bias): as a product and a second kernel that reads it again, or on its way out of the accumulators.

    python examples/ladder/s6_matmul_fused.py [chip]
"""

import sys

import numpy as np
from deal import deal
from report import show
from s3_matmul_naive import problem
from s5_matmul_buffered import matmul

import emu


def finish(k, out, x, bias):
    """out = silu(x + bias)."""
    wide, gate = (k.tile(out.shape, "fp32", "sram", name=name) for name in ("wide", "gate"))
    k.add(wide, x, bias)
    k.sigmoid(gate, wide)
    k.mul(out, wide, gate)


@emu.kernel
def silu(k, x, bias, y, tile):
    (rows, columns), t, b = y.shape, tile, k.fetch(bias)
    for i in deal(k, rows // t):
        at = (i * t, 0)
        finish(k, out := k.tile((t, columns), y.fmt, depth=2), k.fetch(x.at(at, (t, columns)), 2), b)
        k.store(y.at(at, (t, columns)), out)


@emu.kernel
def fused(k, x, w, bias, y, tile, depth):
    (rows, inner), columns, t, b = x.shape, y.shape[1], tile, k.fetch(bias, space="sram")
    for i in deal(k, rows // t):
        row = i * t
        for j in k.loop(columns // t):
            acc = k.tile((t, t), "fp32", "acc", 2)
            for s in k.loop(inner // t):
                a = k.fetch(x.at((row, s * t), (t, t)), depth, space="sram")
                k.mm(acc, a, k.fetch(w.at((s * t, j * t), (t, t)), depth, space="sram"))
            finish(k, out := k.tile((t, t), y.fmt, "sram", 2), acc, b[j * t : j * t + t])
            k.store(y.at((row, j * t), (t, t)), out)


def main(chip="tiny"):
    x, w, given = problem()
    bias = np.random.default_rng(1).standard_normal(w.shape[1]).astype(np.float32)
    want = (z := x @ w + bias) / (1 + np.exp(-z))
    product = show("the product alone", matmul.run(chip, **given, tile=24, depth=4), x @ w)
    second = show("and then bias and silu", silu.run(chip, x=product.outputs["y"], bias=(bias, "bf16"), y=given["y"], tile=8), want)
    both = show("both, fused", fused.run(chip, **given, bias=(bias, "bf16"), tile=24, depth=4), want)
    print(f"{'saved':24s} {product.cycles + second.cycles - both.cycles:9,d} cycles")


if __name__ == "__main__":
    main(*sys.argv[1:])
