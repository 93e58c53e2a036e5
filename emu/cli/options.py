"""Options that several commands share, spelt once."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer


def chip_names(incomplete: str) -> list[str]:
    """For the shell's completion; a file's name is the shell's own business."""
    from emu.chip import chips

    return [name for name in chips() if name.startswith(incomplete)]


def model_names(incomplete: str) -> list[str]:
    """The same for models."""
    from emu.models import models

    return [name for name in models() if name.lower().startswith(incomplete.lower())]


def words(*known: str) -> Callable[[str], list[str]]:
    """The same for a few words."""
    return lambda incomplete: [word for word in known if word.startswith(incomplete)]


Model = Annotated[str, typer.Argument(
    metavar="MODEL", autocompletion=model_names, help="A preset (emu models), a Hugging Face config.json or its folder.",
)]  # fmt: skip
Chip = Annotated[str, typer.Option(autocompletion=chip_names, help="A preset (see emu chips) or a chip file, my.toml.")]
Batch = Annotated[int, typer.Option(min=1, help="Sequences at once.")]
DType = Annotated[str, typer.Option(help="bf16, fp8, int8, mxfp8, mxfp4, nvfp4 ...")]
Scales = Annotated[str | None, typer.Option(help="Of activations: dynamic, static or unit.")]
KvDType = Annotated[str | None, typer.Option(help="Format of the KV cache; as --dtype if left out.")]
Fidelity = Annotated[str, typer.Option(help="ideal (no contention), fast (fair share) or detailed (every DRAM request).")]
Stack = Annotated[str, typer.Option(help="bare, or a software stack of the chip's file.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Format = Annotated[str, typer.Option(autocompletion=words("text", "json", "csv", "markdown"), help="text, json, csv or markdown.")]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Run everything anew; keep nothing on disk.")]
NoFolding = Annotated[bool, typer.Option("--no-folding", help="Simulate every core: slower, same figures.")]
NoForward = Annotated[bool, typer.Option("--no-fast-forward", help="Run every turn of loops: slower, same figures.")]
Instructions = Annotated[str | None, typer.Option(metavar="FILE.py:NAME", help="A set with users' instructions; the file is run.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Trace = Annotated[Path | None, typer.Option(metavar="FILE", help="Write a timeline that ui.perfetto.dev opens.")]
Data = Annotated[str, typer.Option(help="Joules of zeros, normal, random.")]
Clock = Annotated[str | None, typer.Option(metavar="HZ", help='Lock the core clock: Hz, "1.5 GHz" or max.')]
NoCap = Annotated[bool, typer.Option("--no-cap", help="Full clock whatever power it takes; as --clock max.")]
Regime = Annotated[str, typer.Option(help="steady (power cap) or short (full clock).")]
Operands = Annotated[str, typer.Option(help="cold, or warm: the last-level cache holds what a replay before left of them.")]
