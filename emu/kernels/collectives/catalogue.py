"""Which collectives there are, by which algorithms, and the program of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from emu.errors import UnsupportedError, did_you_mean
from emu.kernels.collectives.direct import exchange, in_switch, send_receive, send_to_all
from emu.kernels.collectives.lanes import Group, Wiring
from emu.kernels.collectives.rings import ring_gather, ring_reduce, ring_scatter
from emu.kernels.collectives.torus import phases, torus_gather, torus_scatter
from emu.kernels.collectives.trees import halving_reduce, tree_broadcast, tree_reduce
from emu.kernels.lang import Tensor, Tracer, format_bytes
from emu.kernels.split_k import add_parts

if TYPE_CHECKING:
    from isa import Program

OPS = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "send_recv")
ADD_WIDTH = 512
"""Elements of a tile where a vector engine adds what has arrived."""


@dataclass(frozen=True)
class Collective:
    """One collective: `elements` is the whole buffer, chips x shard, a multiple of `chips`.

    `counts[i][j]`: elements that chip i has for chip j, of an uneven all_to_all. `root` of a broadcast, and where send_recv begins;
    it ends at `target`. `dims`: sizes of the torus that is walked."""

    op: str
    chips: int
    elements: int
    fmt: str = "bf16"
    algorithm: str = "ring"
    wiring: Wiring = field(default_factory=Wiring)
    counts: tuple[tuple[int, ...], ...] = ()
    root: int = 0
    target: int = 1
    dims: tuple[int, ...] = ()

    @property
    def shard(self) -> int:
        return self.elements // self.chips

    @property
    def bytes(self) -> int:
        return self.elements * format_bytes(self.fmt)


def collective_program(chip: Any, c: Collective) -> Program:
    """Its program, the same words on all cores of all chips. Raises UnsupportedError, CapacityError."""
    if c.op not in OPS:
        raise UnsupportedError(f"no collective {c.op!r}; {did_you_mean(c.op, OPS)}")
    made = ALGORITHMS[c.op]
    if c.algorithm not in made:
        raise UnsupportedError(f"{c.op} has no algorithm {c.algorithm!r}; {did_you_mean(c.algorithm, made)}")
    if c.chips < 2 or c.elements < 1 or c.elements % c.chips and c.op not in ("broadcast", "send_recv"):
        raise UnsupportedError(f"{c.op} of {c.elements} elements on {c.chips} chips: expected two chips or more, and a multiple of them")
    k = Tracer(chip, c.op, c.wiring.cores, c.chips)
    made[c.algorithm](k, c)
    return k.program()


def _shards(k: Tracer, name: str, c: Collective, rows: int, role: str = "temp") -> Tensor:
    return k.hbm(name, (rows, c.shard), c.fmt, role)


def _one(k: Tracer) -> None:
    """The whole program is one operation: nobody meets at a barrier."""
    k.begin_only_op()


def _gather_ring(k: Tracer, c: Collective) -> None:
    _one(k)
    x, y = _shards(k, "x", c, 1, "in"), _shards(k, "y", c, c.chips, "out")
    ring_gather(k, y, x, Group(c.chips), c.wiring, _shards(k, "stage", c, c.chips) if c.wiring.staged else None)


def _scatter_ring(k: Tracer, c: Collective) -> None:
    _one(k)
    x, y = _shards(k, "x", c, c.chips, "in"), _shards(k, "y", c, 1, "out")
    ring_scatter(k, y, x, _shards(k, "sums", c, c.chips - 1), Group(c.chips), c.wiring)


def _reduce_ring(k: Tracer, c: Collective) -> None:
    _one(k)
    x, y = _shards(k, "x", c, c.chips, "in"), _shards(k, "y", c, c.chips, "out")
    stage = _shards(k, "stage", c, c.chips) if c.wiring.staged else None
    ring_reduce(k, y, x, _shards(k, "sums", c, c.chips - 1), Group(c.chips), c.wiring, stage)


def _gather_torus(k: Tracer, c: Collective) -> None:
    torus_gather(k, _shards(k, "y", c, c.chips, "out"), _shards(k, "x", c, 1, "in"), c.dims, c.wiring)


def _sums(k: Tracer, c: Collective) -> list[Tensor]:
    return [_shards(k, f"sums{p}", c, c.chips) for p in range(phases(c.dims))]


def _scatter_torus(k: Tracer, c: Collective) -> None:
    x, y = _shards(k, "x", c, c.chips, "in"), _shards(k, "y", c, 1, "out")
    torus_scatter(k, y, x, _sums(k, c), _shards(k, "partial", c, c.chips), c.dims, c.wiring, False)


def _reduce_torus(k: Tracer, c: Collective) -> None:
    x, y = _shards(k, "x", c, c.chips, "in"), _shards(k, "y", c, c.chips, "out")
    torus_scatter(k, y, x, _sums(k, c), _shards(k, "partial", c, c.chips), c.dims, c.wiring, True)
    torus_gather(k, y, None, c.dims, c.wiring)


def _gather_direct(k: Tracer, c: Collective) -> None:
    _one(k)
    x, y = _shards(k, "x", c, 1, "in"), _shards(k, "y", c, c.chips, "out")
    send_to_all(k, y, x, c.wiring, True)


def _scatter_direct(k: Tracer, c: Collective) -> None:
    x, y, rows = _shards(k, "x", c, c.chips, "in"), _shards(k, "y", c, 1, "out"), _shards(k, "rows", c, c.chips)
    with k.op("exchange"):
        send_to_all(k, rows, x, c.wiring, False)
    with k.op("add"):
        add_parts.function(k, rows.reshape((c.chips, 1, c.shard)), y, ADD_WIDTH)


def _reduce_direct(k: Tracer, c: Collective) -> None:
    """In one shot: everybody sends all it has to everybody and adds by itself."""
    x, y = k.hbm("x", (1, c.elements), c.fmt, "in"), k.hbm("y", (1, c.elements), c.fmt, "out")
    rows = k.hbm("rows", (c.chips, c.elements), c.fmt)
    with k.op("exchange"):
        send_to_all(k, rows, x, c.wiring, True)
    with k.op("add"):
        add_parts.function(k, rows.reshape((c.chips, 1, c.elements)), y, ADD_WIDTH)


def _reduce_switch(k: Tracer, c: Collective) -> None:
    _one(k)
    in_switch(k, _shards(k, "y", c, c.chips, "out"), _shards(k, "x", c, c.chips, "in"), c.wiring)


def _whole(kernel: Callable[..., None], sums: int = 0, **more: str) -> Callable[[Tracer, Collective], None]:
    """A kernel of tensors [1, elements]."""

    def traced(k: Tracer, c: Collective) -> None:
        _one(k)
        x, y = k.hbm("x", (1, c.elements), c.fmt, "in"), k.hbm("y", (1, c.elements), c.fmt, "out")
        extra = (k.hbm("sums", (sums, c.elements), c.fmt),) if sums else ()
        kernel(k, y, x, *extra, c.wiring, **{name: getattr(c, attribute) for name, attribute in more.items()})

    return traced


def _reduce_halving(k: Tracer, c: Collective) -> None:
    _one(k)
    halving_reduce(k, _shards(k, "y", c, c.chips, "out"), _shards(k, "x", c, c.chips, "in"), _shards(k, "sums", c, c.chips - 1), c.wiring)


def _exchange(k: Tracer, c: Collective) -> None:
    _one(k)
    counts = c.counts or tuple((c.shard,) * c.chips for _ in range(c.chips))
    into, out = max(map(sum, counts)), max(map(sum, zip(*counts)))
    x, y = k.hbm("x", (1, into), c.fmt, "in"), k.hbm("y", (1, out), c.fmt, "out")
    exchange(k, y, x, c.wiring, lambda a, b: counts[a][b])


ALGORITHMS: dict[str, dict[str, Callable[[Tracer, Collective], None]]] = {
    "all_reduce": {
        "ring": _reduce_ring, "torus": _reduce_torus, "direct": _reduce_direct, "switch": _reduce_switch, "halving": _reduce_halving,
        "tree": _whole(tree_reduce, 3),
    },
    "all_gather": {"ring": _gather_ring, "torus": _gather_torus, "direct": _gather_direct},
    "reduce_scatter": {"ring": _scatter_ring, "torus": _scatter_torus, "direct": _scatter_direct},
    "all_to_all": {"direct": _exchange},
    "broadcast": {"tree": _whole(tree_broadcast, root="root")},
    "send_recv": {"direct": _whole(send_receive, source="root", target="target")},
}
"""Collective -> algorithm -> what traces it."""
