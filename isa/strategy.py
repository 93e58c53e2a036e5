"""Hypothesis strategies: valid instructions, words, and programs that run to their end without races, deadlock or leftover tokens.

A program is built in phases. In the order (phase, stream) every wait stands after its signals, so it cannot block for ever; each stream
writes only memory of its own, so nothing races; branches skip scalar words only, so no token is lost. Where memory is shared, some race.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from isa.program import Barrier, Buffer, Program, Semaphore
from isa.tables import MAX_LOOPS, Operand, load
from isa.words import MACHINE, Instruction, InstructionSet, encode

SCALAR_R = ("add", "sub", "mul", "min", "max", "and", "or", "xor")
SCALAR_I = ("addi", "muli", "mini", "maxi")
BRANCHES = ("beq", "bne", "blt", "bge")
VECTOR = ("vadd", "vsub", "vmul", "vmax", "vmin", "vge", "vmac")
SLOT = 256  # bytes of sram that belong to one stream
STREAMS, CORES = 4, 4  # at most


def operand_values(operand: Operand) -> st.SearchStrategy[int]:
    """Every value the operand can hold, its ends often."""
    return st.one_of(st.sampled_from((operand.low, operand.high)), st.integers(operand.low, operand.high))


@st.composite
def any_instruction(draw: st.DrawFn, mnemonics: tuple[str, ...] | None = None, known: InstructionSet = MACHINE) -> Instruction:
    """Any instruction with any operands its word can hold."""
    spec = known.specs[draw(st.sampled_from(mnemonics or tuple(known.specs)))]
    return Instruction(spec.mnemonic, {operand.name: draw(operand_values(operand)) for operand in spec.operands})


def words() -> st.SearchStrategy[int]:
    """Any word the decoder takes."""
    return any_instruction().map(lambda instruction: encode(instruction.mnemonic, **instruction.operands))


class _Stream:
    """Words of one stream while they are made."""

    def __init__(self, draw: st.DrawFn, name: str, slot: int, shared: bool = False) -> None:
        self.draw, self.name, self.slot, self.shared = draw, name, slot, shared
        self.engine = load().streams[name].what
        self.words: list[int] = []
        if self.engine not in ("mm", "net"):
            self._descriptors()
        if self.engine == "net":
            self._sends()

    def put(self, mnemonic: str, **operands: Any) -> None:
        self.words.append(encode(mnemonic, **operands))

    def number(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def _descriptors(self) -> None:
        """d0: the stream's slot of sram; d1: for dma a part of `x`, for vec the slot again, which is filled first."""
        self.put("dset", d0=0, field="space", imm=load().spaces["sram"].id)
        self.put("dset", d0=0, field="base", imm=self.slot)
        self.put("dset", d0=0, field="n0", imm=self.number(0, SLOT // 16 if self.shared else SLOT // 4))
        if self.engine == "dma":
            self.put("dset", d0=1, field="base", imm=4 * self.number(0, 16))
            if self.shared and self.draw(st.booleans()):
                self.put("dset", d0=1, field="space", imm=load().spaces["sram"].id)
        else:
            self.put("dset", d0=2, field="scalar", imm=0x3F800000)
            if self.shared:
                self.put("dset", d0=1, field="space", imm=load().spaces["sram"].id)
                self.put("dset", d0=1, field="base", imm=4 * self.number(0, 16))
            else:
                self.put("vfill", d0=0, d2=2)

    def _sends(self) -> None:
        """d0: a part of device memory that is the stream's and the core's own; d1: a part of `x`."""
        self.put("cid", rd=1)
        self.put("muli", rd=1, ra=1, imm=STREAMS * SLOT)
        self.put("dsetr", d0=0, field="base", ra=1, imm=512 + self.slot)
        self.put("dset", d0=0, field="n0", imm=self.number(0, SLOT // 4))
        self.put("dset", d0=1, field="base", imm=4 * self.number(0, 16))

    def scalar(self) -> None:
        r = {"rd": self.number(0, 31), "ra": self.number(0, 31)}
        if self.draw(st.booleans()):
            self.put(self.draw(st.sampled_from(SCALAR_R)), **r, rb=self.number(0, 31))
        else:
            self.put(self.draw(st.sampled_from(SCALAR_I)), **r, imm=self.number(-(1 << 31), (1 << 31) - 1))

    def engine_word(self) -> None:
        if self.engine == "dma":
            self.put("dma", d0=0, d1=1)
        elif self.engine == "net":
            self.put("put", d0=0, d1=1, ll=self.draw(st.booleans()))
        elif self.engine == "vec":
            self.put(self.draw(st.sampled_from(VECTOR)), d0=0, d1=0, d2=2, imm=True)
        else:
            self.put("nop")

    def branch(self) -> None:
        """A branch over scalar words; the nop after them is in the same loop body."""
        over = self.number(0, 3)
        self.put(self.draw(st.sampled_from(BRANCHES)), ra=self.number(0, 31), rb=self.number(0, 31), off=over + 1)
        for _ in range(over):
            self.scalar()
        self.put("nop")

    def loop(self, depth: int) -> None:
        at, count = len(self.words), self.number(0, 3)
        self.words.append(0)
        for _ in range(self.number(1, 3)):
            self.block(depth + 1)
        self.words[at] = encode("loop", imm=count, off=len(self.words) - at)

    def block(self, depth: int = 0) -> None:
        """Something without synchronisation."""
        makers = [self.scalar, self.engine_word, self.branch, lambda: self.loop(depth)]
        if self.shared:
            makers = [self.engine_word, self.engine_word, lambda: self.put("fence"), lambda: self.loop(depth)]
        self.draw(st.sampled_from(makers if depth < min(4, MAX_LOOPS) else makers[:3]))()

    def tokens(self, mnemonic: str, semaphore: int, count: int) -> None:
        """`count` tokens at once or one by one in a loop."""
        if not count:
            return
        if self.draw(st.booleans()):
            self.put(mnemonic, sem=semaphore, imm=count)
        else:
            self.put("loop", imm=count, off=2)
            self.put(mnemonic, sem=semaphore, imm=1)


@st.composite
def programs(draw: st.DrawFn, shared: bool = False) -> Program:
    """A program that any chip with the streams can run to its end; `shared`: its streams touch the same 256 bytes, and many race."""
    kinds = tuple(name for name, stream in load().streams.items() if not shared or stream.what not in ("mm", "net"))
    names = sorted(draw(st.sets(st.sampled_from(kinds), min_size=1 + shared, max_size=STREAMS)))
    streams = [_Stream(draw, name, 4 * draw(st.integers(0, 32)) if shared else SLOT * i, shared) for i, name in enumerate(names)]
    for i, stream in enumerate(streams if shared else []):
        _filled_first(stream, i == 0)
    edge = st.tuples(st.integers(0, len(names) - 1), st.integers(0, len(names) - 1), st.integers(0, 3))
    edges = draw(st.lists(edge, max_size=4))
    phases = draw(st.integers(1, 3))
    pending = [initial for _, _, initial in edges]
    for phase in range(phases + 1):
        for index, stream in enumerate(streams):
            for number, (producer, consumer, _) in enumerate(edges, 1):
                if index == consumer:  # whatever is there by now
                    stream.tokens("wait", number, pending[number - 1])
                    pending[number - 1] = 0
                if index == producer and phase < phases:
                    count = draw(st.integers(1, 4))
                    stream.tokens("signal", number, count)
                    pending[number - 1] += count
            if phase < phases:
                stream.block()
    for number, (producer, _, initial) in enumerate(edges, 1):  # the initial tokens were taken too: give them back
        streams[producer].tokens("signal", number, initial)
        streams[producer].block()
    for stream in streams:
        stream.put("halt")
    return Program(
        "random",
        draw(st.integers(1, CORES)),
        [
            Buffer("x", "hbm", 0, 512, "in", "int8", (512,)),
            Buffer("slots", "sram", 0, SLOT * len(names)),
            Buffer("sent", "hbm", 512, SLOT * STREAMS * CORES),
        ],
        [Semaphore(number, f"s{number}", initial) for number, (_, _, initial) in enumerate(edges, 1)],
        [Barrier(0, tuple(names))] if shared else [],
        streams={stream.name: stream.words for stream in streams},
    )


def _filled_first(stream: _Stream, filler: bool) -> None:
    """The filler writes all that is shared before anybody goes on."""
    if filler and stream.engine != "mm":
        stream.put("dset", d0=3, field="space", imm=load().spaces["sram"].id)
        stream.put("dset", d0=3, field="n0", imm=SLOT // 4)
        stream.put("dma" if stream.engine == "dma" else "vfill", d0=3, **({"d1": 4} if stream.engine == "dma" else {"d2": 4}))
    stream.put("bar", sem=0)
