"""TPU v1's workloads beside the counters of its paper. Writes docs/tpu-v1.md.

    python benchmarks/tpuv1.py            # run and write the page
    python benchmarks/tpuv1.py --check    # exit 1 if the page is stale"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from blocks import ROOT, write_or_check

import emu
from emu.study.validate import tpuv1

PAGE, TEMPLATE = ROOT / "docs" / "tpu-v1.md", Path(__file__).with_name("tpuv1_page.md")
FASTER = {"memory x 4": {"hbm.bandwidth": "136 GB/s"}, "clock x 4": {"core.clock": "2.8 GHz"}}


def page() -> str:
    chip, measured = emu.chip("tpu-v1"), tpuv1.counters()
    runs = {name: tpuv1.run(chip, name) for name in tpuv1.SHAPES}
    found = {name: tpuv1.shares(done) for name, done in runs.items()}
    off = {name: 100 * tpuv1.difference(found[name], measured[name]) for name in found}
    names = [name.replace("_", " ").replace("non matrix", "non-matrix") for name in tpuv1.SHARES]
    rows = [f"| workload | {' | '.join(names)} | difference |", "|---|" + "---|" * (len(names) + 1)]
    for name, part in found.items():
        cells = [f"{100 * part[s]:.1f} ({100 * measured[name][s]:.1f})" for s in tpuv1.SHARES]
        rows.append(f"| {name} | {' | '.join(cells)} | {off[name]:.1f} |")
    gains = ["| workload | " + " | ".join(FASTER) + " |", "|---|" + "---|" * len(FASTER)]
    for name, done in runs.items():
        times = [done.seconds / tpuv1.run(chip.vary(change), name).seconds for change in FASTER.values()]
        gains.append(f"| {name} | {' | '.join(f'{t:.2f}' for t in times)} |")
    mean, worst = sum(off.values()) / len(off), max(off.values())
    parts = {"shares": "\n".join(rows), "gains": "\n".join(gains), "mean": f"{mean:.1f}", "worst": f"{worst:.1f}"}
    return re.sub(r"\{(\w+)\}", lambda m: parts[m[1]], TEMPLATE.read_text())


def main() -> int:
    parser = argparse.ArgumentParser(description="TPU v1's workloads beside its counters; writes docs/tpu-v1.md.")
    parser.add_argument("--check", action="store_true", help="compare the page instead of writing it")
    return write_or_check(PAGE, page, parser.parse_args().check)


if __name__ == "__main__":
    sys.exit(main())
