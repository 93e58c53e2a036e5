"""Clocks of one engine instruction, measured as microbenchmarks do: by programs that run it many times over.

The interval is the slope over independent repeats, the latency the slope over repeats of which each waits for the one before. A signal's
own time is set to nothing, as it is in no measured latency."""

from __future__ import annotations

import isa
from emu.chip.schema import Chip
from emu.machine import Machine

FEW, MANY = 8, 40
FORMATS = {"bf16": "bf16", "fp8": "fp8_e4m3", "fp4": "fp4_e2m1", "fp32": "fp32"}

_TEXT = """\
.program instruction
.cores 1
.buffer ah hbm 0x0 {a_bytes} in {fmt} {m}x{k}
.buffer bh hbm 0x400000 {b_bytes} in {fmt} {k}x{n}
.buffer at {space} {a_at} {a_bytes} temp
.buffer bt sram {b_at} {b_bytes} temp
.buffer sum acc 0x0 {acc_bytes} temp
.sem 1 full 0
{semaphore}
.stream ld0
        dset d0.space, {space}
        dset d0.base, at
        dset d0.fmt, {fmt}
        dset d0.n0, {a_count}
        dset d1.base, ah
        dset d1.fmt, {fmt}
        dma d0, d1 signal=full
        dset d2.space, sram
        dset d2.base, bt
        dset d2.fmt, {fmt}
        dset d2.n0, {b_count}
        dset d3.base, bh
        dset d3.fmt, {fmt}
        dma d2, d3 signal=full
        halt
.stream mm
        wait full, 2
        dset d0.space, acc
        dset d0.base, sum
        dset d0.n0, {n}
        dset d0.n1, {m}
        dset d0.s1, {acc_row}
        dset d1.space, {space}
        dset d1.base, at
        dset d1.fmt, {fmt}
        dset d1.n0, {k}
        dset d1.n1, {m}
        dset d1.s1, {a_row}
        dset d2.space, sram
        dset d2.base, bt
        dset d2.fmt, {fmt}
        dset d2.n0, {n}
        dset d2.n1, {k}
        dset d2.s1, {b_row}
        loop {repeats}, done
        mm d0, d1, d2 {chain}
done:
        halt
"""


def program(m: int, n: int, k: int, dtype: str, space: str, repeats: int, dependent: bool) -> isa.Program:
    """`repeats` products [m, k] @ [k, n], a in `space` (sram or acc), each waiting for the one before if `dependent`."""
    fmt = FORMATS[dtype]
    bits = isa.tables.load().formats[fmt].bits
    a_bytes, acc_bytes = m * k * bits // 8, m * n * 4
    values: dict[str, object] = {
        "m": m, "n": n, "k": k, "a_count": m * k, "b_count": k * n, "acc_row": n * 4, "fmt": fmt,
        "space": space, "a_at": 0 if space == "sram" else acc_bytes, "b_at": a_bytes if space == "sram" else 0, "acc_bytes": acc_bytes,
        "a_row": k * bits // 8, "b_row": n * bits // 8, "a_bytes": a_bytes, "b_bytes": k * n * bits // 8, "repeats": repeats,
        "semaphore": ".sem 2 ready 1" if dependent else "", "chain": "wait=ready signal=ready" if dependent else "",
    }
    return isa.assemble(_TEXT.format(**values))



def clocks(chip: Chip, m: int, n: int, k: int, dtype: str, space: str, quantity: str) -> float:
    """Core clocks between two instructions (`interval`), or from one's start to its result (`latency`)."""
    machine = Machine(chip.vary({"sync.semaphore": "0 clk"}))
    took = [machine.run(program(m, n, k, dtype, space, r, quantity == "latency"), values=False).cycles for r in (FEW, MANY)]
    return (took[1] - took[0]) / (MANY - FEW)
