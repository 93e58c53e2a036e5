"""emu chips area, emu chips cost: a chip in silicon and in money."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emu.cli import options
from emu.cli.output import show, write

if TYPE_CHECKING:
    from emu.chip import Chip
    from emu.chip.cost import ChipCost

Name = Annotated[str, typer.Argument(help="A preset or a chip file, my.toml.")]
SET = 'Vary a figure: cost.wafer="20000 USD" (may be repeated).'
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help=SET)]


def area(
    name: Annotated[str | None, typer.Argument(help="A preset or a chip file; left out: the published dies beside the model.")] = None,
    sets: Set = None,
    json: options.Json = False,
) -> None:
    """Die area by component; without a name, the model's error on published dies."""
    from emu.report import trade
    from emu.report.json import dumps
    from emu.report.text import render

    if name is None:
        from emu.chip.cost.published import published

        found = published()
        if json:
            shown = [{**vars(die), "error": die.error} for die in found]
            return write(dumps({"kind": "published-areas", "dies": shown}) + "\n")
        return write(render(trade.published_page(found), sys.stdout))
    result = _cost(name, sets).to_dict()
    return write(dumps(result) + "\n" if json else render(trade.area_page(result), sys.stdout))


def cost(
    name: Name,
    estimate: Annotated[Path | None, typer.Option(metavar="FILE", help="Output of emu estimate --json: adds its tokens' cost.")] = None,
    basis: Annotated[str, typer.Option(help="What a chip is paid for as: made, price, rental.")] = "made",
    sets: Set = None,
    json: options.Json = False,
) -> None:
    """What a chip costs to make, part by part, and what its tokens cost."""
    from emu.cli.files import read_result

    found = _cost(name, sets)
    shown = found.to_dict()
    if estimate is not None:
        from emu.chip.cost import per_token

        shown["tokens"] = per_token(found.chip, read_result(estimate, "--estimate"), basis)
    show(shown, json)


def _cost(name: str, sets: list[str] | None) -> "ChipCost":
    from emu.chip.cost import cost as cost_of
    from emu.cli.names import chip_of

    return cost_of(_varied(chip_of(name), sets))


def _varied(chip: "Chip", sets: list[str] | None) -> "Chip":
    """The chip with KEY=VALUE applied; a value is a number where it reads as one, else text."""
    from emu.errors import EmuError

    changes: dict[str, int | float | str] = {}
    for one in sets or []:
        key, equals, value = one.partition("=")
        if not equals:
            raise EmuError(f"--set {one}: expected KEY=VALUE, such as cost.wafer=\"20000 USD\"")
        changes[key.strip()] = _value(value.strip())
    return chip.vary(changes) if changes else chip


def _value(text: str) -> int | float | str:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text
