"""emu op all_reduce and its kin: one collective by itself."""

from typing import Annotated

import typer

from emu.cli import options
from emu.cli.output import progress, show

HELP = {
    "all_reduce": "The sum of all chips' buffers, on all chips.",
    "all_gather": "All chips' shards, on all chips.",
    "reduce_scatter": "The sum of all chips' buffers, a shard on each.",
    "all_to_all": "From every chip a part for every chip.",
    "broadcast": "One chip's buffer, on all chips.",
    "send_recv": "One chip's buffer to another chip.",
}


def add_to(app: typer.Typer) -> None:
    """A command for each collective."""
    for name, text in HELP.items():
        app.command(name, help=text)(_command(name))


def _command(name: str):  # type: ignore[no-untyped-def]
    def command(
        chip: options.Chip,
        chips: Annotated[int, typer.Option(min=2, help="Chips that take part.")],
        size: Annotated[str, typer.Option("--bytes", metavar="SIZE", help='The whole buffer, chips x shard: 65536, "64 MiB".')],
        system: Annotated[str | None, typer.Option(help="A system, or its file my.toml; the chip's own links if left out.")] = None,
        algorithm: Annotated[str | None, typer.Option(help="ring, tree, torus, direct, halving, switch; the quickest if left out.")] = None,
        root: Annotated[int, typer.Option(min=0, help="Where a broadcast or send_recv begins.")] = 0,
        target: Annotated[int, typer.Option(min=0, help="Where a send_recv ends.")] = 1,
        dtype: options.DType = "bf16",
        stack: options.Stack = "bare",
        fidelity: options.Fidelity = "fast",
        json: options.Json = False,
        quiet: options.Quiet = False,
    ) -> None:
        from emu import study
        from emu.chip.units import parse
        from emu.cli.names import chip_of
        from emu.errors import UnsupportedError
        from emu.system import load_system

        try:
            count = int(size) if size.isdigit() else int(parse(size, "bytes"))
        except ValueError as error:
            raise UnsupportedError(f"--bytes {size[:40]!r}: {error}") from None
        where = load_system(system) if system is not None and system.endswith(".toml") else system
        with progress(quiet, f"{name} on {chips} x {chip}"):
            result = study.collective(
                chip_of(chip), name, count, chips, stack=stack, dtype=dtype, fidelity=fidelity, system=where, algorithm=algorithm,
                root=root, target=target,
            )  # fmt: skip
        show(result.to_dict(), json)

    return command
