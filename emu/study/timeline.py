"""The timeline of an estimate: the first pass of each phase, one after another, a few layers of each, one marked as repeating."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emu.study.estimate import Estimate

GAP_FS = 10**9
"""Between two phases, so that the eye finds the seam."""
SHOWN = 4
"""Layers drawn: all of a large model would fill the file with repeats."""


def write(estimate: Estimate, path: str | Path) -> int:
    """See Estimate.trace."""
    from emu.report.trace import Fold, TraceRecord, write_trace
    from emu.study.sample import layer_end_fs, simulate

    records, folds, offset, asked = [], [], 0, estimate.asked
    for name, phase in estimate.phases.items():
        s = phase.passes[0].sample
        layers = min(SHOWN, s.graph.layers)
        _, run = simulate(estimate.model, s.graph, phase.ran, s.lowered.tilings, layers, asked["fidelity"], asked["seed"], trace=True)
        for r in run.records():
            records.append(TraceRecord(r.core, r.stream, r.start_fs + offset, r.end_fs + offset, r.name, f"{name}: {r.op_name}", r.line))
        left = s.graph.layers - layers
        if left:
            begin, end = (offset + layer_end_fs(s, run, layer) for layer in (SHOWN // 2 - 1, SHOWN // 2))
            folds.append(Fold(f"{name}: layer {SHOWN // 2} stands for {left} more", begin, end, left + 1))
        offset += run.end_fs + GAP_FS
    chip = estimate.chip
    about = {"model": estimate.model.name, "chip": chip.name, "hypothetical": chip.hypothetical, "fidelity": asked["fidelity"]}
    return write_trace(path, records, about, folds)
