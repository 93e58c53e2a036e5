"""Small programs for the interpreter."""

from __future__ import annotations

import numpy as np

import isa
from isa.oracle import run


def program(text: str, header: str = "") -> isa.Program:
    return isa.assemble(f".program t\n{header}\n{text}")


def outcome(text: str, header: str = "", inputs: dict[str, np.ndarray] | None = None, **options) -> dict[str, np.ndarray]:
    return run(program(text, header), inputs or {}, **options)


# Loads 64 rows of 16 fp32, two at a time through two slots, doubles each and stores it.
PIPELINE = """
.program pipeline
.buffer x hbm 0 4096 in fp32 64x16
.buffer y hbm 4096 4096 out fp32 64x16
.buffer a sram 0 256 temp
.buffer b sram 256 256 temp
.sem 1 a_full 0
.sem 2 a_free 2
.sem 3 b_full 0
.sem 4 b_free 2
.stream ld0
        dset d0.space, sram
        dset d0.n0, 32
        dset d0.ring_size, 256
        dset d0.ring_step, 128
        loop 32, end
        dma d0, d1 wait=a_free signal=a_full
        dnext d0
        dadd d1.base, 128
end:
        halt
.stream vec
        dset d0.space, sram
        dset d0.base, 256
        dset d0.n0, 32
        dset d0.ring_lo, 256
        dset d0.ring_size, 256
        dset d0.ring_step, 128
        dset d1.space, sram
        dset d1.ring_size, 256
        dset d1.ring_step, 128
        dset d2.scalar, 0x40000000
        loop 32, end
        wait a_full, 1
        vmul d0, d1, d2 imm wait=b_free signal=b_full
        signal a_free, 1
        dnext d0
        dnext d1
end:
        halt
.stream st0
        dset d1.space, sram
        dset d1.base, 256
        dset d1.ring_lo, 256
        dset d1.ring_size, 256
        dset d1.ring_step, 128
        dset d0.base, 4096
        dset d0.n0, 32
        loop 32, end
        dma d0, d1 wait=b_full signal=b_free
        dadd d0.base, 128
        dnext d1
end:
        halt
"""

# Each of two cores puts its number into the other's sram; both meet; each stores what it found.
EXCHANGE = """
.program exchange
.cores 2
.buffer x hbm 0 8 in int32 2
.buffer y hbm 64 8 out int32 2
.buffer mine sram 0 4 temp
.buffer theirs sram 4 4 temp
.barrier 0 ld0,st0
.param 0 0,4
.param 1 1,0
.stream ld0
        dset d0.space, sram
        dset d0.fmt, int32
        dset d1.fmt, int32
        ldp r1, 0
        dsetr d1.base, r1, 0
        dma d0, d1
        fence
        dset d1.space, sram
        dset d1.base, 0
        dset d0.space, peer
        dset d0.base, 4
        ldp r2, 1
        dsetr d0.core, r2, 0
        dma d0, d1
        bar 0
        halt
.stream st0
        bar 0
        dset d1.space, sram
        dset d1.base, 4
        dset d1.fmt, int32
        dset d0.fmt, int32
        ldp r1, 0
        dsetr d0.base, r1, 64
        dma d0, d1
        halt
"""
