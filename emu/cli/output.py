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


FORMATS = ("text", "json", "csv", "markdown")


def format_of(format: str, as_json: bool = False) -> str:
    """One of FORMATS; --json is short for one of them."""
    from emu.errors import EmuError, did_you_mean

    if format not in FORMATS:
        raise EmuError(f"--format {format}: {did_you_mean(format, FORMATS)}")
    return "json" if as_json else format


def show(result: Mapping[str, Any], as_json: bool, format: str = "text") -> None:
    """A result's dict as a page for people, or in another of FORMATS."""
    form = format_of(format, as_json)
    if form == "json":
        from emu.report.json import dumps

        write(dumps(result) + "\n")
    elif form == "csv":
        from emu.report import flat

        write(flat.dumps(result))
    elif form == "markdown":
        from emu.report import markdown

        write(markdown.dumps(result))
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


@contextmanager
def bar(quiet: bool, what: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on stderr with the time that is left; nothing where stderr is no terminal or ``--quiet`` was given. Takes (done, of)."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    left = TimeRemainingColumn(elapsed_when_finished=True)
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), left
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(what, total=None)
        yield lambda done, of: shown.update(task, completed=done, total=of)
