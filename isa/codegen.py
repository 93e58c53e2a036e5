"""Writes what follows from the tables: csrc/isa_gen.h, isa/build.py, docs/isa.md. `python -m isa.codegen [--check]`."""

from __future__ import annotations

import sys
from pathlib import Path

from isa.codegen_builders import builders
from isa.codegen_header import header
from isa.codegen_manual import manual
from isa.tables import Tables, load

ROOT = Path(__file__).resolve().parent.parent
OUTPUTS = {"csrc/isa_gen.h": header, "isa/build.py": builders, "docs/isa.md": manual}


def generate(tables: Tables) -> dict[str, str]:
    """Text of every generated file by its path below the repository's root."""
    return {path: make(tables) for path, make in OUTPUTS.items()}


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        print("usage: python -m isa.codegen [--check]", file=sys.stderr)
        return 2
    stale = 0
    for path, text in generate(load()).items():
        target = ROOT / path
        if target.exists() and target.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if arguments:
            print(f"{path} is stale; run: python -m isa.codegen", file=sys.stderr)
        else:
            target.write_text(text, encoding="utf-8")
            print(f"wrote {path}")
    return 1 if arguments and stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
