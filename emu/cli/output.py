"""Results to stdout, progress to stderr."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any


def write(text: str) -> None:
    """To stdout; a reader that went away (``| head``) ends the printing, not the command with an error."""
    from emu.cli import silence_stdout

    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        silence_stdout()


def show(result: Mapping[str, Any], as_json: bool) -> None:
    """A result's dict, as JSON or as a page for people."""
    if as_json:
        from emu.report.json import dumps

        write(dumps(result) + "\n")
    else:
        from emu.report.text import render_result

        write(render_result(result, sys.stdout))


def note(message: str, quiet: bool = False) -> None:
    """A remark that is no part of the result."""
    if not quiet:
        from emu.report.page import clean

        print(clean(message), file=sys.stderr)


@contextmanager
def progress(quiet: bool, first: str) -> Iterator[Callable[[str], None] | None]:
    """A line on stderr that says what is being done; nothing where stderr is no terminal or ``--quiet`` was given."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status(Text(first)) as status:
        yield lambda message: status.update(Text(message))
