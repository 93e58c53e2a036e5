"""How much longer a gemm takes if only the first few of the ranking are run: the loss to the quickest of the first eight.

    python benchmarks/mapper_rank.py

Also how far the analytic time lies from the run's. The rule of `emu/mapper/choose.py` follows from these figures."""

import math
import random
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import emu
from emu.chip.schema import Chip
from emu.mapper.area import divide
from emu.mapper.choose import FEW_CORES, MARGIN, MOST, MOST_ON_FEW_CORES, gemm_image, pause_trips, time_fs
from emu.mapper.gemm import GemmShape, rated

FIRST = 8
KINDS: list[dict] = [{}, {}, {"residual": True}, {"gates": 1, "activation": "swiglu"}]
FIXED = [
    (1, 4096, 4096), (1, 512, 8192), (16, 6144, 4096), (64, 4096, 4096), (300, 8192, 8192), (512, 512, 512), (1000, 3000, 5000),
    (1024, 1024, 1024), (2048, 2048, 2048), (4096, 4096, 4096), (16384, 256, 1024), (777, 1111, 3333),
]  # fmt: skip
LAYERS = [(m, n, k) for m in (1, 8, 64, 512, 2048) for n, k in ((6144, 4096), (14336, 4096), (4096, 14336), (10240, 8192), (8192, 28672))]


@dataclass
class Row:
    """The first few of one ranking: analytic times and simulated ones (both over the best), and how many may be run."""

    chip: str
    among: bool
    most: int
    analytic: list[float]
    simulated: list[float]
    ratio: float


def shapes(draw: random.Random, name: str) -> Iterator[tuple[int, int, int]]:
    if name == "jalapeno":
        yield from FIXED + LAYERS
    many, unit, high = (30, 64, 12) if name == "jalapeno" else (20, 8, 8)
    for _ in range(many):
        yield int(2 ** draw.uniform(0, high)), unit * int(2 ** draw.uniform(0, high - 4)), unit * int(2 ** draw.uniform(1, high - 3))


def row(chip: Chip, shape: GemmShape, among: bool) -> Row:
    area = divide(chip, shape.fmt, shape.m)
    shape = replace(shape, n=-(-shape.n // area.block) * area.block)
    pause = pause_trips(chip, area) if among else 0
    found = rated(shape, chip, area, FIRST, among=among)
    times = [time_fs(chip, gemm_image(chip, shape, area, t, pause)) for _, t in found]
    ratio = found[0][0] * 1e15 / chip.core.clock_hz / times[0]
    most = MOST_ON_FEW_CORES if chip.core_count <= FEW_CORES and not among else MOST
    return Row(chip.name, among, most, [c / found[0][0] for c, _ in found], [t / min(times) for t in times], ratio)


def show(name: str, rows: list[Row], run: Callable[[Row], int]) -> None:
    losses = sorted(min(r.simulated[: run(r)]) for r in rows)
    mean = math.exp(statistics.mean(map(math.log, losses))) - 1
    tenth, runs = losses[len(losses) * 9 // 10] - 1, statistics.mean(run(r) for r in rows)
    print(f"{name:34} mean {mean:6.2%}  90th percentile {tenth:6.1%}  worst {losses[-1] - 1:6.1%}  runs {runs:.2f}")


def near(r: Row) -> int:
    return min(r.most, sum(a <= MARGIN for a in r.analytic))


def main() -> None:
    draw, rows = random.Random(1), []
    for name in ("jalapeno", "tiny"):
        for m, n, k in list(shapes(draw, name)):
            for among in (False, True):
                shape = GemmShape(m, n, k, draw.choice(["bf16", "fp8_e4m3"]), "bf16", **draw.choice(KINDS))
                rows.append(row(emu.chip(name), shape, among))
    print(f"{len(rows)} gemms; loss to the quickest of the first {FIRST}")
    for count in (1, 2, 3, 4):
        show(f"the first {count}", rows, lambda r, n=count: min(n, len(r.simulated)))
    show("the rule", rows, near)
    for name in ("jalapeno", "tiny"):
        show(f"the rule on {name}", [r for r in rows if r.chip == name], near)
        ratios = sorted(r.ratio for r in rows if r.chip == name and not r.among)
        print(f"    analytic time over the run's, alone: {ratios[0]:.2f} to {ratios[-1]:.2f}, median {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
