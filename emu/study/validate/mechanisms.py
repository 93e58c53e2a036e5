"""What can be left out of the machine, by name: each is a change of the chip's description or of the stack, never another code path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from emu.chip import chip as preset
from emu.chip.schema import Chip
from emu.errors import EmuError, did_you_mean

STACK = "vllm"
"""The stack that the measurements came from, on every chip they are of."""


@dataclass(frozen=True)
class Setting:
    """How rows are predicted: on which stack, and with which figures of the chip changed."""

    name: str = "as described"
    changes: tuple[tuple[str, Any], ...] = ()
    stack: str = STACK
    kinds: tuple[str, ...] = ("gemm", "attention", "power", "collective")
    operands: str = "cold"

    def chip(self, name: str) -> Chip:
        """The preset with the changes."""
        return _changed(name, self.changes)


@lru_cache(64)
def _changed(name: str, changes: tuple[tuple[str, Any], ...]) -> Chip:
    chip = preset(name)
    thawed = {key: [list(v) for v in value] if isinstance(value, tuple) else value for key, value in changes}
    return chip.vary(thawed) if changes else chip


def _without(name: str, changes: Mapping[str, Any], *kinds: str, stack: str = STACK) -> Setting:
    frozen = tuple((k, tuple(map(tuple, v)) if isinstance(v, list) else v) for k, v in changes.items())
    return Setting(name, frozen, stack, kinds or ("gemm", "attention", "power"))


BASE = Setting(kinds=("gemm", "attention", "power", "collective", "memory-time", "memory-rate", "instruction"))
NO_CAP = _without("no power cap", {"power.tdp": "1000 kW"})
BARE = _without("stack bare", {}, stack="bare")
_LIBRARY = f"stack.{STACK}.collectives"
_PROTOCOLS = ("ll", "ll128", "simple")
_PROMPT = {
    **{f"{_LIBRARY}.protocols.{p}.{figure}": "0 s" for p in ("ll128", "simple") for figure in ("start", "late")},
    f"{_LIBRARY}.exchange.ll_start": "0 s", f"{_LIBRARY}.exchange.simple_start": "0 s",
}
_UNBOUND = {**{f"{_LIBRARY}.protocols.{p}.core": "9 TB/s" for p in _PROTOCOLS}, f"{_LIBRARY}.exchange.core": "9 TB/s"}
MECHANISMS = {
    s.name: s
    for s in (
        _without("launch", {"stack.vllm.launch": "0 s", "stack.vllm.reduce_launch": "0 s"}),
        _without("tile menu", {"stack.vllm.tiles": [(128, 128)]}, "gemm", "power"),
        _without("split-K", {"stack.vllm.split_k_limit": 1}, "gemm", "power"),
        _without("achieved memory bandwidth", {"hbm.achieved_fraction": 1.0}),
        _without("matrix engine's fill", {"core.matrix.fill": "0 clk"}),
        _without("memory latency", {"hbm.latency": "0 s"}),
        NO_CAP,
        BARE,
        Setting("cold operands", (), STACK, ("gemm", "attention", "power"), "warm"),
        _without("call of a collective", {f"{_LIBRARY}.launch": "0 s"}, "collective"),
        _without("hop latency", {"links.0.latency": "0 s"}, "collective"),
        _without("ll", {f"{_LIBRARY}.rule.ll.base": "0.9 s", f"{_LIBRARY}.exchange.ll": "1 B"}, "collective"),
        _without("ll128", {f"{_LIBRARY}.rule.ll128.base": "0.9 s"}, "collective"),
        _without("a protocol's own start and lateness", _PROMPT, "collective"),
        _without("copy out of the receive buffer", {f"{_LIBRARY}.protocols.{p}.copy": "9 TB/s" for p in _PROTOCOLS}, "collective"),
        _without("what a core sends", _UNBOUND, "collective"),
        _without("few cores for short buffers", {f"{_LIBRARY}.per_core": "1 B", f"{_LIBRARY}.exchange.per_core": "1 B"}, "collective"),
        _without("sums in the switch", {"links.0.in_switch_reduction": False}, "collective"),
        _without("achieved link bandwidth", {"links.0.achieved_fraction": 1.0}, "collective"),
    )
}
"""Leaving one out and comparing errors ranks them. A figure set to what costs nothing is what "left out" means."""


def mechanism(name: str) -> Setting:
    """The setting in which the mechanism of this name is left out."""
    if name not in MECHANISMS:
        raise EmuError(f"no mechanism is named {name[:80]!r}; {did_you_mean(name, MECHANISMS)}")
    return MECHANISMS[name]
