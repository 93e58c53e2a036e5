"""How many engine instructions the compiled core runs per CPU second: timing only, `fast`, every core, no short-cut (SOUNDNESS 34).

    python benchmarks/engine_speed.py [--runs 10] [--json]

A hardware repeat is one instruction. CPU time is the process's own, with the fixed cost of a run (configuration, results) included, and
without tracing the kernel, building the program or proving it.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np

import emu
from emu.kernels.gemm import GemmTiling, gemm
from emu.kernels.lang import Tracer
from emu.mapper.choose import choose
from emu.mapper.lower import lower
from isa import Program

TARGET = 5e6


def large_gemm() -> tuple[str, Program]:
    """8192^3 in bf16 on all 32 cores of jalapeno, x streamed with the weights."""
    k = Tracer(emu.chip("jalapeno"), "gemm")
    x = k.hbm("x", (8192, 8192), "bf16", "in")
    w = k.hbm("w", (8192 // 128, 8192, 128), "bf16", "weight")
    y = k.hbm("y", (8192, 8192), "bf16", "out")
    gemm(k, x, w, y, GemmTiling(256, 512, 128, 4, 8, False, depth_a=3, depth_w=4))
    return "gemm 8192^3", k.program()


def layer() -> tuple[str, Program]:
    """One layer of llama-3-8b, prefill of 512 tokens, with the embedding before it and the head behind it."""
    chip = emu.chip("jalapeno")
    graph = emu.model("llama-3-8b").graph("prefill", 1, 512, 512, "bf16", None, 640)
    return "llama-3-8b layer", lower(graph, chip, choose(graph, chip), 1).program


def measure(program: Program, runs: int) -> dict[str, Any]:
    """Engine instructions of one run and the least CPU seconds it took, all short-cuts off."""
    machine = emu.Machine("jalapeno")
    index = {b.name: np.zeros(b.shape, np.int32) for b in program.buffers if b.role == "index"}
    best = float("inf")
    for _ in range(runs):
        begin = time.process_time()
        result = machine.run(program, index, values=False, verify=False, folding=False, fast_forward=False)
        best = min(best, time.process_time() - begin)
    count = result.counters["engine_instructions"]
    return {"engine_instructions": count, "cpu_s": best, "instructions_per_cpu_s": count / best}


def main() -> None:
    parser = argparse.ArgumentParser(description="Engine instructions per CPU second.")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--json", action="store_true", help="the figures of the llama-3-8b layer, with the gemm's under `gemm`")
    options = parser.parse_args()
    figures = {}
    for make in (large_gemm, layer):
        name, program = make()
        figures[name] = f = measure(program, options.runs)
        if not options.json:
            rate, ms = f["instructions_per_cpu_s"], f["cpu_s"] * 1e3
            print(f"{name}: {f['engine_instructions']} instructions, {ms:.1f} ms CPU: {rate / 1e6:.2f} M/s ({rate / TARGET:.2f} x target)")
    if options.json:
        print(json.dumps(figures["llama-3-8b layer"] | {"gemm": figures["gemm 8192^3"]}))


if __name__ == "__main__":
    main()
