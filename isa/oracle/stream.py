"""The state of one instruction stream of one core."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from isa.oracle.descriptor import fresh_fields
from isa.tables import DESCRIPTORS, REGISTERS
from isa.words import Instruction


@dataclass
class Pending:
    """An engine instruction (or a signal behind one) that was issued and is not complete.

    `read` gives the function that writes; it is taken before `write`, by DMA streams possibly long before.
    """

    read: Callable[[], Callable[[], None]]
    done: Callable[[], None]
    where: str
    write: Callable[[], None] | None = None


@dataclass
class Stream:
    """Program counter, registers, descriptors, loops and what the engine still has to do."""

    core: int
    name: str
    code: list[Instruction]
    lines: list[str]
    engine: str
    pc: int = 0
    regs: list[int] = field(default_factory=lambda: [0] * REGISTERS)
    desc: list[dict[str, int]] = field(default_factory=lambda: [fresh_fields() for _ in range(DESCRIPTORS)])
    loops: list[list[int]] = field(default_factory=list)  # start, end, rounds left
    pending: deque[Pending] = field(default_factory=deque)
    halted: bool = False
    blocked: str = ""
    arrived: bool = False  # at the barrier of this pc
    chip: int = 0

    def where(self) -> str:
        """Core, stream, word and, if known, the source line."""
        text = f"chip {self.chip}, " if self.chip else ""
        text += f"core {self.core}, stream {self.name}, word {self.pc}"
        if self.pc < len(self.code):
            text += f" ({self.code[self.pc].mnemonic})"
        return f"{text}: {self.lines[self.pc].strip()}" if self.pc < len(self.lines) else text

    def set(self, register: int, value: int) -> None:
        if register:
            self.regs[register] = value

    def advance(self, offset: int = 1) -> None:
        """Move the program counter and close the loops whose end it reaches."""
        self.pc += offset
        while self.loops and self.pc == self.loops[-1][1]:
            self.loops[-1][2] -= 1
            if self.loops[-1][2] > 0:
                self.pc = self.loops[-1][0]
                return
            self.loops.pop()
