"""CPU seconds that the mapper takes for one GEMM: ranking all tilings, compiling the few to be tried, running them. Wanted: 0.02 s.

    python benchmarks/mapper_speed.py [CHIP ...]        (jalapeno and tiny unless given)

The least of three for each, nothing remembered. `alone` is what `emu op gemm` asks for, `layer` what `emu estimate` does."""

import gc
import statistics
import sys
import time
from dataclasses import replace

import emu
from emu.caching import caching
from emu.chip.schema import Chip
from emu.mapper.area import divide
from emu.mapper.choose import _gemm_image, candidates, gemm_image, pause_trips, time_fs
from emu.mapper.gemm import GemmShape

ALONE = [
    (1, 4096, 4096), (1, 512, 8192), (16, 6144, 4096), (64, 4096, 4096), (64, 512, 65536), (300, 8192, 8192), (512, 512, 512),
    (1000, 3000, 5000), (1024, 1024, 1024), (2048, 2048, 2048), (4096, 4096, 4096), (16384, 256, 1024), (777, 1111, 3333),
]  # fmt: skip
LAYER = [
    (6144, 4096, {}), (4096, 4096, {"residual": True}), (14336, 4096, {"gates": 1, "activation": "swiglu"}),
    (4096, 14336, {"residual": True}), (384, 1536, {"bias": True, "residual": True}),
]  # fmt: skip
ROWS = (1, 16, 64, 512, 2048)
SMALLER = {"tiny": 32}
"""A chip with as many times less memory per core gets dimensions so many times smaller."""


def shapes(chip: Chip) -> list[tuple[bool, GemmShape]]:
    by = SMALLER.get(chip.name, 1)
    plain = [GemmShape(m if m < 100 else -(-m // by), n // by, k // by, "bf16", "bf16") for m, n, k in ALONE]
    fused = [GemmShape(m, n // by, k // by, "bf16", "bf16", **kind) for m in ROWS for n, k, kind in LAYER]
    found = [(False, s) for s in plain] + [(True, s) for s in fused]
    return found + [(among, replace(s, fmt="fp8_e4m3")) for among, s in found]


def timed(chip: Chip, shape: GemmShape, among: bool) -> tuple[float, float, float, int]:
    """The least of three."""
    return min((once(chip, shape, among) for _ in range(3)), key=lambda t: sum(t[:3]))


def once(chip: Chip, shape: GemmShape, among: bool) -> tuple[float, float, float, int]:
    """Seconds of CPU for the ranking, the compilation and the runs, and how many there were."""
    gc.collect()
    _gemm_image.cache_clear()
    area = divide(chip, shape.fmt, shape.m)
    shape = replace(shape, n=-(-shape.n // area.block) * area.block)
    begin = time.process_time()
    best = candidates(chip, shape, area, among)
    ranked = time.process_time()
    images = [gemm_image(chip, shape, area, t, pause_trips(chip, area) if among else 0) for t in best] if best[1:] else []
    compiled = time.process_time()
    for image in images:
        time_fs(chip, image)
    return ranked - begin, compiled - ranked, time.process_time() - compiled, len(images)


def report(chip: Chip, rows: list[tuple[bool, GemmShape, tuple[float, float, float, int]]]) -> None:
    print(f"{chip.name}: {len(rows)} gemms, milliseconds of CPU")
    print(f"{'':8} {'ranking':>8} {'compile':>8} {'simulate':>8} {'in all':>8} {'worst':>8} {'runs':>5} {'over 20':>8}")
    for name, wanted in (("alone", False), ("layer", True)):
        parts = [t for among, _, t in rows if among == wanted]
        middle = [1e3 * statistics.median(column) for column in list(zip(*parts))[:3]]
        total = [1e3 * sum(t[:3]) for t in parts]
        cells = "".join(f"{v:9.2f}" for v in (*middle, statistics.median(total), max(total)))
        print(f"{name:7} {cells} {statistics.mean(t[3] for t in parts):5.1f} {sum(t > 20 for t in total):8d}")


def main(names: list[str]) -> None:
    for name in names:
        chip = emu.chip(name)
        with caching(False):
            timed(chip, GemmShape(8, 64, 64, "bf16", "bf16"), True)  # imports, and what is made once per process
            report(chip, [(among, shape, timed(chip, shape, among)) for among, shape in shapes(chip)])


if __name__ == "__main__":
    main(sys.argv[1:] or ["jalapeno", "tiny"])
