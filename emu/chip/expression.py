"""Conditions and small formulas over named figures: `core.sram.capacity * core_count <= 256 MiB and dtype != "fp8"`. Never `eval`.

    condition  = conjunction ("or" conjunction)*
    conjunction = negation ("and" negation)*
    negation   = "not" negation | comparison
    comparison = sum (("<" | "<=" | ">" | ">=" | "==" | "!=") sum)*       a <= b < c is a <= b and b < c
    sum        = product (("+" | "-") product)*
    product    = factor (("*" | "/" | "//" | "%") factor)*
    factor     = number [unit] | "text" | "true" | "false" | name | ("max" | "min") "(" sum ("," sum)* ")" | "(" condition ")" | "-" factor

A number with a unit is its SI value (emu.chip.units); numbers are exact fractions until a name brings a float. Names are dotted
(`chip.hbm.bandwidth`, `levels.l2.capacity`); who evaluates says what they stand for."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from emu.chip import units
from emu.errors import EmuError

MAX_TEXT = 500
MAX_DEPTH = 32
WORDS = ("and", "or", "not", "true", "false", "max", "min")
_UNIT = rf"(?!(?:{'|'.join(WORDS)})\b)[A-Za-zµ]+[2²]?(?:/[A-Za-z]+)?"
_TOKEN = re.compile(
    rf"\s*(?:(?P<number>\d{{1,15}}(?:\.\d{{1,12}})?(?:e[+-]?\d{{1,2}})?)(?:\s*(?P<unit>{_UNIT}))?"
    r"|(?P<name>[A-Za-z_]\w*(?:\.\w+)*)|\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<sign><=|>=|==|!=|//|[-+*/%<>(),]))",
    re.ASCII,
)
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv, "%": operator.mod,
}  # fmt: skip
_COMPARISON: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}
Value = bool | int | float | Fraction | str
Lookup = Callable[[str], Value]


class ExpressionError(EmuError):
    """What is wrong with a text, or with the values that its names stand for."""


@dataclass(frozen=True)
class Node:
    """`kind` is value, name, a sign of the grammar, or a function's name; `of` are the values, the name, or the parts."""

    kind: str
    of: tuple[Any, ...]


@dataclass(frozen=True)
class Expression:
    """A text that was read; `value` may be asked for any number of times."""

    text: str
    root: Node

    @property
    def names(self) -> tuple[str, ...]:
        """What it refers to, in order of appearance."""
        return tuple(dict.fromkeys(_names(self.root)))

    def value(self, lookup: Lookup) -> Value:
        """Its value; `lookup` turns a name into one and may raise whatever it likes. ExpressionError where operands do not go together."""
        found: Value = _value(self.root, lookup, self.text)
        if isinstance(found, Fraction):
            return int(found) if found.denominator == 1 else float(found)
        return found

    def holds(self, lookup: Lookup) -> bool:
        """The value of a condition; ExpressionError if it is none."""
        found = self.value(lookup)
        if not isinstance(found, bool):
            raise ExpressionError(f"{self.text!r} is {_shown(found)}, not a condition; compare it with something")
        return found

    def excess(self, lookup: Lookup) -> float:
        """By how much a condition fails, relative to what it is compared with: above 0 if it does not hold, the more the worse."""
        return _excess(self.root, lookup, self.text)


def parse(text: str) -> Expression:
    """Read a text. ExpressionError says where it stops making sense."""
    if not isinstance(text, str) or not text.strip() or len(text) > MAX_TEXT:
        raise ExpressionError(f"expected a condition or formula of at most {MAX_TEXT} characters, got {_shown(text)}")
    reader = _Reader(text)
    root = reader.either(0)
    if reader.token is not None:
        raise ExpressionError(f"{text!r}: {reader.token[1]!r} is not expected here")
    return Expression(text.strip(), root)


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:77] + "..."


def _tokens(text: str) -> Iterator[tuple[str, Any]]:
    at, end = 0, len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None:
            raise ExpressionError(f"{text!r}: cannot read {text[at : at + 12].strip()!r}")
        kind = "text" if found.lastgroup in ("double", "single") else "number" if found["number"] else str(found.lastgroup)
        yield kind, _number(text, found) if kind == "number" else found[str(found.lastgroup)]
        at = found.end()


def _number(text: str, found: re.Match[str]) -> Fraction:
    if found["unit"] is None:
        return Fraction(found["number"])
    try:
        return units.exact(f"{found['number']} {found['unit']}")[0]
    except ValueError as error:
        raise ExpressionError(f"{text!r}: {error}") from None


class _Reader:
    """Recursive descent; `token` is the next one, or None at the end."""

    def __init__(self, text: str) -> None:
        self.text, self._rest = text, _tokens(text)
        self.token = next(self._rest, None)

    def take(self, *signs: str) -> str | None:
        """The next token if it is one of these signs or words."""
        if self.token is None or self.token[0] not in ("sign", "name") or self.token[1] not in signs:
            return None
        found: str = self.token[1]
        self.token = next(self._rest, None)
        return found

    def expect(self, sign: str) -> None:
        if self.take(sign) is None:
            found = "the end" if self.token is None else repr(str(self.token[1]))
            raise ExpressionError(f"{self.text!r}: expected {sign!r}, found {found}")

    def _chain(self, part: Callable[[int], Node], signs: tuple[str, ...], depth: int) -> Node:
        node = part(depth)
        while sign := self.take(*signs):
            node = Node(sign, (node, part(depth)))
        return node

    def either(self, depth: int) -> Node:
        return self._chain(self.both, ("or",), depth)

    def both(self, depth: int) -> Node:
        return self._chain(self.negation, ("and",), depth)

    def negation(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise ExpressionError(f"{self.text!r}: nested more than {MAX_DEPTH} deep")
        return Node("not", (self.negation(depth + 1),)) if self.take("not") else self.comparison(depth)

    def comparison(self, depth: int) -> Node:
        left = self.sum(depth)
        node: Node | None = None
        while sign := self.take(*_COMPARISON):
            right = self.sum(depth)
            link = Node(sign, (left, right))
            node, left = link if node is None else Node("and", (node, link)), right
        return left if node is None else node

    def sum(self, depth: int) -> Node:
        return self._chain(self.product, ("+", "-"), depth)

    def product(self, depth: int) -> Node:
        return self._chain(self.factor, ("*", "/", "//", "%"), depth)

    def factor(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise ExpressionError(f"{self.text!r}: nested more than {MAX_DEPTH} deep")
        if self.take("-"):
            return Node("negative", (self.factor(depth + 1),))
        if self.take("("):
            node = self.either(depth + 1)
            self.expect(")")
            return node
        if which := self.take("max", "min"):
            return Node(which, self._arguments(depth + 1))
        if word := self.take("true", "false"):
            return Node("value", (word == "true",))
        if self.token is None or self.token[0] == "sign" or self.token[1] in WORDS:
            found = "the end" if self.token is None else repr(self.token[1])
            raise ExpressionError(f"{self.text!r}: expected a number, a name or a text, found {found}")
        kind, value = self.token
        self.token = next(self._rest, None)
        return Node("name" if kind == "name" else "value", (value,))

    def _arguments(self, depth: int) -> tuple[Node, ...]:
        self.expect("(")
        found = [self.sum(depth)]
        while self.take(","):
            found.append(self.sum(depth))
        self.expect(")")
        return tuple(found)


def _names(node: Node) -> Iterator[str]:
    if node.kind == "name":
        yield node.of[0]
    elif node.kind != "value":
        for part in node.of:
            yield from _names(part)


def _value(node: Node, lookup: Lookup, text: str) -> Any:
    if node.kind == "value":
        return node.of[0]
    if node.kind == "name":
        found = lookup(node.of[0])
        return Fraction(found) if type(found) is int else found
    if node.kind in ("and", "or"):
        left = _truth(_value(node.of[0], lookup, text), text)
        return left if left == (node.kind == "or") else _truth(_value(node.of[1], lookup, text), text)
    if node.kind == "not":
        return not _truth(_value(node.of[0], lookup, text), text)
    values = [_value(part, lookup, text) for part in node.of]
    if node.kind in ("==", "!="):
        return _COMPARISON[node.kind](*values)
    for value in values:
        if isinstance(value, (bool, str)):
            raise ExpressionError(f"{text!r}: {_shown(value)} is not a number")
    if node.kind == "negative":
        return -values[0]
    if node.kind in ("max", "min"):
        return max(values) if node.kind == "max" else min(values)
    try:
        return (_COMPARISON.get(node.kind) or _ARITHMETIC[node.kind])(*values)
    except ZeroDivisionError:
        raise ExpressionError(f"{text!r}: division by zero") from None


def _excess(node: Node, lookup: Lookup, text: str) -> float:
    if node.kind in ("and", "or"):
        parts = [_excess(part, lookup, text) for part in node.of]
        return max(parts) if node.kind == "and" else min(parts)
    holds = _truth(_value(node, lookup, text), text)
    if node.kind not in ("<", "<=", ">", ">="):
        return -1.0 if holds else 1.0
    left, right = (float(_value(part, lookup, text)) for part in node.of)
    apart = (left - right if node.kind[0] == "<" else right - left) / (abs(right) or 1.0)
    return max(apart, 1e-12) if not holds else min(apart, 0.0)


def _truth(value: Any, text: str) -> bool:
    if not isinstance(value, bool):
        shown = float(value) if isinstance(value, Fraction) else value
        raise ExpressionError(f"{text!r}: {_shown(shown)} is not a condition; compare it with something")
    return value
