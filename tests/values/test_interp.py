"""The interpreter on small programs: registers, loops, descriptors, semaphores, barriers, transfers, repeats."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from program_support import EXCHANGE, PIPELINE, outcome

import isa
from emu.testing.profile import checked
from isa.oracle import OracleError, run

BF16 = ml_dtypes.bfloat16


def registers(body: str, *names: str, inputs=None, header: str = "") -> list[int]:
    """Registers after scalar code on ld0. No instruction stores a register; each shows as the number of ones copied to its row of y."""
    rows = "".join(f"        dset d0.base, {i * 64}\n        dsetr d0.n0, {name}, 0\n        dma d0, d1\n" for i, name in enumerate(names))
    text = f".stream ld0\n{body}\n        dset d0.fmt, int8\n        dset d1.fmt, int8\n        dset d1.base, 4096\n{rows}        halt\n"
    buffers = f".buffer y hbm 0 {64 * len(names)} out int8 {len(names)}x64\n.buffer x hbm 4096 64 in int8 64\n{header}"
    out = outcome(text, buffers, {"x": np.ones(64, np.int8), **(inputs or {})}, partial_outputs=True)["y"]
    return [int(np.count_nonzero(row)) for row in out]


def test_scalar_instructions():
    body = """
        li r1, 7
        li r2, -3
        add r3, r1, r2
        sub r4, r1, r2
        mul r5, r1, r2
        addi r5, r5, 50
        muli r6, r1, 3
        min r7, r1, r2
        max r8, r1, r2
        mini r9, r1, 5
        maxi r10, r2, 2
        and r11, r1, r6
        or r12, r1, r6
        xor r13, r1, r6
        shli r14, r1, 2
        shri r15, r2, 1
        addi r15, r15, 10
        addi r7, r7, 4
        lih r16, r0, -1
        shri r16, r16, 27
        cid r17
        li r0, 9
        add r18, r0, r0"""
    names = [f"r{i}" for i in (3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)]
    assert registers(body, *names) == [4, 10, 29, 21, 1, 7, 5, 2, 5, 23, 18, 28, 8, 31, 0, 0]


def test_arithmetic_wraps_at_64_bits():
    body = """
        li r1, 1
        shli r1, r1, 63
        addi r2, r1, -1
        shri r3, r2, 60
        shri r4, r1, 63
        addi r4, r4, 2"""
    assert registers(body, "r3", "r4") == [7, 1]


def test_loops_branches_and_parameters():
    body = """
        ldp r9, 0
        loop 3, a
        addi r1, r1, 1
        loopr r1, a
        addi r2, r2, 1
a:
        loop 0, b
        li r2, 60
b:
        beq r1, r2, c
        addi r3, r3, 1
        bne r1, r3, d
c:
        li r3, 50
d:
        blt r1, r2, e
        li r3, 50
e:
        li r4, 1
        ldpx r5, r4, 0
        lds r6, r4, 8191"""
    header = ".param 0 11\n.param 1 22\n.buffer i hbm 8192 8 index int32 2"
    got = registers(body, "r1", "r2", "r3", "r9", "r5", "r6", header=header, inputs={"i": np.array([5, 6], np.int32)})
    assert got == [3, 6, 1, 11, 22, 5]


def test_pipeline_with_rings():
    x = np.random.default_rng(0).standard_normal((64, 16)).astype(np.float32)
    out = run(isa.assemble(PIPELINE), {"x": x})["y"]
    assert np.array_equal(out, x + x)


@checked(40)
@given(seed=st.integers(0, 2**32))
def test_values_do_not_depend_on_the_order_of_engines(seed):
    x = np.arange(64 * 16, dtype=np.float32).reshape(64, 16)
    assert np.array_equal(run(isa.assemble(PIPELINE), {"x": x}, seed=seed)["y"], x + x)
    both = np.array([11, 22], np.int32)
    assert run(isa.assemble(EXCHANGE), {"x": both}, seed=seed)["y"].tolist() == [22, 11]


@pytest.mark.parametrize("removed", ["wait=a_free", "signal=a_full", "wait=b_full", "signal=b_free", "wait a_full, 1", "signal a_free, 1"])
def test_a_removed_semaphore_is_caught(removed):
    """By the loader, as a deadlock, as leftover tokens, or as a read of bytes nobody wrote."""
    text = PIPELINE.replace(removed, "nop" if "," in removed else "")
    with pytest.raises((OracleError, isa.IsaError)):
        for seed in range(6):
            run(isa.assemble(text), {"x": np.zeros((64, 16), np.float32)}, seed=seed)


MM = """
.stream mm
        dset d0.space, acc
        dset d0.n0, 4
        dset d0.n1, 3
        dset d0.n2, 2
        dset d0.s1, 16
        dset d0.s2, {s2}
        dset d0.accumulate, {accumulate}
        dset d1.space, sram
        dset d1.fmt, bf16
        dset d1.n0, 5
        dset d1.n1, 3
        dset d1.s1, 20
        dset d1.s2, 10
        dset d2.space, sram
        dset d2.base, 64
        dset d2.fmt, bf16
        dset d2.n0, 4
        dset d2.n1, 5
        dset d2.s1, 8
        dset d2.s2, 40
        wait full, 2
        mm d0, d1, d2 signal=done
        halt
.stream ld0
        dset d0.space, sram
        dset d0.fmt, bf16
        dset d1.fmt, bf16
        dset d0.n0, 30
        dma d0, d1 signal=full
        dset d0.base, 64
        dset d1.base, 1024
        dset d0.n0, 40
        dma d0, d1 signal=full
        halt
.stream st0
        dset d1.space, acc
        dset d0.base, 4096
        dset d0.n0, {out}
        dma d0, d1 wait=done
        halt
"""


@pytest.mark.parametrize("s2, accumulate, shape", [(0, 0, (3, 4)), (48, 0, (2, 3, 4))])
def test_mm_repeats(s2, accumulate, shape):
    count = int(np.prod(shape))
    header = f""".buffer a hbm 0 60 in bf16 3x10
.buffer b hbm 1024 80 in bf16 10x4
.buffer y hbm 4096 {4 * count} out fp32 {"x".join(map(str, shape))}
.buffer s sram 0 256 temp
.buffer c acc 0 96 temp
.sem 1 full 0
.sem 2 done 0"""
    rng = np.random.default_rng(1)
    a, b = rng.integers(-4, 5, (3, 10)).astype(BF16), rng.integers(-4, 5, (10, 4)).astype(BF16)
    out = outcome(MM.format(s2=s2, accumulate=accumulate, out=count), header, {"a": a, "b": b})["y"]
    x, y = a.astype(float), b.astype(float)
    halves = np.stack([x[:, :5] @ y[:5], x[:, 5:] @ y[5:]])
    assert np.array_equal(out, halves.sum(0) if s2 == 0 else halves)
    with pytest.raises(OracleError, match="uninitialised"):
        outcome(MM.format(s2=s2, accumulate=1, out=count), header, {"a": a, "b": b})


GATHER = """
.stream ld0
        dset d0.space, sram
        dset d0.n0, 4
        dset d0.n1, 3
        dset d0.s1, 16
        dset d1.s1, 16
        dset d2.base, 1024
        dset d2.fmt, int32
        {first}
        fence
        dset d3.base, 2048
        dset d3.n0, 4
        dset d3.n1, {rows}
        dset d3.s1, 16
        dset d4.space, sram
        dset d4.s1, 16
        {second}
        halt
"""
GATHER_BUFFERS = """.buffer x hbm 0 128 in fp32 8x4
.buffer i hbm 1024 12 index int32 3
.buffer y hbm 2048 {bytes} out fp32 {rows}x4
.buffer s sram 0 48 temp"""


def test_gather_and_scatter():
    x, index = np.arange(32, dtype=np.float32).reshape(8, 4), np.array([6, 1, 6], np.int32)
    text = GATHER.format(first="dmag d0, d1, d2", second="dma d3, d4", rows=3)
    assert np.array_equal(outcome(text, GATHER_BUFFERS.format(bytes=48, rows=3), {"x": x, "i": index})["y"], x[index])
    text = GATHER.format(first="dma d0, d1", second="dmas d3, d4, d2", rows=3)
    got = outcome(text, GATHER_BUFFERS.format(bytes=128, rows=8), {"x": x, "i": index}, partial_outputs=True)["y"]
    want = np.zeros((8, 4), np.float32)
    want[1], want[6] = x[1], x[2]
    assert np.array_equal(got, want)
    with pytest.raises(OracleError, match="out of bounds"):
        outcome(text, GATHER_BUFFERS.format(bytes=96, rows=6), {"x": x, "i": index})


MULTICAST = """
.program multicast
.cores 4
.buffer x hbm 0 8 in int32 2
.buffer y hbm 64 32 out int32 4x2
.buffer s sram 0 8 temp
.sem 1 arrived 0
.param 0 0,8,16,24
.stream ld0
        cid r1
        bne r1, r0, end
        dset d0.space, sram
        dset d0.fmt, int32
        dset d0.n0, 2
        dset d1.fmt, int32
        dset d2.n0, 4
        dset d2.s1, 1
        dmam d0, d1, d2 signal=arrived
end:
        halt
.stream st0
        dset d1.space, sram
        dset d0.n0, 2
        ldp r1, 0
        dsetr d0.base, r1, 64
        dma d0, d1 wait=arrived
        halt
"""


def test_multicast_signals_every_core():
    for seed in (None, 1, 2):
        assert run(isa.assemble(MULTICAST), {"x": np.array([3, 4], np.int32)}, seed=seed)["y"].tolist() == [[3, 4]] * 4


def test_rsignal_reaches_another_core():
    text = """
.program r
.cores 2
.buffer y hbm 0 8 out int32 2
.buffer s sram 0 4 temp
.sem 1 go 0
.param 0 1,0
.param 1 0,4
.stream ld0
        ldp r1, 0
        rsignal go, r1, 1
        halt
.stream vec
        dset d0.space, sram
        dset d0.fmt, int32
        dset d1.scalar, 0x40e00000
        vfill d0, d1
        fence
        bar 0
        halt
.stream st0
        bar 0
        dset d1.space, sram
        ldp r1, 1
        dsetr d0.base, r1, 0
        dma d0, d1 wait=go
        halt
.barrier 0 vec,st0
"""
    assert run(isa.assemble(text), {})["y"].tolist() == [7, 7]


def test_vec_reductions_mask_and_transpose_by_program():
    text = """
.stream ld0
        dset d0.space, sram
        dset d0.n0, 12
        dma d0, d1 signal=full
        halt
.stream vec
        dset d0.space, sram
        dset d0.base, 64
        dset d0.n0, 4
        dset d0.n1, 3
        dset d0.s1, 16
        dset d1.space, sram
        dset d1.n0, 4
        dset d1.n1, 3
        dset d1.s1, 16
        dset d2.scalar, 0x42c80000
        wait full, 1
        vmask d0, d1, d2
        dset d3.space, sram
        dset d3.base, 128
        dset d3.n0, 3
        dset d3.n1, 4
        dset d3.s1, 12
        vtrans d3, d0
        dset d4.space, sram
        dset d4.base, 176
        dset d4.s1, 4
        vrsum d4, d3 signal=done
        halt
.stream st0
        dset d1.space, sram
        dset d1.base, 128
        dset d0.base, 1024
        dset d0.n0, 16
        dma d0, d1 wait=done
        halt
"""
    header = """.buffer x hbm 0 48 in fp32 3x4
.buffer y hbm 1024 64 out fp32 16
.buffer s sram 0 256 temp
.sem 1 full 0
.sem 2 done 0"""
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    masked = np.where(np.tri(3, 4, dtype=bool), x, 100).T
    out = outcome(text, header, {"x": x})["y"]
    assert np.array_equal(out[:12].reshape(4, 3), masked)
    assert np.array_equal(out[12:], masked.sum(1))
