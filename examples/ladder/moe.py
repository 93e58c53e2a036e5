"""The kernels of step 8: a mixture of experts, dense or routed."""

from deal import deal

import emu


@emu.kernel
def dense(k, x, w, gate, y, tile):
    """y[t] = sum over experts e of gate[t, e] * (x[t] @ w[e]), whatever the gate is."""
    (tokens, dim), experts = x.shape, w.shape[0]
    for i in deal(k, tokens // tile):
        row, g = i * tile, k.fetch(gate.at((i * tile, 0), (tile, experts)), 2)
        t, total = k.fetch(x.at((row, 0), (tile, dim)), 2, space="sram"), k.tile((tile, dim), "fp32")
        k.fill(total, 0.0)
        for e in k.loop(experts):
            acc, weighted = k.tile((tile, dim), "fp32", "acc"), k.tile((tile, dim), "fp32")
            k.mm(acc, t, k.fetch(w.at((e, 0, 0), (1, dim, dim))[0], 2, space="sram"))
            k.mul(weighted, acc, g[:, e : e + 1])
            k.add(total, total, weighted)
        out = k.tile((tile, dim), y.fmt, depth=2)
        k.mov(out, total)
        k.store(y.at((row, 0), (tile, dim)), out)


@emu.kernel
def routed(k, x, w, token, gate, parts, counts, tile):
    """parts[s] = gate[s] * (x[token[s]] @ w[e]) for each place s of each expert e; the places of an expert lie together, on one core."""
    dim = x.shape[1]
    slots = {"w": (dim * dim * 2, 2, "sram"), "rows": (tile * dim * 2, 2, "sram"), "share": (tile * 4, 2, "sram")}
    slots |= {"out": (tile * dim * 2, 2, "sram"), "acc": (tile * dim * 4, 1, "acc")}
    w_, rows_, share_, out_, acc_ = (k.ring(name, *how) for name, how in slots.items())  # all experts take turns in the same memory
    for e, count in enumerate(counts):
        start = sum(counts[:e])
        for _ in k.loop(k.per_core([int(e % k.cores == c and count > 0) for c in range(k.cores)])):
            held = k.fetch(w.at((e, 0, 0), (1, dim, dim))[0], ring=w_)
            for i in k.loop(-(-count // tile)):
                at, n = start + i * tile, k.minimum(tile, count - i * tile)  # n tokens are left
                rows, acc = k.next(rows_, (tile, dim), x.fmt, (n, dim)), k.next(acc_, (tile, dim), "fp32", (n, dim))
                k.gather(rows, x, token.at((at,), (tile,), (n,)))
                k.mm(acc, rows, held)
                out = k.next(out_, (tile, dim), parts.fmt, (n, dim))
                k.mul(out, acc, k.fetch(gate.at((at, 0), (tile, 1), (n, 1)), ring=share_))
                k.store(parts.at((at, 0), (tile, dim), (n, dim)), out)


@emu.kernel
def combine(k, parts, places, y, tile):
    """y[t] = parts[places[0, t]] + parts[places[1, t]]."""
    tokens, dim = y.shape
    for i in deal(k, tokens // tile):
        row, both = i * tile, [k.tile((tile, dim), parts.fmt, depth=2, name=name) for name in ("a", "b")]
        for choice, rows in enumerate(both):
            k.gather(rows, parts, places.at((choice, row), (1, tile))[0])
        out = k.tile((tile, dim), y.fmt, depth=2)
        k.add(out, *both)
        k.store(y.at((row, 0), (tile, dim)), out)
