"""One point of a study: settings in, a row out. This is what worker processes run, here or elsewhere."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emu.caching import caching
from emu.errors import EmuError
from emu.study.sweep.settings import Settings

ASKED = ("batch", "prompt", "generate", "dtype", "kv_dtype", "data", "stack", "fidelity", "seed", "mapping")
"""Of an estimate's dict what the settings say, or the table's header."""


@dataclass(frozen=True)
class Task:
    """A point and how it may be run."""

    settings: Settings
    cache: bool = True


def run_point(task: Task) -> dict[str, Any]:
    """The figures of a point, or `error` (why there are none) and `error_kind`. Raises nothing but what ends the process."""
    try:
        with caching(task.cache):
            return figures(_estimate(task.settings))
    except EmuError as error:
        return {"error": str(error), "error_kind": type(error).__name__}
    except MemoryError:
        return {"error": "out of memory", "error_kind": "MemoryError"}
    except Exception as error:  # a bug of emu, at this point; the others still have their figures
        where = traceback.extract_tb(error.__traceback__)[-1]
        at = f"{where.filename.rpartition('/')[2]}:{where.lineno}"
        return {"error": f"a bug in emu: {type(error).__name__}: {error} ({at})", "error_kind": "bug"}


def _estimate(s: Settings) -> dict[str, Any]:
    from emu.study.estimate import estimate

    chip = s.chip.vary(s.chip_changes) if s.chip_changes else s.chip
    model = s.model.vary(s.model_changes) if s.model_changes else s.model
    return estimate(model, chip, mapping=s.mapping or None, **s.call).to_dict()


def figures(result: Mapping[str, Any]) -> dict[str, Any]:
    """Every single figure of an estimate's dict, those of a phase under its name: `decode_mbu`."""
    skipped = {"schema_version", "emu_version", "kind", "chip", "model", *ASKED}
    row = {name: value for name, value in result.items() if name not in skipped and _single(value)}
    for phase, of in result["phases"].items():
        row |= {f"{phase}_{name}": value for name, value in of.items() if _single(value)}
    row |= {name: value for name, value in result.get("memory", {}).items() if _single(value)}
    return row | {"chip_digest": result["digests"]["chip"][:16]}


def _single(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))
