"""The one error of the package: says where, what is wrong, and the nearest thing that would have been right."""

from __future__ import annotations

from collections.abc import Iterable


class IsaError(ValueError):
    """A program, word or table that breaks a rule of the instruction set. `line` and `column` count from 1 where the text is known."""

    def __init__(self, message: str, *, line: int | None = None, column: int | None = None) -> None:
        self.message, self.line, self.column = message, line, column
        where = "" if line is None else f"line {line}: " if column is None else f"line {line}, column {column}: "
        super().__init__(where + message)

    def at(self, line: int, column: int | None = None) -> IsaError:
        """The same error with a place; a place already known is kept."""
        return self if self.line is not None else IsaError(self.message, line=line, column=column)


def nearest(name: str, known: Iterable[str]) -> str:
    """'; did you mean X?' where something known looks alike, else '; known: ...'."""
    import difflib  # only errors need it, and it is slow to import

    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"; known: {shown}" if names else "; none is declared"
