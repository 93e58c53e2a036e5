"""Sets a chip's constants of a collective library from measured calls, and says how far they are from calls that took no part.

    python benchmarks/fit_collectives.py h100 --csv collectives.csv                 # errors as the preset is
    python benchmarks/fit_collectives.py h100 --csv collectives.csv --seconds 100   # search for so much CPU time, print what it finds

Coordinate descent over the figures of [stack.vllm.collectives] that the preset marks as fitted, each a physical one of the whole chip.
Of the sizes below 1 MiB every other one is held out. What is found is rounded and written into the preset by hand, with tag and source."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import emu
from emu.chip import Chip
from emu.study.collective import collective
from emu.study.validate.mechanisms import STACK
from emu.study.validate.rows import Row, read
from emu.study.validate.statistics import figures

LIBRARY = f"stack.{STACK}.collectives."
HELD_BELOW = 1 << 20
FIRST_STEP, LAST_STEP = 0.25, 0.05
"""Of a figure, as a share of it."""


def held_out(row: Row) -> bool:
    return row.whole("bytes") < HELD_BELOW and row.whole("bytes").bit_length() % 2 == 1


def errors(chip: Chip, rows: Sequence[Row]) -> list[float]:
    """Of each row, signed."""
    return [
        collective(chip, str(r["op"]), r.whole("bytes"), r.whole("chips"), stack=STACK, dtype="fp16").seconds / r.measured - 1 for r in rows
    ]


def cost(found: Sequence[float]) -> float:
    """Mean size of errors, with a little for a far tail and for a median that is not in the middle."""
    sizes = sorted(map(abs, found))
    tail, middle = sizes[int(0.9 * len(sizes))], abs(statistics.median(found))
    return statistics.fmean(sizes) + 0.15 * max(0.0, tail - 0.13) + 0.3 * max(0.0, middle - 0.01)


def seconds(value: float) -> str:
    return f"{max(value, 0) * 1e9:.0f} ns"


def rate(value: float) -> str:
    return f"{value / 1e9:.2f} GB/s"


def size(value: float) -> str:
    return f"{max(1024, int(value))} B"


def fitted(chip: Chip) -> dict[str, tuple[float, Callable[[float], str]]]:
    """Key below the library -> its value now, and how it is written."""
    library = chip.stack[STACK].collectives
    if library is None:
        raise SystemExit(f"{chip.name}: no collective library")
    way = library.exchange
    found: dict[str, tuple[float, Callable[[float], str]]] = {
        "launch": (library.launch_s, seconds), "exchange.core": (way.core_bytes_per_s, rate), "exchange.peer": (way.peer_s, seconds),
        "exchange.ll_start": (way.ll_start_s, seconds), "exchange.simple_start": (way.simple_start_s or 1e-7, seconds),
        "exchange.per_core": (way.per_core_bytes, size),
    }
    for p in library.protocols:
        found |= {f"protocols.{p.name}.core": (p.core_bytes_per_s, rate), f"protocols.{p.name}.copy": (p.copy_bytes_per_s, rate)}
        found |= {f"protocols.{p.name}.{k}": (v, seconds) for k, v in (("late", p.late_s), ("start", p.start_s)) if v}
    if library.in_switch is not None:
        found |= {"in_switch.start": (library.in_switch.start_s, seconds), "in_switch.chunk": (library.in_switch.chunk_bytes, size)}
    return found


def search(chip: Chip, rows: Sequence[Row], budget_s: float) -> dict[str, str]:
    """The figures of least cost that were found in so much CPU time."""
    start = fitted(chip)
    write = {key: how for key, (_, how) in start.items()}
    best = {key: value for key, (value, _) in start.items()}

    def tried(values: dict[str, float]) -> float:
        return cost(errors(chip.vary({LIBRARY + key: write[key](v) for key, v in values.items()}), rows))

    least, step, began = tried(best), dict.fromkeys(best, FIRST_STEP), time.process_time()
    while max(step.values()) > LAST_STEP:
        for key in best:
            options = [best | {key: best[key] * factor} for factor in (1 + step[key], 1 / (1 + step[key]))]
            better = next(((c, o) for o in options if (c := tried(o)) < least - 1e-5), None)
            step[key] *= 1.2 if better else 0.6
            least, best = better or (least, best)
            if time.process_time() - began > budget_s:
                return {key: write[key](v) for key, v in best.items()}
    return {key: write[key](v) for key, v in best.items()}


def told(chip: Chip, rows: Sequence[Row]) -> None:
    """Errors of all rows, of those held out and of their neighbours, and by operation."""
    found = dict(zip(rows, errors(chip, rows)))
    small = [r for r in rows if r.whole("bytes") < HELD_BELOW]
    groups = {"all": rows, "held out": [r for r in small if held_out(r)], "below 1 MiB, fitted": [r for r in small if not held_out(r)]}
    groups |= {op: [r for r in rows if r["op"] == op] for op in dict.fromkeys(str(r["op"]) for r in rows)}
    for name, group in groups.items():
        f = figures([found[r] for r in group])
        print(f"{name:20} {f.rows:4} rows  MAPE {f.mape:6.1%}  median {f.median:+6.1%}  90th {f.p90:6.1%}  geometric {f.geometric:6.1%}")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chip")
    parser.add_argument("--csv", type=Path, required=True, help="a table of measured collectives")
    parser.add_argument("--seconds", type=float, default=0.0, help="CPU time of the search; 0: only errors")
    args = parser.parse_args(argv)
    chip, rows = emu.chip(args.chip), [r for r in read(args.csv) if r.kind == "collective" and r.chip == args.chip]
    if args.seconds:
        for key, value in search(chip, [r for r in rows if not held_out(r)], args.seconds).items():
            print(f"{key} = {value}")
    told(chip, rows)


if __name__ == "__main__":
    main()
