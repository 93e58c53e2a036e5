"""Operands of one instruction as text: how each kind is written (`show`) and read (`parse_operands`)."""

from __future__ import annotations

import re
import struct

from isa.errors import IsaError, nearest
from isa.source import Line, Token
from isa.tables import REGISTERS, Operand, Spec, load
from isa.words import check_range

_FLOAT = re.compile(r"[+-]?(\d+\.\d*([eE][+-]?\d+)?|\d+[eE][+-]?\d+|inf|nan)\Z")


NAMED = {"space": ("space", "spaces"), "fmt": ("format", "formats"), "scales": ("kind of scales", "scales")}
"""Fields that a program writes by name: what is named, and the table of the names."""
_REGISTER_NUMBERS = {str(number) for number in range(REGISTERS)}


class Names:
    """What a program declares, for operands written by name."""

    def __init__(self) -> None:
        self.semaphores: dict[str, int] = {}
        self.buffers: dict[str, int] = {}


def _numbered(token: Token, letter: str, what: str) -> int:
    text = token.text
    if not (text[:1] == letter and text[1:] in _REGISTER_NUMBERS):
        token.fail(f"{what} expected ({letter}0..{letter}31), found {text[:40]!r}")
    return int(text[1:])


def _constant(token: Token, field: str, names: Names) -> int:
    """The value that dset or dsetr gives a field: space, format and scales by name, a buffer (+ bytes) for base, a float for scalar."""
    tables, text = load(), token.text
    if field in NAMED and text[0].isalpha():
        what, table = NAMED[field]
        ids = {name: entry.id for name, entry in getattr(tables, table).items()}
        if text not in ids:
            token.fail(f"no {what} {text!r}{nearest(text, ids)}")
        return ids[text]
    if field == "scalar" and _FLOAT.match(text):
        try:
            return struct.unpack("<I", struct.pack("<f", float(text)))[0]
        except OverflowError:
            token.fail(f"{text} does not fit fp32")
    if field in ("base", "ring_lo") and (text[0].isalpha() or text[0] == "_"):
        name, plus, more = text.partition("+")
        if name not in names.buffers:
            token.fail(f"no buffer {name!r}{nearest(name, names.buffers)}")
        return names.buffers[name] + (Token(more, token.line, token.column + len(name) + 1).integer("bytes") if plus else 0)
    return token.integer(field)


def _semaphore(token: Token, names: Names) -> int:
    text = token.text
    if text in names.semaphores:
        return names.semaphores[text]
    if text[:1].isalpha() or text[:1] == "_":
        token.fail(f"no semaphore {text!r}{nearest(text, names.semaphores)}")
    return token.integer("semaphore")


def _descriptor_field(token: Token) -> tuple[int, int]:
    head, dot, field = token.text.partition(".")
    descriptor = _numbered(Token(head, token.line, token.column), "d", "descriptor and field such as d1.base")
    if field not in load().fields:
        if not dot:
            token.fail(f"a field is missing: {head}.base, for one")
        token.fail(f"no descriptor field {field[:40]!r}{nearest(field, load().fields)}")
    return descriptor, load().fields[field].id


def _value(spec: Spec, operand: Operand, token: Token, field: str, names: Names) -> int:
    if operand.kind in ("register", "descriptor"):
        return _numbered(token, operand.kind[0], operand.kind)
    if operand.kind == "semaphore":
        return _semaphore(token, names)
    if spec.mnemonic in ("dset", "dsetr"):
        return _constant(token, field, names)
    return token.integer(operand.name)


def _put(values: dict[str, int], spec: Spec, operand: Operand, value: int, token: Token) -> None:
    try:
        check_range(spec.mnemonic, operand, value)
    except IsaError as error:
        raise error.at(token.line, token.column) from None
    values[operand.name] = value


def parse_operands(spec: Spec, line: Line, names: Names) -> tuple[dict[str, int], Token | None]:
    """Operands of the rest of the line; a target label is returned as its token, to be looked up later."""
    values: dict[str, int] = {}
    target, field, first = None, "", True
    for operand in spec.operands:
        if not operand.required or operand.kind == "field":
            continue  # a field is written together with its descriptor
        what = "a label" if operand.kind == "offset" else f"operand {operand.name}"
        if not first:
            line.comma(what)
        first = False
        token = line.next(what)
        if operand.kind == "offset":
            target = token
        elif operand.kind == "descriptor" and spec.format == "F" and any(o.kind == "field" for o in spec.operands):
            values["d0"], values["field"] = _descriptor_field(token)
            field = token.text.partition(".")[2]
        else:
            _put(values, spec, operand, _value(spec, operand, token, field, names), token)
    _extras(spec, line, names, values)
    return values, target


def _extras(spec: Spec, line: Line, names: Names, values: dict[str, int]) -> None:
    """wait=, signal= and flags, in any order, each once."""
    extras = {operand.name: operand for operand in spec.operands if not operand.required}
    while line.more():
        token = line.next("")
        name, equals, text = token.text.partition("=")
        operand = extras.get(name)
        if operand is None:
            token.fail(f"{spec.mnemonic} takes no {token.text[:40]!r}{nearest(name, extras)}")
        if bool(equals) != (operand.kind == "semaphore"):
            token.fail(f"{name} is a flag and stands alone" if equals else f"{name} needs a semaphore: {name}=NAME")
        if name in values:
            token.fail(f"{name} stands twice")
        at = Token(text, token.line, token.column + len(name) + 1)
        _put(values, spec, operand, _semaphore(at, names) if equals else 1, at)
