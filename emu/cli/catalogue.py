"""emu chips, emu models: what there is to choose from."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emu.cli import options, trade
from emu.cli.output import note, write

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
def show_chip(
    name: Annotated[str, typer.Argument(help="A preset or a chip file, my.toml.")],
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the chip into an SVG file instead.")] = None,
    json: options.Json = False,
) -> None:
    """Draw a chip and show its figures, each with its source."""
    from emu.cli.files import will_write
    from emu.cli.names import chip_of
    from emu.report.catalogue import chip_page

    chip = chip_of(name)
    if svg is not None:
        from emu.report.diagram import diagram
        from emu.report.svg import svg as drawn

        will_write(svg, "--svg")
        svg.write_text(drawn(diagram(chip)), encoding="utf-8")
        return note(f"drawn: {svg}")
    _show(chip.to_dict() if json else chip_page(chip))


@chips.command("diff")
def diff_chips(
    a: Annotated[str, typer.Argument(help="A preset or a chip file, my.toml.")],
    b: Annotated[str, typer.Argument(help="Another one.")],
    json: options.Json = False,
) -> None:
    """Say where two chips differ, and by what ratio."""
    from emu.chip.compare import differences
    from emu.cli.names import chip_of
    from emu.report.catalogue import differences_page

    one, other = chip_of(a), chip_of(b)
    found = differences(one, other)
    shown = {"kind": "differences", "a": one.name, "b": other.name, "differences": [vars(d) for d in found]}
    _show(shown if json else differences_page(one, other, found))


@chips.command("new")
def new_chip(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The chip file to write, my.toml.")],
    like: Annotated[str, typer.Option(help="The preset or chip file to start from.")],
    complete: Annotated[bool, typer.Option("--complete", help="Write out every figure instead of extending the other chip.")] = False,
) -> None:
    """Write a chip file of your own that starts from another chip."""
    from emu.chip.template import new_chip as text_of
    from emu.cli.files import will_write
    from emu.cli.names import chip_of
    from emu.errors import EmuError

    will_write(file, "FILE")
    if file.exists():
        raise EmuError(f"{file}: exists already; name another file, or delete this one")
    file.write_text(text_of(file, chip_of(like), like, complete), encoding="utf-8")
    note(f"written: {file}; emu chips show {file} draws it")


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
