"""Which algorithm, protocol and number of cores a collective takes.

A stack's library chooses as its source says, by what it believes its protocols cost (`rule`), and so does its emulation: measured calls
show those choices, good or bad. Without a library the quickest in closed form are simulated, and the quickest of these is taken."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod

from emu.chip import Chip
from emu.chip.library import Collectives
from emu.errors import UnsupportedError
from emu.kernels.collectives import ALGORITHMS, Collective, Wiring
from emu.kernels.lang import format_bytes
from emu.machine.config import FS, period_fs
from emu.machine.fabric import Fabric

MOST_CORES = 32
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Choice:
    """A collective with all that is to be decided, what the library's calls cost around it, and why it is so."""

    collective: Collective
    start_s: float = 0.0
    by: str = ""


def rounds_of(op: str, algorithm: str, chips: int) -> int:
    """Messages that must follow one another."""
    once = {"ring": chips - 1, "direct": 1, "switch": 1, "tree": max(1, (chips - 1).bit_length()), "halving": (chips - 1).bit_length()}
    n = once.get(algorithm, chips - 1)
    return 2 * n if op == "all_reduce" and algorithm != "direct" else n


def library_choice(chip: Chip, c: Collective, library: Collectives, fabric: Fabric) -> Choice:
    """As the library would run it."""
    bits = c.bytes
    if fabric.kind == "torus":
        raise UnsupportedError(f"{library.library} has no algorithms for a torus; use stack='bare'")
    switch = library.in_switch
    if c.op == "all_reduce" and switch and fabric.in_switch and fabric.one_domain and bits >= switch.from_bytes and c.chips >= switch.chips:
        wiring = Wiring(switch.cores, 1, max(1, switch.chunk_bytes // format_bytes(c.fmt)))
        return Choice(replace(c, algorithm="switch", wiring=wiring), switch.start_s, "sums in the switch from a size on")
    if c.op == "all_to_all":
        return _exchanged(c, library)
    algorithm = "ring" if "ring" in ALGORITHMS[c.op] else next(iter(ALGORITHMS[c.op]))
    name = believed_best(c, library)
    protocol = library.protocol(name)
    cores = min(library.cores, max(1, math.ceil(bits / library.per_core_bytes)))
    wiring = Wiring(cores, 1, max(1, protocol.chunk_bytes // format_bytes(c.fmt)), name, staged=algorithm == "ring")
    return Choice(replace(c, algorithm=algorithm, wiring=wiring), protocol.start_s, f"{library.library}: the protocol it believes quickest")


def believed_best(c: Collective, library: Collectives) -> str:
    """The protocol of least base + rounds x hop + bytes / bandwidth, in the library's own figures."""
    if not library.rule:
        return "simple"
    rounds = 2 * (c.chips - 1) if c.op == "all_reduce" else c.chips - 1
    times = {g.name: g.base_s + rounds * g.hop_s + c.bytes * rounds / c.chips / g.bytes_per_s for g in library.rule}
    return min(times, key=times.__getitem__)


def _exchanged(c: Collective, library: Collectives) -> Choice:
    """Sends and receives: the protocol by the longest message, as many cores for each peer as it fills."""
    longest = max(map(max, c.counts)) * format_bytes(c.fmt) if c.counts else c.bytes // c.chips
    way = library.exchange
    name = "ll" if longest <= way.ll_bytes else "simple"
    protocol, start_s = library.protocol(name), way.ll_start_s if name == "ll" else way.simple_start_s
    peers = c.chips - 1
    most = way.cores if c.bytes < way.many_from_bytes else way.many_cores
    each = max(1, min(most // peers, math.ceil(longest / way.per_core_bytes)))
    wiring = Wiring(min(max(most, peers), peers * each), 1, max(1, protocol.chunk_bytes // format_bytes(c.fmt)), name, staged=True)
    return Choice(replace(c, algorithm="direct", wiring=wiring), start_s + peers * way.peer_s, f"{library.library}: by the longest message")


def free_choices(chip: Chip, c: Collective, fabric: Fabric, most: int = 2) -> list[Choice]:
    """The quickest in closed form, best first: at least one."""
    found = sorted(((_closed_form(chip, x, fabric), n, x) for n, x in enumerate(_candidates(chip, c, fabric))), key=lambda e: e[:2])
    if not found:
        raise UnsupportedError(f"{c.op} on {c.chips} chips of a {fabric.kind}: no algorithm fits")
    return [Choice(x, 0.0, "the quickest of those simulated") for _, _, x in found[:most]]


def _candidates(chip: Chip, c: Collective, fabric: Fabric) -> Iterator[Collective]:
    size = format_bytes(c.fmt)
    queues = max((link.queues for link in chip.links), default=1)
    lanes = min(chip.core_count, MOST_CORES)
    torus = fabric.kind == "torus" and fabric.one_domain
    plain = Wiring(_cores(chip, fabric, c.bytes), queues, CHUNK_BYTES // size)
    for algorithm in ALGORITHMS[c.op]:
        if algorithm == "torus":
            if torus and all(fabric.wraps):
                both = plain.lanes % 2 == 0
                yield replace(c, algorithm="torus", wiring=replace(plain, both=both), dims=fabric.dims)
        elif algorithm == "switch":
            if fabric.in_switch and fabric.kind == "switch" and fabric.one_domain:
                yield replace(c, algorithm="switch", wiring=replace(plain, queues=1))
        elif algorithm == "halving":
            if c.chips & (c.chips - 1) == 0:
                yield replace(c, algorithm="halving", wiring=plain)
        elif algorithm == "direct" and c.op in ("all_reduce", "all_gather", "reduce_scatter", "all_to_all"):
            peers = min(lanes, (c.chips - 1) * max(1, plain.cores // max(1, c.chips - 1)))
            if (c.chips - 1) / (peers * queues) <= 60:
                yield replace(c, algorithm="direct", wiring=replace(plain, cores=peers))
        else:
            yield replace(c, algorithm=algorithm, wiring=plain)
            if algorithm == "ring" and torus and len(fabric.dims) == 1 and all(fabric.wraps) and plain.lanes % 2 == 0:
                yield replace(c, algorithm=algorithm, wiring=replace(plain, both=True))
                if c.op == "all_gather":
                    yield replace(c, algorithm=algorithm, wiring=replace(plain, shortest=True))


def _cores(chip: Chip, fabric: Fabric, size: int) -> int:
    """Enough to fill a chip's links through the cores' own ports, and no more than there are pieces for."""
    port = chip.core.dma.bytes_per_clk * FS / period_fs(chip)
    links = {"switch": 1, "mesh": fabric.chips - 1, "torus": 2 * len(fabric.dims)}[fabric.kind]
    wanted = 2 * math.ceil(fabric.bytes_per_s * links / port)
    return max(1, min(chip.core_count, MOST_CORES, wanted, math.ceil(size / 4096)))


def _closed_form(chip: Chip, c: Collective, fabric: Fabric) -> float:
    """Rounds of latency and the bytes of the busiest link: ranks candidates, states nothing."""
    n, size = c.chips, c.bytes
    hop = (fabric.hop_fs if fabric.one_domain else max(fabric.hop_fs, fabric.outer_hop_fs)) / FS + chip.hbm.latency_s
    rate = fabric.bytes_per_s if fabric.one_domain else min(fabric.bytes_per_s, fabric.outer_bytes_per_s)
    twice = 2 if c.op == "all_reduce" else 1
    shares = {"ring": (n - 1) / n, "halving": (n - 1) / n, "tree": 2.0, "switch": (n + 1) / n / twice}
    rounds: float = rounds_of(c.op, c.algorithm, n)
    if c.algorithm == "torus":
        ways = 2 * sum(d > 1 for d in c.dims) if c.wiring.lanes >= 2 else 1
        return float(twice * (sum(d - 1 for d in c.dims) * hop + (n - 1) / n * size / rate / ways))
    if c.algorithm == "direct":
        each = size if c.op == "all_reduce" else size / n
        links = n - 1 if fabric.kind == "mesh" else 1
        detour = prod(d for d in fabric.dims) ** 0.5 if fabric.kind == "torus" else 1
        adds = 0 if c.op in ("all_gather", "all_to_all") else n * each / chip.hbm.bandwidth_bytes_per_s
        return hop * detour + (n - 1) * each / (rate * links) * detour + adds
    if c.wiring.both or c.wiring.shortest:
        rounds = rounds if c.wiring.both else math.ceil(rounds / 2)
        rate *= 2
        if c.wiring.shortest:
            return rounds * hop + 2 * rounds / n * size / rate
    return rounds * hop + twice * shares.get(c.algorithm, 1.0) * size / rate
