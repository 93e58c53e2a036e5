"""What does a megabyte of SRAM buy? The scratchpad of a core from a quarter to four times its size, mapped anew each time.

    python examples/studies/megabyte_of_sram.py [report.html] [--small]
"""

import sys

import emu
from emu.report.document import write_report
from emu.report.page import Table

SMALL = "--small" in sys.argv
OUT = next((word for word in sys.argv[1:] if not word.startswith("-")), "megabyte_of_sram.html")
CHIP, MODEL = ("tiny", "examples/models/tiny-llama/config.json") if SMALL else ("jalapeno", "llama-3-8b")
SIZES = {"log": ["64 KiB", "256 KiB"], "points": 3} if SMALL else {"log": ["2 MiB", "32 MiB"], "points": 9}
ASK = {"prompt": 32, "generate": 2} if SMALL else {"prompt": 2048, "generate": 8}


def main() -> None:
    study = emu.Study(
        question="What does a megabyte of SRAM buy?", model=MODEL, chip=CHIP,
        vary={"batch": [1, 8] if SMALL else [1, 8, 32], "chip.core.sram.capacity": SIZES}, **ASK,
    )  # fmt: skip
    table = study.run(jobs=1 if SMALL else None)
    cores = emu.chip(CHIP).core_count
    rows, before = [], {}
    for row in table.rows:
        size = cores * row["chip.core.sram.capacity"] / 2**20
        words = [str(row["batch"]), f"{size:.1f}"]
        if row.get("error"):
            rows.append([*words, "-", "-", "-", row["error"][:60]])
            continue
        last = before.get(row["batch"])
        now = size, row["ttft_s"], row["tpot_s"]
        saved = ["-", "-"] if last is None else [f"{1e6 * (a - b) / (size - last[0]):.3g}" for a, b in zip(last[1:], now[1:])]
        before[row["batch"]] = now
        rows.append([*words, f"{1e3 * row['ttft_s']:.3f}", f"{1e3 * row['tpot_s']:.4f}", *saved])
    columns = ["batch", "SRAM of the chip, MiB", "first token, ms", "per token, ms", "us saved of it by a MiB", "us of a token"]
    for line in [columns, *rows]:
        print("  ".join(f"{cell:>16}" for cell in line))
    command = f"python {' '.join(sys.argv)}"
    answer = [Table(columns, rows, "what a MiB more saves, step by step")]
    write_report(OUT, [table.to_dict()], question=study.question, command=command, answer=answer)


if __name__ == "__main__":
    main()
