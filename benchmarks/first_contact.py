"""First contact with silicon: measured bf16 kernels of A100 and H100 beside what the machine predicts.

    python benchmarks/first_contact.py                     # the committed sample, printed
    python benchmarks/first_contact.py --page docs/first-contact.md
    python benchmarks/first_contact.py --csv FILE --keep   # draw the sample anew from the full table and commit it

The sample: 60 rows per chip, stratified by decade of 2MNK in proportion to the table (three at least), within a decade those whose key has
the smallest SHA-256. Rows of 10^13 FLOP and more (under 1 % of the table) are left out: they would take most of the time."""

from __future__ import annotations

import argparse
import csv
import hashlib
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import emu

ROOT = Path(__file__).resolve().parents[1]
ROWS = ROOT / "tests" / "validation" / "first_contact_rows.csv"
READING = Path(__file__).with_name("first_contact_reading.md")
CHIPS, STACK, COUNT, LEAST, MOST_FLOPS = ("a100", "h100"), "vllm", 60, 3, 10**13
HEADER = """\
# A sample of GEMM kernel times measured by NVIDIA aiconfigurator (https://github.com/ai-dynamo/aiconfigurator), commit 095f58a,
# Apache License 2.0; drawn by benchmarks/first_contact.py. vLLM 0.14.0 (A100) and 0.24.0 (H100), CUDA-graph replay, random-normal data.
"""


@dataclass(frozen=True)
class Row:
    """One measured kernel: y[m, n] = x[m, k] w[k, n]."""

    chip: str
    m: int
    n: int
    k: int
    seconds: float

    @property
    def flops(self) -> int:
        return 2 * self.m * self.n * self.k

    @property
    def decade(self) -> int:
        return len(str(self.flops)) - 1

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self.chip},bf16,{self.m},{self.n},{self.k}".encode()).hexdigest()


@dataclass(frozen=True)
class Outcome:
    """A row with what the machine says; a row that cannot be run counts as 100 % error."""

    row: Row
    seconds: float
    launch_s: float = 0.0
    bound_by: str = ""
    split_k: int = 0
    tile: str = ""
    cpu_s: float = 0.0
    failure: str = ""

    @property
    def error(self) -> float:
        return -1.0 if self.failure else self.seconds / self.row.seconds - 1


def read(path: Path) -> list[Row]:
    """The bf16 rows of a table; rows of equal key are averaged."""
    times: dict[tuple[str, int, int, int], list[float]] = defaultdict(list)
    with path.open(newline="") as file:
        for r in csv.DictReader(line for line in file if not line.startswith("#")):
            if r["dtype"] == "bf16" and r["chip"] in CHIPS:
                times[r["chip"], int(r["m"]), int(r["n"]), int(r["k"])].append(float(r["latency_ms"]) / 1e3)
    return [Row(*key, statistics.fmean(ts)) for key, ts in times.items()]


def sample(rows: Iterable[Row], chip: str, count: int = COUNT) -> list[Row]:
    """The chip's sample, smallest first; the same whatever the order of the rows."""
    strata: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        if row.chip == chip and row.flops < MOST_FLOPS:
            strata[row.decade].append(row)
    total = sum(map(len, strata.values()))
    quota = {d: min(len(s), max(LEAST, count * len(s) // total)) for d, s in strata.items()}
    by_size = sorted(strata, key=lambda d: (-len(strata[d]), d))
    while sum(quota.values()) != count:
        step = 1 if sum(quota.values()) < count else -1
        for d in by_size:
            if sum(quota.values()) != count and LEAST <= quota[d] + step <= len(strata[d]):
                quota[d] += step
    drawn = [r for d, s in strata.items() for r in sorted(s, key=lambda r: r.digest)[: quota[d]]]
    return sorted(drawn, key=lambda r: (r.flops, r.m, r.n))


def keep(rows: Sequence[Row], path: Path) -> None:
    """Write the sample in the table's own form, under its attribution."""
    lines = [f"{r.chip},bf16,{r.m},{r.n},{r.k},{r.seconds * 1e3:.9g}" for r in rows]
    path.write_text(HEADER + "chip,dtype,m,n,k,latency_ms\n" + "\n".join(lines) + "\n")


def predict(row: Row) -> Outcome:
    """The row on the machine, as a kernel of the stack, operands cold."""
    start = time.process_time()
    try:
        r = emu.gemm(row.chip, row.m, row.n, row.k, dtype="bf16", stack=STACK, clock="max")
    except emu.EmuError as error:
        return Outcome(row, 0.0, failure=str(error))
    t = r.mapping
    tile = f"{t['tile_m']}x{t['tile_n']}x{t['tile_k']}"
    return Outcome(row, r.seconds, r.launch_s, r.bound.by, t["split_k"], tile, time.process_time() - start)


def regime(o: Outcome) -> str:
    """What the prediction consists of, to see which part is wrong."""
    if o.launch_s > o.seconds / 2:
        return "mostly launch"
    return f"{o.bound_by}-bound" + (", sum divided" if o.split_k > 1 else "")


def figures(errors: Sequence[float]) -> tuple[float, float, float]:
    """MAPE, median signed error, 90th percentile of the absolute error."""
    size = sorted(map(abs, errors))
    at = 0.9 * (len(size) - 1)
    low = int(at)
    tail = size[low] + (at - low) * (size[min(low + 1, len(size) - 1)] - size[low])
    return statistics.fmean(size), statistics.median(errors), tail


def table(outcomes: Sequence[Outcome], title: str, key: Callable[[Outcome], str]) -> list[str]:
    """Errors grouped by `key`, as a Markdown table whose last line is all rows."""
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for o in outcomes:
        groups[key(o)].append(o)
    lines = [f"| {title} | rows | MAPE | median signed | 90th percentile |", "|---|---|---|---|---|"]
    for name, part in [*sorted(groups.items()), ("all", list(outcomes))]:
        mape, median, tail = figures([o.error for o in part])
        lines.append(f"| {name} | {len(part)} | {mape:.1%} | {median:+.1%} | {tail:.1%} |")
    return lines


def side_by_side(outcomes: Sequence[Outcome]) -> list[str]:
    """Every row: measured, predicted, error, and how it was mapped."""
    lines = ["| m x n x k | measured us | predicted us | error | tile | split K |", "|---|---|---|---|---|---|"]
    for o in outcomes:
        what = o.failure or f"{o.seconds * 1e6:.2f}"
        shape = f"{o.row.m} x {o.row.n} x {o.row.k}"
        lines.append(f"| {shape} | {o.row.seconds * 1e6:.2f} | {what} | {o.error:+.1%} | {o.tile} | {o.split_k} |")
    return lines


def page(outcomes: Sequence[Outcome]) -> str:
    """The page: figures by decade and by regime, the reading, all rows."""
    words = READING.read_text() if READING.exists() else ""
    parts = ["# First contact with silicon", "", "Written by `benchmarks/first_contact.py`; do not edit.", "", words.strip(), ""]
    for chip in CHIPS:
        mine = [o for o in outcomes if o.row.chip == chip]
        if mine:
            parts += [f"## {emu.chip(chip).title}", "", *table(mine, "decade of 2MNK", lambda o: f"10^{o.row.decade:02d}"), ""]
            parts += [*table(mine, "what binds", regime), "", *side_by_side(mine), ""]
    return "\n".join(parts)


def main(argv: Sequence[str] | None = None) -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path, help="the full table of measured kernels to sample from (default: the committed sample)")
    parser.add_argument("--keep", action="store_true", help="write the sample drawn from --csv where the tests find it, and stop")
    parser.add_argument("--chip", choices=CHIPS, action="append", help="only this chip")
    parser.add_argument("--page", type=Path, help="write the page of figures here")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    args = parser.parse_args(argv)
    rows = read(args.csv or ROWS)
    drawn = [r for chip in args.chip or CHIPS for r in (sample(rows, chip) if args.csv else [r for r in rows if r.chip == chip])]
    if args.keep:
        keep(drawn, ROWS)
        return 0
    outcomes = []
    with ProcessPoolExecutor(args.jobs, get_context("spawn")) as pool:
        for o in pool.map(predict, drawn):
            outcomes.append(o)
            print(f"{o.row.chip} {o.row.m} x {o.row.n} x {o.row.k}: {o.error:+.1%} ({o.cpu_s:.1f} s)", file=sys.stderr, flush=True)
    text = page(outcomes)
    print(text)
    print(f"{sum(o.cpu_s for o in outcomes):.0f} s of CPU")
    if args.page:
        args.page.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
