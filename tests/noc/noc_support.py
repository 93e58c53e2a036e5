"""Random networks and traffic, and what must follow from routes alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

from emu.machine.noc import Network, Router
from emu.machine.topology import Topology, crossbar, hierarchical, mesh, ring, torus


@st.composite
def topologies(draw: Any) -> Topology:
    side, link = st.integers(1, 5), draw(st.integers(1, 3))
    kind = draw(st.sampled_from(["mesh", "torus", "ring", "crossbar", "hierarchical"]))
    if kind in ("mesh", "torus"):
        return (mesh if kind == "mesh" else torus)(draw(side), draw(side), link_cycles=link)
    if kind == "hierarchical":
        clusters, uplinks, up = draw(st.integers(1, 4)), draw(st.integers(1, 2)), draw(st.integers(1, 3))
        return hierarchical(clusters, draw(side), uplinks, link_cycles=link, up_cycles=up)
    return (ring if kind == "ring" else crossbar)(draw(st.integers(1, 12)), link_cycles=link)


routers = st.builds(
    Router, vcs=st.integers(2, 5), depth=st.integers(1, 8), credit_delay=st.integers(0, 3), inject_cycles=st.integers(1, 2),
    switch_cycles=st.integers(1, 3), sink_cycles=st.integers(0, 2), ordered=st.just(True),
)  # fmt: skip


@dataclass
class Sent:
    """What was given to a network and what it must do with it."""

    over: Counter[tuple[int, int]] = field(default_factory=Counter)  # flits over each output
    injected: Counter[int] = field(default_factory=Counter)
    due: Counter[tuple[int, int]] = field(default_factory=Counter)  # packet, node
    pairs: dict[tuple[int, int], list[int]] = field(default_factory=dict)  # packets of a pair in the order of injection
    time: dict[int, int] = field(default_factory=dict)


def send_random(net: Network, data: Any, most: int = 40) -> Sent:
    """Packets, multicasts and reductions at ascending times, crowded enough to meet."""
    nodes, sent, time = st.integers(0, net.topology.nodes - 1), Sent(), 0
    for _ in range(data.draw(st.integers(1, most))):
        time += data.draw(st.sampled_from([0, 0, 0, 1, 3, 40]))
        kind = data.draw(st.sampled_from(["one", "one", "one", "many", "sum"]))
        src, flits = data.draw(nodes), data.draw(st.integers(1, 12))
        if kind == "one":
            note(net, sent, src, [data.draw(nodes)], flits, time)
        elif kind == "many":
            note(net, sent, src, sorted(data.draw(st.sets(nodes, min_size=1))), min(flits, net.router.depth), time)
        else:
            note_sum(net, sent, sorted(data.draw(st.sets(nodes, min_size=1))), src, flits, time)
    return sent


def note(net: Network, sent: Sent, src: int, dst: list[int], flits: int, time: int) -> int:
    packet = net.inject(src, dst, flits, time)
    for out in {out for d in dst for out in net.topology.path(src, d)}:  # a copy for each output once, however many lie behind it
        sent.over[out] += flits
    sent.injected[src] += flits
    sent.time[packet] = time
    for d in dst:
        sent.due[packet, d] += 1
        sent.pairs.setdefault((src, d), []).append(packet)
    return packet


def note_sum(net: Network, sent: Sent, sources: list[int], dst: int, flits: int, time: int) -> int:
    packet = net.reduce(sources, dst, flits, time)
    tree = {out for s in sources for out in net.topology.path(s, dst)}
    for out in tree:
        sent.over[out] += flits
    joins = Counter(int(net.topology.attach[s][0]) for s in sources)
    to = {(r, p): r2 for r, p, r2, *_ in net.topology.links.tolist()}
    joins.update(to[out] for out in tree if out in to)
    for router, branches in joins.items():
        sent.over[router, net.topology.ports] += (branches - 1) * flits
    for s in sources:
        sent.injected[s] += flits
    sent.due[packet, dst] += 1
    sent.time[packet] = time
    return packet


def check_all(net: Network, sent: Sent, deliveries: np.ndarray) -> None:
    """Delivered once each, in order between each pair; flits over every output as the routes say."""
    net.audit()
    assert net.pending == 0
    assert Counter(zip(deliveries["packet"].tolist(), deliveries["node"].tolist())) == sent.due
    when = {(p, n): (a, d) for p, n, a, d in deliveries.tolist()}
    for (_, dst), packets in sent.pairs.items():
        order = [when[p, dst][1] for p in packets]
        assert order == sorted(order)
    assert all(a <= d for a, d in when.values()) and np.all(np.diff(deliveries["delivered"]) >= 0)
    over, injected = net.flits()
    assert {(int(r), int(p)): int(over[r, p]) for r, p in np.argwhere(over)} == +sent.over
    assert {n: int(f) for n, f in enumerate(injected) if f} == +sent.injected


def zero_load(net: Network, src: int, dst: int, flits: int) -> int:
    """Clocks from injection to the node with nobody else there: the wire in, for every router a clock for the channel, the switch and the
    link, the rest of the packet, and the sink."""
    cycles = {(r, p): c for r, p, _, _, c, *_ in net.topology.links.tolist()} | {(r, p): c for r, p, c in net.topology.attach.tolist()}
    r = net.router
    return r.inject_cycles + sum(1 + r.switch_cycles + cycles[out] for out in net.topology.path(src, dst)) + flits - 1 + r.sink_cycles


def alone_in_shallow_buffers(net: Network, src: int, dst: int, flits: int) -> int:
    """The same where a flit may have to wait for the place of an earlier one: a buffer's place is free for the sender a wire and the
    credit's delay after its flit went into the switch. Clocks in which each flit is sent by the node, then by every router on the way."""
    r, path = net.router, net.topology.path(src, dst)
    cycles = {(a, p): c for a, p, _, _, c, *_ in net.topology.links.tolist()} | {(a, p): c for a, p, c in net.topology.attach.tolist()}
    ways = [r.inject_cycles] + [r.switch_cycles + cycles[out] for out in path]
    sent = [[0] * flits for _ in ways]
    for i in range(flits):
        for stage in range(len(ways)):
            earliest = sent[stage][i - 1] + 1 if i else 0
            if stage:
                earliest = max(earliest, sent[stage - 1][i] + ways[stage - 1] + (1 if i == 0 else 0))  # the first one asks for a channel
            if stage < len(path) and i >= r.depth:
                earliest = max(earliest, sent[stage + 1][i - r.depth] + 1 + r.credit_delay)
            sent[stage][i] = earliest
    return sent[-1][-1] + ways[-1] + r.sink_cycles
