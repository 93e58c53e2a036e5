"""Text between two marks of a document, replaced by what a script measured: no figure in README.md or docs/ is typed by hand."""

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
