"""How far `fast` is from `detailed` on the kernels that emu ships, each cut to at most 10^5 accesses to device memory.

    python benchmarks/fidelity.py [--check] [CHIP ...]
    python benchmarks/fidelity.py --suites 12 [SUITE ...]     # measured kernels beside either set of rates: minutes

Write the blocks of docs/detailed.md; --check says whether the first is what it should be. `chip`: `fast` with the chip file's achieved
bandwidth; `generated`: with the device's measured rates (hbm.rates). Each kernel is mapped once, and the same program is run by all."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from blocks import ROOT, replace

import emu
from emu.machine import Machine
from emu.study.validate.mechanisms import BASE, Setting
from emu.study.validate.predict import predict
from emu.study.validate.sample import sample
from emu.study.validate.suites import SUITES, packaged

PAGE = ROOT / "docs" / "detailed.md"
CHIPS = ("tiny", "h100", "a100", "mi300x", "jalapeno")
MOST = 100_000
LIMIT = 0.03
TIMED = [name for name, suite in SUITES.items() if suite.kind != "power"]
LAYER = {
    "model_type": "llama", "hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 1, "num_attention_heads": 8,
    "num_key_value_heads": 2, "vocab_size": 1024, "max_position_embeddings": 2048,
}  # fmt: skip


@dataclass(frozen=True)
class Compared:
    """Seconds of one kernel by every model of memory, and its accesses of 64 bytes."""

    chip: str
    kernel: str
    accesses: int
    ideal: float
    by_chip: float
    generated: float
    detailed: float

    @property
    def error(self) -> float:
        """Of `fast` with generated rates, relative to `detailed`."""
        return self.generated / self.detailed - 1

    @property
    def chip_error(self) -> float:
        """Of `fast` with the chip file's figure."""
        return self.by_chip / self.detailed - 1


def gemm(m: int, n: int, k: int, **how: str) -> Callable[[emu.Chip], emu.OpResult]:
    return lambda chip: emu.gemm(chip, m, n, k, regime="short", **how)


def attention(phase: str, **how: object) -> Callable[[emu.Chip], emu.OpResult]:
    return lambda chip: emu.attention(chip, phase, head_dim=128, regime="short", **how)


REAL = {
    "gemm 512 x 1024 x 1024": gemm(512, 1024, 1024),
    "gemm 128 x 512 x 2048": gemm(128, 512, 2048),
    "gemm 8 x 2048 x 1024": gemm(8, 2048, 1024),
    "gemm 1 x 4096 x 512": gemm(1, 4096, 512),
    "prefill 16/4 heads, 512": attention("prefill", q_heads=16, kv_heads=4, q_len=512),
    "decode 16/4 heads, 8 x 300": attention("decode", q_heads=16, kv_heads=4, kv_len=300, batch=8),
    "decode 32/8 heads, 1024": attention("decode", q_heads=32, kv_heads=8, kv_len=1024),
}
LIBRARY = {
    "vllm: gemm 512 x 1024 x 1024": gemm(512, 1024, 1024, stack="vllm"),
    "vllm: gemm 16 x 1024 x 2048": gemm(16, 1024, 2048, stack="vllm"),
    "vllm: prefill 16/4 heads, 512": attention("prefill", q_heads=16, kv_heads=4, q_len=512, stack="vllm"),
    "vllm: decode 32/8 heads, 1024": attention("decode", q_heads=32, kv_heads=8, kv_len=1024, stack="vllm"),
}
KERNELS = {
    "tiny": {
        "gemm 128 x 512 x 512": gemm(128, 512, 512),
        "gemm 64 x 256 x 1024": gemm(64, 256, 1024),
        "gemm 8 x 1024 x 512": gemm(8, 1024, 512),
        "gemm 1 x 2048 x 256": gemm(1, 2048, 256),
        "prefill 4/2 heads, 128": attention("prefill", q_heads=4, kv_heads=2, q_len=128),
        "decode 16/4 heads, 8 x 300": attention("decode", q_heads=16, kv_heads=4, kv_len=300, batch=8),
        "decode 32/8 heads, 1024": attention("decode", q_heads=32, kv_heads=8, kv_len=1024),
    },
    "h100": REAL | LIBRARY | {"vllm: gemm fp8, quantised": gemm(256, 1024, 1024, dtype="fp8", stack="vllm")},
    "a100": REAL | LIBRARY,
    "mi300x": REAL,
    "jalapeno": {
        **{name: REAL[name] for name in REAL if name.startswith("decode") or " 1 x" in name or " 8 x" in name},
        "gemm 128 x 512 x 512": gemm(128, 512, 512),
        "prefill 8/2 heads, 256": attention("prefill", q_heads=8, kv_heads=2, q_len=256),
    },
}


@lru_cache(maxsize=1)
def layer() -> emu.Model:
    """A layer with everything in it: embedding, norms, projections, rotation, cache, attention, activation, logits."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        path.write_text(json.dumps(LAYER))
        return emu.load_model(path)


def of_layer(name: str) -> Iterator[Compared]:
    """Prefill and decode of the layer, as emu.estimate has them; mapped with either set of rates."""
    chip = emu.chip(name)
    other = chip.vary({"hbm.rates": "generated"})
    how = {"batch": 2, "prompt": 32, "generate": 2, "regime": "short"}
    of = {(c is other, f): emu.estimate(layer(), c, fidelity=f, **how).phases  # type: ignore[arg-type]
          for c, f in ((chip, "fast"), (chip, "ideal"), (other, "fast"), (other, "detailed"))}
    for phase in ("prefill", "decode"):
        accesses = of[True, "detailed"][phase].counters["hbm_burst_bytes"] // 64
        seconds = [of[at][phase].seconds for at in ((False, "ideal"), (False, "fast"), (True, "fast"), (True, "detailed"))]
        yield Compared(name, f"layer, {phase}", round(accesses), *seconds)


def compare(name: str, kernel: str) -> Compared:
    chip = emu.chip(name)
    program = KERNELS[name][kernel](chip).run.program

    def seconds(c: emu.Chip, fidelity: str) -> float:
        return Machine(c, fidelity).run(program, values=False, verify=False, folding=True, fast_forward=True).seconds

    detailed = Machine(chip, "detailed").run(program, values=False, verify=False)
    other = chip.vary({"hbm.rates": "generated"})
    of = [seconds(chip, "ideal"), seconds(chip, "fast"), seconds(other, "fast"), detailed.seconds]
    return Compared(name, kernel, detailed.counters["hbm_burst_bytes"] // 64, *of)


def compared(chips: tuple[str, ...] = CHIPS) -> Iterator[Compared]:
    for name in chips:
        yield from (compare(name, kernel) for kernel in KERNELS[name])
        yield from of_layer(name)


def table(rows: list[Compared]) -> str:
    columns = ("chip", "kernel", "accesses", "ideal, us", "detailed, us", "fast, chip's rates", "fast, generated")
    head = [f"| {' | '.join(columns)} |", "|---|---|---|---|---|---|---|"]
    for r in rows:
        times = f"{r.ideal * 1e6:.2f} | {r.detailed * 1e6:.2f}"
        head.append(f"| {r.chip} | {r.kernel} | {r.accesses:,} | {times} | {r.chip_error:+.1%} | {r.error:+.1%} |")
    within = [sum(abs(e) < LIMIT for e in errors) for errors in ([r.chip_error for r in rows], [r.error for r in rows])]
    mean = [sum(map(abs, errors)) / len(rows) for errors in ([r.chip_error for r in rows], [r.error for r in rows])]
    said = f"Within 3 %: {within[1]} of {len(rows)} with generated rates (mean deviation {mean[1]:.1%}), "
    return "\n".join([*head, "", said + f"{within[0]} with the chips' own figures ({mean[0]:.1%})."])


def suites_table(names: Sequence[str], count: int) -> str:
    """Errors against measurements with the chips' own figures and with generated rates."""
    settings = (BASE, Setting("generated rates", (("hbm.rates", "generated"),)))
    rows = ["| suite | rows | promised MAPE | chip's rates: MAPE, bias | generated: MAPE, bias |", "|---|---|---|---|---|"]
    for name in names:
        measured = sample(packaged(SUITES[name]), count)
        cells = []
        for how in settings:
            errors = [predict((row, how)).error for row in measured]
            cells.append(f"{sum(map(abs, errors)) / len(errors):.1%}, {sum(errors) / len(errors):+.1%}")
        rows.append(f"| {name} | {len(measured)} | {SUITES[name].bound.mape:.0%} | {' | '.join(cells)} |")
        print(rows[-1], flush=True)
    return "\n".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chip", nargs="*", help="only print these chips' rows; with --suites: suites")
    parser.add_argument("--check", action="store_true", help="does the table of docs/detailed.md say what the core gives?")
    parser.add_argument("--suites", type=int, metavar="ROWS", help="compare with so many measured rows of each suite named instead")
    options = parser.parse_args()
    if options.suites:
        replace(PAGE, "suites", suites_table(options.chip or TIMED, options.suites))
        return 0
    text = table(list(compared(tuple(options.chip) or CHIPS)))
    if options.chip:
        print(text)
        return 0
    if options.check:
        fresh = text in PAGE.read_text()
        print("docs/detailed.md is up to date" if fresh else "docs/detailed.md: stale; run python benchmarks/fidelity.py")
        return 0 if fresh else 1
    print(text)
    replace(PAGE, "fidelity", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
