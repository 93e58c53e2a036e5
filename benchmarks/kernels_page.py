"""Runs the ladder of examples/ladder and quotes what they print. Writes docs/kernels.md.

    python benchmarks/kernels_page.py            # run and write the page
    python benchmarks/kernels_page.py --check    # exit 1 if the page is stale"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

from blocks import ROOT, write_or_check

PAGE, TEMPLATE = ROOT / "docs" / "kernels.md", Path(__file__).with_name("kernels_page.md")
LADDER = ROOT / "examples" / "ladder"


def printed(step: str) -> str:
    """What a step prints, as a block."""
    done = subprocess.run([sys.executable, LADDER / f"{step}.py"], capture_output=True, text=True, cwd=ROOT, timeout=300)
    if done.returncode:
        sys.exit(f"{step}: {done.stderr}")
    return f"```\n$ python examples/ladder/{step}.py\n{done.stdout.rstrip()}\n```"


def page() -> str:
    return re.sub(r"^\{(s\d_\w+)\}$", lambda m: printed(m[1]), TEMPLATE.read_text(), flags=re.MULTILINE)


def main() -> int:
    parser = argparse.ArgumentParser(description="Kernels of one's own; writes docs/kernels.md.")
    parser.add_argument("--check", action="store_true", help="compare the page instead of writing it")
    return write_or_check(PAGE, page, parser.parse_args().check)


if __name__ == "__main__":
    sys.exit(main())
