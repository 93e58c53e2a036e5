"""A page: what a result shows, as finished strings, before anybody decides how to draw it."""

from collections.abc import Iterable
from dataclasses import dataclass, field


def clean(text: object) -> str:
    """One printable line: names come from other people's files and must not move the cursor or forge markup."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text))


@dataclass(frozen=True)
class Pairs:
    """Names and values, one pair a line."""

    rows: list[tuple[str, str]]
    title: str = ""


@dataclass(frozen=True)
class Table:
    """The first column and those in ``left`` are flush left, the others (numbers) flush right."""

    columns: list[str]
    rows: list[list[str]]
    title: str = ""
    left: frozenset[str] = frozenset()

    def is_left(self, index: int) -> bool:
        return index == 0 or self.columns[index] in self.left


@dataclass(frozen=True)
class Note:
    """A paragraph; ``warn`` marks what the reader must not overlook."""

    text: str
    warn: bool = False


@dataclass(frozen=True)
class Drawing:
    """Lines of characters that only make sense as they stand."""

    text: str


Part = Pairs | Table | Note | Drawing


@dataclass
class Page:
    title: str
    parts: list[Part] = field(default_factory=list)

    def add(self, *parts: Part) -> None:
        self.parts.extend(parts)


def dropping_empty(columns: list[str], rows: Iterable[list[str]], empty: str = "-") -> tuple[list[str], list[list[str]]]:
    """Without the columns in which no row says anything."""
    rows = list(rows)
    keep = [i for i in range(len(columns)) if i == 0 or any(row[i] != empty for row in rows)]
    return [columns[i] for i in keep], [[row[i] for i in keep] for row in rows]
