"""Layers whose activations stay in the scratchpad, while weights stream past: how TPU v1 runs its networks.

Activations are tiles [rows, channels] in 8 bits; sums lie in the slots of a ring of accumulators that all layers share. Weights are
blocked [N / tile][K][tile] as in gemm.py and come through the tracer's weight ring, so they are fetched ahead of what a layer waits for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from emu.kernels.lang import Ring, Tensor, Tile, Tracer, Value, View


@dataclass(frozen=True)
class Shared:
    """Rings that layers share: sums in int32, scratch in fp32; and the columns of a tile of weights."""

    sums: Ring
    scratch: Ring
    tile: int


def shared(k: Tracer, rows: int, depth: int, scratch_rows: int, tile: int, fifo: int) -> Shared:
    """Rings for layers of up to so many rows, `depth` sums at a time, and a FIFO of so many tiles of weights."""
    k.weight_ring(tile * tile, fifo)
    return Shared(k.ring("sums", rows * tile * 4, depth, "acc"), k.ring("scratch", scratch_rows * tile * 4, 1, "sram"), tile)


def weights(k: Tracer, name: str, depth: int, columns: int, tile: int) -> Tensor:
    """Weights [depth, columns] as the kernels here read them; columns are padded to whole tiles."""
    return k.hbm(name, (-(-columns // tile), depth, tile), "int8", "in")


def _fetch(k: Tracer, w: Tensor, block: Value, k0: Value, depth: int, tile: int) -> Tile:
    ring = k.weights
    assert ring is not None  # shared() made it
    part = k.next(ring, (depth, tile), w.fmt)
    k.load(part.view.as_dims(None, 0, 1), w.at((block, k0, 0), (1, depth, tile)), "ld0")
    return part


def dense(k: Tracer, s: Shared, x: Tile, w: Tensor, y: Tile | View, scale: float = 1.0, kind: str = "relu", first: Value = 0) -> None:
    """y = kind(scale * x @ w), kind relu, sigmoid or tanh, with the blocks of w from `first` on; K and y's columns are whole tiles."""
    rows, (_, depth, tile) = x.shape[0], w.shape
    for j in k.loop(y.shape[1] // tile):
        acc = k.next(s.sums, (rows, tile), "int32")
        for i in k.loop(depth // tile):
            k.mm(acc, x[:, i * tile : i * tile + tile], _fetch(k, w, first + j, i * tile, tile, tile))
        _activate(k, s, y[:, j * tile : j * tile + tile], acc.view, kind, scale)


def lstm_cell(
    k: Tracer, s: Shared, xh: Tile, gates: Sequence[Tensor], first: Value, c: Tile, h: View, scale: float = 1.0,
) -> None:
    """h = o * tanh(c), c = f * c + i * g, each gate (i, f, g, o) of one matrix over x and h side by side (`xh`); c is fp32 and stays."""
    rows, columns = h.shape
    i, f, g, o = (k.tile((rows, columns), "fp32", "sram", 1, name=name) for name in "ifgo")
    for gate, w, kind in zip((i, f, g, o), gates, ("sigmoid", "sigmoid", "tanh", "sigmoid")):
        dense(k, s, xh, w, gate, scale, kind, first)
    k.mul(c, f, c)
    k.mul(i, i, g)
    k.add(c, c, i)
    k.tanh(g, c)
    k.mul(h, o, g)


@dataclass(frozen=True)
class Map:
    """How images lie in the rows of a tile: lines of `width` pixels and a zero, after each image a line of zeros, and so much again in
    front of the first and behind the last. A pixel's neighbours are then at fixed distances from it."""

    images: int
    height: int
    width: int

    @property
    def pitch(self) -> int:
        return self.width + 1

    @property
    def image(self) -> int:
        """Rows from one image to the next."""
        return (self.height + 1) * self.pitch

    @property
    def rows(self) -> int:
        return self.images * self.image + 2 * (self.pitch + 1)

    def first(self, image: Value, line: Value = 0) -> Value:
        """Row of a line's first pixel."""
        return self.pitch + 1 + image * self.image + line * self.pitch


def conv(k: Tracer, s: Shared, x: Tile, w: Tensor, block: Value, y: Tile, where: Map, group: int, scale: float = 1.0) -> None:
    """y = relu(scale * 3 x 3 convolution of x), im2col by addressing: a tap is the same rows, shifted. `group` images share each weight.

    The rows between pixels become zeros: what is computed for them is not written. w is [blocks][9 * channels][tile], one block a layer."""
    k.fill(y, 0.0)
    channels, tile, rows = x.shape[1], s.tile, group * where.image
    for part in k.loop(where.images // group):
        acc = k.next(s.sums, (rows, tile), "int32")
        for dy in k.loop(3):
            for dx in k.loop(3):
                at = where.first(part * group) + (dy - 1) * where.pitch + dx - 1
                k.mm(acc, x[at : at + rows, :], _fetch(k, w, block, (dy * 3 + dx) * channels, channels, tile))
        for image in k.loop(group):
            for line in k.loop(where.height):
                a, to = image * where.image + line * where.pitch, where.first(part * group + image, line)
                _activate(k, s, y[to : to + where.width, :], acc[a : a + where.width, : y.shape[1]], "relu", scale)


def max_pool(k: Tracer, x: Tile, y: Tile, where: Map) -> None:
    """y = the largest of 2 x 2 pixels, at stride 1: of a pixel, the next, and these two of the next line."""
    k.fill(y, 0.0)
    for image in k.loop(where.images):
        for line in k.loop(where.height):
            a = where.first(image, line)
            out = y[a : a + where.width, :]
            k.max(out, x[a : a + where.width, :], x[a + 1 : a + 1 + where.width, :])
            for d in (where.pitch, where.pitch + 1):
                k.max(out, out, x[a + d : a + d + where.width, :])


def _activate(k: Tracer, s: Shared, out: View, x: View, kind: str, scale: float) -> None:
    """out = kind(scale * x), through fp32 where a scale or a curve asks for it."""
    if kind == "relu" and scale == 1.0:
        k.max(out, x, 0.0)
        return
    t = k.next(s.scratch, x.shape, "fp32", x.extents)
    k.mul(t, x, scale)
    if kind == "relu":
        k.max(out, t, 0.0)
    else:
        (k.sigmoid if kind == "sigmoid" else k.tanh)(out, t)
