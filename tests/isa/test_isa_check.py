"""Does the loader refuse every program that could not run soundly, and say what to do?"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import isa
from isa import Barrier, Buffer, Program, Semaphore, encode

HALT = encode("halt")
NOP = encode("nop")


def one(*words: int, **changes: Any) -> Program:
    return dataclasses.replace(Program("p", streams={"vec": [*words, HALT]}), **changes)


def loop(body: int, count: int = 2) -> int:
    return encode("loop", imm=count, off=body + 1)


def jump(off: int) -> int:
    return encode("beq", ra=0, rb=0, off=off)


def sync(mm: list[int], vec: list[int], sems: list[Semaphore] | None = None, barriers: list[Barrier] | None = None) -> Program:
    semaphores = [Semaphore(1, "full")] if sems is None else sems
    return Program("p", semaphores=semaphores, barriers=barriers or [], streams={"mm": [*mm, HALT], "vec": [*vec, HALT]})


WAIT, SIGNAL, BAR = encode("wait", sem=1, imm=1), encode("signal", sem=1, imm=1), encode("bar", sem=0)
GOOD = {
    "nothing": Program("p"),
    "an empty stream": Program("p", streams={"mm": []}),
    "eight loops that end together": one(*(loop(9 - i) for i in range(8)), NOP, NOP),
    "branches within a body": one(loop(3), NOP, jump(1), jump(-1)),
    "a branch to the loop itself": one(loop(1), NOP, jump(-2)),
    "a pair": sync([WAIT], [SIGNAL]),
    "a stream that waits for its own": one(SIGNAL, WAIT, semaphores=[Semaphore(1, "s")]),
    "unused declarations": sync([], [], barriers=[Barrier(3, ("ld0",))]),
    "a barrier used twice": sync([BAR, BAR], [BAR], sems=[], barriers=[Barrier(0, ("mm", "vec"))]),
}
BAD = {
    "the last word is nop": Program("p", streams={"vec": [NOP]}),
    "leads into the body": one(jump(2), loop(1), NOP),
    "leads out of the body": one(loop(1), jump(1)),
    "leads out of the body of a loop; to end one round": one(loop(2), jump(-1), NOP),
    "leads into the body of a loop": one(loop(3), jump(2), loop(1), NOP),
    "goes to word -1": one(jump(-1)),
    "goes to word 2, the stream has words 0..1": one(jump(2)),
    "at least one word in the body": one(encode("loop", imm=1, off=1)),
    "must stand after it": one(NOP, encode("loop", imm=1, off=-1)),
    "must end with a halt behind the loop": Program("p", streams={"vec": [loop(1), HALT]}),
    "behind the end 3 of the loop around it": one(loop(2), loop(2), NOP, NOP),
    "more than 8 loops nest": one(*(loop(10 - i) for i in range(9)), NOP, NOP),
    "vadd belongs to engine vec, this stream drives mm": Program("p", streams={"mm": [encode("vadd", d0=0, d1=0, d2=0), HALT]}),
    "no .param 0; there are 0": one(encode("ldp", rd=1, imm=0)),
    "no .label 2; there are 1": one(encode("label", imm=2), labels=["a"]),
    "space must be 0..5, is 6": one(encode("dset", d0=0, field="space", imm=6)),
    "accumulate must be 0..1": one(encode("dset", d0=0, field="accumulate", imm=2)),
    "unknown opcode 0xbf": one(0xBF << 56),
    "is not a 64-bit word": one(-1),
    "no stream 'vex'; did you mean 'vec'": Program("p", streams={"vex": [HALT]}),
    "which no .sem declares": sync([WAIT], [SIGNAL], sems=[]),
    "waits for semaphore 'full', but no stream signals it": sync([WAIT], []),
    "signals semaphore 'full', but no stream waits for it": sync([SIGNAL], []),
    "also signals semaphore 'full', as stream mm does": sync([SIGNAL], [SIGNAL, WAIT]),
    "also waits for semaphore 'full'": sync([WAIT], [encode("vcos", d0=0, d1=0, wait=1, signal=1)]),
    "no .barrier 0": sync([BAR], []),
    "does not list this stream; it lists mm": sync([BAR], [BAR], barriers=[Barrier(0, ("mm",))]),
    "which never reaches it": sync([BAR], [], barriers=[Barrier(0, ("mm", "vec"))]),
    "barrier 0: stream 'mm' stands twice": sync([], [], barriers=[Barrier(0, ("mm", "mm"))]),
    "barrier 0: no stream 'mn'": sync([], [], barriers=[Barrier(0, ("mn",))]),
    "semaphore 1 stands twice": sync([], [], sems=[Semaphore(1, "a"), Semaphore(1, "b")]),
    "semaphore 'a' stands twice": sync([], [], sems=[Semaphore(1, "a"), Semaphore(2, "a")]),
    "id must be an integer 1..255": sync([], [], sems=[Semaphore(256, "a")]),
    "initial count must be an integer 0..65535": sync([], [], sems=[Semaphore(1, "a", 65536)]),
    "cores must be an integer 1..65536": Program("p", 0),
    "program 'a b': a name is": Program("a b"),
    "param 0 has 1 values for 2 cores": Program("p", 2, params=[(1,)]),
    "param 0 must be an integer": Program("p", params=[(1 << 63,)]),
    "no buffer can lie in 'peer'": Program("p", buffers=[Buffer("x", "peer", 0, 4)]),
    "no buffer can lie in 'far'": Program("p", buffers=[Buffer("x", "far", 0, 4)]),
    "no buffer can lie in 'srma'; did you mean 'sram'": Program("p", buffers=[Buffer("x", "srma", 0, 4)]),
    "no role 'output'; did you mean 'out'": Program("p", buffers=[Buffer("x", "hbm", 0, 4, "output")]),
    "declare it in hbm": Program("p", buffers=[Buffer("x", "sram", 0, 4, "in", "fp32", (1,))]),
    "give it a format and a shape": Program("p", buffers=[Buffer("x", "hbm", 0, 4, "in")]),
    "2x3 of bf16 is 12 bytes, not 4": Program("p", buffers=[Buffer("x", "hbm", 0, 4, "in", "bf16", (2, 3))]),
    "a shape has 1..8 extents": Program("p", buffers=[Buffer("x", "hbm", 0, 4, "in", "fp32", ())]),
    "no format 'fp_32'; did you mean 'fp32'": Program("p", buffers=[Buffer("x", "hbm", 0, 4, "in", "fp_32", (1,))]),
    "offset must be an integer": Program("p", buffers=[Buffer("x", "hbm", -1, 4)]),
    "bytes must be an integer": Program("p", buffers=[Buffer("x", "hbm", 1 << 40, 4)]),
    "buffer 'x' stands twice": Program("p", buffers=[Buffer("x", "sram", 0, 4), Buffer("x", "acc", 0, 4)]),
}


@pytest.mark.parametrize("what", GOOD)
def test_sound_programs_pass(what: str) -> None:
    assert GOOD[what].check() is GOOD[what]


@pytest.mark.parametrize("message", BAD)
def test_unsound_programs_are_refused(message: str) -> None:
    with pytest.raises(isa.IsaError) as caught:
        BAD[message].check()
    assert message in str(caught.value)


def test_the_place_is_the_line_of_the_text_or_the_source_of_the_word() -> None:
    with pytest.raises(isa.IsaError, match=r"^line 4, column 1: stream mm: waits for semaphore 'full', but"):
        isa.assemble(".program p\n.sem 1 full\n.stream mm\nwait full, 1\nhalt\n")
    program = one(jump(7), lines={"vec": ["kernel.py:12"]})
    with pytest.raises(isa.IsaError, match=r"^stream vec, word 0 \(kernel.py:12\): beq goes to word 7"):
        program.check()


def test_multicast_and_engine_signals_count_as_producers() -> None:
    cast = encode("dmam", d0=0, d1=1, d2=2, signal=1)
    program = Program("p", semaphores=[Semaphore(1, "s")], streams={"ld0": [cast, HALT], "ld1": [cast, HALT], "mm": [WAIT, HALT]})
    with pytest.raises(isa.IsaError, match="also signals semaphore 's', as stream ld0 does"):
        program.check()
