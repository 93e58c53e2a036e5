"""Writes the rows of single matrix instructions that `emu validate` comes with, from published laws.

    python benchmarks/draw_laws.py            # write emu/study/validate/data/instruction-*.csv
    python benchmarks/draw_laws.py --check    # exit 1 if one is stale

A law is what its makers publish of many measured points (B200) or document (NeuronCore). Nothing of the machine enters here."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

DATA = Path(__file__).resolve().parents[1] / "emu" / "study" / "validate" / "data"
COLUMNS = "chip,dtype,m,n,k,a_space,quantity,cycles"
B200 = """\
# Clocks of tcgen05.mma on one SM of a B200 by the laws that SemiAnalysisAI/microbench-blackwell@9a068d8 (umma_throughput, umma_latency)
# fits to 264 measured points, all those of one SM within 2 %; written by benchmarks/draw_laws.py. a in acc: in tensor memory. Pairs of SMs
# are not here. interval = max(2 m n k / (R u), bytes from shared memory / 128), u = 1/2 for m = 64; latency = n / 2 and 104 (a in tensor
# memory), 120 (m = 64) or 136 (m = 128).
"""
NEURON = """\
# Clocks between nc_matmul instructions of a NeuronCore-v2 as documented: max(min(64, stationary columns), rows that move), fp32 four times
# that (aws-neuron-sdk 2.26, nki.isa; nki_perf_guide.rst); written by benchmarks/draw_laws.py. m moves, n is stationary.
# Not here: up to 32 stationary columns, because the machine loads a tile by its rows, 128 / 4 clk and the issue, however few its columns.
"""
RATE = {"bf16": 8192, "fp8": 16384, "fp4": 32768}  # FLOP per clock and SM
DEPTH = {"bf16": 16, "fp8": 32, "fp4": 64}  # k of one instruction: 32 bytes of each row
MOVING = (1, 2, 8, 32, 63, 64, 65, 100, 128, 200, 255, 256, 300, 511, 512)


def b200() -> Iterator[str]:
    for dtype, rate in RATE.items():
        for m in (64, 128):
            for space in ("sram", "acc"):
                for n in (64, 96, 160, 256):
                    k, share = DEPTH[dtype], 0.5 if m == 64 else 1.0
                    shared = (32 * m if space == "sram" else 0) + 32 * n
                    interval = max(2 * m * n * k / (rate * share), shared / 128)
                    latency = (104 if space == "acc" else 120 if m == 64 else 136) + n / 2
                    for quantity, cycles in (("interval", interval), ("latency", latency)):
                        yield f"b200,{dtype},{m},{n},{k},{space},{quantity},{cycles:g}"


def trainium1() -> Iterator[str]:
    for dtype, passes in (("bf16", 1), ("fp8", 1), ("fp32", 4)):
        for n in (40, 63, 64, 128):
            for m in MOVING:
                yield f"trainium1,{dtype},{m},{n},128,sram,interval,{passes * max(min(64, n), m)}"


FILES: dict[str, tuple[str, Callable[[], Iterator[str]]]] = {"instruction-b200": (B200, b200), "instruction-trainium1": (NEURON, trainium1)}


def main() -> int:
    parser = argparse.ArgumentParser(description="Rows of single matrix instructions, from published laws.")
    parser.add_argument("--check", action="store_true", help="compare the files instead of writing them")
    check = parser.parse_args().check
    stale = []
    for name, (head, rows) in FILES.items():
        path, text = DATA / f"{name}.csv", head + COLUMNS + "\n" + "\n".join(rows()) + "\n"
        if not check:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(path.name)
    if stale:
        print(f"{', '.join(stale)}: stale; run python benchmarks/draw_laws.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
