"""A phase of inference (prefill, decode, encode) as the report shows it, made from one or several passes with weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from emu.chip.schema import Chip
from emu.machine.config import period_fs
from emu.models import Gemm, Graph, Op
from emu.power import NORMAL, Data, Settled, activity_of, energy
from emu.study.bound import op_bound, pass_bound, prefetched_bytes
from emu.study.result import largest_stall
from emu.study.sample import MERGE, Sample

ENGINES = ("mm", "vec", "ld0", "ld1", "st0")


@dataclass(frozen=True)
class Weighted:
    """A pass and how many passes of the phase it stands for (a fraction between two knots)."""

    sample: Sample
    weight: float


class Phase:
    """The phase's seconds, joules, watts, utilisation and operations. `passes` weights sum to the number of passes in it.

    `chip` is the one that was asked for, which bounds and utilisation refer to; the passes ran on it at one clock."""

    def __init__(self, chip: Chip, passes: Sequence[Weighted], knots: Sequence[dict[str, Any]] = (), data: Data = NORMAL) -> None:
        self.chip, self.passes, self.knots = chip, list(passes), list(knots)
        self.ran = self.passes[0].sample.run.chip
        self.count = round(sum(p.weight for p in passes))
        self.seconds = sum(p.weight * p.sample.fs for p in passes) / 1e15
        self.counters = self._counters()
        self.energy = energy(self.ran, self.counters, self.seconds, activity_of(self.passes[0].sample.run.program, self.counters, data))
        clock = self.ran.core.clock_hz
        self.settled: Settled[Phase] = Settled(self, clock, clock, "locked", None, self.seconds)

    def _counters(self) -> dict[str, int]:
        names = self.passes[0].sample.counters
        return {name: round(sum(p.weight * p.sample.counters[name] for p in self.passes)) for name in names}

    @property
    def watts(self) -> float:
        """Mean over the phase: what the power cap holds."""
        return self.energy.watts

    @property
    def graph(self) -> Graph:
        return self.passes[0].sample.graph

    def _mean(self, value: Any) -> float:
        return sum(p.weight * value(p.sample) for p in self.passes)

    @property
    def flops(self) -> float:
        return self._mean(lambda s: s.graph.flops)

    @property
    def mfu(self) -> float:
        return self.flops / self.seconds / self.chip.peak_flops(self.graph.dtype)

    @property
    def mbu(self) -> float:
        return self._mean(lambda s: s.graph.compulsory_bytes) / self.seconds / self.chip.hbm.bandwidth_bytes_per_s

    @property
    def bound_s(self) -> float:
        return self._mean(lambda s: pass_bound(s.graph, self.chip).seconds)

    @property
    def bound_by(self) -> str:
        return pass_bound(self.graph, self.chip).by

    @property
    def stall_shares(self) -> dict[str, dict[str, float]]:
        """Engine stream -> where its time went, by direct cause, as shares of the pass that was run last, over all cores."""
        table: dict[str, dict[str, int]] = {}
        for streams in self.passes[-1].sample.op_stalls.values():
            for stream, causes in streams.items():
                row = table.setdefault(stream, {})
                for cause, fs in causes.items():
                    row[cause] = row.get(cause, 0) + fs
        order = sorted(table, key=lambda name: (ENGINES.index(name) if name in ENGINES else len(ENGINES), name))
        return {name: {cause: fs / sum(table[name].values()) for cause, fs in table[name].items()} for name in order}

    def ops(self) -> list[dict[str, Any]]:
        """One row per kind of operation, in program order; seconds sum to the phase's."""
        rows = []
        labels = self.passes[0].sample.lowered.program.labels
        for op, times in self.graph.ops():
            if op.name not in labels:
                continue  # a norm that runs inside the gemm behind it
            names = [op.name] + [n for n in (op.name + MERGE,) if n in self.passes[0].sample.op_fs]
            seconds = sum(self._mean(lambda s, n=n: s.op_fs.get(n, 0)) for n in names) / 1e15
            rows.append(self._row(op, times, seconds))
        return rows

    def _row(self, op: Op, times: int, seconds: float) -> dict[str, Any]:
        ahead = prefetched_bytes(self.chip, self.graph) if isinstance(op, Gemm) else 0
        bounds = [
            (p.weight, op_bound(o, p.sample.graph, self.chip, times, ahead))
            for p in self.passes for o, _ in p.sample.graph.ops() if o.name == op.name
        ]
        bound_s = sum(w * b.seconds for w, b in bounds)
        stalls = self.passes[-1].sample.op_stalls.get(op.name, {})
        busiest = max(ENGINES, key=lambda e: (stalls.get(e, {}).get("busy", 0), -ENGINES.index(e)))
        stall, share = largest_stall(stalls, busiest)
        return {
            "name": op.name,
            "kind": op.kind,
            "count": times * self.count,
            "seconds": seconds,
            "share": seconds / self.seconds,
            "bound_by": bounds[0][1].by if bound_s else "none",
            "bound_s": bound_s,
            "ratio": seconds / bound_s if bound_s else None,
            "largest_stall": stall,
            "largest_stall_share": share,
        }

    def to_dict(self) -> dict[str, Any]:
        period = self.passes[-1].sample.period_fs
        return {
            "seconds": self.seconds,
            "cycles": round(self.seconds * 1e15) // period_fs(self.ran),
            "watts": self.watts,
            **self.settled.to_dict(),
            "joules": self.energy.joules,
            "mfu": self.mfu,
            "mbu": self.mbu,
            "bound_s": self.bound_s,
            "bound_by": self.bound_by,
            "above_tdp": bool(self.energy.above_tdp),
            "energy": dict(self.energy.components),
            "counters": self.counters,
            "stall_shares": self.stall_shares,
            "ops": self.ops(),
            "layer_period_s": None if period is None else period / 1e15,
            "layers_run": self.passes[-1].sample.layers_run,
            "knots": self.knots,
            "skipped_fraction": self.passes[-1].sample.run.skipped_fraction,
        }
