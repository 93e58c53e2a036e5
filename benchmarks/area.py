"""Die area, yield and cost: the model beside published dies, and what follows. Writes docs/area.md.

    python benchmarks/area.py            # write the page
    python benchmarks/area.py --check    # exit 1 if the page is stale
    python benchmarks/area.py --fit      # the coefficients for emu/chip/cost/tables.toml"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from blocks import ROOT, write_or_check

import emu
from emu.chip.cost import cost, dies, ground
from emu.chip.cost.published import BESIDE, FITTED, fit, published

PAGE, TEMPLATE = ROOT / "docs" / "area.md", Path(__file__).with_name("area_page.md")
COSTS = ("h100", "b200", "mi300x", "mi355x", "tpu-v5e", "tpu-v7", "trainium3", "maia-200", "gaudi-3", "jalapeno")
HARVESTED = ("a100", "h100", "b200", "mi300x", "mi355x", "maia-200")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(row) + " |" for row in rows)])


def published_rows() -> tuple[str, str]:
    found = published()
    rows = [[p.chip, f"{p.node_nm:g}", f"{p.stated_mm2:,.0f}", f"{p.predicted_mm2:,.0f}",
             "in no fit" if p.left_out_mm2 is None else f"{p.left_out_mm2:,.0f}", f"{p.error:+.1%}"] for p in found]
    errors = [abs(p.error) for p in found]
    head = ["compute die of", "nm", "published mm2", "fitted with it", "fitted without it", "error without it"]
    sums = f"Mean absolute error {statistics.fmean(errors):.1%}, median {statistics.median(errors):.1%}, worst {max(errors):.1%}"
    return table(head, rows), sums


def assumed_rows() -> str:
    rows = []
    for name in emu.chips():
        chip = emu.chip(name)
        if name == "tiny" or name in (*FITTED, *BESIDE) or chip.provenance("process.die_area").tag not in ("assumed", "reported"):
            continue
        die = dies(chip)[0]
        cores, memory = sum(die.parts[p] for p in ("matrix", "vector", "operands")), sum(die.parts[p] for p in ("sram", "acc"))
        memory += die.parts.get("levels", 0)
        parts = [f"{x / die.predicted:.0%}" for x in (cores, memory)]
        rows.append([name, f"{die.node_nm:g}", str(die.count), f"{die.stated:,.0f}", f"{die.predicted:,.0f}", *parts])
    return table(["chip", "nm", "dies", "assumed mm2 each", "predicted", "engines", "memories"], rows)


def yield_rows() -> str:
    rows = []
    for name in HARVESTED:
        die = cost(emu.chip(name)).dies[0]
        used = emu.chip(name).core_count // die.area.count
        rows.append([name, f"{die.area.mm2:,.0f}", f"{used} of {die.area.cores}", f"{die.yield_whole:.1%}", f"{die.yield_sold:.1%}",
                     str(die.per_wafer)])
    return table(["chip", "mm2", "cores of a die that must work", "without a defect", "sold", "dies on a wafer"], rows)


def cost_rows() -> str:
    made = {name: cost(emu.chip(name)) for name in COSTS}
    parts = list(made["h100"].parts_usd)
    rows = []
    for name, found in made.items():
        price = emu.chip(name).cost.price_usd
        rows.append([name, *(f"{found.parts_usd[p]:,.0f}" for p in parts), f"{found.made_usd:,.0f}", f"{price:,.0f}" if price else "-"])
    return table(["chip", *parts, "made", "price"], rows)


def ratios() -> list[float]:
    """Price over cost of making, of the chips that have a price."""
    found = [cost(emu.chip(name)) for name in COSTS if emu.chip(name).cost.price_usd]
    return sorted((emu.chip(c.chip.name).cost.price_usd or 0.0) / c.made_usd for c in found)


def page() -> str:
    found, errors = published_rows()
    maia = next(p.error for p in published() if p.chip == "maia-200")
    v1, area = dies(emu.chip("tpu-v1"))[0], ground(emu.chip("h100")).area
    parts = {
        "published": found, "errors": errors, "assumed": assumed_rows(), "yields": yield_rows(), "costs": cost_rows(),
        "mac": f"{area.mac:,.0f}", "byte": f"{area.operand_byte:,.0f}", "iod": f"{dies(emu.chip('mi300x'))[1].predicted:.0f} mm2",
        "byte_without": f"{fit([n for n in FITTED if n != 'maia-200'])[1]:.0f}", "maia": f"{maia:+.0%}",
        "corrected": f"{dies(emu.chip('jalapeno'))[0].predicted / (1 + maia):,.0f}",
        "least": f"{ratios()[0]:.0f}", "most": f"{ratios()[-1]:.0f}",
        "v1_buffers": f"{(v1.parts['sram'] + v1.parts['acc']) / v1.predicted:.0%}", "v1_matrix": f"{v1.parts['matrix'] / v1.predicted:.0%}",
    }
    return re.sub(r"\{(\w+)\}", lambda m: parts[m[1]], TEMPLATE.read_text())


def main() -> int:
    parser = argparse.ArgumentParser(description="Die area, yield and cost; writes docs/area.md.")
    parser.add_argument("--check", action="store_true", help="compare the page instead of writing it")
    parser.add_argument("--fit", action="store_true", help="print the fitted coefficients instead")
    options = parser.parse_args()
    if options.fit:
        mac, operand_byte = fit()
        print(f"mac = {mac:.0f}\noperand_byte = {operand_byte:.0f}")
        return 0
    return write_or_check(PAGE, page, options.check)


if __name__ == "__main__":
    sys.exit(main())
