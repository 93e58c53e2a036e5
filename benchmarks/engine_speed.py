"""How many engine instructions the compiled core runs per CPU second: timing only, `fast`, every core, no short-cut (SOUNDNESS 34).

    python benchmarks/engine_speed.py [--runs 10] [--json]

A hardware repeat is one instruction. CPU time is the process's own, without tracing the kernel, building the program or proving it. What a
run costs before its first instruction and after its last (memory, configuration, results) is told apart: the layer's figure is what 15
layers more cost in one program. Shared machines change speed by a factor of two from minute to minute: the least of many runs is taken.
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
MORE = 15


def large_gemm() -> tuple[str, Program]:
    """8192^3 in bf16 on all 32 cores of jalapeno, x streamed with the weights."""
    k = Tracer(emu.chip("jalapeno"), "gemm")
    x = k.hbm("x", (8192, 8192), "bf16", "in")
    w = k.hbm("w", (8192 // 128, 8192, 128), "bf16", "weight")
    y = k.hbm("y", (8192, 8192), "bf16", "out")
    gemm(k, x, w, y, GemmTiling(256, 512, 128, 4, 8, False, depth_a=3, depth_w=4))
    return "gemm 8192^3", k.program()


def layers(count: int) -> Program:
    """Layers of llama-3-8b, prefill of 512 tokens, with the embedding before them and the head behind them."""
    chip = emu.chip("jalapeno")
    graph = emu.model("llama-3-8b").graph("prefill", 1, 512, 512, "bf16", None, 640)
    return lower(graph, chip, choose(graph, chip), count).program


def per_layer(runs: int) -> dict[str, Any]:
    """What a layer more costs; `start_s` is what is left of a program with one layer."""
    one, many = measure(layers(1), runs), measure(layers(1 + MORE), runs)
    count = (many["engine_instructions"] - one["engine_instructions"]) / MORE
    cpu_s = (many["cpu_s"] - one["cpu_s"]) / MORE
    start_s = one["cpu_s"] - cpu_s
    return {"engine_instructions": count, "cpu_s": cpu_s, "start_s": start_s, "instructions_per_cpu_s": count / cpu_s}


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
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="the figures of the llama-3-8b layer, with the gemm's under `gemm`")
    options = parser.parse_args()
    name, program = large_gemm()
    figures = {name: measure(program, options.runs), "llama-3-8b layer": per_layer(options.runs)}
    if options.json:
        print(json.dumps(figures["llama-3-8b layer"] | {"gemm": figures[name]}))
        return
    for what, f in figures.items():
        rate, ms = f["instructions_per_cpu_s"], f["cpu_s"] * 1e3
        start = f", start and end of a run {f['start_s'] * 1e3:.1f} ms apart" if "start_s" in f else ""
        cost = f"{f['engine_instructions']:.0f} instructions, {ms:.1f} ms CPU{start}"
        print(f"{what}: {cost}: {rate / 1e6:.2f} M/s ({rate / TARGET:.2f} x target)")


if __name__ == "__main__":
    main()
