"""Rows on disk as they come, so that an interrupted study goes on where it was: one JSON object a line, each under the digest of all it
follows from. Another point, another chip or another build of emu has another digest, so a stale row is never taken for an answer."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import IO, Any

from emu.errors import EmuError
from emu.study.sweep.point import Task

MAX_BYTES = 1 << 30
SUFFIXES = (".py", ".so", ".tsv", ".npz")


@cache
def build() -> str:
    """Digest of this very emu: its sources, its compiled modules and its tables."""
    import emu
    import isa

    digest = hashlib.sha256()
    for root in (Path(str(emu.__file__)).parent, Path(str(isa.__file__)).parent):
        for path in sorted(p for p in root.rglob("*") if p.suffix in SUFFIXES):
            digest.update(f"{path.relative_to(root)} {path.stat().st_size}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def key_of(task: Task) -> str:
    """Digest of everything a row follows from."""
    s = task.settings
    about = [build(), s.chip.name, s.chip.digest, repr(s.model.config), s.chip_changes, s.model_changes, s.mapping, s.call]
    return hashlib.sha256(json.dumps(about, sort_keys=True, default=repr).encode()).hexdigest()[:32]


class Journal:
    """The rows in one file. It is locked while open: two runs of a study at once would be twice the work."""

    def __init__(self, path: Path, fresh: bool = False) -> None:
        self.path = path
        try:
            if path.exists() and not path.is_file():
                raise EmuError(f"{path}: not a file")
            self._file: IO[str] = path.open("a+", encoding="utf-8")
        except OSError as error:
            raise EmuError(f"{path}: rows cannot be kept there ({error.strerror}); name another journal") from None
        self._lock()
        if fresh:
            self._file.truncate(0)
        self.rows = self._read()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise EmuError(f"{self.path}: another run of this study is writing it; wait for that one, or name another journal") from None

    def _read(self) -> dict[str, dict[str, Any]]:
        """What is whole in the file; a line that an interrupt cut, or anything else that is no row, is passed over."""
        self._file.seek(0)
        if self.path.stat().st_size > MAX_BYTES:
            raise EmuError(f"{self.path}: larger than {MAX_BYTES >> 20} MiB, which no journal is")
        found: dict[str, dict[str, Any]] = {}
        last = ""
        for last in self._file:
            try:
                line = json.loads(last)
            except (ValueError, RecursionError):
                continue
            if isinstance(line, dict) and isinstance(line.get("key"), str) and isinstance(line.get("row"), dict):
                found[line["key"]] = line["row"]
        if last and not last.endswith("\n"):
            self._file.write("\n")
        return found

    def write(self, key: str, row: Mapping[str, Any]) -> None:
        self._file.write(json.dumps({"key": key, "row": row}, separators=(",", ":")) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
