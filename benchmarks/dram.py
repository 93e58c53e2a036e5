"""What docs/dram.md says: bandwidth and energy against other simulators, what each device reaches, and requests per CPU second.

    python benchmarks/dram.py [--check] [--json]

Writes the blocks of docs/dram.md; --check says whether those that do not depend on this machine's speed are what they should be."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from datetime import date
from typing import Any

import numpy as np
from blocks import ROOT, replace
from dram_points import POINTS, devices, opened, sequential_bound

from emu.chip.dram import device, maps, vary
from emu.machine.dram import Dram, Pattern

PAGE = ROOT / "docs" / "dram.md"
REQUESTS = 100_000
TRIES = 5
WANTED = {"sequential": 2_000_000, "random": 500_000}
PEERS = {"sequential": 188_000, "random": 45_000}  # the fastest of the other tools


def peers_table() -> str:
    rows = ["| tool | device | reads | map, queue | % of peak there | here | pJ/bit there | here |", "|---|---|---|---|---|---|---|---|"]
    for p in POINTS:
        r = p.run(REQUESTS)
        energy = f"{p.pj_per_bit} | {r.pj_per_bit:.2f}" if p.pj_per_bit else " | "
        what = f"{p.tool} | {p.file} | {p.kind} {p.bytes} B | {p.map}, {p.queue}"
        rows.append(f"| {what} | {100 * p.share:.1f} | {100 * r.share_of_peak:.1f} | {energy} |")
    return "\n".join(rows)


def devices_table() -> str:
    columns = ("device", "GB/s of a channel", "refresh", "sequential, % of peak", "wanted", "random 64 B", "half writes, random",
               "pJ/bit sequential", "random")
    rows = ["| " + " | ".join(columns) + " |", "|---|---|---|---|---|---|---|---|---|"]
    for name in devices():
        d = Dram(name)
        sequential, random = d.run(Pattern("sequential", REQUESTS)), d.run(Pattern("random", REQUESTS))
        mixed = d.run(Pattern("random", REQUESTS, writes=0.5))
        rows.append(f"| {name} | {d.peak_bytes_per_s / 1e9:.1f} | {d.refresh} | {100 * sequential.share_of_peak:.1f} | "
                    f"{100 * sequential_bound(name)[0]:.1f} | {100 * random.share_of_peak:.1f} | {100 * mixed.share_of_peak:.1f} | "
                    f"{sequential.pj_per_bit:.2f} | {random.pj_per_bit:.2f} |")
    return "\n".join(rows)


def maps_table() -> str:
    names = list(maps.MAPS)
    rows = ["| device | pattern | " + " | ".join(names) + " |", "|---|---|" + "---|" * len(names)]
    for name in ("hbm3", "ddr4"):
        for kind, stride in (("sequential", 64), ("strided", 4096), ("random", 64)):
            shares = [Dram(name, map=m).run(Pattern(kind, REQUESTS // 2, stride_bytes=stride)).share_of_peak for m in names]  # type: ignore[arg-type]
            label = f"every {stride} B" if kind == "strided" else kind
            rows.append(f"| {name} | {label} | " + " | ".join(f"{100 * s:.1f}" for s in shares) + " |")
    return "\n".join(rows)


def load_table() -> str:
    """Latency of random reads of 64 B that arrive at even distances, by the share of peak bandwidth asked for."""
    shares = (0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    rows = ["| device | " + " | ".join(f"{s:.0%}" for s in shares) + " |", "|---|" + "---|" * len(shares)]
    for name in devices():
        d, cells = Dram(name), []
        for share in shares:
            interval_fs = round(64e15 / (share * d.peak_bytes_per_s))
            r = d.run(Pattern("random", REQUESTS // 10, interval_fs=interval_fs))
            reached = r.share_of_peak > 0.98 * share
            cells.append(f"{r.latency_s['mean'] * 1e9:.0f}, {r.latency_s['p99'] * 1e9:.0f}" if reached else "not reached")
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def energy_table() -> str:
    causes = ("activate", "read", "refresh", "standby")
    rows = ["| device | reads | " + " | ".join(causes) + " | pJ/bit |", "|---|---|" + "---|" * (len(causes) + 1)]
    for name in devices():
        for kind in ("sequential", "random"):
            r = Dram(name).run(Pattern(kind, REQUESTS // 2))  # type: ignore[arg-type]
            by = r.pj_per_bit_by_command
            rows.append(f"| {name} | {kind} | " + " | ".join(f"{by[c]:.2f}" for c in causes) + f" | {r.pj_per_bit:.2f} |")
    return "\n".join(rows)


def why_table() -> str:
    """Where two tools disagree on HBM2: the rules that differ, changed one by one."""
    p = next(p for p in POINTS if p.file == "ramulator-hbm2")
    rows = ["| Ramulator's HBM2, robaracoch, queue 64, sequential | % of peak |", "|---|---|"]
    steps = [("as it is: tCCD_L of 4 clocks, tRFC 350 ns", {}), ("tCCD_L of 2 clocks, as DRAMsim3 has it", {"timing.CCDL": "2 clk"}),
             ("and tRFC 260 ns, as DRAMsim3 has it", {"timing.CCDL": "2 clk", "timing.RFC": "260 ns"}),
             ("only tRFC 260 ns", {"timing.RFC": "260 ns"})]
    for text, changes in steps:
        d = vary(opened(p.file), changes) if changes else opened(p.file)
        share = Dram(d, map=p.map, queue=p.queue, refresh="all_bank").run(Pattern(p.kind, REQUESTS, p.bytes)).share_of_peak  # type: ignore[arg-type]
        rows.append(f"| {text} | {100 * share:.1f} |")
    p = next(p for p in POINTS if p.kind == "random" and p.bytes == 64 and p.queue == 64)
    rows += ["", "| Ramulator's HBM3, robaracoch, random 64 B | % of peak |", "|---|---|"]
    for places in (p.queue, p.queue + 8):
        share = Dram(opened(p.file), map=p.map, queue=places, refresh="all_bank").run(Pattern("random", REQUESTS, 64)).share_of_peak
        rows.append(f"| {places} places in the queue | {100 * share:.1f} |")
    return "\n".join(rows)


def assumed_table() -> str:
    return "\n".join(["| device | figures assumed |", "|---|---|",
                      *(f"| {name} | {', '.join(device(name).assumed()) or 'none'} |" for name in devices())])


def speed(name: str, kind: str) -> float:
    """Requests of 64 B on one channel per CPU second of the core: submission, all commands, all ends; the best of TRIES."""
    best = 0.0
    for _ in range(TRIES):
        d = Dram(name)
        times, addresses, sizes, writes = Pattern(kind, REQUESTS * 2).generate(d.capacity_bytes)  # type: ignore[arg-type]
        ticks = np.ascontiguousarray(-(-times // d.device.tick_fs))
        start = time.process_time()
        d._core.submit_all(ticks, addresses, sizes, writes)
        d._core.finish()
        done = len(d._core.done())
        best = max(best, done / (time.process_time() - start))
    return best


def speed_table() -> tuple[str, dict[str, dict[str, float]]]:
    measured = {name: {kind: speed(name, kind) for kind in WANTED} for name in devices()}
    rows = [f"Best of {TRIES} runs, {date.today()}, {platform.machine()}, Python {platform.python_version()}; a shared machine.", "",
            "| device | sequential, million/s | random, million/s |", "|---|---|---|"]
    rows += [f"| {name} | {m['sequential'] / 1e6:.2f} | {m['random'] / 1e6:.2f} |" for name, m in measured.items()]
    rows += [f"| wanted | {WANTED['sequential'] / 1e6:.2f} | {WANTED['random'] / 1e6:.2f} |",
             f"| the fastest other tool | {PEERS['sequential'] / 1e6:.3f} | {PEERS['random'] / 1e6:.3f} |"]
    return "\n".join(rows), measured


TABLES = {"peers": peers_table, "why": why_table, "devices": devices_table, "maps": maps_table, "load": load_table, "energy": energy_table,
          "assumed": assumed_table}


def stale() -> list[str]:
    """Blocks of the page that are not what the script gives now."""
    page = PAGE.read_text()
    return [name for name, make in TABLES.items() if make() not in page]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="do the tables of docs/dram.md say what the tables and the core give?")
    parser.add_argument("--json", action="store_true", help="print the speeds only, as JSON")
    options = parser.parse_args()
    if options.check:
        old = stale()
        print(f"docs/dram.md: stale: {', '.join(old)}; run python benchmarks/dram.py" if old else "docs/dram.md is up to date")
        return 1 if old else 0
    table, measured = speed_table()
    if options.json:
        print(json.dumps(measured))
        return 0
    tables: dict[str, Any] = {name: make() for name, make in TABLES.items()} | {"speed": table}
    for name, text in tables.items():
        print(f"\n{name}\n{text}")
        replace(PAGE, f"dram {name}", text)
    slow = [(n, k) for n, m in measured.items() for k, v in m.items() if v < WANTED[k]]
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
