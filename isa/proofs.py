"""What must hold of the tables: every bit of a word means exactly one thing, every name and number stands once, every operand exists."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from isa.errors import IsaError, nearest
from isa.tables import USER_OPCODES, Spec, Tables, WordField

ACCESSES = {"descriptor": {"r", "w", "rw", "i", "m", "s", ""}, "semaphore": {"c", "p"}, "barrier": {"b"}}


def unique(table: str, entries: Iterable[Any]) -> dict[str, Any]:
    """Entries by name; ids must be 0, 1, 2, ... in order and names must differ."""
    out: dict[str, Any] = {}
    for entry in entries:
        if entry.id != len(out):
            raise IsaError(f"{table}.tsv: id {entry.id} of {entry.name!r} should be {len(out)}: ids count up from 0 without gaps")
        if entry.name in out:
            raise IsaError(f"{table}.tsv: {entry.name!r} stands twice")
        out[entry.name] = entry
    return out


def prove_format(name: str, fields: dict[str, WordField]) -> None:
    """Every one of the 64 bits belongs to exactly one field, and the opcode is the top byte everywhere."""
    owner: dict[int, str] = {}
    for field in fields.values():
        if not 63 >= field.hi >= field.lo >= 0:
            raise IsaError(f"word format {name}: field {field.name!r} has bits {field.hi}..{field.lo}")
        for bit in range(field.lo, field.hi + 1):
            if bit in owner:
                raise IsaError(f"word format {name}: bit {bit} belongs to {owner[bit]!r} and to {field.name!r}")
            owner[bit] = field.name
    missing = [bit for bit in range(64) if bit not in owner]
    if missing:
        raise IsaError(f"word format {name}: bit {missing[0]} belongs to no field")
    if "op" not in fields or (fields["op"].hi, fields["op"].lo) != (63, 56):
        raise IsaError(f"word format {name}: the opcode must be bits 63..56")


def prove_spec(spec: Spec, tables: Tables) -> None:
    """One instruction: opcode fits, engine exists, no two operands share bits, accesses make sense."""
    if not 0 <= spec.opcode <= 0xFF:
        raise IsaError(f"{spec.mnemonic}: opcode {spec.opcode:#x} does not fit 8 bits")
    for word in (spec.mnemonic, spec.cls, spec.engine):
        if not word.isidentifier():
            raise IsaError(f"{spec.mnemonic}: {word!r} is not a name")
    engines = {stream.what for stream in tables.streams.values()} | {"any"}
    if spec.engine not in engines:
        raise IsaError(f"{spec.mnemonic}: unknown engine {spec.engine!r}{nearest(spec.engine, engines)}")
    used = 0xFF << 56
    for operand in spec.operands:
        bits = operand.mask << operand.shift
        if used & bits:
            raise IsaError(f"{spec.mnemonic}: operand {operand.name!r} stands twice or overlaps another")
        used |= bits
        if operand.access not in ACCESSES.get(operand.kind, {""}):
            raise IsaError(f"{spec.mnemonic}: operand {operand.name!r} cannot have access {operand.access!r}")
        if operand.name in ("op", "zero", "flags"):
            raise IsaError(f"{spec.mnemonic}: {operand.name!r} cannot be an operand")
    positional = [operand.required for operand in spec.operands]
    if positional != sorted(positional, reverse=True):
        raise IsaError(f"{spec.mnemonic}: wait, signal and flags must follow the other operands")


def prove_names(tables: Tables) -> None:
    """Flags fit their field and are not mistaken for word fields; descriptor fields and their defaults fit the F word."""
    for name, fields in tables.words.items():
        if "flags" in fields:
            clash = tables.flags.keys() & fields.keys()
            if clash:
                raise IsaError(f"word format {name}: {min(clash)!r} is both a field and a flag")
            if len(tables.flags) > fields["flags"].mask.bit_length():
                raise IsaError(f"word format {name}: {len(tables.flags)} flags do not fit the flags field")
    setter = tables.words.get("F")
    if setter is not None:
        low, high = setter["imm"].range
        for field in tables.fields.values():
            if field.id > setter["field"].mask or not low <= field.default <= high:
                raise IsaError(f"fields.tsv: {field.name!r} or its default does not fit the F word")
    for fmt in tables.formats.values():
        used = {"float": 1 + fmt.exponent + fmt.mantissa, "scale": fmt.exponent, "int": fmt.bits}.get(fmt.kind, 0)
        padded = fmt.kind == "float" and fmt.bits == 32  # tf32: the low bits are not looked at
        if fmt.bits not in (4, 6, 8, 16, 32) or (used > fmt.bits if padded else used != fmt.bits):
            raise IsaError(f"formats.tsv: the bits of {fmt.name!r} do not add up")
    for scale in tables.scales.values():
        none = scale.format == "-"
        if none != (scale.id == 0) or none != (scale.block == 0) or not none and scale.format not in tables.formats:
            raise IsaError(f"scales.tsv: {scale.name!r} names no format, or no block")


def prove(tables: Tables) -> None:
    """All that is to be proved once the word formats are; raises IsaError at the first thing that does not hold."""
    prove_names(tables)
    seen: dict[int, str] = {}
    for spec in tables.specs.values():
        prove_spec(spec, tables)
        if spec.opcode in seen:
            raise IsaError(f"opcode {spec.opcode:#04x} belongs to {seen[spec.opcode]!r} and to {spec.mnemonic!r}")
        if spec.opcode in USER_OPCODES:
            raise IsaError(f"{spec.mnemonic}: opcode {spec.opcode:#x} is among those reserved for users' instructions")
        seen[spec.opcode] = spec.mnemonic
