"""Programs as bytes: magic, version, digest of the tables, then sections in fixed order. Reading trusts nothing.

    EMUP u16 version u16 0 digest[32]
    section: tag[4] u32 length payload       NAME BUFS SEMS BARS LABL PARM EXTN, then one STRM per stream in table order

Integers are little-endian; a string is u16 length and ASCII. A program has one binary form: what is read must be written back the same.
"""

from __future__ import annotations

import struct

from isa.errors import IsaError
from isa.program import Barrier, Buffer, Program, Semaphore
from isa.tables import load
from isa.words import MACHINE, InstructionSet

MAGIC, VERSION, MAX_BYTES, MAX_PARAMS = b"EMUP", 2, 1 << 26, 1 << 22
SECTIONS = (b"NAME", b"BUFS", b"SEMS", b"BARS", b"LABL", b"PARM", b"EXTN")


class Writer:
    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def number(self, code: str, *values: int) -> None:
        try:
            self.parts.append(struct.pack("<" + code, *values))
        except struct.error as error:
            raise IsaError(f"a value does not fit the binary form ({error}); check() says which") from None

    def text(self, value: str) -> None:
        raw = value.encode("ascii", "replace")
        self.number("H", len(raw))
        self.parts.append(raw)

    def take(self) -> bytes:
        out = b"".join(self.parts)
        self.parts.clear()
        return out


class Reader:
    """Reads within bounds or raises IsaError."""

    def __init__(self, data: bytes, what: str) -> None:
        self.data, self.at, self.what = data, 0, what

    def raw(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise IsaError(f"{self.what}: cut short at byte {self.at}: {count} bytes expected, {len(self.data) - self.at} there")
        self.at += count
        return self.data[self.at - count : self.at]

    def numbers(self, code: str, count: int = 1) -> tuple[int, ...]:
        return struct.unpack(f"<{count}{code}", self.raw(count * struct.calcsize("<" + code)))

    def number(self, code: str) -> int:
        return self.numbers(code)[0]

    def text(self) -> str:
        return self.raw(self.number("H")).decode("ascii", "replace")

    def end(self) -> None:
        if self.at != len(self.data):
            raise IsaError(f"{self.what}: {len(self.data) - self.at} bytes too many")


def _sections(program: Program, w: Writer) -> list[tuple[bytes, bytes]]:
    out = []
    w.text(program.name)
    w.number("II", program.cores, program.chips)
    out.append(w.take())
    for b in program.buffers:
        for text in (b.name, b.space, b.role, b.format or ""):
            w.text(text)
        w.number(f"QQB{len(b.shape)}Q", b.offset, b.bytes, len(b.shape), *b.shape)
    out.append(w.take())
    for s in program.semaphores:
        w.number("BH", s.id, s.initial)
        w.text(s.name)
    out.append(w.take())
    for barrier in program.barriers:
        w.number("BB", barrier.id, len(barrier.streams))
        for stream in barrier.streams:
            w.text(stream)
    out.append(w.take())
    for label in program.labels:
        w.text(label)
    out.append(w.take())
    for values in program.params:
        shown = values[:1] if len(set(values)) == 1 else values
        w.number(f"I{len(shown)}q", len(shown), *shown)
    out.append(w.take())
    for name, extension in program.instructions.used(program.streams).items():
        w.text(name)
        w.text(extension.digest)
    out.append(w.take())
    return list(zip(SECTIONS, out))


def to_bytes(program: Program) -> bytes:
    """The binary form. The program should be checked; values that do not fit are an IsaError all the same."""
    w = Writer()
    sections = _sections(program, w)
    for stream in load().streams:
        words = program.streams.get(stream, [])
        if words:
            w.text(stream)
            w.number(f"{len(words)}Q", *words)
            sections.append((b"STRM", w.take()))
    head = MAGIC + struct.pack("<HH", VERSION, 0) + bytes.fromhex(load().digest)
    return head + b"".join(tag + struct.pack("<I", len(payload)) + payload for tag, payload in sections)


def _entries(program: Program, tag: bytes, r: Reader) -> None:
    """One entry of a list section."""
    if tag == b"BUFS":
        name, space, role, form = r.text(), r.text(), r.text(), r.text()
        offset, size = r.numbers("Q", 2)
        program.buffers.append(Buffer(name, space, offset, size, role, form or None, r.numbers("Q", r.number("B"))))
    elif tag == b"SEMS":
        number, initial = r.number("B"), r.number("H")
        program.semaphores.append(Semaphore(number, r.text(), initial))
    elif tag == b"BARS":
        number, count = r.number("B"), r.number("B")
        program.barriers.append(Barrier(number, tuple(r.text() for _ in range(count))))
    elif tag == b"LABL":
        program.labels.append(r.text())
    elif tag == b"PARM":
        values = r.numbers("q", r.number("I"))
        program.params.append(values * program.cores * program.chips if len(values) == 1 else values)
    else:
        name, digest = r.text(), r.text()
        program.instructions.resolve(name, digest)


def _header(r: Reader) -> None:
    if r.raw(4) != MAGIC:
        raise IsaError("not a program: the first bytes are not EMUP")
    version = r.numbers("H", 2)[0]
    if version != VERSION:
        raise IsaError(f"version {version} of the binary form; this package reads {VERSION}")
    digest = r.raw(32).hex()
    if digest != load().digest:
        raise IsaError(f"made for another instruction set ({digest[:12]}..., this one is {load().digest[:12]}...); assemble its text again")


def from_bytes(data: bytes, instructions: InstructionSet | None = None) -> Program:
    """The checked program in the bytes; IsaError for anything else."""
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise IsaError(f"bytes expected, not {type(data).__name__}")
    if len(data) > MAX_BYTES:
        raise IsaError(f"{len(data)} bytes; a program has at most {MAX_BYTES}")
    data = bytes(data)
    file = Reader(data, "program")
    _header(file)
    program = Program("", instructions=instructions or MACHINE)
    for tag in SECTIONS:
        r = _section(file, tag)
        if tag == b"NAME":
            program.name, (program.cores, program.chips) = r.text(), r.numbers("I", 2)
            if not (1 <= program.cores <= 1 << 16 and 1 <= program.chips <= 1 << 10):  # before params are multiplied by them
                raise IsaError(f"{program.cores} cores of {program.chips} chips; 1..{1 << 16} of 1..{1 << 10} are possible")
            r.end()
        while r.at < len(r.data):
            if len(program.params) * program.cores * program.chips > MAX_PARAMS:  # one value in the file stands for one per core here
                raise IsaError("too many parameter values")
            _entries(program, tag, r)
    while file.at < len(data):
        r = _section(file, b"STRM")
        stream, count = r.text(), (len(r.data) - r.at) // 8
        program.streams[stream] = list(r.numbers("Q", count))
        r.end()
    program.check()
    if to_bytes(program) != data:
        raise IsaError("not the one binary form of this program (streams out of order, twice or empty, or reserved bytes set)")
    return program


def _section(file: Reader, tag: bytes) -> Reader:
    found = file.raw(4)
    if found != tag:
        raise IsaError(f"section {tag.decode()} expected at byte {file.at - 4}, found {found!r}")
    return Reader(file.raw(file.number("I")), f"section {tag.decode()}")
