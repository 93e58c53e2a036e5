"""Patterns of traffic for a network on chip, each from a seed: arrays of time, source and destination that `Network.inject_many` takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from emu.errors import UnsupportedError, did_you_mean


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
