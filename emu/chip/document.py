"""From files to one merged document: bounded reading, `extends`, and which file each key came from.

A chip file may come from anybody, so size, line length, nesting and the chain of `extends` are bounded before the parser sees them."""

from __future__ import annotations

import copy
import re
import tomllib
from pathlib import Path
from typing import Any

from emu.chip.provenance import is_figure
from emu.errors import ChipError, did_you_mean

PRESETS = Path(__file__).parent / "presets"
MAX_BYTES = 1 << 20
MAX_LINE = 1024  # the parser's cost is quadratic in the length of a dotted key
MAX_NESTING = 12
MAX_EXTENDS = 8
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


def preset_names() -> list[str]:
    """The chips that come with emu."""
    return sorted(p.stem for p in PRESETS.glob("*.toml"))


def preset_path(name: str) -> Path:
    """The file of a preset; an unknown name is an error with the nearest one."""
    names = preset_names()
    if name not in names:
        raise ChipError(f"no chip is named {str(name)[:80]!r}; {did_you_mean(str(name), names)} (a file: its name ends in .toml)")
    return PRESETS / f"{name}.toml"


def read(path: Path) -> dict[str, Any]:
    """One TOML file as a dict, or a ChipError that says what is wrong with it."""
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise ChipError(f"{path}: not a file")
        if size > MAX_BYTES:
            raise ChipError(f"{path}: {size} bytes; a chip file may have {MAX_BYTES}")
        raw = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ChipError(f"{path}: cannot be read ({reason}); give the path of a chip file, or use emu.chip(name) for a preset") from None
    return parse(raw, str(path))


def parse(raw: bytes, file: str) -> dict[str, Any]:
    """TOML text as a dict within the bounds."""
    if len(raw) > MAX_BYTES:
        raise ChipError(f"{file}: more than {MAX_BYTES} bytes")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ChipError(f"{file}: not UTF-8 text (byte {error.start})") from None
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > MAX_LINE:
            raise ChipError(f"{file}: line {number} has {len(line)} characters; the limit is {MAX_LINE}")
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ChipError(f"{file}: not valid TOML: {error}") from None
    except (RecursionError, ValueError, OverflowError) as error:
        raise ChipError(f"{file}: cannot be parsed ({type(error).__name__}); is it nested too deeply or a number too long?") from None
    _bound_nesting(document, file)
    return document


def _bound_nesting(document: dict[str, Any], file: str) -> None:
    level: list[tuple[str, Any]] = list(document.items())
    for _ in range(MAX_NESTING):
        below: list[tuple[str, Any]] = []
        for key, node in level:
            children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
            below += [(key, child) for _, child in children]
        if not below:
            return
        level = below
    raise ChipError(f"{file}: {level[0][0][:80]}: nested more than {MAX_NESTING} deep")


def resolve(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The document with all it extends merged in, and the file that each top-most differing dotted key came from."""
    chain: list[tuple[Path, dict[str, Any]]] = []
    seen: list[Path] = []
    at: Path | None = path
    while at is not None:
        real = _real(at)
        if real in seen:
            names = " -> ".join(p.name for p in [*seen, real])
            raise ChipError(f"{path}: extends: a cycle: {names}; remove one of these `extends`")
        if len(seen) > MAX_EXTENDS:
            raise ChipError(f"{path}: extends: a chain of more than {MAX_EXTENDS} files")
        seen.append(real)
        document = read(at)
        chain.append((at, document))
        at = _base(at, document)
    merged: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for file, document in reversed(chain):
        merge(merged, document, str(file), origin)
    merged.pop("extends", None)
    return merged, origin


def _real(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a null byte, a loop of links
        raise ChipError(f"{path!s}: cannot be read ({error})") from None


def _base(path: Path, document: dict[str, Any]) -> Path | None:
    base = document.get("extends")
    if base is None:
        return None
    if not isinstance(base, str) or not base or len(base) > 1000:
        raise ChipError(f"{path}: extends: expected the name of a preset or the path of a .toml file")
    if base.endswith(".toml"):
        return path.parent / base
    if not _NAME.match(base) or base not in preset_names():
        hint = did_you_mean(base, preset_names())
        raise ChipError(f"{path}: extends: no chip is named {base[:80]!r}; {hint} The name of a file ends in .toml.")
    return preset_path(base)


def merge(into: dict[str, Any], document: dict[str, Any], file: str, origin: dict[str, str], key: str = "") -> None:
    """Sections merge key by key; figures and lists replace what they meet, so that a source never outlives its value."""
    for name, node in document.items():
        here = f"{key}.{name}" if key else str(name)
        old = into.get(name)
        if isinstance(node, dict) and isinstance(old, dict) and not is_figure(node):
            into[name] = old = spread(old)
            if isinstance(old, dict) and not is_figure(old):
                merge(old, node, file, origin, here)
                continue
        into[name] = copy.deepcopy(node)
        origin[here] = file


def spread(node: Any) -> Any:
    """A table that carries one provenance for all its entries, as a table of entries that each carry it; anything else unchanged."""
    if not (is_figure(node) and isinstance(node["value"], dict)):
        return node
    label = {k: v for k, v in node.items() if k != "value"}
    return {k: v if is_figure(v) else {"value": v, **label} for k, v in node["value"].items()}
