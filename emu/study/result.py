"""What every result of a study carries and can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emu.chip.schema import Chip
from emu.errors import UnsupportedError
from emu.models.graph import format_of


class Result:
    """Base of Estimate, OpResult and InferResult: they define `to_dict`; drawing is the report's business, asked for when needed."""

    def to_dict(self) -> dict[str, Any]:
        """The result as `--json` prints it; keys carry units (emu.report.schema documents them)."""
        raise NotImplementedError

    def to_json(self, indent: int | None = 2) -> str:
        from emu.report.json import dumps

        return dumps(self.to_dict(), indent)

    def __str__(self) -> str:
        from emu.report.text import render_result

        return render_result(self.to_dict())

    def _repr_html_(self) -> str:
        from emu.report.html import repr_html

        return repr_html(self.to_dict())


def header(kind: str, chip: Chip, program: str | None, fidelity: str, stack: str, seed: int) -> dict[str, Any]:
    """Schema and emu versions, digests, and how the result was made."""
    import emu
    import isa.tables
    from emu.report.schema import SCHEMA_VERSION

    return {
        "schema_version": SCHEMA_VERSION,
        "emu_version": emu.__version__,
        "kind": kind,
        "chip": chip.name,
        "hypothetical": chip.hypothetical,
        "digests": {"chip": chip.digest, "program": program, "isa": isa.tables.load().digest},
        "fidelity": fidelity,
        "stack": stack,
        "seed": seed,
    }


def check_formats(chip: Chip, dtype: str, kv_dtype: str) -> None:
    """Refuse formats that the chip's matrix engine lacks, or cannot multiply with each other."""
    for name in (dtype, kv_dtype):
        chip.peak_flops(format_of(name))
    if (format_of(dtype) == "int8") != (format_of(kv_dtype) == "int8"):
        raise UnsupportedError(f"dtype {dtype} with kv_dtype {kv_dtype}: matrix engines do not multiply int8 with another format")


def assumed(chip: Chip) -> list[dict[str, str]]:
    """The figures of the chip's description that nobody has published."""
    return [{"key": f.key, "value": str(f.value), "tag": str(f.tag), "source": f.source or ""} for f in chip.assumed()]


def largest_stall(stalls: Mapping[str, Mapping[str, int]], engine: str) -> tuple[str | None, float | None]:
    """`engine: cause` of the largest wait of an engine, and its share of the engine's time."""
    row = stalls.get(engine, {})
    total = sum(row.values())
    waits = {cause: fs for cause, fs in row.items() if cause not in ("busy", "finished", "not_started") and fs}
    if not total or not waits:
        return None, None
    cause = max(waits, key=lambda c: (waits[c], c))
    return f"{engine}: {cause}", waits[cause] / total
