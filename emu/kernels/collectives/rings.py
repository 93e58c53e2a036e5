"""Round a ring: each chip hands what it has to the next, and adds its own where a sum goes round."""

from __future__ import annotations

from emu.kernels.collectives.lanes import Group, Lane, Sender, Wiring, lanes_of, piece, pieces, ring_chip, ring_place
from emu.kernels.lang import Tensor, Tracer
from emu.kernels.lang.expr import Value, clamp
from emu.kernels.lang.memory import View
from emu.kernels.lang.percore import Const, uniform
from emu.kernels.lang.sync import Token


def ring_gather(k: Tracer, y: Tensor, x: Tensor, group: Group, wiring: Wiring, stage: Tensor | None) -> None:
    """Every chip's x into row `place` of every y of its ring: shards are passed on round the ring."""
    for lane in lanes_of(k, x.shape[1], wiring, group.members):
        full, out = k.channel(f"gathered{lane.queue}", lane.queue), Sender(k, wiring, lane.queue)
        own, ahead = ring_place(k, lane, group, 0), ring_chip(k, lane, group, 1)
        for where in pieces(k, lane.start, lane.length, lane.longest, wiring.chunk):
            last = stage if stage is not None and group.members == 2 else y
            for _ in k.loop(_moves(lane)):
                out.send(piece(last, own, *where).on(ahead), piece(x, 0, *where), signal=full)
            for _ in k.loop(_keeps(k, lane, wiring)):
                k.copy(piece(y, own, *where), piece(x, 0, *where))
            _pass_on(k, lane, group, out, y, stage, full, where)


def _moves(lane: Lane) -> Const:
    """1 on cores whose lane sends anything: half around two chips is one way only."""
    return int(lane.steps > 0) if isinstance(lane.steps, int) else uniform(int(s > 0) for s in lane.steps.values)


def _keeps(k: Tracer, lane: Lane, wiring: Wiring) -> Const:
    """1 on cores that copy their part of the own shard; where both ways carry the same one, those that go up do."""
    return k.per_core([int(way > 0 or not wiring.shortest) for way in lane.way])


def _pass_on(
    k: Tracer, lane: Lane, group: Group, out: Sender, y: Tensor, stage: Tensor | None, full: Token, where: tuple[Value, int, Value]
) -> None:
    """What the one behind has sent goes on to the one ahead, round after round; what nobody needs any more ends here."""
    n, ahead = group.members, ring_chip(k, lane, group, 1)
    rounds = lane.steps + (-1 if stage is None else -2)  # the last one is staged
    table = [ring_place(k, lane, group, -1 - t) for t in range(max(n - 2, 1))]
    for t in k.loop(clamp(rounds, 0)):
        row = k.lookup(t, table)
        out.send(piece(y, row, *where).on(ahead), piece(y, row, *where), full, full)
    if stage is None:
        for _ in k.loop(_moves(lane)):
            k.take(full)
        return
    if n > 2:
        row = ring_place(k, lane, group, 2 - n)
        out.send(piece(stage, row, *where).on(ahead), piece(y, row, *where), full, full)
    row = ring_place(k, lane, group, 1 - n)
    out.send(piece(y, row, *where), piece(stage, row, *where), full)


def ring_scatter(k: Tracer, y: Tensor, x: Tensor, sums: Tensor, group: Group, wiring: Wiring) -> None:
    """Row `place` of the sum of all x of a ring into y: a sum goes round and each chip adds its own."""
    for lane in lanes_of(k, x.shape[1], wiring, group.members):
        full, out = k.channel(f"summed{lane.queue}", lane.queue), Sender(k, wiring, lane.queue)
        own = ring_place(k, lane, group, 0)
        for where in pieces(k, lane.start, lane.length, lane.longest, wiring.chunk):
            _sum_round(k, lane, group, out, x, sums, None, full, where)
            out.send_sum(piece(y, 0, *where), piece(sums, group.members - 2, *where), piece(x, own, *where), full)


def _sum_round(
    k: Tracer, lane: Lane, group: Group, out: Sender, x: Tensor, sums: Tensor, final: Tensor | None, full: Token,
    where: tuple[Value, int, Value],
) -> None:
    """n - 1 rounds: a shard's sum goes on to the one ahead, into row `round` of `sums`; at last, if wanted, into its row of `final`."""
    n, ahead = group.members, ring_chip(k, lane, group, 1)

    def target(t: Value, row: Value, last: bool) -> View:
        return (piece(sums, t, *where) if final is None or not last else piece(final, row, *where)).on(ahead)

    def add(dst: View, t: Value, row: Value) -> None:
        out.send_sum(dst, piece(sums, t, *where), piece(x, row, *where), full, full)

    first = ring_place(k, lane, group, -1)
    out.send(target(0, first, n == 2), piece(x, first, *where), signal=full)
    table = [ring_place(k, lane, group, -2 - t) for t in range(max(n - 2, 1))]
    for t in k.loop(n - 2 if final is None else n - 3):
        row = k.lookup(t, table)
        add(target(t + 1, row, False), t, row)
    if final is not None and n > 2:
        add(target(n - 2, table[n - 3], True), n - 3, table[n - 3])


def ring_reduce(k: Tracer, y: Tensor, x: Tensor, sums: Tensor, group: Group, wiring: Wiring, stage: Tensor | None) -> None:
    """The sum of all x into all y: round the ring once to add, once more to tell."""
    for lane in lanes_of(k, x.shape[1], wiring, group.members):
        full, out = k.channel(f"reduced{lane.queue}", lane.queue), Sender(k, wiring, lane.queue)
        own, ahead = ring_place(k, lane, group, 0), ring_chip(k, lane, group, 1)
        for where in pieces(k, lane.start, lane.length, lane.longest, wiring.chunk):
            _sum_round(k, lane, group, out, x, sums, y, full, where)
            last = stage if stage is not None and group.members == 2 else y
            out.send_sum(piece(last, own, *where).on(ahead), piece(y, own, *where), piece(x, own, *where), full, full, keep=True)
            _pass_on(k, lane, group, out, y, stage, full, where)
