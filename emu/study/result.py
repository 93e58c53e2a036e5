"""What the results of studies say alike."""

from __future__ import annotations

from collections.abc import Mapping

from emu.chip.schema import Chip
from emu.errors import UnsupportedError
from emu.models.graph import format_of


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
