"""A small study from Python: how a model's speed on a chip depends on the batch and on the chip's memory.

    python examples/estimate.py [model or config.json] [chip] [prompt] [generate]
"""

import sys
from pathlib import Path

import emu


def main(name: str = "llama-3-8b", chip_name: str = "jalapeno", prompt: int = 512, generate: int = 128) -> None:
    model = emu.load_model(name) if Path(name).exists() else emu.model(name)
    chip = emu.chip(chip_name)
    one = emu.estimate(model, chip, prompt=prompt, generate=generate)
    print(one)  # the table that `emu estimate` prints

    decode = one.to_dict()["phases"]["decode"]  # what --json prints; keys carry units
    slowest = max(decode["ops"], key=lambda op: op["seconds"])
    print(f"decode spends {100 * slowest['share']:.0f} % of its time in {slowest['name']}, bound by {slowest['bound_by']}")

    print("batch   tokens/s   J/token")
    for batch in (1, 4, 16):
        e = emu.estimate(model, chip, batch=batch, prompt=prompt, generate=generate)
        print(f"{batch:5d} {e.tokens_per_s:10.0f} {e.joules_per_token:9.3g}")

    faster = chip.vary({"hbm.bandwidth": f"{2 * chip.hbm.bandwidth_bytes_per_s / 1e12} TB/s"})
    e = emu.estimate(model, faster, prompt=prompt, generate=generate)
    print(f"with twice the memory bandwidth a token takes {one.tpot_s / e.tpot_s:.2f}x less time")


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(int, sys.argv[3:]))
