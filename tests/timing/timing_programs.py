"""Small programs with chosen sizes, so that every time in them can be worked out by hand."""

from __future__ import annotations

import isa


def loads(sizes: list[int], cores: int = 4, repeat: int = 1) -> isa.Program:
    """Each core c loads sizes[c] bytes `repeat` times on ld0."""
    return isa.assemble(f"""
.program loads
.cores {cores}
.buffer x hbm 0x0 {max(sizes) * cores} in int8 {max(sizes) * cores}
.buffer t sram 0x0 65536 temp
.param 0 {",".join(str(s) for s in sizes)}
.param 1 {",".join(str(max(sizes) * c) for c in range(cores))}
.stream ld0
        ldp r1, 0
        ldp r2, 1
        dset d0.space, sram
        dset d0.fmt, int8
        dset d1.fmt, int8
        dsetr d0.n0, r1, 0
        dsetr d1.base, r2, 0
        loop {repeat}, done
        dma d0, d1
done:
        halt
""")


def pipeline(tiles: int, width: int, depth: int, rows: int, reps: int, cores: int = 2, vec: str = "vexp") -> isa.Program:
    """ld0 -> mm -> vec -> st0 over `tiles` tiles of 8 x 8*reps, with rings of `depth` slots; core c does tiles + c of them."""
    slot_a, slot_c = rows * 8 * reps * 2, rows * width * 4
    return isa.assemble(f"""
.program pipeline
.cores {cores}
.buffer x hbm 0x0 {(tiles + cores) * slot_a} in bf16 {(tiles + cores) * slot_a // 2}
.buffer w hbm 0x100000 {8 * reps * width * 2} in bf16 {8 * reps * width}
.buffer y hbm 0x200000 {cores * (tiles + cores) * slot_c} out fp32 {cores * (tiles + cores) * slot_c // 4}
.buffer at sram 0x0 {slot_a * depth} temp
.buffer wt sram 0x8000 {8 * reps * width * 2} temp
.buffer ct sram 0xc000 {slot_c * depth} temp
.buffer sum acc 0x0 {slot_c * 2} temp
.sem 1 a_full 0
.sem 2 a_free {depth}
.sem 3 c_full 0
.sem 4 c_free 2
.sem 5 y_full 0
.sem 6 y_free {depth}
.sem 7 w_full 0
.barrier 0 ld0,mm,vec,st0
.label 0 body
.label 1 tail
.param 0 {",".join(str(tiles + c) for c in range(cores))}
.param 1 {",".join(str(0x200000 + c * (tiles + cores) * slot_c) for c in range(cores))}
.stream ld0
        ldp r1, 0
        dset d0.space, sram
        dset d0.fmt, bf16
        dset d0.base, 0x8000
        dset d0.n0, {8 * reps * width}
        dset d1.fmt, bf16
        dset d1.base, 0x100000
        dma d0, d1 signal=w_full
        dset d0.base, 0
        dset d0.n0, {rows * 8 * reps}
        dset d0.ring_size, {slot_a * depth}
        dset d0.ring_step, {slot_a}
        dset d1.base, 0
        loopr r1, e0
        dma d0, d1 wait=a_free signal=a_full
        dnext d0
        dadd d1.base, {slot_a}
e0:
        bar 0
        halt
.stream mm
        ldp r1, 0
        dset d0.space, acc
        dset d0.fmt, fp32
        dset d0.n0, {width}
        dset d0.n1, {rows}
        dset d0.s1, {width * 4}
        dset d0.n2, {reps}
        dset d0.ring_size, {slot_c * 2}
        dset d0.ring_step, {slot_c}
        dset d1.space, sram
        dset d1.fmt, bf16
        dset d1.n0, 8
        dset d1.n1, {rows}
        dset d1.s1, {8 * reps * 2}
        dset d1.s2, 16
        dset d1.ring_size, {slot_a * depth}
        dset d1.ring_step, {slot_a}
        dset d2.space, sram
        dset d2.fmt, bf16
        dset d2.base, 0x8000
        dset d2.n0, {width}
        dset d2.n1, 8
        dset d2.s1, {width * 2}
        dset d2.s2, {8 * width * 2}
        wait w_full, 1
        loopr r1, e1
        wait c_free, 1
        mm d0, d1, d2 wait=a_full signal=c_full
        signal a_free, 1
        dnext d0
        dnext d1
e1:
        bar 0
        halt
.stream vec
        ldp r1, 0
        dset d0.space, sram
        dset d0.fmt, fp32
        dset d0.base, 0xc000
        dset d0.ring_lo, 0xc000
        dset d0.n0, {rows * width}
        dset d0.ring_size, {slot_c * depth}
        dset d0.ring_step, {slot_c}
        dset d1.space, acc
        dset d1.fmt, fp32
        dset d1.ring_size, {slot_c * 2}
        dset d1.ring_step, {slot_c}
        loopr r1, e2
        wait y_free, 1
        {vec} d0, d1 wait=c_full signal=y_full
        signal c_free, 1
        dnext d0
        dnext d1
e2:
        bar 0
        halt
.stream st0
        ldp r1, 0
        ldp r2, 1
        dset d0.fmt, fp32
        dset d0.n0, {rows * width}
        dsetr d0.base, r2, 0
        dset d1.space, sram
        dset d1.fmt, fp32
        dset d1.base, 0xc000
        dset d1.ring_lo, 0xc000
        dset d1.ring_size, {slot_c * depth}
        dset d1.ring_step, {slot_c}
        loopr r1, e3
        dma d0, d1 wait=y_full signal=y_free
        dnext d1
        dadd d0.base, {slot_c}
e3:
        label 1
        bar 0
        halt
""")
