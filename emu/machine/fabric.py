"""What joins the chips of one run, as the compiled core takes it: topology, rates, latencies and protocols."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any

from emu.errors import UnsupportedError

KINDS = ("switch", "mesh", "torus")
"""Every chip to one switch; a link to each other chip; links to the neighbours along each dimension."""
PROTOCOLS = ("simple", "ll", "ll128", "switch")
"""Those that flags of an instruction choose, and that of the instructions which the switch adds or copies for."""


@dataclass(frozen=True)
class Wire:
    """A protocol of the net engine, physically: what a line holds, how fast a core sends, what a transfer waits beyond the links."""

    line_bytes: int = 1
    flag_bytes: int = 0
    core_bytes_per_s: int = 0
    """Data, not flags, that one core moves; 0: as fast as its DMA port."""
    copy_bytes_per_s: int = 0
    """The same within the chip's own memory."""
    late_fs: int = 0
    """From the last byte's arrival until the receiver knows, beyond the hops."""

    def __post_init__(self) -> None:
        if not 0 <= self.flag_bytes < self.line_bytes:
            raise UnsupportedError(f"a line of {self.line_bytes} bytes cannot hold {self.flag_bytes} of flags and any data")


@dataclass(frozen=True)
class Fabric:
    """The links of `chips` equal chips. Rates are bytes per second of one direction, flags included.

    `bytes_per_s`: of a chip's way into the switch, or of one link of a mesh or torus. `dims` are sizes of a torus, `wraps` which of them
    close to a ring. `domain` chips are joined so (0: all); between domains every chip has `outer_bytes_per_s`."""

    chips: int
    kind: str = "switch"
    bytes_per_s: int = 1
    hop_fs: int = 0
    dims: tuple[int, ...] = ()
    wraps: tuple[bool, ...] = ()
    domain: int = 0
    outer_bytes_per_s: int = 0
    outer_hop_fs: int = 0
    in_switch: bool = False
    wires: dict[str, Wire] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind == "torus" and prod(self.dims) != (self.domain or self.chips):
            sizes = "x".join(map(str, self.dims))
            raise UnsupportedError(f"a torus of {sizes} has {prod(self.dims)} chips, not {self.domain or self.chips}")
        if self.domain and self.chips > self.domain and not self.outer_bytes_per_s:
            raise UnsupportedError(f"{self.chips} chips in domains of {self.domain}: the system has no links between domains")

    @property
    def one_domain(self) -> bool:
        """Whether all chips are joined without the second level."""
        return self.domain in (0, self.chips)

    def config(self) -> dict[str, Any]:
        """Fields of the core's configuration."""
        wires = [self.wires.get(name, Wire()) for name in PROTOCOLS]
        dims = (*self.dims, 1, 1, 1)[:3]
        return {
            "net_chips": self.chips,
            "net_kind": KINDS.index(self.kind),
            "net_dims": list(dims),
            "net_wraps": sum(1 << d for d, wrap in enumerate(self.wraps) if wrap and dims[d] > 1),
            "net_bytes_per_s": self.bytes_per_s,
            "net_hop_fs": self.hop_fs,
            "net_domain": 0 if self.one_domain else self.domain,
            "net_outer_bytes_per_s": self.outer_bytes_per_s,
            "net_outer_hop_fs": self.outer_hop_fs,
            "net_in_switch": int(self.in_switch and self.kind == "switch" and self.one_domain),
            "net_rate": [w.core_bytes_per_s for w in wires],
            "net_copy": [w.copy_bytes_per_s for w in wires],
            "net_late_fs": [w.late_fs for w in wires],
            "net_line": [w.line_bytes for w in wires],
            "net_flag": [w.flag_bytes for w in wires],
        }

    def link_names(self) -> list[str]:
        """The links in the order in which a run counts their bytes."""
        chips = range(self.chips)
        if self.kind == "switch":
            inner = [f"{c} {way} switch" for c in chips for way in ("to", "from")]
        elif self.kind == "mesh":
            inner = [f"{a} to {b}" for a in chips for b in chips]
        else:
            inner = [f"{c} {sign}{axis}" for c in chips for axis in "xyz" for sign in "+-"]
        return inner + [f"{c} {way} the second level" for c in chips for way in ("to", "from")]

