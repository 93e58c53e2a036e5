"""The timeline of an estimate: the first pass of each phase, one after another, the layers that were not run marked as repeats."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emu.study.estimate import Estimate

GAP_FS = 10**9
"""Between two phases, so that the eye finds the seam."""


def write(estimate: Estimate, path: str | Path) -> int:
    """See Estimate.trace."""
    from emu.report.trace import Fold, TraceRecord, write_trace
    from emu.study.sample import layer_end_fs

    records, folds, offset = [], [], 0
    for name in estimate.phases:
        s, run = estimate.rerun(name)
        for r in run.records():
            records.append(TraceRecord(r.core, r.stream, r.start_fs + offset, r.end_fs + offset, r.name, f"{name}: {r.op_name}", r.line))
        left = s.graph.layers - s.layers_run
        if s.repeated is not None and s.period_fs is not None:
            end = offset + layer_end_fs(s, run, s.repeated)
            folds.append(Fold(f"{name}: layer {s.repeated} stands for {left} more", end - s.period_fs, end, left + 1))
        offset += run.end_fs + GAP_FS
    chip = estimate.chip
    about = {"model": estimate.model.name, "chip": chip.name, "hypothetical": chip.hypothetical, "fidelity": estimate.asked["fidelity"]}
    return write_trace(path, records, about, folds)
