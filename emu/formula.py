"""Short expressions in data files and declarations, as people write them. A grammar of four rules, never `eval`:

    sum     = product (("+" | "-") product)*
    product = factor (("*" | "/") factor)*
    factor  = number [unit] | name | function "(" sum ("," sum)* ")" | "(" sum ")"

What a number, a name, a sign or a function stands for is said by whoever derives from `Parser`: a value at once, or a tree to keep."""

from __future__ import annotations

import re
from typing import Generic, TypeVar

MAX_TEXT = 200
MAX_DEPTH = 16
_TOKEN = re.compile(r"\s*(?:(\d{1,9}(?:\.\d{1,6})?)\s*([A-Za-z]\w*)?|([A-Za-z]\w*)|([-+*/(),]))", re.ASCII)
T = TypeVar("T")


class FormulaError(ValueError):
    """What is wrong with a formula, as the end of a sentence."""


class Parser(Generic[T]):
    """Reads one expression. FormulaError says what is wrong with it."""

    units: tuple[str, ...] = ()
    signs = "+-*/"
    functions: tuple[str, ...] = ("max", "min")
    example = "'2 + x'"
    what = "a name"

    def __init__(self, text: object) -> None:
        if not isinstance(text, str) or not text.strip() or len(text) > MAX_TEXT:
            raise FormulaError(f"expected {self.example}, got {text!r:.60}")
        self.text, self.tokens, self.at = text, self._tokens(text.rstrip()), 0

    def number(self, text: str, unit: str) -> T:
        raise NotImplementedError

    def name(self, name: str) -> T:
        raise NotImplementedError

    def combine(self, sign: str, a: T, b: T) -> T:
        raise NotImplementedError

    def call(self, function: str, values: list[T]) -> T:
        raise NotImplementedError

    def parse(self) -> T:
        """What the whole text stands for."""
        value = self._sum(0)
        if self.at < len(self.tokens):
            raise FormulaError(f"{self.text!r}: {self._peek()!r} is not expected here")
        return value

    def _tokens(self, text: str) -> list[str]:
        tokens, at = [], 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            known = found and found.end() > at and (found[4] or "(") in self.signs + "(),"
            if not found or not known or (found[2] or "") not in ("", *self.units):
                raise FormulaError(f"{text!r}: cannot read {text[at:at + 12].strip()!r}")
            number, unit, name, sign = found.groups()
            tokens.append(f"{number} {unit or ''}".strip() if number else name or sign)
            at = found.end()
        return tokens

    def _peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def _take(self) -> str:
        self.at += 1
        return self.tokens[self.at - 1] if self.at <= len(self.tokens) else ""

    def _expect(self, token: str) -> None:
        found = self._take()
        if found != token:
            raise FormulaError(f"expected {token!r}, found {found or 'the end'!r}")

    def _sum(self, depth: int) -> T:
        value = self._product(depth)
        while self._peek() in ("+", "-"):
            sign = self._take()
            value = self.combine(sign, value, self._product(depth))
        return value

    def _product(self, depth: int) -> T:
        value = self._factor(depth)
        while self._peek() in ("*", "/"):
            sign = self._take()
            value = self.combine(sign, value, self._factor(depth))
        return value

    def _factor(self, depth: int) -> T:
        if depth > MAX_DEPTH:
            raise FormulaError(f"nested more than {MAX_DEPTH} deep")
        token = self._take()
        if token[:1].isdigit():
            number, _, unit = token.partition(" ")
            return self.number(number, unit)
        if token in self.functions:
            self._expect("(")
            values = [self._sum(depth + 1)]
            while self._peek() == ",":
                self._take()
                values.append(self._sum(depth + 1))
            self._expect(")")
            return self.call(token, values)
        if token == "(":
            value = self._sum(depth + 1)
            self._expect(")")
            return value
        if token[:1].isalpha():
            return self.name(token)
        raise FormulaError(f"expected a number, {self.what} or {self.functions[0]}(), found {token or 'the end'!r}")
