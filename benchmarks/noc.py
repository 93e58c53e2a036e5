"""The detailed network on chip: beside BookSim2, how fast it runs, what a chip of 32 cores does. Writes docs/noc.md.

    python benchmarks/noc.py            # measure and write the page
    python benchmarks/noc.py --check    # exit 1 if the page is stale; speeds are the machine's and not compared"""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path

from emu.machine.noc import Network, Router
from emu.machine.noc_traffic import all_to_all, measure, random_traffic, saturation
from emu.machine.topology import Topology, crossbar, hierarchical, mesh, ring, torus

ROOT = Path(__file__).resolve().parents[1]
PAGE, TEMPLATE = ROOT / "docs" / "noc.md", Path(__file__).with_name("noc_page.md")
# Pattern, flits of a packet, flits per node and clock, BookSim2's mean latency: 8 x 8 mesh, dimension-ordered, 8 VCs x 8 flits, measured.
PEER = [
    ("uniform", 1, 0.01, 26.85), ("uniform", 1, 0.10, 27.20), ("uniform", 1, 0.20, 27.81), ("uniform", 1, 0.30, 29.27),
    ("uniform", 1, 0.40, 38.34), ("uniform", 4, 0.20, 34.50), ("uniform", 4, 0.32, 43.22), ("transpose", 1, 0.10, 27.38),
]  # fmt: skip
CHIPS = [mesh(8, 4), torus(8, 4), ring(32), crossbar(32), hierarchical(4, 8, 2)]


def latency() -> str:
    rows = ["| traffic | flits a packet | load | BookSim2 | here | difference |", "|---|---|---|---|---|---|"]
    for pattern, flits, rate, peer in PEER:
        here = measure(mesh(8, 8), Router(), pattern, rate, flits, 40_000 if rate < 0.05 else 15_000).latency_cycles
        rows.append(f"| {pattern} | {flits} | {rate:.2f} | {peer:.2f} | {here:.2f} | {here / peer - 1:+.1%} |")
    return "\n".join(rows)


def router_cycles_per_s(rate: float, clocks: int = 20_000, runs: int = 3) -> float:
    """The best of several runs of the mesh under uniform traffic of single flits."""
    best = 0.0
    for _ in range(runs):
        net, traffic = Network(mesh(8, 8)), random_traffic("uniform", 64, rate, clocks)
        net.inject_many(traffic.time, traffic.src, traffic.dst, 1)
        begin = time.process_time()
        net.advance(clocks)
        best = max(best, 64 * net.clocks / (time.process_time() - begin))
    return best


def speed() -> str:
    rows = ["| 8 x 8 mesh, load | router-cycles per CPU second | mesh cycles per CPU second |", "|---|---|---|"]
    for rate in (0.1, 0.2, 0.3, 0.4):
        per_s = router_cycles_per_s(rate)
        rows.append(f"| {rate:.1f} | {per_s / 1e6:.1f} million | {per_s / 64e3:.0f} thousand |")
    return "\n".join(rows)


def exchange(shape: Topology) -> tuple[int, int]:
    """Clocks of the all-to-all and flits over its busiest output."""
    net, traffic = Network(shape), all_to_all(shape.nodes)
    net.inject_many(traffic.time, traffic.src, traffic.dst, 8)
    net.drain()
    return int(net.deliveries()["arrived"].max()), int(max(part.max() for part in net.flits()))


def multicast(shape: Topology) -> tuple[int, int]:
    """Clocks of the multicast and flits over all links together."""
    net = Network(shape)
    net.inject(0, range(1, shape.nodes), 8, 0)
    net.drain()
    over, injected = net.flits()
    return int(net.deliveries()["arrived"].max()), int(over.sum() + injected.sum())


def chip() -> str:
    rows = ["| network | all to all, clocks | bound | ratio | multicast, clocks | its flits over all wires | as single packets |"]
    rows.append("|---|---|---|---|---|---|---|")
    for shape in CHIPS:
        (clocks, bound), (once, flits) = exchange(shape), multicast(shape)
        alone = sum(8 * (len(shape.path(0, d)) + 1) for d in range(1, shape.nodes))
        name = shape.name + (", 2 links up" if shape.name.startswith("hier") else "")
        rows.append(f"| {name} | {clocks:,} | {bound:,} | {clocks / bound:.2f} | {once} | {flits:,} | {alone:,} |")
    return "\n".join(rows)


def page(with_speed: bool) -> str:
    parts = {"latency": latency(), "saturation": f"{saturation(mesh(8, 8), Router()):.3f}", "chip": chip()}
    parts["speed"] = speed() if with_speed else ""
    return re.sub(r"\{(latency|saturation|speed|chip)\}", lambda m: parts[m[1]], TEMPLATE.read_text())


def without_speed(text: str) -> str:
    return re.sub(r"\| 8 x 8 mesh, load .*?\n\n", "\n\n", text, flags=re.DOTALL)


def main() -> int:
    parser = argparse.ArgumentParser(description="The detailed network on chip; writes docs/noc.md.")
    parser.add_argument("--check", action="store_true", help="compare the page instead of writing it")
    if not parser.parse_args().check:
        PAGE.write_text(page(True))
        return 0
    if PAGE.exists() and without_speed(PAGE.read_text()) == page(False):
        return 0
    print(f"{PAGE.relative_to(ROOT)} is stale: run python benchmarks/noc.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
