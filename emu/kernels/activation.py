"""Activation functions on tiles. `t` is fp32 scratch of the shape of x; x may be an accumulator; out may have any format."""

from __future__ import annotations

from math import pi, sqrt

from emu.errors import UnsupportedError, did_you_mean
from emu.kernels.lang import Tile, Tracer, View

ACTIVATIONS = ("none", "silu", "gelu_erf", "gelu_tanh", "relu")


def activate(k: Tracer, kind: str, out: Tile | View, x: Tile | View, t: Tile | View) -> None:
    """out = kind(x)."""
    if kind == "none":
        k.mov(out, x)
    elif kind == "relu":
        k.max(t, x, 0.0)
        k.mov(out, t)
    elif kind == "silu":
        k.sigmoid(t, x)
        k.mul(out, t, x)
    elif kind == "gelu_erf":
        k.mul(t, x, 1 / sqrt(2))
        k.erf(t, t)
        k.add(t, t, 1.0)
        k.mul(t, t, x)
        k.mul(out, t, 0.5)
    elif kind == "gelu_tanh":
        k.mul(t, x, x)
        k.mul(t, t, 0.044715)
        k.add(t, t, 1.0)
        k.mul(t, t, x)
        k.mul(t, t, sqrt(2 / pi))
        k.tanh(t, t)
        k.add(t, t, 1.0)
        k.mul(t, t, x)
        k.mul(out, t, 0.5)
    else:
        raise UnsupportedError(f"unknown activation {kind!r}; {did_you_mean(kind, ACTIVATIONS)}")
