"""All commands together. Modules of commands import what they call only when called, so that ``emu --help`` is quick."""

import logging
from typing import Annotated

import typer

from emu import __version__
from emu.cli import catalogue, programs, reporting, studies, sweeping, validating

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: half the lines, and no import of rich
    pretty_exceptions_enable=False,
    help="Emulate matrix-engine inference chips: values, cycles, joules and reasons from one program.",
    epilog="Start with: emu estimate llama-3-8b --chip jalapeno",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"emu {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")] = False,
) -> None:
    logging.basicConfig(format="%(name)s: %(message)s", level=logging.WARNING)  # to stderr


app.command()(studies.estimate)
app.command()(studies.infer)
app.add_typer(studies.op, name="op")
app.command()(sweeping.sweep)
app.command()(sweeping.search)
app.command()(reporting.report)
app.command()(reporting.trace)
app.command()(validating.validate)
app.add_typer(catalogue.chips, name="chips")
app.command()(catalogue.models)
app.command()(programs.run)
app.command()(programs.asm)
app.command()(programs.disasm)
