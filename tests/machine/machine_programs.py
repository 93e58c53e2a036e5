"""Small programs that go wrong, or that take long, for the tests of this folder."""

from __future__ import annotations

import isa

HEAD = """
.program small
.cores 2
.buffer x hbm 0x0 4096 in bf16 2048
.buffer y hbm 0x1000 4096 out bf16 2048
.buffer s sram 0x0 8192 temp
.buffer a acc 0x0 8192 temp
.sem 1 full 0
.sem 2 free 1
"""


def program(streams: str, head: str = HEAD) -> isa.Program:
    return isa.assemble(head + streams)


def ld(body: str, head: str = HEAD) -> isa.Program:
    """One load stream: d0 in sram, d1 in hbm, both bf16."""
    return program(f".stream ld0\n dset d0.space, sram\n dset d0.fmt, bf16\n dset d1.fmt, bf16\n{body}\n halt\n", head)


def mm(body: str, head: str = HEAD) -> isa.Program:
    """The matrix stream with bf16 operands of 8 x 8; their bytes are loaded before."""
    return program(
        f""".sem 3 there 0
.stream ld0
        dset d0.space, sram
        dset d0.n0, 1024
        dma d0, d1
        signal there, 1
        halt
.stream mm
        wait there, 1
        dset d0.space, acc
        dset d0.n0, 8
        dset d0.n1, 8
        dset d0.s1, 32
        dset d1.space, sram
        dset d1.fmt, bf16
        dset d1.n0, 8
        dset d1.n1, 8
        dset d1.s1, 16
        dset d2.space, sram
        dset d2.fmt, bf16
        dset d2.n0, 8
        dset d2.n1, 8
        dset d2.s1, 16
{body}
        mm d0, d1, d2
        halt
""",
        head,
    )
