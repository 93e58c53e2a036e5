"""One vector function three ways, in one run on one thread: the core's own instruction (C), a user's instruction (Numba), and NumPy.

    python benchmarks/user_instruction_speed.py [--json]

tanh over a tile of fp32 in the scratchpad, again and again: as `vtanh`, as a user's instruction whose meaning is `num.tanh`, and as the
oracle's NumPy function over the same array. Values are equal to the last bit. What is compared is CPU time; the ratios are what counts, as
speeds are the machine's. The engine's own share is the same program with `vmov`, which computes nothing."""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

import emu
from emu.num import jit as num
from isa.oracle import transcendental

ROWS, WIDTH, TIMES, RUNS = 32, 256, 400, 5
mine = emu.InstructionSet("mine")


@emu.instruction(mine, cycles="elements / exp_per_clk", energy="elements * vec_exp_pj")
def vmine(x):
    """d0 = tanh d1"""
    return num.tanh(x)


@emu.kernel
def again(k, x, y, which):
    t, o = k.fetch(x), k.tile((ROWS, WIDTH), "fp32")
    for _ in k.loop(TIMES):
        {"core": k.tanh, "numba": lambda out, a: vmine(k, out, a), "nothing": k.mov}[which](o, t)
    k.store(y, o)


def seconds(work) -> float:  # type: ignore[no-untyped-def]
    """The least CPU time of several runs."""
    best = float("inf")
    for _ in range(RUNS):
        begin = time.process_time()
        work()
        best = min(best, time.process_time() - begin)
    return best


def measure() -> dict[str, float]:
    x = np.random.default_rng(0).standard_normal((ROWS, WIDTH)).astype(np.float32) * 2
    given = {"x": x, "y": (x.shape, "fp32", "out")}
    compiled = {which: again.compile("tiny", 1, **given, which=which) for which in ("core", "numba", "nothing")}
    values = {which: c.run(check=False).outputs["y"] for which, c in compiled.items()}  # the first run of a user's instruction compiles it
    oracle = transcendental.tanh(x)
    assert values["core"].tobytes() == values["numba"].tobytes() == oracle.tobytes(), "the three must have the same bits"
    spent = {which: seconds(lambda c=c: c.run(check=False)) for which, c in compiled.items()}
    spent["numpy"] = seconds(lambda: [transcendental.tanh(x) for _ in range(TIMES)])
    elements = ROWS * WIDTH * TIMES
    ns = {f"{which}_ns_per_element": s / elements * 1e9 for which, s in spent.items()}
    return {**ns, "numba_over_core": spent["numba"] / spent["core"], "numpy_over_numba": spent["numpy"] / spent["numba"]}


def main() -> None:
    parser = argparse.ArgumentParser(description="One vector function as the core's instruction, through Numba, and in NumPy.")
    parser.add_argument("--json", action="store_true")
    found = measure()
    if parser.parse_args().json:
        print(json.dumps(found, indent=2))
        return
    named = {"core": "vtanh, the core's own", "numba": "a user's instruction, Numba", "numpy": "NumPy, the oracle's", "nothing": "vmov"}
    for which, what in named.items():
        print(f"{what:28s} {found[f'{which}_ns_per_element']:6.2f} ns an element")
    print(f"CPU time of Numba over C {found['numba_over_core']:.2f}, of NumPy over Numba {found['numpy_over_numba']:.1f}")


if __name__ == "__main__":
    main()
