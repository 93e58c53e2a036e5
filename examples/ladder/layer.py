"""A whole layer for step 9, from the library's kernels and the attention of step 7: y = h + down(silu(up(h))), h = x + wo(attention(x))."""

import numpy as np
from flash import flash

import emu
from emu.kernels import Tracer
from emu.kernels.gemm import Epilogue, GemmTiling, gemm

TOKENS, DIM, HEADS, WIDE = 96, 64, 4, 128
SHAPES = {"x": (TOKENS, DIM), **dict.fromkeys(("wq", "wk", "wv", "wo"), (DIM, DIM)), "up": (DIM, WIDE), "down": (WIDE, DIM)}


def layer(chip, cap):
    """The program; its operations meet at barriers. `cap`: what attention does to its scores."""
    k = Tracer(emu.chip(chip), "layer")
    t = {name: k.hbm(name, shape, "bf16", "in" if name == "x" else "weight") for name, shape in SHAPES.items()}
    t |= {name: k.hbm(name, (TOKENS, DIM), "bf16") for name in ("q", "keys", "values", "mixed", "h")}
    wide, y = k.hbm("wide", (TOKENS, WIDE), "bf16"), k.hbm("y", (TOKENS, DIM), "bf16", "out")
    tiling = GemmTiling(24, 32, 32, k.cores, 1, depth_a=1)
    for weights, out, scale in (("wq", "q", (DIM // HEADS) ** -0.5), ("wk", "keys", None), ("wv", "values", None)):
        gemm(k, t["x"], t[weights], t[out], tiling, Epilogue(scale=scale))
    flash(k, t["q"], t["keys"], t["values"], t["mixed"], 24, 32, HEADS, cap)
    gemm(k, t["mixed"], t["wo"], t["h"], tiling, Epilogue(residual=t["x"]))
    gemm(k, t["h"], t["up"], wide, tiling, Epilogue(activation="silu"))
    gemm(k, wide, t["down"], y, tiling, Epilogue(residual=t["h"]))
    return k.program()


def inputs():
    """Random activations and weights."""
    draw = np.random.default_rng(0)
    return {name: draw.standard_normal(shape).astype("f4") * (2 / shape[0] ** 0.5 if name != "x" else 1) for name, shape in SHAPES.items()}


def reference(t, cap):
    """The layer in NumPy, in fp32."""
    q, keys, values = (np.moveaxis((t["x"] @ t[w]).reshape(TOKENS, HEADS, -1), 1, 0) for w in ("wq", "wk", "wv"))
    scores = q @ keys.swapaxes(1, 2) * (DIM // HEADS) ** -0.5
    e = np.exp(cap * np.tanh(scores / cap))
    mixed = np.moveaxis(e / e.sum(-1, keepdims=True) @ values, 0, 1).reshape(TOKENS, DIM)
    h = t["x"] + mixed @ t["wo"]
    z = h @ t["up"]
    return h + z / (1 + np.exp(-z)) @ t["down"]
