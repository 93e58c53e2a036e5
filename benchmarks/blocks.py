"""Documents that scripts write, whole or between two marks: no figure in README.md or docs/ is typed by hand."""

import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def replace(path: Path, name: str, text: str) -> None:
    """Put `text` between `<!-- NAME: ... -->` and `<!-- /NAME -->`."""
    whole = path.read_text()
    start, end = whole.find(f"<!-- {name}:"), whole.find(f"<!-- /{name} -->")
    if start < 0 or end < start:
        raise SystemExit(f"{path}: no block <!-- {name}: ... --> ... <!-- /{name} -->")
    start = whole.index("-->", start) + 3
    path.write_text(f"{whole[:start]}\n{text.strip()}\n{whole[end:]}")
    print(f"{path.relative_to(ROOT)}: block {name} written")


def write_or_check(path: Path, page: Callable[[], str], check: bool) -> int:
    """Write a page, or say whether it is what it would be. Returns the exit code."""
    if not check:
        path.write_text(page())
        return 0
    if path.exists() and path.read_text() == page():
        return 0
    print(f"{path.relative_to(ROOT)} is stale: run python benchmarks/{Path(sys.argv[0]).name}", file=sys.stderr)
    return 1
