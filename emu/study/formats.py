"""`infer_formats`: one sentence through the same weights in several formats, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from emu.chip.schema import Chip
from emu.errors import UnsupportedError
from emu.result import Result, header
from emu.study.infer import CALIBRATION, InferResult, Sentence, check_dtype
from emu.study.result import assumed

FORMATS = ("bf16", "fp8", "int8", "mxfp8", "mxfp4_a16", "mxfp4_a8", "mxfp4", "nvfp4_a16", "nvfp4")
"""Compared unless others are asked for."""


class FormatsResult(Result):
    """A result of `infer` for each format that the chip has; `refused`: format -> why, of the others."""

    def __init__(self, chip: Chip, results: Sequence[InferResult], refused: dict[str, str]) -> None:
        self.chip, self.results, self.refused = chip, list(results), refused

    def rows(self) -> list[dict[str, Any]]:
        """A row for each format, in the order in which they were asked for."""
        return [
            {
                "dtype": r.dtype, "scales": r.graph.scheme.how, "weights_bytes": r.graph.weight_bytes,
                "cosine_to_reference": r.cosine_to_reference, "cycles": r.run.cycles, "seconds": r.run.seconds, "joules": r.run.joules,
                "program": r.run.program.digest,
            }
            for r in self.results
        ]

    def to_dict(self) -> dict[str, Any]:
        first = self.results[0]
        return {
            **header("infer_formats", self.chip, None, first.run.fidelity, "bare", 0),
            "model": first.model.name,
            "text": first.text,
            "tokens": len(first.tokens),
            "formats": self.rows(),
            "refused": self.refused,
            "assumed": assumed(self.chip),
        }


def infer_formats(
    path: str | Path, chip: Chip | str, text: str, dtypes: Sequence[str] | None = None, *, scales: str = "dynamic",
    calibration: Sequence[str] = CALIBRATION, check: bool = False, progress: Callable[[str], None] | None = None,
) -> FormatsResult:
    """`infer` in every format of `dtypes`: cosine to fp32, cycles and joules of each.

    Without `dtypes` all of FORMATS that the chip has, and why it has not the others. A format that is asked for and that the chip lacks
    is an UnsupportedError. Other arguments and errors as for `infer`."""
    from emu.chip import chip as preset

    chip = preset(chip) if isinstance(chip, str) else chip
    refused: dict[str, str] = {}
    for dtype in dtypes or FORMATS:
        try:
            check_dtype(chip, dtype, scales)
        except UnsupportedError as error:
            if dtypes:
                raise
            refused[dtype] = str(error)
    asked = [dtype for dtype in dict.fromkeys(dtypes or FORMATS) if dtype not in refused]
    sentence, results = Sentence(path, text), []
    for dtype in asked:
        if progress:
            progress(dtype)
        results.append(sentence.embed(chip, dtype, scales, calibration, check=check, trace=False, max_memory=None))
    return FormatsResult(chip, results, refused)
