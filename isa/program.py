"""A program: streams of words and what they refer to. The bytes of a program are read and written by `binary.py`."""

from __future__ import annotations

from dataclasses import dataclass, field

from isa.words import MACHINE, InstructionSet

ROLES = ("in", "weight", "index", "inout", "out", "temp")


@dataclass(frozen=True)
class Buffer:
    """A named range of a memory space. Buffers in hbm that the outside reads or writes have a format and a shape."""

    name: str
    space: str
    offset: int
    bytes: int
    role: str = "temp"
    format: str | None = None
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class Semaphore:
    """A token counter of every core, 1..255, with one producer stream and one consumer stream."""

    id: int
    name: str
    initial: int = 0


@dataclass(frozen=True)
class Barrier:
    """A meeting point of the named streams of all cores."""

    id: int
    streams: tuple[str, ...]


@dataclass
class Program:
    """What a chip, or several, run. Nothing is checked here, so that a compiler may build it step by step; `check()` proves it."""

    name: str
    cores: int = 1
    buffers: list[Buffer] = field(default_factory=list)
    semaphores: list[Semaphore] = field(default_factory=list)
    barriers: list[Barrier] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    params: list[tuple[int, ...]] = field(default_factory=list)
    streams: dict[str, list[int]] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=dict, compare=False, repr=False)
    chips: int = 1
    """Chips that run it together, each on `cores` cores; a parameter then has a value for every core of every chip, chip by chip."""
    instructions: InstructionSet = field(default=MACHINE, compare=False, repr=False)
    """What its words mean: the machine's instructions, or those and a user's."""

    def check(self) -> Program:
        """This program, once everything that can be proved without running it holds; else IsaError."""
        from isa.check import check

        check(self)
        return self

    def to_text(self, source: bool = False) -> str:
        """Assembler text that gives this program back. `source`: each word with the line it came from, where it is known, as a comment."""
        from isa.disassembler import to_text

        return to_text(self, source)

    def to_bytes(self) -> bytes:
        """The binary form; the same program gives the same bytes everywhere."""
        from isa.binary import to_bytes

        return to_bytes(self)

    @classmethod
    def from_bytes(cls, data: bytes, instructions: InstructionSet | None = None) -> Program:
        """A checked program from its binary form; anything wrong with the bytes is an IsaError, and so is a user's instruction that
        `instructions` does not have or has otherwise."""
        from isa.binary import from_bytes

        return from_bytes(data, instructions)

    @property
    def digest(self) -> str:
        """sha-256 of the binary form."""
        import hashlib

        return hashlib.sha256(self.to_bytes()).hexdigest()
