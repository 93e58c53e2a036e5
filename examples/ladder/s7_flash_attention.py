"""Step 7. softmax(q k^T) v: as three kernels with the scores in device memory, or in one pass in which they never leave the chip.

    python examples/ladder/s7_flash_attention.py [chip]
"""

import sys

import numpy as np
from flash import flash
from report import show
from s2_softmax import softmax
from s5_matmul_buffered import matmul


def problem(rows=384, dim=48, cap=None):
    """Queries (scaled), keys, values, and what must come out."""
    draw = np.random.default_rng(0)
    q, keys, values = (draw.standard_normal((rows, dim)).astype(np.float32) for _ in range(3))
    q *= dim**-0.5
    scores = q @ keys.T
    e = np.exp(scores if cap is None else cap * np.tanh(scores / cap))
    return q, keys, values, e / e.sum(-1, keepdims=True), e / e.sum(-1, keepdims=True) @ values


def main(chip="tiny"):
    q, keys, values, shares, want = problem()
    (rows, dim), square = q.shape, (len(q), len(keys))
    how = {"tile": 48, "depth": 2}
    one = show("scores", matmul.run(chip, x=(q, "bf16"), w=(keys.T.copy(), "bf16"), y=(square, "bf16", "out"), **how), q @ keys.T)
    two = show("softmax", softmax.run(chip, x=one.outputs["y"], y=(square, "bf16", "out"), tile=8, fused=True), shares)
    three = show("weighted values", matmul.run(chip, x=two.outputs["y"], w=(values, "bf16"), y=((rows, dim), "bf16", "out"), **how), want)
    apart = one.cycles + two.cycles + three.cycles
    print(f"{'three kernels':24s} {apart:9,d} cycles")
    given = {"q": (q, "bf16"), "keys": (keys, "bf16"), "values": (values, "bf16"), "y": ((rows, dim), "bf16", "out")}
    run = show("flash attention", flash.run(chip, **given, tile_q=24, tile_k=48), want)
    print(f"{'saved':24s} {apart - run.cycles:9,d} cycles")


if __name__ == "__main__":
    main(*sys.argv[1:])
