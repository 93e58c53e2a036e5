"""What can go wrong, by whose mistake. A message names the file or program, the key, the value, the nearest valid name and what to do.

The exit code of the shell face follows from these: any `EmuError` is bad input (2)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EmuError(Exception):
    """Base of every error that emu raises on purpose; catching it catches them all and nothing else."""


class ChipError(EmuError):
    """A chip file (or `chip.vary`) says something impossible or unknown. `problems` holds each finding, all found at once."""

    def __init__(self, message: str, problems: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.problems: tuple[str, ...] = tuple(problems)

    def __reduce__(self) -> tuple[type[ChipError], tuple[str, tuple[str, ...]]]:
        """Survive the trip back from a worker process with the findings."""
        return type(self), (str(self), self.problems)


class ModelError(EmuError):
    """A model description or its weights cannot be understood, or a request exceeds what the model is."""


class ProgramError(EmuError):
    """A program is illegal or misbehaves: bad encoding, race, deadlock, out of bounds, read of unwritten memory, leftover tokens."""


class CapacityError(EmuError):
    """Something does not fit: weights and cache in device memory, a tile in the scratchpad, a file in its size bound."""


class UnsupportedError(EmuError):
    """Well-formed, but this chip or this version of emu cannot do it: a format without a rate, an operation without an engine."""


class CacheError(EmuError):
    """A cache on disk cannot be read or written. Deleting the cache is always safe."""


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate that `name` most likely meant, or None if none is near. Case is ignored; ties go to the alphabetically first."""
    wanted = str(name)[:200].lower()
    by_lower = {c.lower(): c for c in sorted(candidates, reverse=True)}
    found = difflib.get_close_matches(wanted, sorted(by_lower), n=1, cutoff=0.55)
    return by_lower[found[0]] if found else None


def did_you_mean(name: str, candidates: Iterable[str], limit: int = 12) -> str:
    """The end of a message: the nearest name, or else the valid ones (the first `limit`)."""
    names = sorted(set(candidates))
    near = nearest(name, names)
    if near is not None:
        return f"did you mean {near!r}?"
    listed = ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")
    return f"expected one of: {listed}" if names else "no name is valid here"
