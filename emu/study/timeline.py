"""The timeline of an estimate: the first pass of each phase, one after another, a few layers of each, one marked as repeating."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emu.report.trace import Counter, Fold, TraceRecord

if TYPE_CHECKING:
    from emu.study.estimate import Estimate
    from emu.study.sample import Sample

GAP_FS = 10**9
"""Between two phases, so that the eye finds the seam."""
SHOWN = 4
"""Layers drawn: all of a large model would fill the file with repeats."""


@dataclass
class Timeline:
    """What happened when: instructions, stretches that stand for others, bandwidth and watts, and where each phase lies."""

    about: dict[str, Any]
    records: list[TraceRecord] = field(default_factory=list)
    folds: list[Fold] = field(default_factory=list)
    counters: list[Counter] = field(default_factory=list)
    phases: list[tuple[str, int, int]] = field(default_factory=list)
    """Name, first and last femtosecond."""
    layers: list[tuple[str, int, int, int]] = field(default_factory=list)
    """Phase, number, first and last femtosecond of the layers that were drawn."""
    unrecorded: int = 0

    @property
    def core(self) -> int:
        """The core that is shown where one stands for all: that with the most operations, the first of equals."""
        ops: dict[int, set[str]] = {}
        for r in self.records:
            ops.setdefault(r.core, set()).add(r.op_name)
        return min(ops, key=lambda core: (-len(ops[core]), core), default=0)


def recorded(estimate: Estimate) -> Timeline:
    """Run a few layers of each phase again, every instruction recorded."""
    from emu.study.counters import counters_of
    from emu.study.sample import layer_end_fs, simulate

    asked, chip, offset = estimate.asked, estimate.chip, 0
    found = Timeline({"model": estimate.model.name, "chip": chip.name, "hypothetical": chip.hypothetical, "fidelity": asked["fidelity"]})
    for name, phase in estimate.phases.items():
        s = phase.passes[0].sample
        layers = min(SHOWN, s.graph.layers)
        _, run = simulate(estimate.model, s.graph, phase.ran, s.lowered.tilings, layers, asked["fidelity"], asked["seed"], trace=True)
        records = run.records()
        found.unrecorded += run.instructions - len(records)
        found.records += _placed(records, s, name, offset)
        if run.instructions == len(records):  # of half a run the means would be wrong
            found.counters = _joined(found.counters, counters_of(run, records, asked["kinds"], offset))
        ends = [offset + layer_end_fs(s, run, layer) for layer in range(layers)]
        found.layers += [(name, layer, a, b) for layer, (a, b) in enumerate(zip([offset, *ends], ends))]
        left = s.graph.layers - layers
        if left:
            title = f"{name}: layer {SHOWN // 2} stands for {left} more"
            found.folds.append(Fold(title, ends[SHOWN // 2 - 1], ends[SHOWN // 2], left + 1))
        found.phases.append((name, offset, offset + run.end_fs))
        offset += run.end_fs + GAP_FS
    return found


def _placed(records: Sequence[TraceRecord], s: Sample, phase: str, offset: int) -> list[TraceRecord]:
    """The records with phase and layer: on each stream an operation of a layer comes once in every layer, in order."""
    in_layer = {op.name for op in s.graph.layer}
    seen: dict[tuple[int, str], tuple[str, dict[str, int]]] = {}
    found = []
    for r in records:
        before, times = seen.get((r.core, r.stream), ("", {}))
        if r.op_name != before:
            times[r.op_name] = times.get(r.op_name, -1) + 1
            seen[r.core, r.stream] = r.op_name, times
        layer = times[r.op_name] if r.op_name in in_layer else None
        op = f"{phase}: {r.op_name}"
        found.append(r._replace(start_fs=r.start_fs + offset, end_fs=r.end_fs + offset, op_name=op, layer=layer))
    return found


def _joined(before: list[Counter], after: list[Counter]) -> list[Counter]:
    return [Counter(a.name, [*b.points, *a.points]) for b, a in zip(before, after)] if before else after


def write(estimate: Estimate, path: str | Path) -> int:
    """See Estimate.trace."""
    from emu.report.trace import write_trace

    t = recorded(estimate)
    return write_trace(path, t.records, t.about, t.folds, unrecorded=t.unrecorded, counters=t.counters)
