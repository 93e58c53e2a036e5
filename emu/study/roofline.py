"""Every operation of an estimate beside the chip's roofline: what it does, and what compute and memory would let it do.

Intensity is useful FLOP over compulsory bytes (those that must cross the device memory's pins in a whole pass: weights, earlier keys and
values), so an operation whose operands are all on the chip has none: only compute bounds it. The roof is min(peak of the operation's
format, intensity x peak bandwidth), both at full clock: what the power cap takes shows as distance from it.

An operation's time is the advance of the critical path under it. Weights fetched while another one ran make it shorter than its own bytes
would allow: its `roof_share` may be above 1. A whole phase's never is, and its row (`name` null) stands last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emu.chip.schema import Chip
from emu.result import Result, header
from emu.study.bound import op_format
from emu.study.result import assumed

if TYPE_CHECKING:
    from emu.study.estimate import Estimate
    from emu.study.phase import Phase


class Roofline(Result):
    """Result of `roofline`: `rows`, one a phase and operation, and the peaks they are measured against."""

    def __init__(self, estimate: Estimate) -> None:
        self.estimate = estimate
        self.rows = [row for name, phase in estimate.phases.items() for row in _rows(name, phase)]

    def to_dict(self) -> dict[str, Any]:
        e = self.estimate
        formats = dict.fromkeys(row["format"] for row in self.rows if row["flops"])
        return {
            **header("roofline", e.chip, None, e.asked["fidelity"], e.asked["stack"], e.asked["seed"]),
            "model": e.model.name,
            **{key: e.asked[key] for key in ("chips", "batch", "prompt", "generate", "dtype", "kv_dtype", "data")},
            "bandwidth_bytes_per_s": e.chip.hbm.bandwidth_bytes_per_s,
            "peak_flops_per_s": {fmt: e.chip.peak_flops(fmt) for fmt in formats},
            "rows": self.rows,
            "assumed": assumed(e.chip),
        }


def roofline(estimate: Estimate) -> Roofline:
    """See Estimate.roofline."""
    return Roofline(estimate)


def _rows(name: str, phase: Phase) -> list[dict[str, Any]]:
    chip = phase.chip
    ops = {op.name: op for op, _ in phase.graph.ops()}
    rows = []
    for row in phase.ops():
        op = ops[row["name"]]
        flops, moved = (_total(phase, op.name, what) for what in ("flops", "compulsory_bytes"))
        who = {"phase": name, "name": op.name, "kind": op.kind, "format": op_format(op, phase.graph), "share": row["share"]}
        rows.append(who | _against(chip, who["format"], flops, moved, row["seconds"]))
    whole = {"phase": name, "name": None, "kind": None, "format": phase.graph.dtype, "share": 1.0}
    moved = sum(p.weight * p.sample.graph.compulsory_bytes for p in phase.passes)  # of norms that run inside a gemm, too
    total = _against(chip, phase.graph.dtype, phase.flops, moved, phase.seconds)
    return [*rows, whole | total | {"roof_share": phase.bound_s / phase.seconds}]


def _against(chip: Chip, fmt: str, flops: float, moved: float, seconds: float) -> dict[str, Any]:
    """Work done in so many seconds beside what the chip could do."""
    peak, bandwidth = chip.peak_flops(fmt) if flops else 0.0, chip.hbm.bandwidth_bytes_per_s
    compute_s, hbm_s = flops / peak if peak else 0.0, moved / bandwidth
    return {
        "seconds": seconds, "flops": flops, "compulsory_bytes": moved, "flops_per_byte": flops / moved if moved else None,
        "flops_per_s": flops / seconds if seconds else 0.0, "bytes_per_s": moved / seconds if seconds else 0.0,
        "roof_flops_per_s": min(peak, flops / moved * bandwidth) if moved else peak,
        "roof_share": max(compute_s, hbm_s) / seconds if seconds else None,
        "bound_by": "none" if not (compute_s or hbm_s) else "compute" if compute_s >= hbm_s else "hbm",
    }  # fmt: skip


def _total(phase: Phase, name: str, what: str) -> float:
    """Of an operation in the whole phase: each pass counts for the passes it stands for."""
    return sum(p.weight * times * getattr(o, what) for p in phase.passes for o, times in p.sample.graph.ops() if o.name == name)
