"""How cost grows with the program and not with the tensor: flatness of GEMMs, what short-cuts skip, chip cycles per CPU second.

    python benchmarks/reach.py [--runs 10] [--json]

CPU time is the process's own, in the compiled core and in the run around it; making, mapping and packing the program stand apart. Shared
machines change speed by a factor of two from minute to minute: the least of many runs is taken."""

from __future__ import annotations

import argparse
import json
import os
import time
from typing import Any

os.environ["EMU_CACHE"] = "0"

import emu
import isa
from emu.machine import Machine
from emu.machine.image import Image
from emu.mapper import choose, lower
from emu.study.sample import inputs_for

SIZES = (512, 4096, 8192, 16384, 65536, 100_000)
PROMPTS = (8192, 65536)
MORE = 15
BOTH = {"folding": True, "fast_forward": True}


def least(machine: Machine, program: Any, inputs: Any, runs: int, **how: bool) -> tuple[float, Any]:
    """Least CPU seconds of so many runs of a program, and what it said."""
    best, run = float("inf"), None
    for _ in range(runs):
        begin = time.process_time()
        run = machine.run(program, inputs, values=False, verify=False, **how)
        best = min(best, time.process_time() - begin)
    return best, run


def gemms(runs: int) -> list[dict[str, Any]]:
    """Square GEMMs on jalapeno in bf16: seconds of a run of the chosen program, and the share of it that was skipped."""
    rows = []
    for size in SIZES:
        begin = time.process_time()
        result = emu.gemm("jalapeno", size, size, size)
        whole = time.process_time() - begin
        seconds, run = least(Machine("jalapeno"), Image.of(result.run.program), None, runs, **BOTH)
        rows.append({"size": size, "run_s": seconds, "cold_s": whole, "skipped_fraction": run.skipped_fraction, "cycles": run.cycles})
    return rows


def start(runs: int) -> float:
    """CPU seconds of a run of nothing: what every run costs before its first instruction and after its last."""
    nothing = isa.assemble(".program nothing\n.cores 32\n.stream ld0\n halt\n")
    return least(Machine("jalapeno"), nothing, None, runs, **BOTH)[0]


def attentions() -> list[dict[str, Any]]:
    """Causal prefill of llama-3-8b's heads, one sequence."""
    runs = {length: emu.attention("jalapeno", "prefill", q_len=length).run for length in PROMPTS}
    return [{"tokens": length, "skipped_fraction": run.skipped_fraction, "cycles": run.cycles} for length, run in runs.items()]


def cycles_per_s(runs: int, **how: bool) -> float:
    """Chip cycles of a decode layer of llama-3-8b over the CPU seconds a layer more costs (SOUNDNESS 34)."""
    chip, model = emu.chip("jalapeno"), emu.model("llama-3-8b")
    graph = model.graph("decode", 1, 1, 576, "bf16", None, 640)
    choice = choose(graph, chip)
    times, cycles = [], []
    for layers in (1, 1 + MORE):
        program = lower(graph, chip, choice, layers).program
        given = inputs_for(model, graph, 0, {b.name for b in program.buffers})
        seconds, run = least(Machine(chip), program, given, runs, **how)
        times.append(seconds)
        cycles.append(run.cycles)
    return (cycles[1] - cycles[0]) / (times[1] - times[0])


def measured(runs: int) -> dict[str, Any]:
    decode = {"on": cycles_per_s(runs, **BOTH), "off": cycles_per_s(runs)}
    return {"start_s": start(runs), "gemm": gemms(runs), "attention": attentions(), "cycles_per_cpu_s": decode}


def main() -> None:
    parser = argparse.ArgumentParser(description="Flatness, skipped fractions, chip cycles per CPU second.")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measured(options.runs)
    if options.json:
        print(json.dumps(figures))
        return
    print(f"start and end of a run: {figures['start_s'] * 1e3:.2f} ms CPU")
    for row in figures["gemm"]:
        apart = f"mapping and compiling apart {row['cold_s'] - row['run_s']:.2f} s"
        print(f"gemm {row['size']}^3: run {row['run_s'] * 1e3:.2f} ms CPU, {row['skipped_fraction']:.1%} skipped; {apart}")
    for row in figures["attention"]:
        print(f"prefill attention of {row['tokens']} tokens: {row['skipped_fraction']:.1%} skipped")
    for which, rate in figures["cycles_per_cpu_s"].items():
        print(f"llama-3-8b decode, a layer more, short-cuts {which}: {rate:.2g} chip cycles per CPU second")


if __name__ == "__main__":
    main()
