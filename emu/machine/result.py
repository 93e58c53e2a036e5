"""What a run gives: values, cycles, joules and reasons."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from emu import _core
from emu.chip.schema import Chip
from emu.machine.config import STREAMS, period_fs
from emu.machine.detailed import events
from emu.machine.fold import Folding, unfolded
from emu.result import Result, header
from isa import Program

CAUSES = _core.CAUSE_NAMES


class Run(Result):
    """One run of one program on one chip.

    `outputs` maps names to arrays (empty in a timing-only run); `seconds` and `cycles` are the whole run; `counters` the events;
    `labels` the operations in program order with the advance of the critical path; `stalls` per engine stream where its time went,
    summed over the cores, by direct cause, and `stalls_root` by root cause. Each sums to cores x seconds exactly (in femtoseconds).
    """

    def __init__(
        self, program: Program, chip: Chip, raw: dict[str, Any], outputs: dict[str, np.ndarray], fidelity: str, values: bool,
        folding: Folding | None = None, links: Sequence[str] = (),
    ) -> None:
        self.program, self.chip, self.fidelity, self.values = program, chip, fidelity, values
        self.outputs = outputs
        self._raw, self._folding = raw, folding
        self.links: dict[str, int] = {name: count for name, count in zip(links, raw["links"]) if count}
        """Bytes over each link between chips that carried any, flags too."""
        self.end_fs: int = raw["end_fs"]
        self.seconds = self.end_fs / 1e15
        self.cycles = self.end_fs // period_fs(chip)
        self.instructions: int = raw["instructions"]
        simulated = raw["executed"] + raw["skipped"]
        self.skipped_fraction = raw["skipped"] / simulated if simulated else 0.0
        """Of the engine instructions of the simulated cores, those that fast-forward did not run one by one."""

    @cached_property
    def raw(self) -> dict[str, Any]:
        """The core's answer for all cores."""
        return self._raw if self._folding is None else unfolded(self._raw, self._folding)

    @cached_property
    def counters(self) -> dict[str, int]:
        """Event name -> count over the whole run; in `detailed` also the commands to device memory (`dram_...`), which no label owns."""
        totals = [sum(column) for column in zip(*self.raw["counters"])]
        return {**dict(zip(self.raw["names"], totals)), **(events(self.raw["dram"]["commands"]) if "dram" in self.raw else {})}

    @cached_property
    def labels(self) -> list[dict[str, Any]]:
        """Operations: name, seconds (advance of the critical path between the barriers that end them), counters."""
        advance = self.advance_fs()
        names = self.program.labels or [self.program.name]
        return [
            {"name": name, "seconds": advance.get(j, 0) / 1e15, "counters": dict(zip(self.raw["names"], self.raw["counters"][j]))}
            for j, name in enumerate(names)
        ]

    def advance_fs(self) -> dict[int, int]:
        """Label -> femtoseconds by which the critical path advanced under it; the tail after the last barrier goes to the last label."""
        result: dict[int, int] = {}
        before, label = 0, 0
        for time, label, _ in self.raw["releases"]:  # noqa: B007 - the last label is used below
            result[label] = result.get(label, 0) + time - before
            before = time
        result[label] = result.get(label, 0) + self.end_fs - before
        return result

    @cached_property
    def stalls(self) -> dict[str, dict[str, float]]:
        return self._stalls("stalls")

    @cached_property
    def stalls_root(self) -> dict[str, dict[str, float]]:
        return self._stalls("root_stalls")

    def stalls_fs(self, which: str = "stalls") -> dict[tuple[int, str], dict[str, int]]:
        """(core, stream) -> cause -> femtoseconds; each sums to the run's time exactly."""
        return {(core, STREAMS[kind]): dict(zip(CAUSES, row)) for (core, kind), row in self.raw[which].items()}

    def _stalls(self, which: str) -> dict[str, dict[str, float]]:
        table: dict[str, dict[str, int]] = {}
        for (_, kind), row in self.raw[which].items():
            into = table.setdefault(STREAMS[kind], {})
            for cause, fs in zip(CAUSES, row):
                if fs:
                    into[cause] = into.get(cause, 0) + fs
        return {stream: {f"{cause}_s": fs / 1e15 for cause, fs in row.items()} for stream, row in table.items()}

    @cached_property
    def energy_report(self) -> Any:
        """Joules by component (emu.power.EnergyReport), priced when asked for: the run itself counts events only."""
        from emu.power import NORMAL, activity_of, energy

        toggles = self.toggles
        activity = activity_of(self.program, self.counters, NORMAL, toggles) if toggles else None
        return energy(self.chip, self.counters, self.seconds, activity, self.program.chips)

    @property
    def toggles(self) -> dict[str, tuple[int, int]]:
        """Where bits went (operand a of mm, ...) -> (bits that toggled, bits that could have), if the run was made with toggles=True.

        The joules of such a run are those of its own data; of any other run, those of normally distributed data."""
        return dict(self._raw.get("toggles", {}))

    @property
    def energy(self) -> dict[str, float]:
        """Component -> joules; sums to `joules` exactly."""
        return dict(self.energy_report.components)

    @property
    def joules(self) -> float:
        return self.energy_report.joules

    @property
    def watts(self) -> float:
        return self.joules / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """The dict that `--json` prints; keys carry units."""
        return {
            **header("run", self.chip, self.program.digest, self.fidelity),
            "program": self.program.name,
            "cycles": self.cycles,
            "seconds": self.seconds,
            "joules": self.joules,
            "watts": self.watts,
            "counters": self.counters,
            "labels": self.labels,
            "stalls": self.stalls,
            "stalls_root": self.stalls_root,
            "energy": self.energy,
        }

    def trace(self, path: str | Path) -> int:
        """Write a timeline that Perfetto opens; the run must have been made with trace=True. Returns the slices written."""
        from emu.report.trace import write_trace

        records = self.records()
        about = {"chip": self.chip.name, "program": self.program.name, "fidelity": self.fidelity}
        return write_trace(path, records, about, unrecorded=self.instructions - len(records))

    def records(self) -> list[Any]:
        """One TraceRecord per engine instruction, if the run was made with trace=True."""
        from emu.report.trace import TraceRecord

        labels = self.program.labels or [self.program.name]
        names = {s: [self.program.instructions.decode(w).mnemonic for w in words] for s, words in self.program.streams.items()}
        rows = []
        for core, kind, pc, label, start, end in self.raw["records"]:
            stream = STREAMS[kind]
            lines = self.program.lines.get(stream, [])
            where, line = labels[label] if label < len(labels) else "", lines[pc] if pc < len(lines) else ""
            rows.append(TraceRecord(core, stream, start, end, names[stream][pc], where, line))
        return rows

    def __repr__(self) -> str:
        return f"<Run {self.program.name} on {self.chip.name}: {self.cycles} cycles, {self.seconds:.6g} s>"
