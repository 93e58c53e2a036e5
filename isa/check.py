"""What the loader proves of a program before it runs: nothing here depends on time or data."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NoReturn

from isa.check_flow import check_flow
from isa.check_sync import check_sync
from isa.errors import IsaError, nearest
from isa.program import ROLES, Buffer, Program
from isa.tables import load
from isa.words import Instruction

MAX_CORES, MAX_CHIPS, MAX_WORDS, MAX_ENTRIES, MAX_NAME = 1 << 16, 1 << 10, 1 << 18, 1 << 16, 255
MAX_ADDRESS, MAX_DIMENSIONS, MAX_COUNT = 1 << 40, 8, 65535
NAMED_BY_OTHERS = {"peer", "far"}
"""Spaces that are memory of another core or chip: buffers are declared where they lie."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-/]*\Z")
# Values of descriptor fields that a constant can get wrong; extents and addresses are checked where they are used, after all updates.
_CONSTANTS = {
    "accumulate": 1, "scalar": 2**32 - 1, "seed": 2**32 - 1, "space": len(load().spaces) - 1, "fmt": len(load().formats) - 1,
    "scales": len(load().scales) - 1,
}


class Places:
    """Turns (stream, word index) into an error with the best place known: a line of the text, else the source kept in the program."""

    def __init__(self, program: Program, numbers: dict[str, list[int]] | None) -> None:
        self.program, self.numbers = program, numbers

    def fail(self, stream: str, index: int, message: str) -> NoReturn:
        if self.numbers is not None and index < len(self.numbers.get(stream, ())):
            raise IsaError(f"stream {stream}: {message}", line=self.numbers[stream][index], column=1)
        lines = self.program.lines.get(stream, ())
        source = f" ({lines[index]})" if index < len(lines) else ""
        raise IsaError(f"stream {stream}, word {index}{source}: {message}")


def check_name(what: str, name: object) -> None:
    if not isinstance(name, str) or len(name) > MAX_NAME or not _NAME.match(name):
        raise IsaError(f"{what} {str(name)[:40]!r}: a name is a letter or _, then letters, digits and _ . - / (at most {MAX_NAME})")


def check_int(what: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise IsaError(f"{what} must be an integer {low}..{high}, is {str(value)[:40]}")


def check_once(what: str, keys: Iterable[object]) -> None:
    seen: set[object] = set()
    for key in keys:
        if key in seen:
            raise IsaError(f"{what} {key!r} stands twice")
        seen.add(key)


def check_header(program: Program) -> None:
    """Name, cores, labels and parameters."""
    check_name("program", program.name)
    check_int("cores", program.cores, 1, MAX_CORES)
    check_int("chips", program.chips, 1, MAX_CHIPS)
    columns = program.cores * program.chips
    of = f"{program.cores} cores" + (f" of {program.chips} chips" if program.chips > 1 else "")
    for what, entries in (("buffers", program.buffers), ("labels", program.labels), ("params", program.params)):
        if len(entries) > MAX_ENTRIES:
            raise IsaError(f"{len(entries)} {what}; at most {MAX_ENTRIES}")
    for name in program.labels:
        check_name("label", name)
    for index, values in enumerate(program.params):
        if len(values) != columns:
            raise IsaError(f"param {index} has {len(values)} values for {of}")
        for value in values:
            check_int(f"param {index}", value, -(1 << 63), (1 << 63) - 1)


def check_buffer(buffer: Buffer) -> None:
    """Space, role, bounds, and that the bytes are those of format and shape."""
    tables, what = load(), f"buffer {buffer.name!r}"
    check_name("buffer", buffer.name)
    if buffer.space not in tables.spaces or buffer.space in NAMED_BY_OTHERS:
        raise IsaError(f"{what}: no buffer can lie in {buffer.space!r}{nearest(str(buffer.space), tables.spaces.keys() - NAMED_BY_OTHERS)}")
    if buffer.role not in ROLES:
        raise IsaError(f"{what}: no role {buffer.role!r}{nearest(str(buffer.role), ROLES)}")
    check_int(f"{what}: offset", buffer.offset, 0, MAX_ADDRESS)
    check_int(f"{what}: bytes", buffer.bytes, 0, MAX_ADDRESS - buffer.offset)
    if buffer.role != "temp" and (buffer.space != "hbm" or buffer.format is None):
        hint = "declare it in hbm" if buffer.space != "hbm" else "give it a format and a shape"
        raise IsaError(f"{what}: role {buffer.role!r} needs hbm, a format and a shape; {hint}, or make it temp")
    if buffer.format is None:
        if buffer.shape:
            raise IsaError(f"{what}: a shape needs a format")
        return
    if buffer.format not in tables.formats:
        raise IsaError(f"{what}: no format {buffer.format!r}{nearest(str(buffer.format), tables.formats)}")
    if not 1 <= len(buffer.shape) <= MAX_DIMENSIONS:
        raise IsaError(f"{what}: a shape has 1..{MAX_DIMENSIONS} extents, not {len(buffer.shape)}")
    for extent in buffer.shape:
        check_int(f"{what}: extent", extent, 0, MAX_ADDRESS)
    size = -(-buffer.shape[-1] * tables.formats[buffer.format].bits // 8)  # rows of packed formats end at a byte
    for extent in buffer.shape[:-1]:
        size *= extent
    if size != buffer.bytes:
        raise IsaError(f"{what}: {'x'.join(map(str, buffer.shape))} of {buffer.format} is {size} bytes, not {buffer.bytes}")


def check_operands(program: Program, stream: str, code: list[Instruction], places: Places) -> None:
    """Engine, parameters, labels and constants of each instruction."""
    tables = load()
    engine, fields = tables.streams[stream].what, list(tables.fields)
    for index, (mnemonic, operands) in enumerate(code):
        spec = code[index].spec
        if spec.engine not in ("any", engine):
            places.fail(stream, index, f"{mnemonic} belongs to engine {spec.engine}, this stream drives {engine}")
        if mnemonic == "ldp" and not 0 <= operands["imm"] < len(program.params):
            places.fail(stream, index, f"no .param {operands['imm']}; there are {len(program.params)}")
        if mnemonic == "label" and not 0 <= operands["imm"] < len(program.labels):
            places.fail(stream, index, f"no .label {operands['imm']}; there are {len(program.labels)}")
        if mnemonic == "dset":
            name = fields[operands["field"]]
            if name in _CONSTANTS and not 0 <= operands["imm"] <= _CONSTANTS[name]:
                places.fail(stream, index, f"{name} must be 0..{_CONSTANTS[name]}, is {operands['imm']}")


def check_streams(program: Program, places: Places) -> dict[str, list[Instruction]]:
    """Decodes every word; returns the instructions by stream."""
    tables, out = load(), {}
    for stream, words in program.streams.items():
        if stream not in tables.streams:
            raise IsaError(f"no stream {stream!r}{nearest(str(stream), tables.streams)}")
        if len(words) > MAX_WORDS:
            raise IsaError(f"stream {stream}: {len(words)} words; at most {MAX_WORDS}: use hardware loops")
        code: list[Instruction] = []
        for index, word in enumerate(words):
            try:
                code.append(program.instructions.decode(word))
            except IsaError as error:
                places.fail(stream, index, error.message)
        check_operands(program, stream, code, places)
        check_flow(stream, code, places.fail)
        out[stream] = code
    return out


def check(program: Program, numbers: dict[str, list[int]] | None = None) -> dict[str, list[Instruction]]:
    """IsaError unless everything that can be proved without running holds. `numbers`: line of each word, where the text is at hand."""
    places = Places(program, numbers)
    check_header(program)
    for buffer in program.buffers:
        check_buffer(buffer)
    check_once("buffer", (buffer.name for buffer in program.buffers))
    check_once("semaphore", (semaphore.id for semaphore in program.semaphores))
    check_once("semaphore", (semaphore.name for semaphore in program.semaphores))
    check_once("barrier", (barrier.id for barrier in program.barriers))
    for semaphore in program.semaphores:
        check_name("semaphore", semaphore.name)
        check_int(f"semaphore {semaphore.name!r}: id", semaphore.id, 1, 255)
        check_int(f"semaphore {semaphore.name!r}: initial count", semaphore.initial, 0, MAX_COUNT)
    for barrier in program.barriers:
        check_int("barrier id", barrier.id, 0, 255)
        check_once(f"barrier {barrier.id}: stream", barrier.streams)
        for stream in barrier.streams:
            if stream not in load().streams:
                raise IsaError(f"barrier {barrier.id}: no stream {stream!r}{nearest(str(stream), load().streams)}")
    code = check_streams(program, places)
    check_sync(program, code, places.fail)
    return code
