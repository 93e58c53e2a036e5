"""Token embedding: rows of a table by token id, plus learned positions and a segment's row where the model has them."""

from __future__ import annotations

from dataclasses import dataclass

from emu.kernels.lang import Tensor, Tracer, kernel
from emu.kernels.shard import grid


@dataclass(frozen=True)
class EmbedTiling:
    """Tokens per tile and the grid of cores: sequences x token tiles."""

    tile_t: int
    split_b: int = 1
    split_t: int = 1
    depth: int = 2


@dataclass(frozen=True)
class Learned:
    """What is added: positions [P, D] from row `first`, and row 0 of segments [S, D]."""

    positions: Tensor | None = None
    segments: Tensor | None = None
    first: int = 0


@kernel
def embed(
    k: Tracer, ids: Tensor, table: Tensor, out: Tensor, batch: int, tiling: EmbedTiling, learned: Learned = Learned(),
) -> None:
    """out[b * T + t, :] = table[ids[b * T + t], :] (+ positions[first + t, :] + segments[0, :]); ids is int32, role index."""
    t = tiling
    width = table.shape[1]
    length = ids.shape[0] // batch
    b_share, t_share = grid(k, (batch, -(-length // t.tile_t)), (t.split_b, t.split_t))
    tokens, rows = ids.reshape((batch, length)), out.reshape((batch, length, width))
    plain = learned.positions is None and learned.segments is None and out.fmt == table.fmt
    segment = k.fetch(learned.segments.at((0, 0), (1, width)), name="segment") if learned.segments is not None else None
    for n in k.loop(t_share.count):
        token = t_share.unit(n) * t.tile_t
        valid = k.minimum(t.tile_t, length - token)
        position = None
        if learned.positions is not None:
            where = learned.positions.at((token + learned.first, 0), (t.tile_t, width), (valid, None))
            position = k.fetch(where, t.depth, name="position")
        for i in k.loop(b_share.count):
            b = b_share.unit(i)
            x = k.tile((t.tile_t, width), table.fmt, "work", t.depth, (valid, width), "x")
            k.gather(x, table, tokens.at((b, token), (1, t.tile_t), (1, valid))[0])
            if not plain:
                y = k.tile((t.tile_t, width), out.fmt, "work", t.depth, (valid, width), "y")
                both = segment is not None and position is not None
                wide = k.tile((t.tile_t, width), "fp32", valid=(valid, width), name="wide") if both else y
                if position is not None:
                    k.add(wide, x, position)
                if segment is not None:
                    k.add(y, wide if both else x, segment)
                if position is None and segment is None:
                    k.mov(y, x)
                x = y
            k.store(rows.at((b, token, 0), (1, t.tile_t, width), (1, valid, None)), x.view.as_dims(None, 0, 1))
