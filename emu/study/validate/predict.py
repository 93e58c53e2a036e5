"""What the machine says of a measured row: the operation run as the measured stack runs it."""

from __future__ import annotations

import time
from collections.abc import Callable

from emu.errors import EmuError
from emu.power.supply import at_clock
from emu.study import memory
from emu.study.collective import collective
from emu.study.op import OpResult, attention, gemm
from emu.study.validate.instruction import clocks
from emu.study.validate.mechanisms import Setting
from emu.study.validate.rows import Row, spans
from emu.study.validate.statistics import Outcome


def _gemm(row: Row, how: Setting) -> OpResult:
    m, n, k = (row.whole(a) for a in "mnk")
    return gemm(how.chip(row.chip), m, n, k, dtype=str(row["dtype"]), stack=how.stack, operands=how.operands)


def _attention(row: Row, how: Setting) -> OpResult:
    """A prompt of one token is a decode step. An fp8 cache is read with fp8 queries."""
    queries, keys = spans(row)
    return attention(
        how.chip(row.chip), phase="decode" if queries == 1 else "prefill", batch=row.whole("batch"), q_heads=row.whole("q_heads"),
        kv_heads=row.whole("kv_heads"), head_dim=row.whole("head_dim"), q_len=queries, kv_len=keys, dtype=str(row["dtype"]),
        kv_dtype=str(row["kv_dtype"]), stack=how.stack, operands=how.operands,
    )  # fmt: skip


def _collective(row: Row, how: Setting) -> OpResult:
    """Sums of fp16; the others move bytes of any kind."""
    chip, op, size, chips = how.chip(row.chip), str(row["op"]), row.whole("bytes"), row.whole("chips")
    return collective(chip, op, size, chips, stack=how.stack, dtype="fp16")


def _board_watts(r: OpResult) -> float:
    """What the sampling of a board sees of a kernel replayed for a second: after each one the stack launches the next, and meanwhile only
    static watts are drawn."""
    pause = r.chip.stack[r.stack].launch_s
    return (r.joules + r.energy_report.static_w * pause) / (r.seconds + pause)


def _probe(row: Row, how: Setting) -> tuple[float, str]:
    """A memory's answer at the clock of the measurement; the bare machine, whatever the stack."""
    chip = at_clock(how.chip(row.chip), round(float(row["clock_mhz"]) * 1e6))
    return memory.PROBES[str(row["probe"])](chip, row.whole("bytes")), ""


def _instruction(row: Row, how: Setting) -> tuple[float, str]:
    """Clocks of one instruction on the bare machine, whatever the stack."""
    m, n, k = (row.whole(a) for a in "mnk")
    return clocks(how.chip(row.chip), m, n, k, str(row["dtype"]), str(row["a_space"]), str(row["quantity"])), ""


def _op(run: Callable[[Row, Setting], OpResult], read: Callable[[OpResult], float]) -> Callable[[Row, Setting], tuple[float, str]]:
    def answer(row: Row, how: Setting) -> tuple[float, str]:
        result = run(row, how)
        return read(result), _mapped(result)

    return answer


RUN: dict[str, Callable[[Row, Setting], tuple[float, str]]] = {
    "gemm": _op(_gemm, lambda r: r.seconds), "attention": _op(_attention, lambda r: r.seconds), "power": _op(_gemm, _board_watts),
    "collective": _op(_collective, lambda r: r.seconds), "memory-time": _probe, "memory-rate": _probe, "instruction": _instruction,
}  # fmt: skip
"""Of each kind of row: what is predicted, and how it came about."""


def predict(task: tuple[Row, Setting]) -> Outcome:
    """The row's outcome; whatever goes wrong with it is said in it and counts as 100 % error."""
    row, how = task
    start = time.process_time()
    try:
        value, detail = RUN[row.kind](row, how)
    except EmuError as error:
        return Outcome(row, 0.0, cpu_s=time.process_time() - start, failure=str(error).split("\n")[0][:300])
    except (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError) as error:  # a bug; other rows go on
        return Outcome(row, 0.0, cpu_s=time.process_time() - start, failure=f"{type(error).__name__}: {error}"[:300])
    return Outcome(row, value, detail, time.process_time() - start)


def _mapped(result: OpResult) -> str:
    """What binds, and how the operation was mapped."""
    m = result.mapping
    if "algorithm" in m:
        return f"{m['algorithm']}, {m['protocol']}, {m['cores']} cores"
    tile = "x".join(str(m[name]) for name in ("tile_m", "tile_n", "tile_k", "tile_q", "tile_kv") if name in m)
    split = next((f", split {m[name]}" for name in ("split_k", "split_kv") if m.get(name, 1) > 1), "")
    return f"{result.bound.by}, tile {tile}{split}"
