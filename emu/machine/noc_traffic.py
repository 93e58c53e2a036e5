"""Patterns of traffic for a network on chip, each from a seed, and what a network makes of them: latency, throughput, saturation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from emu.errors import UnsupportedError, did_you_mean
from emu.machine.noc import Network, Router
from emu.machine.topology import Topology


@dataclass(frozen=True)
class Traffic:
    """Packets in the order of time: clock, source and destination node of each."""

    time: np.ndarray
    src: np.ndarray
    dst: np.ndarray


Picker = Callable[[np.random.Generator, np.ndarray, int], np.ndarray]


def _uniform(rng: np.random.Generator, src: np.ndarray, nodes: int) -> np.ndarray:
    return rng.integers(0, nodes, len(src))  # the source too, as is usual


def _transpose(rng: np.random.Generator, src: np.ndarray, nodes: int) -> np.ndarray:
    side = math.isqrt(nodes)
    if side * side != nodes:
        raise UnsupportedError(f"transpose traffic needs a square number of nodes, not {nodes}")
    return src % side * side + src // side


def _hotspot(rng: np.random.Generator, src: np.ndarray, nodes: int) -> np.ndarray:
    """A fifth of all packets go to node 0, the others anywhere."""
    return np.where(rng.random(len(src)) < 0.2, 0, rng.integers(0, nodes, len(src)))


PATTERNS: dict[str, Picker] = {"uniform": _uniform, "transpose": _transpose, "hotspot": _hotspot}


def random_traffic(pattern: str, nodes: int, rate: float, clocks: int, flits: int = 1, seed: int = 0) -> Traffic:
    """`rate` flits per node and clock, offered by each node in each clock with the same chance, whatever the network takes."""
    if pattern not in PATTERNS:
        raise UnsupportedError(f"traffic {pattern!r}: {did_you_mean(pattern, PATTERNS)}")
    if not 0 <= rate <= flits:
        raise UnsupportedError(f"rate {rate}: a node offers at most one packet of {flits} flits a clock")
    rng = np.random.default_rng(seed)
    time, src = np.nonzero(rng.random((clocks, nodes)) < rate / flits)
    return Traffic(time, src, PATTERNS[pattern](rng, src, nodes))


def all_to_all(nodes: int, rounds: int = 1) -> Traffic:
    """Every node sends a packet to every other, in step: to the next one first, then to the one after it."""
    step, src = np.divmod(np.arange((nodes - 1) * nodes), nodes)
    dst = (src + step + 1) % nodes
    return Traffic(np.zeros(len(src) * rounds, np.int64), np.tile(src, rounds), np.tile(dst, rounds))


@dataclass(frozen=True)
class Load:
    """What a network makes of random traffic: mean clocks from a packet's injection to its last flit at the node, flits taken per node
    and clock, packets measured."""

    latency_cycles: float
    accepted: float
    packets: int


def zero_load_cycles(topology: Topology, router: Router, pattern: str = "uniform", flits: int = 1) -> float:
    """The same for a packet alone, as the mean over the pattern's pairs: the stages of the routers on the way, one after the other."""
    cycles = {(r, p): c for r, p, _, _, c, *_ in topology.links.tolist()} | {(r, p): c for r, p, c in topology.attach.tolist()}
    if pattern not in ("uniform", "transpose"):
        raise UnsupportedError(f"traffic {pattern!r}: the mean over its pairs is known for uniform and transpose")
    nodes = np.arange(topology.nodes)
    ends = nodes[None, :].repeat(len(nodes), 0)
    if pattern == "transpose":
        ends = _transpose(np.random.default_rng(0), nodes, len(nodes))[:, None]
    ways = [sum(router.hop_cycles(cycles[out]) for out in topology.path(s, d)) for s, row in enumerate(ends.tolist()) for d in row]
    return router.inject_cycles + sum(ways) / len(ways) + flits - 1 + router.sink_cycles


def measure(
    topology: Topology, router: Router, pattern: str, rate: float, flits: int = 1, clocks: int = 10_000, warm: int = 2_000, seed: int = 0,
) -> Load:
    """Packets injected in `clocks` clocks after `warm` ones; the load goes on for as long again, then the network empties."""
    net = Network(topology, router)
    traffic = random_traffic(pattern, topology.nodes, rate, warm + 2 * clocks, flits, seed)
    net.inject_many(traffic.time, traffic.src, traffic.dst, flits)
    net.drain()
    rows = net.deliveries()
    born = traffic.time[rows["packet"]]
    those, out = (born >= warm) & (born < warm + clocks), (rows["arrived"] >= warm) & (rows["arrived"] < warm + clocks)
    latency = float((rows["arrived"] - born)[those].mean()) if those.any() else 0.0
    return Load(latency, int(out.sum()) * flits / clocks / topology.nodes, int(those.sum()))


def saturation(
    topology: Topology, router: Router, pattern: str = "uniform", flits: int = 1, times: float = 3.0, step: float = 0.005,
) -> float:
    """The least load (flits per node and clock, to `step`) at which the mean latency is `times` that of a packet alone."""
    most, low, high = times * zero_load_cycles(topology, router, pattern, flits), 0, math.ceil(1 / step)
    while high - low > 1:
        middle = (low + high) // 2
        if measure(topology, router, pattern, middle * step, flits, 6_000).latency_cycles < most:
            low = middle
        else:
            high = middle
    return high * step
