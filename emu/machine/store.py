"""Files named by a digest in one folder: written by many processes at once, bounded in size, trusted in nothing.

An entry is written aside and renamed, so it is seen whole or not at all. The first line is the SHA-256 of the rest; whatever else is found
under an entry's name is nothing found, and is removed. Least recently used entries go first."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
import time
from pathlib import Path

from emu.errors import CacheError

LARGEST = 4 << 20
"""Bytes of one entry, at most."""
HEAD = 65
"""Bytes of the first line."""
BLOCK = 4096
"""What a file occupies is counted in these."""
SHARE = 16
"""The folder is looked through whenever this process has written that part of the bound; each further process may exceed it by as much."""
STALE_S = 3600
"""Age at which a file that was never renamed is given up."""

_ENTRY = re.compile(r"[0-9a-f]{64}\Z")
_ASIDE = re.compile(r"\.emu-.*\.tmp\Z")
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


class Store:
    """A folder of entries. Nothing here fails but opening a folder that the user named: otherwise a cache that cannot be used is none."""

    def __init__(self, folder: Path, bound_bytes: int, named: bool = False) -> None:
        self.folder, self.bound_bytes = folder, bound_bytes
        self._written = bound_bytes  # look through it before the first entry
        self.usable = self._open(named)

    def _open(self, named: bool) -> bool:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                return True
        except (OSError, ValueError) as error:
            if named:
                where = f"EMU_CACHE_DIR: {self.folder} cannot be written ({error})"
                raise CacheError(f"{where}; name another folder, or set EMU_CACHE=0") from None
            return False

    def get(self, key: str) -> bytes | None:
        """The entry as it was put, marked as used; None if there is none, or none that is whole."""
        try:
            file = os.open(self.folder / key, _FLAGS)
        except OSError:
            return None
        try:
            about = os.fstat(file)
            if stat.S_ISREG(about.st_mode) and about.st_size <= LARGEST + HEAD:
                digest, _, data = _all_of(file).partition(b"\n")
                if digest == hashlib.sha256(data).hexdigest().encode():
                    os.utime(file)
                    return data
        except OSError:
            return None
        finally:
            os.close(file)
        self.drop(key)
        return None

    def put(self, key: str, data: bytes) -> None:
        """Keep an entry, if it is small enough and there is a place for it."""
        if len(data) > min(LARGEST, self.bound_bytes // SHARE):
            return
        self._written += _occupied(len(data))
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._written > self.bound_bytes // SHARE:
                self._trim()
                self._written = _occupied(len(data))
            self._write(key, hashlib.sha256(data).hexdigest().encode() + b"\n" + data)
        except OSError:
            pass

    def _write(self, key: str, whole: bytes) -> None:
        file, aside = tempfile.mkstemp(prefix=".emu-", suffix=".tmp", dir=self.folder)
        try:
            with os.fdopen(file, "wb") as writer:
                writer.write(whole)
            os.replace(aside, self.folder / key)
        except BaseException:
            os.unlink(aside)
            raise

    def drop(self, key: str) -> None:
        """Remove an entry."""
        try:
            os.unlink(self.folder / key)
        except OSError:
            pass

    def _trim(self) -> None:
        """Remove the least recently used until the next look is due before the bound is reached."""
        found, total, now = [], 0, time.time()
        with os.scandir(self.folder) as entries:
            for entry in entries:
                ours, aside = _ENTRY.match(entry.name), _ASIDE.match(entry.name)
                if not ours and not aside:
                    continue
                try:
                    about = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if aside and now - about.st_mtime > STALE_S:
                    self.drop(entry.name)
                elif ours:
                    found.append((about.st_mtime_ns, entry.name, _occupied(about.st_size)))
                    total += found[-1][2]
        for _, name, size in sorted(found):
            if total <= self.bound_bytes - self.bound_bytes // SHARE:
                return
            self.drop(name)
            total -= size


def _all_of(file: int) -> bytes:
    with os.fdopen(file, "rb", closefd=False) as reader:
        return reader.read(LARGEST + HEAD)


def _occupied(size: int) -> int:
    return -(-(size + HEAD) // BLOCK) * BLOCK
