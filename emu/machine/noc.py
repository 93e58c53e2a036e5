"""A network on chip, cycle by cycle: wormhole routers with virtual channels, finite buffers, credits (docs/noc.md: what each clock does).

    net = Network(mesh(8, 8))
    net.inject(0, 63, flits=4, time=10)         # or several destinations: copied in the routers where ways part
    net.reduce([0, 1, 2], 63, flits=4, time=10)  # added up in the routers where ways meet
    net.advance(100)                             # every clock before 100
    net.deliveries()                             # packet, node, arrived, delivered
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emu import _noc
from emu.errors import CapacityError, EmuError, UnsupportedError
from emu.machine.topology import Topology

DELIVERY = np.dtype([("packet", np.int64), ("node", np.int64), ("arrived", np.int64), ("delivered", np.int64)])
_WHY = {
    "memory": (CapacityError, "no memory left for packets under way"),
    "packets": (CapacityError, "more than 2^26 packets; make a new network"),
    "adders": (CapacityError, "a router has no adder left for another reduction; wait for one to end, or give `adders` a larger value"),
    "order": (UnsupportedError, "packets of a node are injected in the order of their times, and not before `now`"),
    "stuck": (EmuError, "deadlock: packets wait for each other for ever; Topology.cycle() names the channels"),
}


@dataclass(frozen=True)
class Router:
    """What every router is. Clocks of a hop: one for the virtual channel, `switch_cycles` for switch allocation and traversal, the link's.

    vcs: virtual channels of a port; depth: flits of each one's buffer; credit_delay: clocks from a credit's arrival to its use (its wire
    is one more); inject_cycles: the wire from a node into its router; sink_cycles: from the end of the last link to the node; adders:
    reductions that a router has room for; ordered: whether a node gets the packets of one other node in the order of injection."""

    vcs: int = 8
    depth: int = 8
    credit_delay: int = 2
    inject_cycles: int = 1
    switch_cycles: int = 2
    sink_cycles: int = 1
    adders: int = 64
    ordered: bool = True

    def hop_cycles(self, link_cycles: int = 1) -> int:
        """Clocks from the arrival of a packet's first flit at a router to that at the next one, nobody in its way."""
        return 1 + self.switch_cycles + link_cycles


_LIMITS = {
    "vcs": (1, 16), "depth": (1, 256), "credit_delay": (0, 16), "inject_cycles": (1, 16), "switch_cycles": (1, 8), "sink_cycles": (0, 16),
    "adders": (1, 1 << 16),
}  # fmt: skip


class Network:
    """Packets of flits between the nodes of a topology. Times are clocks of the network; nothing is random."""

    def __init__(self, topology: Topology, router: Router = Router()) -> None:  # noqa: B008 - frozen
        self.topology, self.router = topology, router
        for key, (least, most) in _LIMITS.items():
            if not least <= getattr(router, key) <= most:
                raise UnsupportedError(f"router: {key} = {getattr(router, key)}; expected {least} to {most}")
        if topology.classes == 2 and router.vcs < 2:
            raise UnsupportedError(f"{topology.name}: rings need at least 2 virtual channels, vcs is {router.vcs}")
        if topology.links.size and not 1 <= topology.links[:, 4].min() <= topology.links[:, 4].max() <= 32:
            raise UnsupportedError(f"{topology.name}: links take 1 to 32 clocks")
        config = {
            "nodes": topology.nodes, "routers": topology.routers, "ports": topology.ports, "classes": topology.classes,
            "vcs": router.vcs, "depth": router.depth, "credit_delay": router.credit_delay, "inject_cycles": router.inject_cycles,
            "switch_cycles": router.switch_cycles, "sink_cycles": router.sink_cycles, "adders": router.adders,
            "ordered": int(router.ordered),
        }  # fmt: skip
        self._net = _noc.Network(config, topology.links, topology.attach, topology.route, topology.closes)

    @property
    def now(self) -> int:
        """Every clock before this one is over."""
        return int(self._net.now)

    @property
    def pending(self) -> int:
        """Deliveries still to come."""
        return int(self._net.pending)

    @property
    def clocks(self) -> int:
        """Clocks that were looked at; in the others nothing could happen."""
        return int(self._net.clocks)

    def inject(self, src: int, dst: int | Sequence[int], flits: int, time: int) -> int:
        """The number of the packet. Several destinations get a copy each, made where ways part; such a packet must fit into a buffer."""
        wanted = [dst] if isinstance(dst, int | np.integer) else list(dst)
        self._check([src, *wanted], flits)
        if not wanted or len(set(wanted)) < len(wanted):
            raise UnsupportedError(f"destinations {wanted}: expected at least one, and each once")
        if len(wanted) > 1 and flits > self.router.depth:
            raise UnsupportedError(f"a multicast packet of {flits} flits must fit into a buffer of {self.router.depth}; send it in parts")
        return self._do(self._net.inject, time, src, np.array(wanted, np.int32), flits)

    def inject_many(self, time: np.ndarray, src: np.ndarray, dst: np.ndarray, flits: np.ndarray | int) -> int:
        """One destination each; the first packet's number, the others follow. Each node's times must ascend."""
        count = len(time)
        lengths = np.full(count, flits, np.int32) if np.ndim(flits) == 0 else np.ascontiguousarray(flits, np.int32)
        if count:
            self._check([int(src.min()), int(src.max()), int(dst.min()), int(dst.max())], int(lengths.min()))
            self._check([], int(lengths.max()))
        arrays = np.ascontiguousarray(time, np.int64), np.ascontiguousarray(src, np.int32), np.ascontiguousarray(dst, np.int32), lengths
        if len({len(a) for a in arrays}) > 1:
            raise UnsupportedError(f"arrays of different lengths: {[len(a) for a in arrays]}")
        return self._do(self._net.inject_many, *arrays)

    def reduce(self, sources: Sequence[int], dst: int, flits: int, time: int | Sequence[int]) -> int:
        """The number under which the sum is delivered. Contributions of `flits` flits are added where their ways meet; int addition or
        any other whose order does not matter, since the order is that of arrival."""
        self._check([*sources, dst], flits)
        if not sources or len(set(sources)) < len(sources):
            raise UnsupportedError(f"sources {list(sources)}: expected at least one, and each once")
        times = np.array([time] * len(sources) if isinstance(time, int | np.integer) else list(time), np.int64)
        if len(times) != len(sources):
            raise UnsupportedError(f"{len(times)} times for {len(sources)} sources")
        return self._do(self._net.reduce, times, np.array(sources, np.int32), dst, flits)

    def advance(self, until: int) -> None:
        """Run every clock before `until`."""
        self._do(self._net.advance, until)

    def drain(self, limit: int = 1 << 40) -> int:
        """Run until everything is delivered, or `limit` clocks more; the clock after the last one with anything in it."""
        until = self.now + limit
        step = 64
        while self.pending and self.now < until:
            self.advance(min(self.now + step, until))
            step = min(2 * step, 1 << 20)
        return self.now

    def deliveries(self) -> np.ndarray:
        """Since the last call, in the order of delivery: packet, node, clock of the last flit's arrival, clock of the delivery in order."""
        found = np.empty((int(self._net.delivered), 4), np.int64)
        self._net.deliveries(found)
        return found.view(DELIVERY).reshape(-1)

    def flits(self) -> tuple[np.ndarray, np.ndarray]:
        """Flits so far (routers, ports + 1) over each output of each router, its adder last, and (nodes,) into the network by each node."""
        over, injected = np.zeros((self.topology.routers, self.topology.ports + 1), np.int64), np.zeros(self.topology.nodes, np.int64)
        self._net.flits(over, injected)
        return over, injected

    def audit(self) -> None:
        """Raise EmuError unless every place of every buffer is free, filled, or on its way as a flit or a credit."""
        self._do(self._net.audit)

    def _check(self, nodes: Sequence[int], flits: int) -> None:
        for node in nodes:
            if not 0 <= node < self.topology.nodes:
                raise UnsupportedError(f"{self.topology.name}: there is no node {node}; expected 0 to {self.topology.nodes - 1}")
        if not 1 <= flits <= 65535:
            raise UnsupportedError(f"a packet of {flits} flits; expected 1 to 65535")

    def _do(self, what, *arguments):  # type: ignore[no-untyped-def]
        try:
            return what(*arguments)
        except _noc.NocFailure as failure:
            kind, text = _WHY.get(failure.code, (EmuError, f"the network lost count ({failure.code}); please report this"))
            raise kind(f"{self.topology.name}: {text}") from None
