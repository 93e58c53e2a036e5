"""Options that several commands share, spelt once."""

from pathlib import Path
from typing import Annotated

import typer

Chip = Annotated[str, typer.Option(help="A preset (see emu chips) or a chip file, my.toml.")]
Batch = Annotated[int, typer.Option(min=1, help="Sequences at once.")]
DType = Annotated[str, typer.Option(help="Format of weights and activations: bf16, fp16, fp8, int8, fp32.")]
KvDType = Annotated[str | None, typer.Option(help="Format of the KV cache; as --dtype if left out.")]
Fidelity = Annotated[str, typer.Option(help="ideal (no contention), fast (fair share) or detailed (every DRAM request).")]
Stack = Annotated[str, typer.Option(help="Software around the chip: bare, or a stack of the chip's file.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Run everything anew; keep nothing on disk.")]
NoFolding = Annotated[bool, typer.Option("--no-folding", help="Simulate every core, also equal ones: slower, the same figures.")]
NoForward = Annotated[bool, typer.Option("--no-fast-forward", help="Run every turn of every loop: slower, the same figures.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Trace = Annotated[Path | None, typer.Option(metavar="FILE", help="Write a timeline that ui.perfetto.dev opens.")]
Data = Annotated[str, typer.Option(help="For joules: zeros, normal, random.")]
Clock = Annotated[str | None, typer.Option(metavar="HZ", help='Lock the core clock: Hz, "1.5 GHz" or max.')]
NoCap = Annotated[bool, typer.Option("--no-cap", help="Full clock whatever power it takes; as --clock max.")]
Regime = Annotated[str, typer.Option(help="steady (power cap) or short (full clock).")]
Operands = Annotated[str, typer.Option(help="cold, or warm: the last-level cache holds what a replay before left of them.")]
