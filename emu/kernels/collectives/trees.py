"""Along a binary tree, and by halving: fewer rounds than chips."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from emu.errors import UnsupportedError
from emu.kernels.collectives.lanes import Sender, Wiring, lanes_of, piece, pieces
from emu.kernels.lang import Tensor, Tracer
from emu.kernels.lang.expr import Value
from emu.kernels.lang.memory import View
from emu.kernels.lang.percore import Const
from emu.kernels.lang.sync import Token

LEFT, RIGHT, PAIR = 0, 1, 2
"""Rows of the sums of a node: what its children send, and its own with the left one's."""


def tree_reduce(k: Tracer, y: Tensor, x: Tensor, sums: Tensor, wiring: Wiring) -> None:
    """The sum of all x into all y, [1, elements]: up the tree with chip 0 at its top, x + left + right at every node, and down again."""
    n = k.chips
    for lane in lanes_of(k, x.shape[1], wiring, n):
        up = [k.channel(f"{side}{lane.queue}", lane.queue) for side in ("left", "right")]
        down, out = k.channel(f"down{lane.queue}", lane.queue), Sender(k, wiring, lane.queue)
        for at, chunk, valid in pieces(k, lane.start, lane.length, lane.longest, wiring.chunk):
            own = piece(x, 0, at, chunk, valid)
            slot = [piece(sums, row, at, chunk, valid) for row in (LEFT, RIGHT, PAIR)]
            whole, parent = piece(y, 0, at, chunk, valid), k.per_chip([max(c - 1, 0) // 2 for c in range(n)])
            for _ in k.loop(_those(k, lambda c: 2 * c + 2 < n)):  # two children
                out.send_sum(slot[PAIR], own, slot[LEFT], wait=up[LEFT])
                k.settle(lane.queue)
            for row in (LEFT, RIGHT):
                target = piece(sums, row, at, chunk, valid).on(parent)
                for _ in k.loop(_children(k, row, 2)):
                    out.send_sum(target, slot[PAIR], slot[RIGHT], wait=up[RIGHT], signal=up[row])
                for _ in k.loop(_children(k, row, 1)):
                    out.send_sum(target, own, slot[LEFT], wait=up[LEFT], signal=up[row])
                for _ in k.loop(_children(k, row, 0)):
                    out.send(target, own, signal=up[row])
            for _ in k.loop(_those(k, lambda c: c == 0)):
                if n > 2:
                    out.send_sum(whole, slot[PAIR], slot[RIGHT], wait=up[RIGHT])
                else:
                    out.send_sum(whole, own, slot[LEFT], wait=up[LEFT])
                k.settle(lane.queue)
            for _ in k.loop(_those(k, lambda c: c > 0)):
                k.take(down)
            for child in (1, 2):
                there = k.per_chip([2 * c + child if 2 * c + child < n else 0 for c in range(n)])
                for _ in k.loop(k.per_chip([int(2 * c + child < n) for c in range(n)])):
                    out.send(whole.on(there), whole, signal=down)


def tree_broadcast(k: Tracer, y: Tensor, x: Tensor, wiring: Wiring, root: int) -> None:
    """x of the root into all y, [1, elements]: down a binary tree of which it is the top."""
    n = k.chips
    places = [(c - root) % n for c in range(n)]
    for lane in lanes_of(k, x.shape[1], wiring, n):
        down, out = k.channel(f"down{lane.queue}", lane.queue), Sender(k, wiring, lane.queue)
        for at, chunk, valid in pieces(k, lane.start, lane.length, lane.longest, wiring.chunk):
            whole = piece(y, 0, at, chunk, valid)
            for _ in k.loop(k.per_chip([int(p > 0) for p in places])):
                k.take(down)
            for child in (1, 2):
                there = k.per_chip([(root + 2 * p + child) % n if 2 * p + child < n else 0 for p in places])
                for top in (True, False):
                    for _ in k.loop(k.per_chip([int(2 * p + child < n and (p == 0) == top) for p in places])):
                        source = piece(x, 0, at, chunk, valid) if top else whole
                        out.send(whole.on(there), source, signal=down)
            for _ in k.loop(k.per_chip([int(p == 0) for p in places])):
                k.copy(whole, piece(x, 0, at, chunk, valid))


def _children(k: Tracer, side: int, count: int) -> Const:
    """1 on the chips that are their parent's child on this side and have so many children."""
    return _those(k, lambda c: c > 0 and (c - 1) % 2 == side and min(max(k.chips - 2 * c - 1, 0), 2) == count)


def _those(k: Tracer, who: Callable[[int], bool]) -> Const:
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
        out = Sender(k, wiring, lane.queue)
        for where in pieces(k, lane.start, lane.length, lane.longest, max(1, wiring.chunk // n)):
            _halve(k, y, x, sums, out, names[:rounds], where)
            _double(k, y, out, names[rounds:], where)


Where = tuple[Value, int, Value]


def _block(tensor: Tensor, row: Const, rows: int, where: Where) -> View:
    at, chunk, valid = where
    return tensor.at((row, at), (rows, chunk), (rows, valid))


def _halve(k: Tracer, y: Tensor, x: Tensor, sums: Tensor, out: Sender, tokens: Sequence[Token], where: Where) -> None:
    """Each chip keeps the half of its rows that its partner does not, and adds what the partner has for it."""
    n, first = k.chips, 0
    for s, token in enumerate(tokens):
        d = n >> s + 1
        partner = k.per_chip([c ^ d for c in range(n)])
        away, kept = (k.per_chip([(c & ~(2 * d - 1)) + d * (((c & d) > 0) ^ other) for c in range(n)]) for other in (True, False))
        source, into = x if s == 0 else y, _block(sums, first, d, where)
        out.send(into.on(partner), _block(source, away, d, where), signal=token)
        out.send_sum(_block(y, kept, d, where), _block(source, kept, d, where), into, token)
        k.settle(out.queue)
        first += d


def _double(k: Tracer, y: Tensor, out: Sender, tokens: Sequence[Token], where: Where) -> None:
    """Partners, ever farther away, tell each other all that they have."""
    n = k.chips
    for s, token in enumerate(tokens):
        d = 1 << s
        mine = _block(y, k.per_chip([c & ~(d - 1) for c in range(n)]), d, where)
        out.send(mine.on(k.per_chip([c ^ d for c in range(n)])), mine, signal=token)
        k.take(token)
