"""Whether runs may be answered from disk, where they lie and how much room they get: the environment, and a switch in the program.

    EMU_CACHE=0        neither read nor write
    EMU_CACHE_DIR      another folder than the user's cache folder
    EMU_CACHE_MB       its bound, in MB (256)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from emu.errors import CacheError

MEGABYTES = 256
MOST_MEGABYTES = 1 << 20
READ = ("EMU_CACHE", "EMU_CACHE_DIR", "EMU_CACHE_MB", "XDG_CACHE_HOME", "HOME")
ON, OFF = ("1", "on", "true", "yes"), ("0", "off", "false", "no")

_wanted: ContextVar[bool] = ContextVar("emu_caching", default=True)


@dataclass(frozen=True)
class Settings:
    """The folder, its bound, and whether the user named it: only then is it an error that it cannot be written."""

    folder: Path
    bound_bytes: int
    named: bool


@contextmanager
def caching(on: bool) -> Iterator[None]:
    """Within it, in this thread, no run is read from disk or written there unless `on`; `EMU_CACHE=0` stands above it."""
    token = _wanted.set(on and _wanted.get())
    try:
        yield
    finally:
        _wanted.reset(token)


def settings() -> Settings | None:
    """What holds now; None if the cache is off. Raises CacheError for a variable that says nothing sensible."""
    return _read(*(os.environ.get(name, "") for name in READ)) if _wanted.get() else None


@lru_cache(4)
def _read(switch: str, named: str, megabytes: str, *home: str) -> Settings | None:
    if not _switch(switch):
        return None
    return Settings(_named(named) if named else _users(), _megabytes(megabytes) * 10**6, bool(named))


def _named(text: str) -> Path:
    try:
        return Path(text).expanduser().absolute()
    except (RuntimeError, OSError) as error:  # ~ of nobody; a current folder that is gone
        raise CacheError(f"EMU_CACHE_DIR={text[:200]!r}: {error}; name another folder, or set EMU_CACHE=0") from None


def _users() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("emu", appauthor=False)


def _switch(text: str) -> bool:
    word = text.strip().lower()
    if word and word not in ON + OFF:
        raise CacheError(f"EMU_CACHE={text[:80]!r}: expected 0 (no cache) or 1")
    return word not in OFF


def _megabytes(text: str) -> int:
    word = text.strip()
    if not word:
        return MEGABYTES
    if not (word.isascii() and word.isdigit() and len(word) <= 8 and 1 <= int(word) <= MOST_MEGABYTES):
        raise CacheError(f"EMU_CACHE_MB={text[:80]!r}: expected whole megabytes, 1 to {MOST_MEGABYTES}; EMU_CACHE=0 switches the cache off")
    return int(word)
