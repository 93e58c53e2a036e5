"""How many warm design points of llama-3-70b a core runs in a second: a `Study` of drawn chips, as a worker process runs it.

    python benchmarks/study_speed.py [--points 100] [--chips 1] [--json]

A point is one chip of benchmarks/sweep.py's figures and one estimate of it (batch 8, prompt 512, 128 generated, fp8), a row of the table.
The first point warms the process and is left out. CPU seconds are user + system of the process that ran the points (one, this one); the
cache of runs on disk is off. `--chips` is passed on to the estimates."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from typing import Any

os.environ["EMU_CACHE"] = "0"

import emu

WANTED_PER_S = 3.0
FIGURES: dict[str, Any] = {
    "chip.hbm.bandwidth": {"log": ["8 TB/s", "32 TB/s"], "points": 97},
    "chip.hbm.latency": {"linear": ["250 ns", "1000 ns"], "points": 61},
    "chip.core.clock": {"linear": ["800 MHz", "1600 MHz"], "points": 41},
    "chip.core.dma.inflight": {"range": ["128 KiB", "512 KiB"], "step": "4 KiB"},
    "chip.core.vector.per_clk.exp": [64, 96, 128, 192, 256],
}


def measured(points: int, chips: int, seed: int) -> dict[str, Any]:
    """CPU seconds of each point of a sample."""
    study = emu.Study(model="llama-3-70b", chip="jalapeno", vary=FIGURES, sample=points + 1, seed=seed, batch=8, dtype="fp8", chips=chips)
    stamps = [time.process_time()]
    result = study.run(jobs=1, cache=False, done=lambda number, of, row: stamps.append(time.process_time()))
    if result.failed:
        raise SystemExit(f"{len(result.failed)} points failed: {result.failed[0]['error']}")
    seconds = [b - a for a, b in zip(stamps, stamps[1:])]
    median, worst = statistics.median(seconds[1:]), max(seconds[1:])
    return {"points": points, "chips": chips, "first_s": seconds[0], "median_s": median, "worst_s": worst, "points_per_s": 1 / median}


def main() -> None:
    parser = argparse.ArgumentParser(description="Warm design points a second and core.")
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--chips", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measured(options.points, options.chips, options.seed)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        print(
            f"llama-3-70b on {found['chips']} x jalapeno, {found['points']} points: median {found['median_s']:.3f} CPU s, "
            f"{found['points_per_s']:.1f} points a second and core (wanted: {WANTED_PER_S:.0f}), worst {found['worst_s']:.3f} s; "
            f"first {found['first_s']:.2f} s"
        )


if __name__ == "__main__":
    main()
