"""One operation by itself: the steady state of the kernel, mapped as it would be in a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

from emu.chip.schema import Chip
from emu.errors import UnsupportedError, did_you_mean
from emu.kernels.gemm import GemmTiling
from emu.machine import Machine, Run, timed
from emu.mapper import choose_gemm
from emu.mapper.area import Area, divide
from emu.mapper.choose import choose_attention, gemm_image
from emu.mapper.formats import check_scheme
from emu.mapper.gemm import GemmShape
from emu.mapper.library import library_gemm
from emu.mapper.library_attention import Call, library_attention
from emu.mapper.lower import lower
from emu.models import Attention, Graph, Tensor
from emu.models.graph import format_of
from emu.models.schemes import scheme_of
from emu.power import NORMAL, Data, EnergyReport, Settled, activity_of, at_clock, energy, expected_watts, settle
from emu.result import Result, header
from emu.study.bound import Bound, cached_bytes, gemm_bound, op_bound, operand_bytes
from emu.study.result import assumed, check_formats

OPERANDS = {"cold": {}, "warm": {"gemm": ("x", "y"), "attention": ("q", "k", "v", "k_cache", "v_cache", "heads")}}
"""What lies in the last-level cache when an operation begins: nothing, or what its last replay left of the buffers that it uses again."""
FEW_SLOTS = 4
"""Of the weight ring of a gemm by itself: enough where it is bound by its arithmetic, and most of the scratchpad stays free."""


class OpResult(Result):
    """Seconds, cycles, joules, watts, stalls and energy of one operation, its lower bound and its mapping."""

    def __init__(
        self, op: str, dtype: str, run: Run, bound: Bound, flops: int, hbm_bytes: int, mapping: dict[str, Any], stack: str,
        launch_s: float = 0.0, chip: Chip | None = None, data: Data = NORMAL,
    ) -> None:
        self.chip = chip or run.chip
        """As asked for; `run.chip` is the same at the clock of the run."""
        self.op, self.dtype, self.run, self.bound = op, dtype, run, bound
        self.flops, self.hbm_bytes, self.mapping, self.stack = flops, hbm_bytes, mapping, stack
        self.launch_s, self.data = launch_s, data
        """What the stack's launches add to the run; `cycles` and `stalls` are the run's alone."""
        self.settled: Settled[OpResult] = Settled(self, run.chip.core.clock_hz, self.chip.core.clock_hz, "locked", None, self.seconds)

    @property
    def seconds(self) -> float:
        return self.run.seconds + self.launch_s

    @property
    def cycles(self) -> int:
        return self.run.cycles

    @cached_property
    def energy_report(self) -> EnergyReport:
        """Events of the run, static watts over launches too: the mean of the kernel repeated without end."""
        activity = activity_of(self.run.program, self.run.counters, self.data)
        return energy(self.run.chip, self.run.counters, self.seconds, activity, self.run.program.chips)

    @property
    def joules(self) -> float:
        return self.energy_report.joules

    @property
    def watts(self) -> float:
        return self.energy_report.watts

    @property
    def bound_s(self) -> float:
        return self.bound.seconds

    @property
    def ratio(self) -> float:
        """Seconds over the lower bound."""
        return self.seconds / self.bound_s

    @property
    def stalls(self) -> dict[str, dict[str, float]]:
        return self.run.stalls

    @property
    def energy(self) -> dict[str, float]:
        return dict(self.energy_report.components)

    @property
    def mfu(self) -> float:
        return self.flops / self.seconds / self.chip.peak_flops(scheme_of(self.dtype).activations.fmt)

    @property
    def mbu(self) -> float:
        return self.hbm_bytes / self.seconds / self.chip.hbm.bandwidth_bytes_per_s

    @property
    def clock_hz(self) -> int:
        """Core clock of the run."""
        return self.settled.clock_hz

    @property
    def capped(self) -> bool:
        """Whether the power cap lowered the clock."""
        return self.settled.capped

    @property
    def power_stall_s(self) -> float:
        """Time at this clock less time at full clock, where the power cap lowered it."""
        return self.settled.power_stall_s

    def to_dict(self) -> dict[str, Any]:
        chip = self.chip
        return {
            **header("op", chip, self.run.program.digest, self.run.fidelity, self.stack, 0),
            "op": self.op,
            "dtype": self.dtype,
            "data": self.data.text(),
            "seconds": self.seconds,
            "cycles": self.cycles,
            "joules": self.joules,
            "watts": self.watts,
            **self.settled.to_dict(),
            "above_tdp": bool(self.energy_report.above_tdp),
            "bound_s": self.bound_s,
            "bound_by": self.bound.by,
            "ratio": self.ratio,
            "mfu": self.mfu,
            "mbu": self.mbu,
            "stalls": self.stalls,
            "stalls_root": self.run.stalls_root,
            "energy": self.energy,
            "counters": self.run.counters,
            "skipped_fraction": self.run.skipped_fraction,
            "mapping": self.mapping,
            "assumed": assumed(chip),
        }


def _chip(chip: Chip | str, stack: str) -> Chip:
    from emu.chip import chip as preset

    chip = preset(chip) if isinstance(chip, str) else chip
    if stack not in chip.stack:
        raise UnsupportedError(f"{chip.name} has no stack {stack!r}; {did_you_mean(stack, chip.stack)}")
    return chip


def _positive(**sizes: int) -> None:
    for name, value in sizes.items():
        if not isinstance(value, int) or value < 1:
            raise UnsupportedError(f"{name} = {value!r}: expected a whole number of at least 1")


def gemm(
    chip: Chip | str, m: int, n: int, k: int, dtype: str = "bf16", stack: str = "bare", fidelity: str = "fast", *,
    data: str | Mapping[str, str] = "normal", clock: float | str | None = None, regime: str = "steady", operands: str = "cold",
) -> OpResult:
    """y[m, n] = x[m, k] @ w[k, n] on one chip, weights stored as the mapper lays them out, operands in device memory. `dtype` as for
    `estimate`: in formats with scales of blocks both operands have theirs beside them, and y is bf16.

    `operands` "warm": x and y are those of the replay before, so a last-level cache may still hold them; weights are others each time.

    A kernel-per-op stack runs it as a kernel of its library, with a second one where the sum is divided; in 8-bit floats another one before
    it brings x from bf16 into the format (`mapping["quantized"]`). `launch_s`, what launches add, is part of the time.
    It is mapped at full clock and runs at the one that the power cap leaves it (`emu.power.settle`), unless `clock` (Hz, "1.5 GHz", "max")
    locks it or `regime` is "short". `data` is the declared
    class of the operands: zeros, normal or random, for all or as {"activations": ..., "weights": ...} (emu.power.activity)."""
    chip, kinds = _chip(chip, stack), Data.of(data)
    _positive(m=m, n=n, k=k)
    scheme = scheme_of(dtype)
    check_scheme(chip, scheme)
    x, w = scheme.activations, scheme.weights
    area = divide(chip, w.fmt, scales=w.scales)
    padded = -(-n // area.block) * area.block
    shape = GemmShape(
        m, padded, k, x.fmt, scheme.wide, scale=x.factor or w.factor, w_fmt="" if w.fmt == x.fmt else w.fmt, x_scales=x.scales,
        w_scales=w.scales,
    )
    warm = _warm(operands, "gemm")
    run, mapping = _mapped(chip, shape, area, stack, fidelity, warm)
    bound = gemm_bound(chip, m, n, k, (x, w), shape.out_fmt, cached_bytes(chip, operand_bytes(x, m, k)) if warm else 0)
    compulsory = round(bound.hbm_s * chip.hbm.bandwidth_bytes_per_s)
    launch_s: float = mapping.get("launch_s", 0.0)

    def result(run: Run) -> OpResult:
        return OpResult("gemm", dtype, run, bound, 2 * m * n * k, compulsory, mapping, stack, launch_s, chip, kinds)

    return _settled(chip, run, result, clock, regime, warm)


def _warm(operands: str, op: str) -> tuple[str, ...]:
    """Buffers that lie in the cache at first."""
    if operands not in OPERANDS:
        raise UnsupportedError(f"operands {operands!r}; {did_you_mean(str(operands), OPERANDS)}")
    return OPERANDS[operands].get(op, ())


def _settled(
    chip: Chip, run: Run, result: Callable[[Run], OpResult], clock: float | str | None, regime: str, warm: tuple[str, ...]
) -> OpResult:
    """The result at the clock at which the work may run: `run` is the one at full clock, the same program is run at others."""

    def at(hz: int) -> OpResult:
        if hz == chip.core.clock_hz:
            return result(run)
        return result(timed(Machine(at_clock(run.chip, hz), run.fidelity), run.program, warm=warm))

    settled = settle(chip, at, clock, regime, lambda work, hz: expected_watts(work.energy_report, chip, hz))
    found = settled.work
    found.settled = settled
    found.mapping["gap_to_bound"] = found.ratio
    found.mapping["operands"] = "warm" if warm else "cold"
    return found


def _mapped(
    chip: Chip, shape: GemmShape, area: Area, stack: str, fidelity: str, warm: tuple[str, ...]
) -> tuple[Run, dict[str, Any]]:
    """The quickest run of the gemm and how it was mapped: freely, or as the stack's library would."""
    library = chip.stack[stack]
    if library.mode == "whole-layer":
        tiling, tried = choose_gemm(chip, shape, area)
        run, depth = _as_deep_as_helps(Machine(chip, fidelity), shape, area, tiling, warm)
        return run, {**vars(tiling), "depth_w": depth, "candidates_run": tried}
    if shape.x_scales != "none" or shape.w_scales != "none":
        raise UnsupportedError(f"stack {stack!r}: the kernels of its library take no scales of blocks; use stack 'bare'")
    best, run = library_gemm(chip, shape, stack, fidelity, warm)
    extra = {"quantized": True} if best.quantized else {}
    return run, {**vars(best.tiling), **extra, "launch_s": best.launch_s, "candidates_run": 1}


def _as_deep_as_helps(
    machine: Machine, shape: GemmShape, area: Area, tiling: GemmTiling, warm: tuple[str, ...]
) -> tuple[Run, int]:
    """The run with all slots of the weight ring, or with few where these are as quick, and how many slots it takes."""
    depths = (min(FEW_SLOTS, area.slots), area.slots)
    images = {slots: gemm_image(machine.chip, shape, replace(area, slots=slots), tiling) for slots in depths}
    runs = {slots: timed(machine, image, warm=warm) for slots, image in images.items()}
    least = min(run.end_fs for run in runs.values())
    return next((run, slots) for slots, run in runs.items() if run.end_fs == least)


def attention(
    chip: Chip | str, phase: str = "prefill", batch: int = 1, q_heads: int = 32, kv_heads: int = 8, head_dim: int = 128, q_len: int = 512,
    kv_len: int | None = None, dtype: str = "bf16", kv_dtype: str | None = None, stack: str = "bare", fidelity: str = "fast", *,
    data: str | Mapping[str, str] = "normal", clock: float | str | None = None, regime: str = "steady", operands: str = "cold",
) -> OpResult:
    """Causal prefill attention, or one decode step over a cache of kv_len tokens (q_len is then 1). `data` (also
    by kind: activations, kv), `clock`, `regime`, `operands` (all of them, the cache of keys and values too): as for `gemm`.

    A kernel-per-op stack runs the kernels of one call: new keys and values into the cache, the attention, a merge where the cache is split;
    it computes in the cache's format."""
    chip, kinds = _chip(chip, stack), Data.of(data)
    if phase not in ("prefill", "decode"):
        raise UnsupportedError(f"phase {phase!r}: expected prefill or decode")
    q_len = 1 if phase == "decode" else q_len
    kv_len = q_len if kv_len is None else kv_len
    _positive(batch=batch, q_heads=q_heads, kv_heads=kv_heads, head_dim=head_dim, q_len=q_len, kv_len=kv_len)
    if q_heads % kv_heads or kv_len < q_len:
        raise UnsupportedError(f"q_heads {q_heads} must be a multiple of kv_heads {kv_heads}, and kv_len {kv_len} at least q_len {q_len}")
    check_formats(chip, dtype, kv_dtype or dtype)
    graph, op = _attention_graph(phase, batch, q_heads, kv_heads, head_dim, q_len, kv_len, format_of(dtype), format_of(kv_dtype or dtype))
    warm = _warm(operands, "attention")
    run, mapping = _attended(chip, graph, op, stack, fidelity, warm)
    read = op.operand_bytes - graph.tensors[op.output].bytes
    bound = op_bound(op, graph, chip, resident_bytes=cached_bytes(chip, read) if warm else 0)

    def result(run: Run) -> OpResult:
        launch_s: float = mapping.get("launch_s", 0.0)
        return OpResult(f"attention {phase}", dtype, run, bound, op.flops, op.operand_bytes, mapping, stack, launch_s, chip, kinds)

    return _settled(chip, run, result, clock, regime, warm)


def _attended(
    chip: Chip, graph: Graph, op: Attention, stack: str, fidelity: str, warm: tuple[str, ...]
) -> tuple[Run, dict[str, Any]]:
    """The quickest run of the attention and how it was mapped: freely, or as the stack's library would."""
    if chip.stack[stack].mode == "kernel-per-op":
        tiling, run, launch_s, tried = library_attention(chip, Call(op, graph.dtype, graph.kv_dtype), stack, fidelity, warm)
        return run, {**vars(tiling), "launch_s": launch_s, "candidates_run": tried}
    area = divide(chip, graph.dtype, graph.batch * graph.q_len)
    free = choose_attention(chip, graph, op, area)
    return timed(Machine(chip, fidelity), lower(graph, chip, {op.name: free}, 1, "attention").image, warm=warm), dict(vars(free))


def _attention_graph(
    phase: str, batch: int, q_heads: int, kv_heads: int, head_dim: int, q_len: int, kv_len: int, fmt: str, kv_fmt: str
) -> tuple[Graph, Attention]:
    """A graph that is one attention with queries and cache in device memory."""
    rows = batch * q_len
    cache = (batch, kv_heads, kv_len, head_dim)
    tensors = {
        "q": Tensor("q", (rows, q_heads * head_dim), fmt, "kv"),
        "k_cache": Tensor("k_cache", cache, kv_fmt, "kv"),
        "v_cache": Tensor("v_cache", cache, kv_fmt, "kv"),
        "heads": Tensor("heads", (rows, q_heads * head_dim), fmt, "output"),
    }
    sizes = {"k_cache": tensors["k_cache"].bytes, "v_cache": tensors["v_cache"].bytes}
    ends = tensors["q"].bytes + tensors["heads"].bytes
    op = Attention(
        name="attention", phase="decode" if phase == "decode" else "prefill", batch=batch, q_heads=q_heads, kv_heads=kv_heads,
        head_dim=head_dim, q_len=q_len, kv_len=kv_len, causal=True, window=None, scale=head_dim**-0.5,
        q="q", k_cache="k_cache", v_cache="v_cache", output="heads",
        compulsory_bytes=sum(sizes.values()) + ends, operand_bytes=sum(sizes.values()) + ends,
    )  # fmt: skip
    return Graph("attention", phase, batch, q_len, kv_len, fmt, kv_fmt, kv_len, (), (op,), 1, (), tensors, "heads"), op  # type: ignore[arg-type]
