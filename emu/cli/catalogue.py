"""emu chips, emu models: what there is to choose from."""

from typing import Annotated

import typer

from emu.cli import options
from emu.cli.output import write

chips = typer.Typer(invoke_without_command=True, rich_markup_mode=None, help="List the chip presets, or show one.")


@chips.callback()
def chips_default(context: typer.Context, json: options.Json = False) -> None:
    if context.invoked_subcommand is None:
        list_chips(json)


@chips.command("list")
def list_chips(json: options.Json = False) -> None:
    """List the chip presets."""
    import emu

    _names(emu.chips(), json)


@chips.command("show")
def show_chip(name: Annotated[str, typer.Argument(help="A preset or a chip file, my.toml.")], json: options.Json = False) -> None:
    """Show a chip's figures, each with its source."""
    from emu.cli.names import chip_of

    chip = chip_of(name)
    if json:
        from emu.report.json import dumps

        write(dumps(chip.to_dict()) + "\n")
    else:
        import sys

        from emu.report.chips import chip_page
        from emu.report.text import render

        write(render(chip_page(chip.to_dict()), sys.stdout))


def models(json: options.Json = False) -> None:
    """List the model presets."""
    import emu

    _names(emu.models(), json)


def _names(names: list[str], as_json: bool) -> None:
    from emu.report.json import dumps

    write(dumps({"names": names}) + "\n" if as_json else "".join(f"{name}\n" for name in names))
