"""The kernel of step 7: attention in one pass over the keys, with a running maximum and sum (online softmax)."""

from deal import deal

import emu


@emu.kernel
def flash(k, q, keys, values, y, tile_q, tile_k, heads=1, cap=None):
    """Heads lie side by side in the columns. `cap`: what is done to a tile of scores first, cap(k, out, scores)."""
    rows, dim, width = q.shape[0], q.shape[1] // heads, keys.shape[0]
    for i in deal(k, rows // tile_q):
        row = i * tile_q
        for h in k.loop(heads):
            tile = k.fetch(q.at((row, h * dim), (tile_q, dim)), 2, space="sram")
            top, seen, factor, total = (k.tile((tile_q, 1), "fp32", name=name) for name in ("top", "seen", "factor", "total"))
            o = k.tile((tile_q, dim), "fp32")
            for column, value in ((top, -1e30), (total, 0.0), (o, 0.0)):
                k.fill(column, value)
            for j in k.loop(width // tile_k):
                key, value = (k.fetch(t.at((j * tile_k, h * dim), (tile_k, dim)), 2, space="sram") for t in (keys, values))
                s = k.tile((tile_q, tile_k), "fp32", "acc", 2)
                k.mm(s, tile, key, bt=True)
                wide = k.tile((tile_q, tile_k), "fp32")
                p = k.tile((tile_q, tile_k), "bf16", "sram", 2)
                if cap is not None:
                    cap(k, wide, s)
                scores = s if cap is None else wide
                k.rmax(seen, scores)
                k.max(seen, seen, top)  # the largest score so far; what was summed up to now is worth less by `factor`
                k.sub(factor, top, seen)
                k.exp(factor, factor)
                k.mov(top, seen)
                k.sub(wide, scores, top)
                k.exp(p, wide)
                k.rsum(seen, p)
                k.mul(total, total, factor)
                k.add(total, total, seen)
                part = k.tile((tile_q, dim), "fp32", "acc")
                k.mm(part, p, value)
                k.mul(o, o, factor)
                k.add(o, o, part)
            out = k.tile((tile_q, dim), y.fmt, "sram", 2)
            k.div(out, o, total)
            k.store(y.at((row, h * dim), (tile_q, dim)), out)
