"""Programs that ask a chip's memory questions: what a dependent load waits, what all cores together read, what transfers of a size come to.

Written in assembly, because each is one loop around one instruction; `emu/study/memory.py` runs them and takes the start off."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import isa
from emu.errors import ProgramError
from isa import Program

LINE = 128
"""Bytes from one pointer to the next place: a sector of the machine's caches."""
BLOCK = 4096
MOST_BYTES = (1 << 31) - LINE
"""Pointers are int32."""


def ring(footprint_bytes: int, seed: int = 0) -> NDArray[np.int32]:
    """int32 [footprint_bytes / 4]: at the first word of each line the byte where the next one is. A walk passes every line once and comes
    back to byte 0; blocks of 4 KiB, the grain of the caches' LRU in `fast`, come in random order, and so do the lines of each."""
    rng, per = np.random.default_rng(seed), BLOCK // LINE
    lines = footprint_bytes // LINE
    blocks = -(-lines // per)
    first = np.concatenate([[0], 1 + rng.permutation(blocks - 1)]).astype(np.int64) * per
    order = (first[:, None] + rng.permuted(np.tile(np.arange(per), (blocks, 1)), axis=1)).reshape(-1)
    order = order[order < lines]
    words = np.zeros(lines * LINE // 4, np.int32)
    words[order * (LINE // 4)] = np.roll(order, -1) * LINE
    return words


def chase(footprint_bytes: int, hops: int) -> Program:
    """One core follows pointers: each load's address is what the one before brought. Input `ring` (see `ring`)."""
    if not LINE <= footprint_bytes <= MOST_BYTES or footprint_bytes % LINE:
        raise ProgramError(f"chase: a footprint is {LINE} B to {MOST_BYTES} B in whole lines of {LINE} B; not {footprint_bytes}")
    return isa.assemble(f"""
.program chase
.cores 1
.buffer ring hbm 0x0 {footprint_bytes} index int32 {footprint_bytes // 4}
.stream ld0
        loop {hops}, done
        lds r1, r1, 0
done:
        halt
""")


def sweep(cores: int, tile_bytes: int, tiles: int, each: int) -> Program:
    """Every core reads `each` of `tiles` tiles, which lie behind one another: core c begins with tile c and goes on by as many as there are
    cores, round and round. Where `tiles` is no multiple of `cores` another core reads a tile each time round."""
    size, step = tiles * tile_bytes, cores * tile_bytes % (tiles * tile_bytes)
    starts = ",".join(str(c % tiles * tile_bytes) for c in range(cores))
    return isa.assemble(f"""
.program sweep
.cores {cores}
.buffer x hbm 0x0 {size} in int8 {size}
.buffer t sram 0x0 {tile_bytes} temp
.param 0 {starts}
.stream ld0
        ldp r1, 0
        dset d0.space, sram
        dset d0.fmt, int8
        dset d0.n0, {tile_bytes}
        dset d1.fmt, int8
        dset d1.ring_lo, 0
        dset d1.ring_size, {size}
        dset d1.ring_step, {step}
        dsetr d1.base, r1, 0
        loop {each}, done
        dma d0, d1
        dnext d1
done:
        halt
""")


def window(cores: int, tile_bytes: int, depth: int, each: int) -> Program:
    """Every core reads tiles of its own that nothing holds, `depth` of them under way: one is asked for when the oldest has come."""
    if depth * tile_bytes * cores * each > 1 << 34:
        raise ProgramError("window: more than 16 GiB would be read; take fewer tiles")
    size = cores * each * tile_bytes
    return isa.assemble(f"""
.program window
.cores {cores}
.buffer x hbm 0x0 {size} in int8 {size}
.buffer t sram 0x0 {depth * tile_bytes} temp
.sem 1 full 0
.sem 2 free {depth}
.param 0 {",".join(str(c * tile_bytes) for c in range(cores))}
.stream ld0
        ldp r1, 0
        dset d0.space, sram
        dset d0.fmt, int8
        dset d0.n0, {tile_bytes}
        dset d0.ring_lo, 0
        dset d0.ring_size, {depth * tile_bytes}
        dset d0.ring_step, {tile_bytes if depth > 1 else 0}
        dset d1.fmt, int8
        dsetr d1.base, r1, 0
        loop {each}, done
        dma d0, d1 wait=free signal=full
        dnext d0
        dadd d1.base, {cores * tile_bytes}
done:
        halt
.stream mm
        loop {each}, end
        wait full, 1
        signal free, 1
end:
        halt
""")


def partitions(rows: int, row_bytes: int, pitch_bytes: int, each: int) -> Program:
    """One core reads blocks of `rows` rows into rows of its scratchpad that lie `pitch_bytes` apart, `each` times; the first transfer
    begins when a vector instruction has ended."""
    size = each * rows * row_bytes
    return isa.assemble(f"""
.program partitions
.cores 1
.buffer x hbm 0x0 {size} in int8 {size}
.buffer t sram 0x0 {rows * pitch_bytes} temp
.buffer z acc 0x0 4 temp
.sem 1 go 0
.stream vec
        dset d1.space, acc
        vfill d1, d2 signal=go
        halt
.stream ld0
        dset d0.space, sram
        dset d0.fmt, int8
        dset d0.n0, {row_bytes}
        dset d0.n1, {rows}
        dset d0.s1, {pitch_bytes}
        dset d1.fmt, int8
        dset d1.s1, {row_bytes}
        wait go, 1
        loop {each}, done
        dma d0, d1
        dadd d1.base, {rows * row_bytes}
done:
        halt
""")
