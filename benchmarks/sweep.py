"""What a point of a sweep costs: the same estimate with one figure of the chip changed, in a process that has made one before.

    python benchmarks/sweep.py [--points 100] [--json]

Each point draws one figure of jalapeno anew, from half to twice its value: a memory, clock, queue, semaphore or vector figure, none of
which the compiler reads. CPU seconds are user + system of the process and hold the changed chip, the estimate and its dict. The cache of
runs on disk is off: what is measured is what a point costs that nobody has asked for before."""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import time
from collections.abc import Iterator
from typing import Any

os.environ["EMU_CACHE"] = "0"

import emu
from emu import _core

MODEL, CHIP, DTYPE = "llama-3-70b", "jalapeno", "fp8"
CASES = tuple((batch, prompt) for prompt in (512, 4096) for batch in (1, 8, 64))
MEDIAN_S, WORST_S = 0.2, 1.0
FIGURES = {
    "hbm.bandwidth": (16384, "GB/s"),
    "hbm.latency": (500, "ns"),
    "core.clock": (1200, "MHz"),
    "core.dma.inflight": (256, "KiB"),
    "sync.semaphore": (4, "clk"),
    "core.vector.per_clk.mul": (1024, ""),
    "core.vector.per_clk.exp": (128, ""),
    "core.vector.per_clk.reduce": (1024, ""),
}


class Core:
    """CPU seconds spent inside the compiled core, counted by standing in for its `run`."""

    def __init__(self) -> None:
        self.seconds, self.runs, self._run = 0.0, 0, _core.run

    def __call__(self, *args: Any) -> Any:
        begin = time.process_time()
        try:
            return self._run(*args)
        finally:
            self.seconds += time.process_time() - begin
            self.runs += 1


def points(count: int, seed: int) -> Iterator[dict[str, int | str]]:
    """One figure changed at a time, each as often as the others."""
    draw = random.Random(seed)
    for j in range(count):
        name = list(FIGURES)[j % len(FIGURES)]
        value, unit = FIGURES[name]
        drawn = round(value * 2 ** draw.uniform(-1, 1))
        yield {name: f"{drawn} {unit}" if unit else drawn}


def swept(batch: int, prompt: int, count: int, seed: int) -> dict[str, Any]:
    """CPU seconds of each point of a sweep, the first estimate apart."""
    core = Core()
    setattr(_core, "run", core)  # noqa: B010 - the compiled module's stub declares a function
    try:
        base = emu.chip(CHIP)

        def point(chip: emu.Chip) -> float:
            begin = time.process_time()
            emu.estimate(MODEL, chip, batch=batch, prompt=prompt, dtype=DTYPE).to_dict()
            return time.process_time() - begin

        first = point(base)
        rows = []
        for change in points(count, seed):
            core.seconds, core.runs = 0.0, 0
            begin = time.process_time()
            chip = base.vary(change)
            rows.append((time.process_time() - begin + point(chip), core.seconds, core.runs, change))
    finally:
        setattr(_core, "run", core._run)  # noqa: B010
    worst = max(rows, key=lambda row: row[0])
    return {
        "batch": batch,
        "prompt": prompt,
        "points": count,
        "first_s": first,
        "median_s": statistics.median(row[0] for row in rows),
        "worst_s": worst[0],
        "worst": worst[3],
        "median_core_s": statistics.median(row[1] for row in rows),
        "median_outside_core_s": statistics.median(row[0] - row[1] for row in rows),
        "median_runs": statistics.median(row[2] for row in rows),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU seconds of a point of a sweep.")
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = []
    for j, (batch, prompt) in enumerate(CASES):  # a seed for each: choices of tilings are kept, and the same chip again would find them
        found.append(s := swept(batch, prompt, options.points, len(CASES) * options.seed + j))
        if not options.json:
            print(
                f"batch {batch:2}, prompt {prompt:4}: median {s['median_s']:.3f} s (core {s['median_core_s']:.3f}, "
                f"else {s['median_outside_core_s']:.3f}), worst {s['worst_s']:.3f} s {s['worst']}, {s['median_runs']:.0f} runs; "
                f"first {s['first_s']:.2f} s",
                flush=True,
            )
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        print(f"wanted: median {MEDIAN_S} s, worst {WORST_S} s")


if __name__ == "__main__":
    main()
