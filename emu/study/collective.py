"""One collective by itself: every chip begins at once with what it has, and the last one ends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from emu.chip.schema import Chip
from emu.errors import UnsupportedError, did_you_mean
from emu.kernels.collectives import OPS, Collective, collective_program
from emu.kernels.lang import format_bytes
from emu.machine import Machine, Run, timed
from emu.machine.fabric import Fabric
from emu.models.graph import format_of
from emu.study.bound import Bound
from emu.study.op import OpResult
from emu.system.choose import Choice, free_choices, library_choice
from emu.system.describe import System, resolved, wires

ALIASES = {"alltoall": "all_to_all"}


def collective(
    chip: Chip | str, op: str, bytes: int, chips: int, stack: str = "bare", dtype: str = "bf16", fidelity: str = "fast", *,
    system: System | str | None = None, algorithm: str | None = None, counts: Sequence[Sequence[int]] | None = None, root: int = 0,
    target: int = 1,
) -> OpResult:
    """all_reduce, all_gather, reduce_scatter, all_to_all, broadcast or send_recv of a buffer of `bytes` bytes (chips x shard).

    The buffer is rounded up to a whole number of elements for each chip. They are joined by the chip's own first link, or as `system`
    says. A stack with a collective library runs what that library would, its launch included; without one the quickest algorithm is
    taken, or `algorithm`. `counts[i][j]`: elements that chip i has for chip j, of an uneven all_to_all. `root`: where a broadcast or
    send_recv begins; the latter ends at `target`. The bounds are those of `link_bound`. Raises UnsupportedError, CapacityError."""
    made, fabric, name = resolved(system, chip, chips, stack, fidelity)
    op = ALIASES.get(op, op)
    fmt = format_of(dtype)
    elements = -(-bytes // (format_bytes(fmt) * chips)) * chips
    wanted = Collective(op, chips, elements, fmt, counts=tuple(map(tuple, counts or ())), root=root, target=target)
    _check(wanted, bytes)
    library = made.stack[stack].collectives
    if library is not None and algorithm is None:
        options = [library_choice(made, wanted, library, fabric)]
    else:
        options = free_choices(made, wanted, fabric, most=99 if algorithm else 2)
        options = [o for o in options if algorithm in (None, o.collective.algorithm)]
        if not options:
            raise UnsupportedError(f"{op} by {algorithm!r} does not fit {chips} chips of a {fabric.kind}")
    if library is not None and op in ("all_to_all", "send_recv"):
        fabric = replace(fabric, wires=wires(made, stack, True))
    machine = Machine(made, fidelity, fabric=fabric)
    runs = [(timed(machine, collective_program(made, o.collective)), o) for o in options]
    run, choice = min(runs, key=lambda r: (r[0].end_fs, r[1].collective.algorithm))
    launch_s = choice.start_s + (library.launch_s if library is not None else 0.0)
    bound = link_bound(wanted, resolved(system, made, chips, stack, "ideal")[1])
    return OpResult(op, dtype, run, bound, 0, 2 * wanted.bytes, _mapping(choice, fabric, name, run, bound), stack, launch_s, made)


def _check(c: Collective, size: int) -> None:
    if c.op not in OPS:
        raise UnsupportedError(f"no collective {c.op!r}; {did_you_mean(c.op, OPS)}")
    if size < 1:
        raise UnsupportedError(f"bytes = {size!r}: expected a whole number of at least 1")
    if c.counts and (c.op != "all_to_all" or len(c.counts) != c.chips or any(len(row) != c.chips or min(row) < 0 for row in c.counts)):
        raise UnsupportedError(f"counts are those of an all_to_all: {c.chips} rows of {c.chips} numbers of elements")
    if not (0 <= c.root < c.chips and 0 <= c.target < c.chips and (c.op != "send_recv" or c.root != c.target)):
        raise UnsupportedError(f"root {c.root} and target {c.target} are two of {c.chips} chips, counted from 0")


def link_bound(c: Collective, fabric: Fabric) -> Bound:
    """What no algorithm beats: bytes that must leave or enter a chip over all of its links, and the latency of a hop; `fabric` at its peak.

    In an all_gather every chip takes in all shards but its own; in a reduce_scatter what others keep of its buffer, (n - 1) / n, must
    leave it; an all_reduce is both, unless the switch adds: then each chip sends its buffer once. A chip of an all_to_all sends all
    that is not its own, and one of a broadcast or send_recv takes in or sends all of it."""
    n, size = c.chips, c.bytes
    links = {"switch": 1, "mesh": n - 1, "torus": 2 * len(fabric.dims)}[fabric.kind]
    out = fabric.bytes_per_s * links
    share = {"all_reduce": 2 * (n - 1) / n, "broadcast": 1.0, "send_recv": 1.0}.get(c.op, (n - 1) / n)
    if c.op == "all_reduce" and fabric.in_switch and fabric.one_domain:
        share = 1.0
    moved = share * size
    if c.counts:
        moved = max(sum(row) - row[i] for i, row in enumerate(c.counts)) * format_bytes(c.fmt)
    hop = fabric.hop_fs
    if not fabric.one_domain:
        out, hop = out + fabric.outer_bytes_per_s, fabric.outer_hop_fs
    return Bound(0.0, 0.0, max(moved / out, hop / 1e15))


def _mapping(choice: Choice, fabric: Fabric, system: str, run: Run, bound: Bound) -> dict[str, Any]:
    c = choice.collective
    return {
        "chips": c.chips, **({"system": system} if system else {}), "topology": fabric.kind, "bytes": c.bytes, "algorithm": c.algorithm,
        "protocol": c.wiring.protocol, "cores": c.wiring.cores, "chosen_by": choice.by,
        "latency_bound_s": fabric.hop_fs / 1e15, "bandwidth_bound_s": bound.link_s, "link_bytes": run.counters["link_bytes"],
    }
