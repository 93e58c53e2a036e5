"""Draws the rows that `emu validate` comes with from the full tables, and writes them where it finds them.

    python benchmarks/draw_validation.py --csv gemm.csv --csv attention.csv --csv power.csv --csv collectives.csv

The rule (emu/study/validate/sample.py): for each suite so many rows by decade of FLOP as the table has in proportion, three at least; in a
decade those whose key has the smallest SHA-256. The tables are NVIDIA aiconfigurator's; rows of equal key are averaged."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from emu.study.validate.rows import KINDS, Row, read
from emu.study.validate.suites import DATA, SUITES, drawn

HEADER = """\
# A sample of {what} measured by NVIDIA aiconfigurator (https://github.com/ai-dynamo/aiconfigurator), commit 095f58a,
# Apache License 2.0; drawn by benchmarks/draw_validation.py. {how}
"""
ABOUT = {
    "gemm": ("GEMM kernel times", "vLLM 0.14.0 (A100) and 0.24.0 (H100), CUDA-graph replay, random-normal data."),
    "attention": ("attention times", "vLLM 0.14.0 (A100) and 0.24.0 (H100), causal."),
    "collective": (
        "times of collectives", "NCCL 2.27.3, fp16, inside one server of eight; out of place, back to back; message_bytes is chips x shard."
    ),
    "power": ("board power under GEMM kernels", "vLLM 0.22.0 (H200), NVML, a second and more of each."),
}


def cell(row: Row, column: str) -> str:
    """A row's value as the table has it."""
    kind = KINDS[row.kind]
    if column in ("chip", "power_limit_w"):
        return row.chip if column == "chip" else f"{row.limit_w:g}"
    if column == kind.measured and column != "latency_ms":
        return f"{row.measured:.9g}"
    if column == "latency_ms":
        return f"{row.seconds * 1e3:.9g}"
    return str(row[kind.renamed.get(column, column)])


def written(kind: str, rows: Sequence[Row]) -> str:
    """A table in its own form, under its attribution."""
    columns = list(KINDS[kind].columns)
    what, how = ABOUT[kind]
    lines = [",".join(cell(r, c) for c in columns) for r in rows]
    return HEADER.format(what=what, how=how) + ",".join(columns) + "\n" + "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Draw and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path, action="append", required=True, help="a full table; several may be given")
    parser.add_argument("--to", type=Path, default=DATA, help="the folder that is written")
    args = parser.parse_args(argv)
    rows = [r for path in args.csv for r in read(path)]
    for suite in SUITES.values():
        mine = drawn(suite, rows)
        if mine:
            (args.to / f"{suite.name}.csv").write_text(written(suite.kind, mine))
            print(f"{suite.name}: {len(mine)} rows", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
