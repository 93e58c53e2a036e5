"""The text of a program as lines of tokens, each with its column, and the errors that point at one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, NoReturn

from isa.errors import IsaError

_TOKEN = re.compile(r"[^\s,]+|,")
_LABEL = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_.]*):\s*(.*)\Z", re.DOTALL)
MAX_TEXT = 1 << 26


class Token(NamedTuple):
    text: str
    line: int
    column: int

    def fail(self, message: str) -> NoReturn:
        raise IsaError(message, line=self.line, column=self.column)

    def integer(self, what: str) -> int:
        try:
            return int(self.text, 0)
        except ValueError:
            self.fail(f"{what}: {self.text[:40]!r} is not a number (decimal or 0x...)")


class Line:
    """Tokens of one line, taken from the left."""

    def __init__(self, number: int, tokens: list[Token], source: str) -> None:
        self.number, self.tokens, self.source, self.at = number, tokens, source, 0

    def more(self) -> bool:
        return self.at < len(self.tokens)

    def peek(self) -> str:
        return self.tokens[self.at].text if self.more() else ""

    def next(self, what: str) -> Token:
        """The next token; `what` says what was expected where none is left."""
        if not self.more():
            last = self.tokens[-1]
            raise IsaError(f"{what} expected at the end of the line", line=self.number, column=last.column + len(last.text))
        self.at += 1
        return self.tokens[self.at - 1]

    def comma(self, what: str) -> None:
        token = self.next(f"',' and {what}")
        if token.text != ",":
            token.fail(f"',' and {what} expected, found {token.text[:40]!r}")

    def list(self, what: str) -> list[Token]:
        """One or more tokens with commas between."""
        out = [self.next(what)]
        while self.peek() == ",":
            self.at += 1
            out.append(self.next(what))
        return out

    def end(self) -> None:
        if self.more():
            token = self.tokens[self.at]
            token.fail(f"nothing more expected on this line, found {token.text[:40]!r}")


def lines_of(text: str) -> Iterator[tuple[Token | None, Line | None]]:
    """For each line its label (without the colon) and its tokens, where it has any. A comment runs from ; to the end of the line."""
    if len(text) > MAX_TEXT:
        raise IsaError(f"{len(text)} characters; a program text has at most {MAX_TEXT}")
    for number, whole in enumerate(text.splitlines(), 1):
        code = whole.partition(";")[0]
        label, start = None, 0
        if ":" in code:
            match = _LABEL.match(code)
            if match is not None:
                label, start = Token(match[1], number, match.start(1) + 1), match.start(2)
        tokens = [Token(m.group(), number, m.start() + 1) for m in _TOKEN.finditer(code, start)]
        if label is not None or tokens:
            yield label, Line(number, tokens, code[start:].strip()) if tokens else None
