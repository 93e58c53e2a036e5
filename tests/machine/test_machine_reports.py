"""Does a machine with check=True say, of each kind of wrong program, everything that a person needs: who, which bytes, what is missing?"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from machine_programs import ld, mm, program

import emu
import isa
from emu.cli import main
from emu.kernels import kernel
from emu.testing.mutants import one_semaphore_fewer

TINY = emu.Machine("tiny", check=True)
HEAD = """.program small
.buffer x hbm 0x0 4096 in bf16 2048
.buffer y hbm 0x1000 4096 out bf16 2048
.buffer s sram 0x0 8192 temp
.buffer a acc 0x0 8192 temp
"""
LOAD = " dset d0.space, sram\n dset d0.n0, 16\n"
COPY = HEAD + "{sems}.stream vec\n dset d0.space, sram\n dset d0.base, 1024\n dset d1.space, sram\n"
COPY += " dset d0.n0, 8\n dset d1.n0, 8\n{vec} halt\n"
COPY += f".stream ld1\n{LOAD} dset d1.n0, 16\n dset d0.fmt, bf16\n dset d1.fmt, bf16\n{{ld}} halt\n"


def report(p: isa.Program, machine: emu.Machine = TINY, error: type[emu.EmuError] = emu.ProgramError, **options: object) -> str:
    """The message, the same in a timing-only run and with values."""
    texts = set()
    for values in (True, False):
        with pytest.raises(error) as caught:
            machine.run(p, {b.name: np.zeros(2048, np.float32) for b in p.buffers if b.role == "in" and values}, values=values, **options)
        texts.add(str(caught.value))
    assert len(texts) == 1
    return texts.pop()


def test_a_race_names_both_instructions_their_bytes_and_the_missing_edge() -> None:
    """vec reads the first 32 bytes; ld1 overwrites bytes 8..39 with a second load that waits for nobody."""
    text = COPY.format(
        sems=".sem 1 full 0\n.sem 2 free 0\n", vec=" wait full, 1\n vmov d0, d1\n signal free, 1\n",
        ld=" dma d0, d1 signal=full\n dset d0.base, 8\n dma d0, d1\n wait free, 1\n",
    )  # fmt: skip
    lines = text.splitlines()
    load, move = (number for number, line in enumerate(lines, 1) if line in (" dma d0, d1", " vmov d0, d1"))
    load, move = max(load, move), min(load, move)
    message = report(isa.assemble(text))
    assert "race on sram bytes 8..31 (buffer 's' + 8) of core 0: nothing orders" in message
    read = "read of bytes 0..31 by core 0, stream vec, word 6: vmov d0, d1"
    write = "write of bytes 8..39 by core 0, stream ld1, word 7: dma d0, d1"
    assert f"{read}  [line {move}:" in message and f"{write}  [line {load}:" in message
    assert "the missing edge: " in message
    assert "ld1 takes, before word 7, a token that vec signals at or after word 6 ('free' goes that way)" in message
    assert "vec takes, before word 6, a token that ld1 signals at or after word 7 ('full' goes that way)" in message


def test_a_transfer_that_reads_what_its_stream_just_wrote_wants_a_fence() -> None:
    body = " dset d0.n0, 8\n dset d1.n0, 8\n dma d0, d1\n dset d1.space, sram\n dset d0.base, 512\n{fence} dma d0, d1"
    message = report(ld(body.format(fence=""), HEAD))
    assert "race on sram bytes 0..15 (buffer 's' + 0) of core 0" in message
    assert "the missing edge: a fence on ld0 between word 5 and word 8" in message
    TINY.run(ld(body.format(fence=" fence\n"), HEAD), values=False)


def test_cores_that_race_in_device_memory_are_named() -> None:
    text = ".cores 2\n.stream st0\n dset d1.space, sram\n dset d0.n0, 4\n dset d0.base, 0x1000\n dma d0, d1\n halt\n"
    fill = ".sem 1 there 0\n.stream vec\n dset d0.space, sram\n dset d0.n0, 4\n vfill d0, d2\n signal there, 1\n halt\n"
    message = report(isa.assemble(HEAD + fill.replace(".stream", text.replace(" dma", " wait there, 1\n dma") + ".stream", 1).replace(
        ".sem 1 there 0\n.cores 2", ".cores 2\n.sem 1 there 0")))  # fmt: skip
    assert "race on hbm bytes 4096..4111 (buffer 'y' + 0): nothing orders" in message
    assert "by core 1, stream st0, word 4" in message and "by core 0, stream st0, word 4" in message
    assert "signals at or after word 4" in message and "st0 of core 1 takes" in message and "st0 of core 0" in message


@kernel
def doubled(k, rows: int) -> None:
    x, y = k.hbm("x", (rows, 16), "bf16", "in"), k.hbm("y", (rows, 16), "bf16", "out")
    for i in k.loop(rows // 4):
        t = k.fetch(x.at((i * 4, 0), (4, 16)), 2)
        o = k.tile((4, 16), "bf16", "sram", 2)
        k.mul(o, t, 2.0)
        k.store(y.at((i * 4, 0), (4, 16)), o)


def test_of_a_kernel_the_line_of_python_is_named() -> None:
    program = doubled.trace(emu.chip("tiny"), cores=1, rows=32)
    names = {}
    for mutant in one_semaphore_fewer(program):
        with pytest.raises(emu.ProgramError) as caught:
            TINY.run(mutant.program, values=False, verify=False)
        names[mutant.name] = str(caught.value)
    free = names["semaphore 'x_free'"]
    assert free.startswith("doubled: race on sram") and "stream ld1" in free and "stream vec" in free
    for line in ("t = k.fetch(x.at((i * 4, 0), (4, 16)), 2)", "k.mul(o, t, 2.0)"):
        assert f"test_machine_reports.py:{_line_of(line)} {line}]" in free
    assert "('x_full' goes that way)" in free or "(no semaphore goes that way)" in free


def _line_of(text: str) -> int:
    with open(__file__, encoding="utf-8") as file:
        return next(number for number, line in enumerate(file, 1) if line.strip() == text)


def test_bytes_that_nobody_wrote() -> None:
    message = report(ld(" dset d1.space, sram\n dset d1.base, 96\n dset d0.n0, 4\n dma d0, d1", HEAD))
    assert "core 0, stream ld0, word 6: dma d0, d1  [line " in message
    assert "reads bytes that nobody wrote: sram bytes 96..103 (buffer 's' + 96); write the bytes first (wait for the token" in message


def test_a_row_of_it_is_enough() -> None:
    """Only bytes 32..47 of a tile of three rows are missing: the message names these."""
    fill = " dset d0.n0, 8\n dset d1.n0, 8\n dma d0, d1\n dset d0.base, 64\n dma d0, d1\n fence\n"
    rows = " dset d1.space, sram\n dset d1.n1, 3\n dset d0.n1, 3\n dset d0.s1, 16\n dset d1.s1, 32\n dset d0.base, 4096\n dma d0, d1"
    assert "nobody wrote: sram bytes 32..47 (buffer 's' + 32)" in report(ld(fill + rows, HEAD))


def test_overflow_of_a_buffer() -> None:
    message = report(ld(" dset d0.n0, 16\n dset d0.base, 8168\n dma d0, d1", HEAD))
    assert "stream ld0, word 5: dma d0, d1" in message
    assert "outside every buffer of its space: sram bytes 8168..8199 (buffer 's' + 8168); check base, extents and strides" in message


def test_a_product_is_not_added_to_what_nobody_wrote() -> None:
    message = report(mm(" dset d0.accumulate, 1", HEAD))
    assert "stream mm, word 16: mm d0, d1, d2" in message and "nobody wrote: acc bytes 0..255 (buffer 'a' + 0)" in message


@pytest.mark.parametrize("before, now, fmt, at", [("int32", "bf16", "fp32", 0), ("fp32", "bf16", "fp32", 2), ("fp32", "int8", "int32", 0)])
def test_a_product_is_not_added_to_numbers_of_another_kind(before: str, now: str, fmt: str, at: int) -> None:
    """Sums of integers below sums of floats, the reverse, and half an accumulator away; the same instructions that overwrite are right."""
    first = "int8" if before == "int32" else "bf16"
    formats = " dset d0.fmt, {}\n dset d1.fmt, {}\n dset d2.fmt, {}\n"
    body = formats.format(before, first, first) + " mm d0, d1, d2\n" + formats.format(fmt, now, now)
    body += f" dset d0.n0, 4\n dset d0.n1, 4\n dset d2.n0, 4\n dset d1.n1, 4\n dset d0.base, {at}\n dset d0.accumulate, {{}}\n"
    message = report(mm(body.format(1), HEAD))
    where = f"stream mm, word 28: mm d0, d1, d2  [line 43: mm d0, d1, d2]: mm adds to accumulators that hold something else: it adds {fmt} "
    assert f"{where}at acc bytes {at}..{at + 15} (buffer 'a' + {at}), and core 0, stream mm, word 18" in message
    assert f"wrote {before} at acc bytes 0..255 (buffer 'a' + 0); overwrite first (accumulate 0)" in message
    TINY.run(mm(body.format(0), HEAD), values=False)
    emu.Machine("tiny").run(mm(body.format(1), HEAD), values=False)  # it is looked for with check=True


def test_a_semaphore_that_overflows() -> None:
    producer = ".stream ld0\n loop 65536, e\n signal full, 1\ne:\n bar 0\n halt\n"
    consumer = ".stream mm\n bar 0\n loop 65536, f\n wait full, 1\nf:\n halt\n"
    message = report(isa.assemble(f"{HEAD}.sem 1 full 0\n.barrier 0 ld0,mm\n{producer}{consumer}"))
    assert "semaphore overflow: more than 65535 tokens: semaphore 'full' (1)" in message
    assert "stream ld0, word 1: signal full, 1  [line " in message and "let the consumer give tokens back" in message


CYCLE = """.sem 1 full 0
.sem 2 free 1
.sem 3 done 0
.stream ld0
 wait free, 2
 signal full, 1
 halt
.stream mm
 wait full, 1
 signal done, 1
 halt
.stream vec
 wait done, 1
 signal free, 1
 halt
"""


def test_a_deadlock_names_a_cycle_of_the_wait_graph() -> None:
    message = report(program(CYCLE, ".program small\n.cores 2\n"))
    around = "core 0, stream mm -> (semaphore 'full' (1)) core 0, stream ld0 -> (semaphore 'free' (2)) core 0, stream vec"
    assert f"deadlock, nobody can go on: a cycle: {around} -> (semaphore 'done' (3)) core 0, stream mm\n" in message
    assert "core 0, stream ld0, word 0: wait free, 2  [line 7: wait free, 2] waits for 2 of semaphore 'free' (2), which has 1" in message
    assert message.count("waits for") == 6 and "core 1, stream vec" in message


def test_a_deadlock_without_a_cycle_names_what_never_comes() -> None:
    text = ".sem 1 full 0\n.stream ld0\n cid r1\n bne r1, r0, l\n signal full, 1\nl:\n nop\n halt\n.stream mm\n wait full, 1\n halt\n"
    message = report(program(text, ".program small\n.cores 4\n"))
    assert "no cycle: core 1, stream mm waits for semaphore 'full' (1), and core 1, stream ld0, which must bring it, has halted" in message
    line = "core 2, stream mm, word 0: wait full, 1  [line 12: wait full, 1]"
    assert f"{line} waits for 1 of semaphore 'full' (1), which has 0 (the same on core 3)" in message


def test_a_barrier_in_a_cycle() -> None:
    """mm stands at the barrier, for which it holds back the token that ld0 wants before it comes there."""
    text = ".sem 1 go 0\n.barrier 3 ld0,mm\n.stream ld0\n wait go, 1\n bar 3\n halt\n.stream mm\n bar 3\n signal go, 1\n halt\n"
    message = report(program(text, ".program small\n"))
    assert "a cycle: core 0, stream mm -> (barrier 3) core 0, stream ld0 -> (semaphore 'go' (1)) core 0, stream mm" in message
    assert "waits for barrier 3, where 1 of 2 have arrived" in message


def test_a_signal_from_another_core_is_followed_there() -> None:
    text = ".sem 1 go 0\n.stream ld0\n cid r1\n li r2, 1\n sub r1, r2, r1\n wait go, 1\n rsignal go, r1, 1\n halt\n"
    with pytest.raises(emu.ProgramError) as caught:
        TINY.run(program(text, ".program small\n.cores 2\n"), values=False)
    assert "core 0, stream ld0 -> (semaphore 'go' (1)) core 0, stream ld0" in str(caught.value) or "core 1, stream ld0" in str(caught.value)


def test_words_without_source_are_disassembled() -> None:
    p = replace(program(CYCLE, ".program small\n"), lines={})
    assert "core 0, stream vec, word 0: wait done, 1 waits for 1 of" in report(p)


def test_the_shell_says_it_too_and_ends_with_2(tmp_path, capsys) -> None:
    path = tmp_path / "wrong.s"
    path.write_text(HEAD + COPY[len(HEAD) :].format(sems="", vec=" vfill d0, d2\n", ld=" dset d0.base, 1024\n dma d0, d1\n"))
    assert main(["run", str(path), "--chip", "tiny", "--no-values", "--check"]) == 2
    said = capsys.readouterr().err
    assert "race on sram bytes 1024..1055" in said and "[line 12:" in said and "the missing edge" in said
    assert main(["run", str(path), "--chip", "tiny", "--no-values", "--no-check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cycles"] > 0
