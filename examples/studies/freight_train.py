"""A freight train for one pizza? What a token costs, in dollars and joules, on an inference-only chip and on general ones.

    python examples/studies/freight_train.py [report.html] [--small]

A chip's price is written off over YEARS of use; energy is what the run draws, at USD_PER_KWH, times PUE. Hosts, network and people are left
out, and so is the rest of the time: the more a chip idles, the more the price weighs."""

import sys

import emu
from emu.report.document import write_report
from emu.report.page import Note, Table

YEARS, USD_PER_KWH, PUE = 4.0, 0.08, 1.25
SMALL = "--small" in sys.argv
OUT = next((word for word in sys.argv[1:] if not word.startswith("-")), "freight_train.html")
MODEL = "examples/models/tiny-llama/config.json" if SMALL else "llama-3-8b"
CHIPS = ["h100", "jalapeno"] if SMALL else ["h100", "jalapeno", "b200", "mi300x"]
ASK = {"batch": [1, 8], "prompt": 16, "generate": 3} if SMALL else {"batch": [1, 8, 64], "prompt": 512, "generate": 128, "dtype": "fp8"}


def usd_per_million(row: dict) -> tuple[float, float]:
    """(chip, energy) in dollars for a million tokens."""
    chip = row["usd"] / (YEARS * 365 * 86400) / row["tokens_per_s_per_chip"]
    return 1e6 * chip, 1e6 * row["joules_per_token"] * PUE / 3.6e6 * USD_PER_KWH


def main() -> None:
    found = emu.compare(CHIPS, MODEL, per=["usd"], jobs=1 if SMALL else None, **ASK)
    rows, first = [], {}
    for row in (row for row in found.rows if not row.get("error")):
        chip, energy = usd_per_million(row)
        base = first.setdefault(row["batch"], chip + energy)
        cost = f"{chip:.4f}", f"{energy:.4f}", f"{(chip + energy) / base:.2f}x"
        rows.append([row["chip"], str(row["batch"]), *cost, f"{row['joules_per_token']:.3g}", f"{1 / row['tpot_s']:.0f}"])
    columns = ["chip", "batch", "chip, USD/Mtoken", "energy, USD/Mtoken", f"beside {CHIPS[0]}", "J/token", "tokens/s of one"]
    note = Note(f"price over {YEARS:g} years, {USD_PER_KWH} USD/kWh, PUE {PUE}; busy all the time; hosts and network not counted")
    for line in [columns, *rows]:
        print("  ".join(f"{cell:>18}" for cell in line))
    print(note.text)
    question = "A freight train for one pizza: what does a token cost on a chip made for inference?"
    command = f"python {' '.join(sys.argv)}"
    write_report(OUT, [found.to_dict()], question=question, command=command, answer=[Table(columns, rows, "cost of tokens"), note])


if __name__ == "__main__":
    main()
