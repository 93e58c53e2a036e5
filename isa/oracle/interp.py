"""Runs a whole program, values only: all cores and streams, with the checks of a strict machine.

Without a seed the streams take turns and every engine instruction is complete when it issues. With a seed the order is a random legal one:
engines lag behind their streams, DMA transfers read early and write late. The values must be the same.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isa.oracle import engines, extension, net, scalar
from isa.oracle.descriptor import Descriptor
from isa.oracle.errors import OracleError
from isa.oracle.formats import dtype, pack, row_bytes, unpack
from isa.oracle.memory import Memory
from isa.oracle.mm import Accumulate
from isa.oracle.stream import Pending, Stream
from isa.program import Buffer, Program
from isa.tables import load
from isa.words import Instruction

MAX_TOKENS = 65535
QUEUE = 4  # engine instructions of a stream that may be under way, with a seed


class Machine:
    """A chip with a program in it."""

    def __init__(self, program: Program, rule: Accumulate, limits: dict[str, int] | None, seed: int | None) -> None:
        self.program, self.rule = program, rule
        self.random = random.Random(seed) if seed is not None else None
        self.memories = [Memory(program.buffers, program.cores, limits) for _ in range(program.chips)]
        for number, memory in enumerate(self.memories):
            memory.system, memory.number = self.memories, number
        self.names = {s.id: s.name for s in program.semaphores}
        self.counts = [{s.id: s.initial for s in program.semaphores} for _ in range(program.cores * program.chips)]
        self.participants = {b.id: len(b.streams) * program.cores for b in program.barriers}
        self.arrived: dict[tuple[int, int], list[Stream]] = {(c, b.id): [] for c in range(program.chips) for b in program.barriers}
        code = {name: [program.instructions.decode(word) for word in words] for name, words in program.streams.items()}
        engine = {name: stream.what for name, stream in load().streams.items()}
        self.streams = [
            Stream(core, name, code[name], program.lines.get(name, []), engine[name], chip=chip)
            for chip in range(program.chips) for core in range(program.cores) for name in engine if code.get(name)
        ]

    def signal(self, chip: int, core: int, semaphore: int, tokens: int) -> None:
        if not (0 <= core < self.program.cores and 0 <= chip < self.program.chips):
            raise OracleError(f"a signal to core {core} of chip {chip}, which does not exist")
        core += chip * self.program.cores
        if semaphore not in self.counts[core]:
            raise OracleError(f"semaphore {semaphore} is not declared")
        self.counts[core][semaphore] += tokens
        if self.counts[core][semaphore] > MAX_TOKENS:
            raise OracleError(f"semaphore {self.names[semaphore]!r} of core {core} holds more than {MAX_TOKENS} tokens")

    def take(self, stream: Stream, semaphore: int, tokens: int) -> bool:
        """Takes tokens; False, with the reason noted, when there are not enough."""
        at = stream.chip * self.program.cores + stream.core
        have = self.counts[at].get(semaphore)
        if have is None:
            raise OracleError(f"semaphore {semaphore} is not declared")
        if have < tokens:
            stream.blocked = f"waits for {tokens} of semaphore {self.names[semaphore]!r}, which has {have}"
            return False
        self.counts[at][semaphore] -= tokens
        return True

    # -- one step of a stream: True when it moved ---------------------------------------------------------------------------------

    def step(self, stream: Stream) -> bool:
        if stream.halted:
            return False
        if stream.pc >= len(stream.code):
            raise OracleError("ran past the end of the code; end with halt")
        mnemonic, operands = stream.code[stream.pc]
        if mnemonic in scalar.ARITHMETIC:
            stream.set(operands["rd"], scalar.arithmetic(mnemonic, stream.regs, operands))
        elif mnemonic in scalar.DESCRIPTOR:
            scalar.DESCRIPTOR[mnemonic](stream.desc[operands["d0"]], stream.regs, operands)
        elif mnemonic in scalar.BRANCH:
            taken = scalar.BRANCH[mnemonic](stream.regs[operands["ra"]], stream.regs[operands["rb"]])
            stream.advance(operands["off"] if taken else 1)
            return True
        elif mnemonic in ("loop", "loopr"):
            self.enter_loop(stream, scalar.loop_count(mnemonic, stream.regs, operands), operands["off"])
            return True
        elif mnemonic in ("cid", "ldp", "ldpx", "lds"):
            stream.set(operands["rd"], self.look_up(stream, mnemonic, operands))
        elif mnemonic == "halt":
            stream.halted = True
            return True
        elif mnemonic not in ("nop", "label") and not self.meet(stream, stream.code[stream.pc]):
            return False
        stream.advance()
        return True

    def enter_loop(self, stream: Stream, count: int, offset: int) -> None:
        if count:
            stream.loops.append([stream.pc + 1, stream.pc + offset, count])
            stream.advance()
        else:
            stream.advance(offset)

    def look_up(self, stream: Stream, mnemonic: str, operands: dict[str, int]) -> int:
        """cid, parameters, and the one door by which data reaches control."""
        if mnemonic == "cid":
            return stream.core
        index = operands["imm"] + (stream.regs[operands["ra"]] if mnemonic != "ldp" else 0)
        if mnemonic != "lds":
            if not 0 <= index < len(self.program.params):
                raise OracleError(f"there is no parameter {index}")
            return self.program.params[index][stream.chip * self.program.cores + stream.core]
        hbm = self.memories[stream.chip].chip["hbm"]
        if not any(b.role == "index" and b.offset <= index and index + 4 <= b.offset + b.bytes for b in hbm.buffers):
            raise OracleError(f"lds of bytes {index:#x}..{index + 3:#x}, which are not in a buffer of role index")
        return int(hbm.read(index, (1, 1, 1, 1), (0, 0, 0, 0), 4).view(np.int32).reshape(-1)[0])

    def meet(self, stream: Stream, instruction: Instruction) -> bool:
        """Synchronisation and engine instructions; False while blocked."""
        mnemonic, operands = instruction
        if mnemonic == "wait":
            return self.take(stream, operands["sem"], operands["imm"])
        if mnemonic in ("signal", "rsignal", "csignal"):
            core = stream.regs[operands["ra"]] if mnemonic == "rsignal" else stream.core
            chip = stream.regs[operands["ra"]] if mnemonic == "csignal" else stream.chip
            self.issue(stream, Pending(lambda: _nothing, lambda: self.signal(chip, core, operands["sem"], operands["imm"]), stream.where()))
            return True
        if mnemonic in ("fence", "bar"):
            if stream.pending:
                stream.blocked = "waits for its engine"
                return False
            return mnemonic == "fence" or self.barrier(stream, operands["sem"])
        if len(stream.pending) >= QUEUE:
            stream.blocked = "waits for its engine"
            return False
        if operands["wait"] and not self.take(stream, operands["wait"], 1):
            return False
        self.issue(stream, self.engine(stream, instruction))
        return True

    def barrier(self, stream: Stream, number: int) -> bool:
        """Arrive once; pass when all have arrived."""
        if number not in self.participants:
            raise OracleError(f"barrier {number} is not declared")
        key = (stream.chip, number)
        if not stream.arrived:
            stream.arrived = True
            self.arrived[key].append(stream)
            if len(self.arrived[key]) == self.participants[number]:
                self.arrived[key] = []
        if any(stream is other for other in self.arrived[key]):
            missing = self.participants[number] - len(self.arrived[key])
            stream.blocked = f"waits at barrier {number} for {missing} more"
            return False
        stream.arrived = False
        return True

    # -- engines ------------------------------------------------------------------------------------------------------------------

    def engine(self, stream: Stream, instruction: Instruction) -> Pending:
        """The instruction with its descriptors as they are now."""
        mnemonic, operands = instruction
        d = [Descriptor(self.memories[stream.chip], stream.core, dict(stream.desc[operands.get(f"d{i}", 0)])) for i in range(3)]
        signal = operands["signal"]

        def read() -> Any:
            if mnemonic in engines.DMA:
                return engines.DMA[mnemonic](d)
            if mnemonic in net.NET:
                return net.NET[mnemonic](d if "d2" in operands else d[:2])
            if mnemonic == "mm":
                return lambda: engines.run_mm(d, operands, self.rule)
            if (added := self.program.instructions.extensions.get(mnemonic)) is not None:
                return lambda: extension.run(added, d, operands)
            return lambda: engines.run_vec(mnemonic, d, operands)

        def done() -> None:
            for chip, core in self.receivers(stream, mnemonic, d) if signal else []:
                self.signal(chip, core, signal, 1)

        return Pending(read, done, stream.where())

    def receivers(self, stream: Stream, mnemonic: str, d: list[Descriptor]) -> list[tuple[int, int]]:
        """Chip and core of everybody whom an instruction signals."""
        if mnemonic == "dmam":
            return [(stream.chip, core) for core in engines.multicast_cores(d)]
        if mnemonic == "putm":
            return [(chip, stream.core) for chip in net.chips_of(d)]
        there = d[0].space_name == "far" and d[0]["core"] != -1
        return [(d[0]["core"] if there else stream.chip, stream.core)]

    def issue(self, stream: Stream, pending: Pending) -> None:
        stream.pending.append(pending)
        if self.random is None:
            self.progress(stream)

    def progress(self, stream: Stream) -> None:
        """One legal move of the stream's engine: the next read, or the oldest write."""
        unread = [p for p in stream.pending if p.write is None]
        first = stream.pending[0]
        ahead = unread and unread[0] is not first and stream.engine in ("dma", "net") and self.random and self.random.random() < 0.5
        moved = unread[0] if ahead else first
        try:
            if moved.write is None:
                moved.write = moved.read()
                if self.random is not None:
                    return
            moved.write()
            stream.pending.popleft()
            first.done()
        except OracleError as error:
            raise OracleError(f"{moved.where}: {error}") from None

    # -- the whole ----------------------------------------------------------------------------------------------------------------

    def advance(self, stream: Stream) -> bool:
        try:
            return self.step(stream)
        except OracleError as error:
            raise OracleError(f"{stream.where()}: {error}") from None

    def in_turn(self, steps: int) -> None:
        """Each stream runs until it blocks, round and round."""
        while not all(s.halted for s in self.streams):
            before = steps
            for stream in self.streams:
                while steps and self.advance(stream):
                    steps -= 1
            if not steps:
                raise OracleError("the program takes too many steps")
            if steps == before:
                self.deadlock()

    def at_random(self, steps: int) -> None:
        """Any stream or engine that can move, moves."""
        dice = self.random
        assert dice is not None
        while any(not s.halted or s.pending for s in self.streams):
            moved = False
            for stream in dice.sample(self.streams, len(self.streams)):
                for _ in range(dice.randrange(6)):
                    if stream.pending and dice.random() < 0.4:
                        self.progress(stream)
                        moved = True
                    elif self.advance(stream):
                        moved = True
                        steps -= 1
            if steps <= 0:
                raise OracleError("the program takes too many steps")
            if not moved:
                moved = any([self.advance(s) for s in self.streams])
                for stream in self.streams:
                    if stream.pending and not moved:
                        self.progress(stream)
                        moved = True
                if not moved:
                    self.deadlock()

    def deadlock(self) -> None:
        who = [f"{s.where()} {s.blocked}" for s in self.streams if not s.halted]
        raise OracleError("deadlock:\n  " + "\n  ".join(who))

    def check_tokens(self) -> None:
        """At the end every count is what it was."""
        cores = self.program.cores
        for at, counts in enumerate(self.counts):
            chip, core = divmod(at, cores)
            for semaphore in self.program.semaphores:
                have = counts[semaphore.id]
                if have != semaphore.initial:
                    name = f"semaphore {semaphore.name!r} of core {core}" + (f" of chip {chip}" if self.program.chips > 1 else "")
                    raise OracleError(f"leftover tokens: {name} ends with {have}, it began with {semaphore.initial}")
        for (_, number), streams in self.arrived.items():
            if streams:
                raise OracleError(f"barrier {number}: {len(streams)} streams wait there at the end")


def _nothing() -> None:
    """The write of an instruction that writes nothing."""


def load_inputs(memory: Memory, buffers: list[Buffer], inputs: Mapping[str, NDArray[Any]]) -> None:
    """Fill the buffers that the outside initialises; every one needs an array of its type and shape."""
    expected = {b.name: b for b in buffers if b.role in ("in", "weight", "index", "inout")}
    if unknown := sorted(set(inputs) - set(expected)):
        raise OracleError(f"there is no input buffer {unknown[0]!r}; there are {', '.join(expected) or 'none'}")
    for name, buffer in expected.items():
        if name not in inputs:
            raise OracleError(f"input {name!r} is missing")
        array, want = np.asarray(inputs[name]), dtype(buffer.format or "")
        if array.dtype != want or array.shape != buffer.shape:
            raise OracleError(f"input {name!r} is {array.dtype}{array.shape}, the program wants {want}{buffer.shape}")
        memory.load(buffer, pack(array, buffer.format or ""))


def run(program: Program, inputs: Mapping[str, NDArray[Any]] | None = None, accumulate: Mapping[str, Any] | Accumulate | None = None,
        memory_bytes: dict[str, int] | None = None, seed: int | None = None, max_steps: int = 10_000_000,
        partial_outputs: bool = False) -> dict[str, NDArray[Any]]:
    """The buffers of role out and inout after the program has run.

    accumulate: as in isa.oracle.mm.Accumulate. memory_bytes: capacity by space. seed: a random legal interleaving.
    Of a program of several chips the first axis of every array is the chip.
    An `out` buffer must be written whole, unless partial_outputs, which leaves zeros.
    """
    program.check()
    rule = accumulate if isinstance(accumulate, Accumulate) else Accumulate(**(accumulate or {}))
    machine = Machine(program, rule, memory_bytes, seed)
    for chip, memory in enumerate(machine.memories):
        load_inputs(memory, program.buffers, {name: v if program.chips == 1 else v[chip] for name, v in (inputs or {}).items()})
    (machine.in_turn if seed is None else machine.at_random)(max_steps)
    machine.check_tokens()
    found = [outputs_of(memory, program.buffers, partial_outputs) for memory in machine.memories]
    return found[0] if program.chips == 1 else {name: np.stack([each[name] for each in found]) for name in found[0]}


def outputs_of(memory: Memory, buffers: list[Buffer], partial: bool) -> dict[str, NDArray[Any]]:
    """What a chip's buffers of role out and inout hold."""
    outputs = {}
    for buffer in buffers:
        if buffer.role in ("out", "inout"):
            if partial:
                for segment in memory.chip["hbm"].segments:
                    segment.written[:] = True
            *rows, last = buffer.shape
            raw = memory.store(buffer).reshape(*rows, row_bytes(buffer.format or "", last))
            outputs[buffer.name] = unpack(raw, buffer.format or "", last)
    return outputs
