"""Dynamic quantisation: every row of x divided by a scale of its own, so that its largest element becomes the largest of the format."""

from __future__ import annotations

from emu.errors import UnsupportedError
from emu.kernels.lang import Tensor, Tracer, kernel
from emu.kernels.shard import grid

LARGEST = {"fp8_e4m3": 448.0, "fp8_e5m2": 57344.0}
LEAST = 1e-12
"""Of a row's largest magnitude: a row of zeros stays one."""


@kernel
def quantize_rows(k: Tracer, x: Tensor, out: Tensor, scale: Tensor, width: int = 8192, resident: int = 1) -> None:
    """scale[i] = max |x[i, :]| / largest; out[i, :] = x[i, :] / scale[i], rounded; x, out [M, K], scale [M, 1] in fp32.

    One thread block per row, `resident` of them on a core at a time; it goes through the row twice, `width` elements at a time."""
    if out.fmt not in LARGEST:
        raise UnsupportedError(f"{out.name}: rows are quantised to {' or '.join(LARGEST)}, not {out.fmt}")
    rows, depth = x.shape
    width = min(width, depth)
    (share,) = grid(k, (rows,), (k.cores,))
    for i in k.loop(share.count, resident=resident):
        row = share.unit(i)
        largest = k.tile((1, 1), "fp32", depth=resident, name="largest")
        k.fill(largest, LEAST)
        for c in k.loop(-(-depth // width)):
            part = k.fetch(x.at((row, c * width), (1, width)), 2, name="first")
            size = k.tile((1, width), "fp32", valid=part.valid, name="size")
            k.abs(size, part)
            one = k.tile((1, 1), "fp32", name="one")
            k.rmax(one, size)
            k.max(largest, largest, one)
        ratio = k.tile((1, 1), "fp32", "sram", 2, name="ratio")
        k.mul(ratio, largest, 1.0 / LARGEST[out.fmt])
        k.store(scale.at((row, 0), (1, 1)), ratio)
        for c in k.loop(-(-depth // width)):
            again = k.fetch(x.at((row, c * width), (1, width)), 2, name="again")
            y = k.tile((1, width), out.fmt, "sram", 2, again.valid, name="y")
            k.div(y, again, ratio)
            k.store(out.at((row, c * width), (1, width)), y)
