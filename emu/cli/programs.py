"""emu run, emu asm, emu disasm: programs in the chip's own instructions."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from emu.cli import options
from emu.cli.output import note, show, write

Source = Annotated[Path, typer.Argument(metavar="PROGRAM", help="Assembly (.s) or a binary program (.bin).")]


def run(
    program: Source,
    chip: options.Chip,
    in_: Annotated[list[str] | None, typer.Option("--in", metavar="NAME=FILE", help="A .npy array for an input; repeatable.")] = None,
    out: Annotated[list[str] | None, typer.Option("--out", metavar="NAME=FILE", help="Where to write an output; repeatable.")] = None,
    check: Annotated[bool, typer.Option(help="Look for races (always on: bounds, uninitialised reads, deadlock).")] = True,
    values: Annotated[bool, typer.Option(help="Compute values; --no-values is timing only.")] = True,
    fidelity: options.Fidelity = "fast",
    max_memory: Annotated[str | None, typer.Option(metavar="SIZE", help="Refuse a run that needs more, as 8GiB.")] = None,
    json: options.Json = False,
    trace: options.Trace = None,
    instructions: options.Instructions = None,
    quiet: options.Quiet = False,
) -> None:
    """Run a program: outputs, cycles, joules, stalls."""
    import emu
    from emu.cli.extensions import read_set
    from emu.cli.files import read_array, read_program, split_binding, will_write, write_array
    from emu.cli.names import chip_of

    limit = _limit(max_memory)
    loaded = read_program(program, read_set(instructions))
    inputs = {name: read_array(path, limit or sys.maxsize) for name, path in (split_binding(text, "--in") for text in in_ or [])}
    wanted = dict(split_binding(text, "--out") for text in out or [])
    will_write(trace, "--trace")
    for path in wanted.values():
        will_write(path, "--out")
    machine = emu.Machine(chip_of(chip), fidelity=fidelity)
    result = machine.run(loaded, inputs=inputs, values=values, check=check, trace=trace is not None, max_memory=limit)
    for name, path in wanted.items():
        if name not in result.outputs:
            raise emu.ProgramError(f"--out {name}: the run has no such output; it has: {', '.join(result.outputs) or 'none'}")
        write_array(path, result.outputs[name])
    if trace is not None:
        result.trace(trace)
        note(f"timeline written to {trace}; open it at https://ui.perfetto.dev", quiet)
    show(result.to_dict(), json)


def _limit(text: str | None) -> int | None:
    from emu.report.units import parse_size

    try:
        return None if text is None else parse_size(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--max-memory") from error


def asm(
    program: Source,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Default: the source's name with .bin.")] = None,
    instructions: options.Instructions = None,
) -> None:
    """Assemble text into a binary program."""
    from emu.cli.extensions import read_set
    from emu.cli.files import read_program

    assembled = read_program(program, read_set(instructions))
    target = output or program.with_suffix(".bin")
    target.write_bytes(assembled.to_bytes())
    note(f"{target}: {sum(map(len, assembled.streams.values()))} instructions, digest {assembled.digest[:12]}")


def disasm(
    program: Source,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Default: standard output.")] = None,
    instructions: options.Instructions = None,
) -> None:
    """Turn a binary program back into text."""
    from emu.cli.extensions import read_set
    from emu.cli.files import read_program

    text = read_program(program, read_set(instructions)).to_text()
    if output is None:
        write(text)
    else:
        output.write_text(text)
