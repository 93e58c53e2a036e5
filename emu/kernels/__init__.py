"""The kernel language (`emu.kernels.lang`) and the kernels written in it, one module per operation.

A kernel is a Python function of a tracer `k`. It is traced once; loops are `k.loop(n)`, and every core runs the same words:

    @emu.kernel
    def double(k, x, y):
        tiles = -(-x.shape[0] // 8)
        first = k.per_core([tiles * c // k.cores for c in range(k.cores)])
        for i in k.loop(k.per_core([tiles * (c + 1) // k.cores - tiles * c // k.cores for c in range(k.cores)])):
            origin, shape = ((first + i) * 8, 0), (8, 64)
            t = k.fetch(x.at(origin, shape), depth=2)                    # stream ld1; the last tile may be ragged
            o = k.tile(shape, "bf16", depth=2, valid=t.valid)            # two slots: the next load overlaps with this work
            k.mul(o, t, 2.0)                                             # stream vec
            k.store(y.at(origin, shape), o)                              # stream st0

    run = double.run("tiny", x=array, y=((100, 64), "bf16", "out"))       # or .compile(...), with shapes instead of arrays: its .program

Streams, semaphores, descriptors, addresses and on-chip memory are the compiler's business. Several kernels called on one tracer become one
program with a barrier after each; weights then go through one ring (`k.weight_ring`), filled ahead of the barriers.
"""

from __future__ import annotations

from emu.kernels.lang import Kernel, Tracer, kernel

__all__ = ["Kernel", "Tracer", "kernel"]
