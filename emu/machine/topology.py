"""Networks on chip as tables: routers, links, where nodes are attached, and for every router and destination the output port.

Routes are deterministic, minimal and free of cycles among virtual channels (`cycle` proves it for any table): dimension order in meshes and
tori, with a second class of channels from the link that closes a ring on; up and down in a hierarchy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emu.errors import UnsupportedError, did_you_mean

MAX_NODES, MAX_PORTS = 1024, 63
NO_DIM = 255


@dataclass(frozen=True, eq=False)
class Topology:
    """`links`: rows of router, port, to router, to port, cycles, dimension, closes a ring (0 or 1). `attach`: for each node router, port
    and cycles of its link. `route` (routers, nodes): output port. `closes` (routers, nodes): 1 where the way to the node, while it stays in
    the first output's dimension, passes the link that closes a ring. `classes`: 2 where rings need a second class of virtual channels."""

    name: str
    routers: int
    ports: int
    links: np.ndarray
    attach: np.ndarray
    route: np.ndarray
    closes: np.ndarray
    classes: int = 1

    @property
    def nodes(self) -> int:
        return len(self.attach)

    def path(self, src: int, dst: int) -> list[tuple[int, int]]:
        """Outputs (router, port) on the way from node to node, the one to the node itself last."""
        to = {(r, p): (r2, p2) for r, p, r2, p2, *_ in self.links.tolist()}
        found: list[tuple[int, int]] = []
        at = int(self.attach[src][0])
        while not found or found[-1] in to:
            found.append((at, int(self.route[at, dst])))
            if len(found) > self.routers:
                raise UnsupportedError(f"{self.name}: the route from node {src} to node {dst} never ends")
            at = to.get(found[-1], (at, 0))[0]
        if found[-1] != tuple(self.attach[dst][:2].tolist()):
            raise UnsupportedError(f"{self.name}: the route from node {src} to node {dst} ends at port {found[-1]}, not at the node")
        return found

    def cycle(self) -> list[tuple[int, int, int]]:
        """A cycle among channels (router, port, class) that wait for each other on some route; empty if there is none: no deadlock."""
        about = {(r, p): (dim, wraps) for r, p, _, _, _, dim, wraps in self.links.tolist()}
        after: dict[tuple[int, int, int], set[tuple[int, int, int]]] = {}
        for src in range(self.nodes):
            for dst in range(self.nodes):
                last: list[tuple[int, int, int]] = []
                dim_before = NO_DIM
                for out in self.path(src, dst)[:-1]:
                    dim, wraps = about[out]
                    now: set[tuple[int, int, int]] = set()
                    for before in last or [(-1, -1, 0)]:
                        second = before[2] == 1 and dim == dim_before
                        channels = [(*out, c) for c in self._classes(second, bool(wraps), bool(self.closes[out[0], dst]))]
                        now.update(channels)
                        if last:
                            after[before].update(channels)
                    for channel in now:
                        after.setdefault(channel, set())
                    last, dim_before = sorted(now), dim
        return _cycle(after)

    def _classes(self, second: bool, wraps: bool, closes: bool) -> tuple[int, ...]:
        """Classes that a packet may take: csrc/noc/cycle.c, noc_allowed."""
        if self.classes == 1:
            return (0,)
        return (1,) if second or wraps else (0,) if closes else (0, 1)


def _cycle(after: dict[tuple[int, int, int], set[tuple[int, int, int]]]) -> list[tuple[int, int, int]]:
    """What is left when channels that wait for nobody are taken away, again and again."""
    waits = {c: set(d) for c, d in after.items()}
    before: dict[tuple[int, int, int], list[tuple[int, int, int]]] = {c: [] for c in after}
    for c, d in after.items():
        for e in d:
            before[e].append(c)
    done = [c for c in sorted(after) if not waits[c]]
    for c in done:
        for e in before[c]:
            waits[e].discard(c)
            if not waits[e]:
                done.append(e)
    return sorted(set(after) - set(done))


def _grid(name: str, x: int, y: int, wraps: bool, link_cycles: int) -> Topology:
    """Routers x + y * X with one node each (port 0); ports 1 east, 2 west, 3 north (y + 1), 4 south. Rings close between the last and 0."""
    _sized(name, x * y)
    links, n = [], x * y
    sizes, steps = (x, y), (1, x)
    at = np.arange(n)
    place = (at % x, at // x)
    for dim in (0, 1):
        for r in range(n):
            for port, step in ((1 + 2 * dim, 1), (2 + 2 * dim, -1)):
                here, size = int(place[dim][r]), sizes[dim]
                there = here + step
                closes = not 0 <= there < size
                if closes and (not wraps or size < 3):
                    continue
                links.append((r, port, r + ((there % size) - here) * steps[dim], port + step, link_cycles, dim, int(closes)))
    route, closing = np.zeros((n, n), np.uint8), np.zeros((n, n), bool)
    for dim in (1, 0):  # x first: what is right in x goes on in y
        ahead = place[dim][None, :] - place[dim][:, None]
        size = sizes[dim]
        forward = (ahead % size) * 2 <= size if wraps and size > 2 else ahead > 0  # a tie goes forward
        route = np.where(ahead != 0, np.where(forward, 1 + 2 * dim, 2 + 2 * dim), route)
        closing = np.where(ahead != 0, forward == (ahead < 0), closing)
    attach = np.array([(r, 0, link_cycles) for r in range(n)], np.int32)
    two = 2 if wraps and max(x, y) > 2 else 1
    tables = np.ascontiguousarray(route, np.uint8), np.ascontiguousarray(closing, np.uint8)
    return Topology(name, n, 5, np.array(links, np.int32).reshape(-1, 7), attach, *tables, two)


def mesh(x: int, y: int = 1, *, link_cycles: int = 1) -> Topology:
    """x by y routers, each with a node; x first, then y."""
    return _grid(f"mesh {x}x{y}", x, y, False, link_cycles)


def torus(x: int, y: int, *, link_cycles: int = 1) -> Topology:
    """A mesh whose rows and columns are rings; the shorter way round, forward where both are equal. Sides of two have one link each way."""
    return _grid(f"torus {x}x{y}", x, y, True, link_cycles)


def ring(nodes: int, *, link_cycles: int = 1) -> Topology:
    """Both directions, the shorter way round."""
    return _grid(f"ring {nodes}", nodes, 1, True, link_cycles)


def crossbar(nodes: int, *, link_cycles: int = 1) -> Topology:
    """One router with a port for each node; 63 at most."""
    _sized(f"crossbar {nodes}", nodes)
    if nodes > MAX_PORTS:
        raise UnsupportedError(f"crossbar of {nodes} nodes: a router has at most {MAX_PORTS} ports; use hierarchical(clusters, nodes)")
    attach = np.array([(0, j, link_cycles) for j in range(nodes)], np.int32)
    route = np.arange(nodes, dtype=np.uint8)[None, :].copy()
    return Topology(f"crossbar {nodes}", 1, nodes, np.zeros((0, 7), np.int32), attach, route, np.zeros_like(route))


def hierarchical(clusters: int, nodes: int, uplinks: int = 1, *, link_cycles: int = 1, up_cycles: int = 2) -> Topology:
    """`clusters` crossbars of `nodes` nodes each, joined by one more; each has `uplinks` links up and down, shared out by destination."""
    name = f"hierarchical {clusters}x{nodes}"
    _sized(name, clusters * nodes)
    ports = max(nodes + uplinks, clusters * uplinks)
    if ports > MAX_PORTS or uplinks < 1:
        raise UnsupportedError(f"{name} with {uplinks} uplinks: a router has at most {MAX_PORTS} ports, this needs {ports}")
    top, links = clusters, []
    for c in range(clusters):
        for u in range(uplinks):
            links += [(c, nodes + u, top, c * uplinks + u, up_cycles, 0, 0), (top, c * uplinks + u, c, nodes + u, up_cycles, 1, 0)]
    dst = np.arange(clusters * nodes)
    up = dst % nodes % uplinks
    down = [np.where(dst // nodes == c, dst % nodes, nodes + up) for c in range(clusters)]
    route = np.array([*down, dst // nodes * uplinks + up], np.uint8)
    attach = np.array([(j // nodes, j % nodes, link_cycles) for j in range(clusters * nodes)], np.int32)
    return Topology(name, clusters + 1, ports, np.array(links, np.int32), attach, route, np.zeros_like(route))


TOPOLOGIES = {"mesh": mesh, "torus": torus, "ring": ring, "crossbar": crossbar, "hierarchical": hierarchical}


def topology(name: str, *sizes: int) -> Topology:
    """By name: mesh x y, torus x y, ring n, crossbar n, hierarchical clusters nodes [uplinks]."""
    if name not in TOPOLOGIES:
        raise UnsupportedError(f"topology {name!r}: {did_you_mean(name, TOPOLOGIES)}")
    return TOPOLOGIES[name](*sizes)  # type: ignore[operator]


def _sized(name: str, nodes: int) -> None:
    if not 1 <= nodes <= MAX_NODES:
        raise UnsupportedError(f"{name}: {nodes} nodes; a network has 1 to {MAX_NODES}")
