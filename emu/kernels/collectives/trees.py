"""Along a binary tree, and by halving: fewer rounds than chips."""

from __future__ import annotations

from emu.errors import UnsupportedError
from emu.kernels.collectives.lanes import Wiring, lanes_of, piece, pieces
from emu.kernels.lang import Tensor, Tracer
from emu.kernels.lang.percore import Const

LEFT, RIGHT, PAIR = 0, 1, 2
"""Rows of the sums of a node: what its children send, and its own with the left one's."""


def tree_reduce(k: Tracer, y: Tensor, x: Tensor, sums: Tensor, wiring: Wiring) -> None:
    """The sum of all x into all y, [1, elements]: up the tree with chip 0 at its top, x + left + right at every node, and down again."""
    n = k.chips
    for lane in lanes_of(k, x.shape[1], wiring, n):
        up = [k.channel(f"{side}{lane.queue}", lane.queue) for side in ("left", "right")]
        down = k.channel(f"down{lane.queue}", lane.queue)
        for at, chunk, valid in pieces(k, lane.start, lane.length, lane.longest, wiring.chunk):
            args = {"protocol": wiring.protocol, "queue": lane.queue}
            own = piece(x, 0, at, chunk, valid)
            slot = [piece(sums, row, at, chunk, valid) for row in (LEFT, RIGHT, PAIR)]
            whole, parent = piece(y, 0, at, chunk, valid), k.per_chip([max(c - 1, 0) // 2 for c in range(n)])
            for _ in k.loop(_those(k, lambda c: 2 * c + 2 < n)):  # two children
                k.send_sum(slot[PAIR], own, slot[LEFT], wait=up[LEFT], **args)
                k.settle(lane.queue)
            for side, row in ((0, LEFT), (1, RIGHT)):
                target = piece(sums, row, at, chunk, valid).on(parent)
                for _ in k.loop(_those(k, lambda c, side=side: c > 0 and (c - 1) % 2 == side and 2 * c + 2 < n)):
                    k.send_sum(target, slot[PAIR], slot[RIGHT], wait=up[RIGHT], signal=up[row], **args)
                for _ in k.loop(_those(k, lambda c, side=side: c > 0 and (c - 1) % 2 == side and 2 * c + 2 == n)):
                    k.send_sum(target, own, slot[LEFT], wait=up[LEFT], signal=up[row], **args)
                for _ in k.loop(_those(k, lambda c, side=side: c > 0 and (c - 1) % 2 == side and 2 * c + 1 >= n)):
                    k.send(target, own, signal=up[row], **args)
            for _ in k.loop(_those(k, lambda c: c == 0)):
                if n > 2:
                    k.send_sum(whole, slot[PAIR], slot[RIGHT], wait=up[RIGHT], **args)
                else:
                    k.send_sum(whole, own, slot[LEFT], wait=up[LEFT], **args)
                k.settle(lane.queue)
            for _ in k.loop(_those(k, lambda c: c > 0)):
                k.take(down)
            for child in (1, 2):
                there = k.per_chip([2 * c + child if 2 * c + child < n else 0 for c in range(n)])
                for _ in k.loop(_those(k, lambda c, child=child: 2 * c + child < n)):
                    k.send(whole.on(there), whole, signal=down, **args)


def tree_broadcast(k: Tracer, y: Tensor, x: Tensor, wiring: Wiring, root: int) -> None:
    """x of the root into all y, [1, elements]: down a binary tree of which it is the top."""
    n = k.chips
    places = [(c - root) % n for c in range(n)]
    for lane in lanes_of(k, x.shape[1], wiring, n):
        down = k.channel(f"down{lane.queue}", lane.queue)
        for at, chunk, valid in pieces(k, lane.start, lane.length, lane.longest, wiring.chunk):
            whole = piece(y, 0, at, chunk, valid)
            for _ in k.loop(k.per_chip([int(p > 0) for p in places])):
                k.take(down)
            for child in (1, 2):
                there = k.per_chip([(root + 2 * p + child) % n if 2 * p + child < n else 0 for p in places])
                for top in (True, False):
                    for _ in k.loop(k.per_chip([int(2 * p + child < n and (p == 0) == top) for p in places])):
                        source = piece(x, 0, at, chunk, valid) if top else whole
                        k.send(whole.on(there), source, signal=down, protocol=wiring.protocol, queue=lane.queue)
            for _ in k.loop(k.per_chip([int(p == 0) for p in places])):
                k.copy(whole, piece(x, 0, at, chunk, valid))


def _those(k: Tracer, who) -> Const:  # type: ignore[no-untyped-def]
    """1 on the chips that `who` says."""
    return k.per_chip([int(who(c)) for c in range(k.chips)])


def halving_reduce(k: Tracer, y: Tensor, x: Tensor, sums: Tensor, wiring: Wiring) -> None:
    """The sum of all x into all y, [chips, shard]: pairs ever nearer exchange and add halves, then ever farther what they have.

    `sums` has a row for each row of each round: chips - 1."""
    n = k.chips
    rounds = n.bit_length() - 1
    if 1 << rounds != n:
        raise UnsupportedError(f"halving needs a power of two of chips, not {n}; use a ring or a tree")
    for lane in lanes_of(k, x.shape[1], wiring, n):
        names = [k.channel(f"{way}{s}_{lane.queue}", lane.queue) for way in ("half", "whole") for s in range(rounds)]
        for at, chunk, valid in pieces(k, lane.start, lane.length, lane.longest, max(1, wiring.chunk // n)):
            _halve(k, y, x, sums, wiring, lane.queue, names[:rounds], (at, chunk, valid))
            _double(k, y, wiring, lane.queue, names[rounds:], (at, chunk, valid))


def _block(tensor: Tensor, row: Const, rows: int, where: tuple) -> object:  # type: ignore[type-arg]
    at, chunk, valid = where
    return tensor.at((row, at), (rows, chunk), (rows, valid))


def _halve(k: Tracer, y, x, sums, wiring, queue, tokens, where) -> None:  # type: ignore[no-untyped-def]
    n, first = k.chips, 0
    for s, token in enumerate(tokens):
        d = n >> s + 1
        partner = k.per_chip([c ^ d for c in range(n)])
        away, kept = (k.per_chip([(c & ~(2 * d - 1)) + d * (((c & d) > 0) ^ other) for c in range(n)]) for other in (True, False))
        source = x if s == 0 else y
        into = _block(sums, first, d, where)
        k.send(into.on(partner), _block(source, away, d, where), signal=token, protocol=wiring.protocol, queue=queue)
        k.send_sum(_block(y, kept, d, where), _block(source, kept, d, where), into, wait=token, protocol=wiring.protocol, queue=queue)
        k.settle(queue)
        first += d


def _double(k: Tracer, y, wiring, queue, tokens, where) -> None:  # type: ignore[no-untyped-def]
    n = k.chips
    for s, token in enumerate(tokens):
        d = 1 << s
        partner = k.per_chip([c ^ d for c in range(n)])
        mine = _block(y, k.per_chip([c & ~(d - 1) for c in range(n)]), d, where)
        k.send(mine.on(partner), mine, signal=token, protocol=wiring.protocol, queue=queue)
        k.take(token)
