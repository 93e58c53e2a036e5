"""Where does the watt go? Joules by component, in prefill and decode, from a batch of one to many, and what 1 % more of each price costs.

    python examples/studies/where_the_watt_goes.py [report.html] [--small]
"""

import sys

import emu
from emu.report.document import write_report
from emu.report.page import Table

SMALL = "--small" in sys.argv
OUT = next((word for word in sys.argv[1:] if not word.startswith("-")), "where_the_watt_goes.html")
CHIP, MODEL = ("tiny", "examples/models/tiny-llama/config.json") if SMALL else ("jalapeno", "llama-3-8b")
BATCHES = [1, 4] if SMALL else [1, 8, 64]
ASK = {"prompt": 16, "generate": 3} if SMALL else {"prompt": 512, "generate": 32}


def main() -> None:
    found = {batch: emu.estimate(MODEL, CHIP, batch=batch, **ASK) for batch in BATCHES}
    rows = []
    for batch, estimate in found.items():
        for name, phase in estimate.phases.items():
            joules = phase.energy.joules
            parts = sorted(phase.energy.components.items(), key=lambda item: -item[1])[:5]
            shares = ", ".join(f"{part} {j / joules:.0%}" for part, j in parts if j)
            rows.append([str(batch), name, f"{phase.watts:.1f}", f"{joules:.4g}", shares])
    columns = ["batch", "phase", "W", "J", "largest parts"]
    for line in [columns, *rows]:
        print("  ".join(f"{cell:<10}" for cell in line))
    prices = [f.key for f in emu.chip(CHIP).figures() if f.key.startswith("energy.") or f.key == "power.static"]
    last = found[BATCHES[-1]]
    results = [last.to_dict(), *(e.to_dict() for e in list(found.values())[:-1]), last.sensitivity(prices).to_dict()]
    command = f"python {' '.join(sys.argv)}"
    answer = [Table(columns, rows, "joules by phase", frozenset({"phase", "largest parts"}))]
    write_report(OUT, results, question="Where does the watt go?", command=command, answer=answer)


if __name__ == "__main__":
    main()
