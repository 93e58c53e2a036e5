"""emu chips, emu models: what there is to choose from."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emu.cli import options, trade
from emu.cli.output import write

if TYPE_CHECKING:
    from emu.report.page import Page

chips = typer.Typer(invoke_without_command=True, rich_markup_mode=None, help="List the chip presets, or show one.")


@chips.callback()
def chips_default(context: typer.Context, json: options.Json = False) -> None:
    if context.invoked_subcommand is None:
        list_chips(json)


@chips.command("list")
def list_chips(json: options.Json = False) -> None:
    """List the chip presets."""
    import emu
    from emu.report.catalogue import chips_page

    _show({"chips": emu.chips()} if json else chips_page(emu.chip(name) for name in emu.chips()))


@chips.command("show")
def show_chip(name: Annotated[str, typer.Argument(help="A preset or a chip file, my.toml.")], json: options.Json = False) -> None:
    """Show a chip's figures, each with its source."""
    from emu.cli.names import chip_of
    from emu.report.catalogue import chip_page

    chip = chip_of(name)
    _show(chip.to_dict() if json else chip_page(chip))


chips.command()(trade.area)
chips.command()(trade.cost)


def models(json: options.Json = False) -> None:
    """List the model presets."""
    import emu
    from emu.report.catalogue import models_page

    found = [emu.model(name) for name in emu.models()]
    _show({"models": [model.to_dict() for model in found]} if json else models_page(found))


def _show(what: "dict[str, Any] | Page") -> None:
    if isinstance(what, dict):
        from emu.report.json import dumps

        write(dumps(what) + "\n")
    else:
        from emu.report.text import render

        write(render(what, sys.stdout))
