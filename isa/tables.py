"""Reads tables/*.tsv into plain data. `proofs.py` proves that the data is sound before anybody sees it."""

from __future__ import annotations

import os
from functools import cache
from typing import NamedTuple

from isa.errors import IsaError

FILES = ("word", "flags", "fields", "formats", "scales", "spaces", "streams", "scalar", "sync", "dma", "net", "mm", "vec")
INSTRUCTION_FILES = ("scalar", "sync", "dma", "net", "mm", "vec")
USER_OPCODES = range(0xC0, 0x100)
REGISTERS = DESCRIPTORS = 32
MAX_LOOPS = 8
WORD_FIELDS_OF_KIND = {"rd": "register", "ra": "register", "rb": "register", "d0": "descriptor", "d1": "descriptor", "d2": "descriptor"}


class WordField(NamedTuple):
    """Bits hi..lo of a word format."""

    name: str
    hi: int
    lo: int
    signed: bool

    @property
    def mask(self) -> int:
        return (1 << (self.hi - self.lo + 1)) - 1

    @property
    def range(self) -> tuple[int, int]:
        half = (self.mask + 1) >> 1
        return (-half, half - 1) if self.signed else (0, self.mask)


class Operand(NamedTuple):
    """One operand of an instruction: its name, its kind, its bits and the values it may take.

    `kind`: register, descriptor, field, number, offset, semaphore, barrier or flag.
    `access`: of descriptors r, w, rw, i (index list), m (multicast list), s (scalar fields only); of semaphores c (consumes), p (produces).
    """

    name: str
    kind: str
    access: str
    shift: int
    mask: int
    low: int
    high: int
    signed: bool
    required: bool


class Spec(NamedTuple):
    """One line of an instruction table."""

    mnemonic: str
    opcode: int
    format: str
    operands: tuple[Operand, ...]
    engine: str
    cls: str
    semantics: str
    row: str

    @property
    def used_mask(self) -> int:
        mask = 0xFF << 56
        for operand in self.operands:
            mask |= operand.mask << operand.shift
        return mask


class DescField(NamedTuple):
    id: int
    name: str
    default: int
    meaning: str


class NumberFormat(NamedTuple):
    id: int
    name: str
    bits: int
    kind: str
    exponent: int
    mantissa: int
    storage: str


class Scales(NamedTuple):
    """A kind of scales for blocks of k: the format of a scale (`-`: none) and the elements that share one."""

    id: int
    name: str
    format: str
    block: int
    meaning: str


class Named(NamedTuple):
    """A line of a small table: id, name, one attribute (scope of a space, engine of a stream, meaning of a flag)."""

    id: int
    name: str
    what: str


class Tables(NamedTuple):
    words: dict[str, dict[str, WordField]]
    flags: dict[str, Named]
    fields: dict[str, DescField]
    formats: dict[str, NumberFormat]
    scales: dict[str, Scales]
    spaces: dict[str, Named]
    streams: dict[str, Named]
    specs: dict[str, Spec]
    texts: dict[str, str]

    @property
    def digest(self) -> str:
        """sha-256 over what the tables say; comments and spacing do not count."""
        import hashlib  # slow to import, and only files need it

        lines = ((name, line) for name in FILES for line in self.texts[name].splitlines())
        said = "\n".join(f"{name} {' '.join(line.split())}" for name, line in lines if line.strip() and line[0] != "#")
        return hashlib.sha256(said.encode()).hexdigest()


def rows(name: str, text: str, columns: int) -> list[list[str]]:
    """Lines of `columns` columns separated by blanks; the last column takes the rest of the line. # begins a comment line."""
    out = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            cells = line.split(None, columns - 1)
            if len(cells) != columns:
                raise IsaError(f"{name}.tsv: {columns} columns expected, {len(cells)} found", line=number)
            out.append(cells)
    return out


def integer(cell: str) -> int:
    try:
        return int(cell, 0)
    except ValueError:
        raise IsaError(f"{cell!r} is not a number") from None


def read_texts() -> dict[str, str]:
    """The table files as they stand beside this module."""
    folder = os.path.join(os.path.dirname(__file__), "tables")
    texts = {}
    for name in FILES:
        with open(os.path.join(folder, name + ".tsv"), encoding="ascii") as file:
            texts[name] = file.read()
    return texts


def _operand(token: str, spec_format: str, words: dict[str, dict[str, WordField]], flags: dict[str, Named], fields: int) -> Operand:
    name, _, access = token.partition(":")
    field = words[spec_format].get(name)
    if field is None:
        if name not in flags or "flags" not in words[spec_format]:
            raise IsaError(f"operand {name!r} does not exist in word format {spec_format}")
        where = words[spec_format]["flags"]
        return Operand(name, "flag", "", where.lo + flags[name].id, 1, 0, 1, False, False)
    low, high = field.range
    kind = WORD_FIELDS_OF_KIND.get(name) or {"field": "field", "off": "offset", "sem": "semaphore"}.get(name, "number")
    required = True
    if name in ("wait", "signal"):
        kind, access, required = "semaphore", "c" if name == "wait" else "p", False
    elif kind == "field":
        high = fields - 1
    elif access == "b":
        kind = "barrier"
    elif kind == "semaphore":
        low = 1  # 0 means none, and an instruction that only waits or signals must name one
    elif ".." in access:
        bounds, access = access, ""
        first, _, last = bounds.partition("..")
        if not low <= integer(first) <= integer(last) <= high:
            raise IsaError(f"operand {token!r}: the range does not fit {field.hi - field.lo + 1} bits")
        low, high = integer(first), integer(last)
    return Operand(name, kind, access, field.lo, field.mask, low, high, field.signed, required)


def parse_spec(cells: list[str], words: dict[str, dict[str, WordField]], flags: dict[str, Named], fields: int) -> Spec:
    """One instruction from its seven cells."""
    mnemonic, opcode, spec_format, operands, engine, cls, semantics = cells
    if spec_format not in words:
        raise IsaError(f"{mnemonic}: unknown word format {spec_format!r}")
    try:
        parsed = () if operands == "-" else tuple(_operand(token, spec_format, words, flags, fields) for token in operands.split(","))
        return Spec(mnemonic, integer(opcode), spec_format, parsed, engine, cls, semantics, " ".join(cells))
    except IsaError as error:
        raise IsaError(f"{mnemonic}: {error.message}") from None


def _number_format(number: str, name: str, bits: str, kind: str, exponent: str, mantissa: str, storage: str) -> NumberFormat:
    return NumberFormat(integer(number), name, integer(bits), kind, integer(exponent), integer(mantissa), storage)


def parse(texts: dict[str, str]) -> Tables:
    """Tables from the texts of the files, proved sound."""
    from isa.proofs import prove, prove_format, unique

    words: dict[str, dict[str, WordField]] = {}
    for form, name, hi, lo, signed in rows("word", texts["word"], 5):
        fields = words.setdefault(form, {})
        if name in fields:
            raise IsaError(f"word format {form}: field {name!r} stands twice")
        fields[name] = WordField(name, integer(hi), integer(lo), bool(integer(signed)))
    for form, fields in words.items():
        prove_format(form, fields)
    flags = unique("flags", (Named(integer(i), n, w) for i, n, w in rows("flags", texts["flags"], 3)))
    fields_ = unique("fields", (DescField(integer(i), n, integer(d), m) for i, n, d, m in rows("fields", texts["fields"], 4)))
    formats = unique("formats", (_number_format(*cells) for cells in rows("formats", texts["formats"], 7)))
    scales = unique("scales", (Scales(integer(i), n, f, integer(b), m) for i, n, f, b, m in rows("scales", texts["scales"], 5)))
    spaces = unique("spaces", (Named(integer(i), n, s) for i, n, s, _ in rows("spaces", texts["spaces"], 4)))
    streams = unique("streams", (Named(integer(i), n, e) for i, n, e in rows("streams", texts["streams"], 3)))
    specs: dict[str, Spec] = {}
    for name in INSTRUCTION_FILES:
        for cells in rows(name, texts[name], 7):
            spec = parse_spec(cells, words, flags, len(fields_))
            if spec.mnemonic in specs:
                raise IsaError(f"{name}.tsv: mnemonic {spec.mnemonic!r} stands twice")
            specs[spec.mnemonic] = spec
    tables = Tables(words, flags, fields_, formats, scales, spaces, streams, specs, texts)
    prove(tables)
    return tables


@cache
def load() -> Tables:
    """The instruction set of this package, read and proved once."""
    return parse(read_texts())
