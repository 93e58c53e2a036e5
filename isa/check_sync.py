"""Who meets whom: a semaphore has one producer stream and one consumer stream, a barrier is used by exactly the streams it lists."""

from __future__ import annotations

from isa.check_flow import Fail
from isa.errors import nearest
from isa.program import Program
from isa.words import Instruction

Use = dict[int, dict[str, int]]  # id -> stream -> first word that uses it


def collect(code: dict[str, list[Instruction]]) -> tuple[Use, Use, Use]:
    """Producers and consumers of each semaphore, users of each barrier."""
    producers: Use = {}
    consumers: Use = {}
    barriers: Use = {}
    for stream, instructions in code.items():
        for index, instruction in enumerate(instructions):
            for operand in instruction.spec.operands:
                value = instruction.operands[operand.name]
                if operand.kind == "barrier":
                    barriers.setdefault(value, {}).setdefault(stream, index)
                elif operand.kind == "semaphore" and value:
                    use = producers if operand.access == "p" else consumers
                    use.setdefault(value, {}).setdefault(stream, index)
    return producers, consumers, barriers


def check_semaphores(program: Program, producers: Use, consumers: Use, fail: Fail) -> None:
    names = {semaphore.id: semaphore.name for semaphore in program.semaphores}
    for use, role, verb in ((producers, "producer", "signals"), (consumers, "consumer", "waits for")):
        other, missing = (consumers, "waits for") if use is producers else (producers, "signals")
        for number, streams in use.items():
            stream, index = next(iter(streams.items()))
            if number not in names:
                known = [f"{key} ({name})" for key, name in names.items()]
                fail(stream, index, f"{verb} semaphore {number}, which no .sem declares{nearest(str(number), known)}")
            if len(streams) > 1:
                second = list(streams)[1]
                message = f"also {verb} semaphore {names[number]!r}, as stream {stream} does; it can have one {role} stream"
                fail(second, streams[second], f"{message}: use one more semaphore")
            if number not in other:
                fail(stream, index, f"{verb} semaphore {names[number]!r}, but no stream {missing} it")


def check_barriers(program: Program, used: Use, fail: Fail) -> None:
    declared = {barrier.id: barrier.streams for barrier in program.barriers}
    for number, streams in used.items():
        for stream, index in streams.items():
            if number not in declared:
                fail(stream, index, f"no .barrier {number}{nearest(str(number), map(str, declared))}")
            if stream not in declared[number]:
                fail(stream, index, f"barrier {number} does not list this stream; it lists {', '.join(declared[number])}")
        for stream in declared[number]:
            if stream not in streams:
                other, index = next(iter(streams.items()))
                fail(other, index, f"barrier {number} lists stream {stream}, which never reaches it: nobody would pass")


def check_sync(program: Program, code: dict[str, list[Instruction]], fail: Fail) -> None:
    """Fails unless semaphores and barriers are used as they are declared."""
    producers, consumers, barriers = collect(code)
    check_semaphores(program, producers, consumers, fail)
    check_barriers(program, barriers, fail)
