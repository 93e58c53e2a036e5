"""Latencies as people write them: `CL + BL + 2 - CWL`, `max(4 clk, 7.5 ns)`. A grammar of four rules, never `eval`.

    sum     = product (("+" | "-") product)*
    product = factor ("*" factor)*
    factor  = number ["clk" | "ns" | "us"] | name | ("max" | "min") "(" sum ("," sum)* ")" | "(" sum ")"

Every quantity is in clocks, exactly. Times in ns are rounded up to whole clocks where they stand, as a memory controller's registers
take them; a bare number is clocks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction

from emu.errors import did_you_mean

MAX_TEXT = 200
MAX_DEPTH = 16
_TOKEN = re.compile(r"\s*(?:(\d{1,9}(?:\.\d{1,6})?)\s*(clk\b|ns\b|us\b)?|([A-Za-z]\w*)|([-+*(),]))", re.ASCII)
_NS = {"ns": Fraction(1), "us": Fraction(1000)}


class FormulaError(ValueError):
    """What is wrong with a formula, as the end of a sentence."""


def evaluate(text: object, names: Mapping[str, Fraction], period_ns: Fraction) -> Fraction:
    """Clocks that a formula stands for; `names` are timings in clocks. FormulaError says what is wrong, with the nearest name."""
    if isinstance(text, int) and not isinstance(text, bool):
        return Fraction(text)
    if not isinstance(text, str) or not text.strip() or len(text) > MAX_TEXT:
        raise FormulaError(f"expected a latency such as '20 clk', '7.5 ns' or 'CL + BL', got {text!r:.60}")
    parser = _Parser(_tokens(text), names, period_ns)
    value = parser.sum(0)
    if parser.at < len(parser.tokens):
        raise FormulaError(f"{text!r}: {parser.peek()!r} is not expected here")
    return value


def _tokens(text: str) -> list[str]:
    tokens, at = [], 0
    text = text.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if not found or found.end() == at:
            raise FormulaError(f"{text!r}: cannot read {text[at:at + 12].strip()!r}")
        number, unit, name, sign = found.groups()
        tokens.append(f"{number} {unit or ''}".strip() if number else name or sign)
        at = found.end()
    return tokens


class _Parser:
    def __init__(self, tokens: list[str], names: Mapping[str, Fraction], period_ns: Fraction) -> None:
        self.tokens, self.names, self.period_ns, self.at = tokens, names, period_ns, 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        self.at += 1
        return self.tokens[self.at - 1] if self.at <= len(self.tokens) else ""

    def expect(self, token: str) -> None:
        found = self.take()
        if found != token:
            raise FormulaError(f"expected {token!r}, found {found or 'the end'!r}")

    def sum(self, depth: int) -> Fraction:
        value = self.product(depth)
        while self.peek() in ("+", "-"):
            sign = 1 if self.take() == "+" else -1
            value += sign * self.product(depth)
        return value

    def product(self, depth: int) -> Fraction:
        value = self.factor(depth)
        while self.peek() == "*":
            self.take()
            value *= self.factor(depth)
        return value

    def factor(self, depth: int) -> Fraction:
        if depth > MAX_DEPTH:
            raise FormulaError(f"nested more than {MAX_DEPTH} deep")
        token = self.take()
        if token[:1].isdigit():
            return self._number(token)
        if token in ("max", "min"):
            self.expect("(")
            return self._choose(max if token == "max" else min, depth)
        if token == "(":
            value = self.sum(depth + 1)
            self.expect(")")
            return value
        if token[:1].isalpha():
            if token not in self.names:
                raise FormulaError(f"no timing is named {token!r}; {did_you_mean(token, self.names)}")
            return self.names[token]
        raise FormulaError(f"expected a number, a timing or max(), found {token or 'the end'!r}")

    def _choose(self, which, depth: int) -> Fraction:  # type: ignore[no-untyped-def]
        values = [self.sum(depth + 1)]
        while self.peek() == ",":
            self.take()
            values.append(self.sum(depth + 1))
        self.expect(")")
        return which(values)

    def _number(self, token: str) -> Fraction:
        number, _, unit = token.partition(" ")
        value = Fraction(number)
        if unit not in _NS:
            return value
        clocks = value * _NS[unit] / self.period_ns
        return Fraction(-(-clocks.numerator // clocks.denominator))
