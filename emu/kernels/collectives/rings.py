"""Round a ring: each chip hands what it has to the next, and adds its own where a sum goes round."""

from __future__ import annotations

from emu.kernels.collectives.lanes import Group, Lane, Wiring, lanes_of, piece, pieces, ring_chip, ring_place
from emu.kernels.lang import Tensor, Tracer
from emu.kernels.lang.expr import Value, clamp
from emu.kernels.lang.memory import View
from emu.kernels.lang.percore import Const, uniform
from emu.kernels.lang.sync import Token


def ring_gather(k: Tracer, y: Tensor, x: Tensor, group: Group, wiring: Wiring, stage: Tensor | None) -> None:
    """Every chip's x into row `place` of every y of its ring: shards are passed on round the ring."""
    for lane in lanes_of(k, x.shape[1], wiring, group.members):
        full = k.channel(f"gathered{lane.queue}", lane.queue)
        own, ahead = ring_place(k, lane, group, 0), ring_chip(k, lane, group, 1)
        for at, chunk, valid in pieces(k, lane.start, lane.length, lane.longest, wiring.chunk):
            last = stage if stage is not None and group.members == 2 else y
            for _ in k.loop(_moves(lane)):
                k.send(
                    piece(last, own, at, chunk, valid).on(ahead), piece(x, 0, at, chunk, valid), signal=full, protocol=wiring.protocol,
                    queue=lane.queue,
                )
            for _ in k.loop(_keeps(k, lane, wiring)):
                k.copy(piece(y, own, at, chunk, valid), piece(x, 0, at, chunk, valid))
            _pass_on(k, lane, group, wiring, y, stage, full, at, chunk, valid)


def _moves(lane: Lane) -> Const:
    """1 on cores whose lane sends anything: half around two chips is one way only."""
    return int(lane.steps > 0) if isinstance(lane.steps, int) else uniform(int(s > 0) for s in lane.steps.values)


def _keeps(k: Tracer, lane: Lane, wiring: Wiring) -> Const:
    """1 on cores that copy their part of the own shard; where both ways carry the same one, those that go up do."""
    copies = [int(way > 0 or not wiring.shortest) for way in lane.way]
    return k.per_core(copies)


def _pass_on(
    k: Tracer, lane: Lane, group: Group, wiring: Wiring, y: Tensor, stage: Tensor | None, full: Token,
    at: Value, chunk: int, valid: Value,
) -> None:
    """What the one behind has sent goes on to the one ahead, round after round; what nobody needs any more ends here."""
    ahead = ring_chip(k, lane, group, 1)
    rounds = lane.steps + (-1)
    rest = rounds + (-1) if stage is not None else rounds  # the last one is staged
    table = [ring_place(k, lane, group, -1 - t) for t in range(max(group.members - 2, 1))]
    for t in k.loop(clamp(rest, 0)):
        row = k.lookup(t, table)
        k.send(
            piece(y, row, at, chunk, valid).on(ahead), piece(y, row, at, chunk, valid), wait=full, signal=full,
            protocol=wiring.protocol, queue=lane.queue,
        )
    if stage is None:
        for _ in k.loop(_moves(lane)):
            k.take(full)
        return
    if group.members > 2:
        row = ring_place(k, lane, group, 2 - group.members)
        k.send(
            piece(stage, row, at, chunk, valid).on(ahead), piece(y, row, at, chunk, valid), wait=full, signal=full,
            protocol=wiring.protocol, queue=lane.queue,
        )
    row = ring_place(k, lane, group, 1 - group.members)
    k.send(piece(y, row, at, chunk, valid), piece(stage, row, at, chunk, valid), wait=full, protocol=wiring.protocol, queue=lane.queue)


def ring_scatter(k: Tracer, y: Tensor, x: Tensor, sums: Tensor, group: Group, wiring: Wiring) -> None:
    """Row `place` of the sum of all x of a ring into y: a sum goes round and each chip adds its own."""
    n = group.members
    for lane in lanes_of(k, x.shape[1], wiring, n):
        full = k.channel(f"summed{lane.queue}", lane.queue)
        for at, chunk, valid in pieces(k, lane.start, lane.length, lane.longest, wiring.chunk):
            _sum_round(k, lane, group, wiring, x, sums, None, full, at, chunk, valid)
            own = ring_place(k, lane, group, 0)
            k.send_sum(
                piece(y, 0, at, chunk, valid), piece(sums, n - 2, at, chunk, valid), piece(x, own, at, chunk, valid), wait=full,
                protocol=wiring.protocol, queue=lane.queue,
            )


def _sum_round(
    k: Tracer, lane: Lane, group: Group, wiring: Wiring, x: Tensor, sums: Tensor, final: Tensor | None, full: Token,
    at: Value, chunk: int, valid: Value,
) -> None:
    """n - 1 rounds: the sum of a shard goes on to the one ahead, into row `round` of `sums`; at last, if wanted, into its row of `final`."""
    n, ahead = group.members, ring_chip(k, lane, group, 1)

    def target(t: Value, row: Value) -> View:
        return piece(sums, t, at, chunk, valid).on(ahead)

    def finally_at(t: int, row: Value) -> View:
        return target(t, row) if final is None else piece(final, row, at, chunk, valid).on(ahead)

    first = ring_place(k, lane, group, -1)
    k.send(
        (finally_at if n == 2 else target)(0, first), piece(x, first, at, chunk, valid), signal=full, protocol=wiring.protocol, queue=lane.queue,
    )
    table = [ring_place(k, lane, group, -2 - t) for t in range(max(n - 2, 1))]

    def add(dst: View, t: Value, row: Value) -> None:
        k.send_sum(
            dst, piece(sums, t, at, chunk, valid), piece(x, row, at, chunk, valid), wait=full, signal=full, protocol=wiring.protocol,
            queue=lane.queue,
        )

    for t in k.loop(n - 3 if final is not None else n - 2):
        row = k.lookup(t, table)
        add(target(t + 1, row), t, row)
    if final is not None and n > 2:
        add(finally_at(n - 2, table[n - 3]), n - 3, table[n - 3])


def ring_reduce(k: Tracer, y: Tensor, x: Tensor, sums: Tensor, group: Group, wiring: Wiring, stage: Tensor | None) -> None:
    """The sum of all x into all y: round the ring once to add, once more to tell."""
    for lane in lanes_of(k, x.shape[1], wiring, group.members):
        full = k.channel(f"reduced{lane.queue}", lane.queue)
        own, ahead = ring_place(k, lane, group, 0), ring_chip(k, lane, group, 1)
        for at, chunk, valid in pieces(k, lane.start, lane.length, lane.longest, wiring.chunk):
            _sum_round(k, lane, group, wiring, x, sums, y, full, at, chunk, valid)
            last = stage if stage is not None and group.members == 2 else y
            k.send_sum(
                piece(last, own, at, chunk, valid).on(ahead), piece(y, own, at, chunk, valid), piece(x, own, at, chunk, valid), keep=True,
                wait=full, signal=full, protocol=wiring.protocol, queue=lane.queue,
            )
            _pass_on(k, lane, group, wiring, y, stage, full, at, chunk, valid)
