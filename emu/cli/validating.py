"""emu validate: predictions beside measurements."""

import os
from pathlib import Path
from typing import Annotated

import typer

from emu.cli import options
from emu.cli.output import note, progress, show

Names = list[str] | None


def validate(
    suite: Annotated[Names, typer.Option(help="Only this suite (may be repeated); all if left out.")] = None,
    chip: Annotated[Names, typer.Option(help="Only suites of this chip (may be repeated).")] = None,
    csv: Annotated[list[Path] | None, typer.Option(metavar="FILE", help="A table of measurements instead of the packaged rows.")] = None,
    rows: Annotated[int, typer.Option(min=0, help="A sample of so many rows of each suite; 0: all there are.")] = 0,
    no_cap: Annotated[bool, typer.Option("--no-cap", help="Errors without the power cap beside them.")] = False,
    stack: Annotated[str | None, typer.Option(help="bare: errors on the bare chip beside them.")] = None,
    without: Annotated[Names, typer.Option(help="Errors without this mechanism beside them (may be repeated; all: each of them).")] = None,
    page: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the Markdown page; words outside its marks stay.")] = None,
    plots: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Draw measured against predicted, and errors by size.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes; as many as there are cores if left out.")] = os.cpu_count() or 1,
    json: options.Json = False,
    no_cache: options.NoCache = False,
    quiet: options.Quiet = False,
) -> None:
    """Compare predictions with measured silicon; exit code 1 if a suite exceeds its bound."""
    from emu.cli.files import will_write
    from emu.errors import EmuError
    from emu.report import validation
    from emu.study.validate import BARE, MECHANISMS, NO_CAP
    from emu.study.validate import validate as run

    will_write(page, "--page")
    if plots is not None:
        validation.needs_matplotlib()
        if not plots.is_dir():
            raise EmuError(f"--plots {plots}: there is no such folder")
    if stack not in (None, "bare", "vllm"):
        raise EmuError(f"--stack {stack}: the measurements are vllm's, which is what rows are run on; bare is compared with it")
    asked = list(MECHANISMS) if "all" in (without or []) else list(without or [])
    asked += ([NO_CAP.name] if no_cap else []) + ([BARE.name] if stack == "bare" else [])
    with progress(quiet, "validate") as report:
        result = run(
            suite or (), chips=chip or (), tables=csv or (), without=asked, rows=rows, jobs=jobs, cache=not no_cache,
            done=report and (lambda n, of, o: report(f"{n} of {of} rows; {o.row.chip} {o.row}: {o.error:+.1%}")),
        )  # fmt: skip
    shown = result.to_dict()
    if plots is not None:
        note(f"drawn: {', '.join(map(str, validation.draw(shown, plots)))}", quiet)
    if page is not None:
        validation.write_page(shown, page, plots)
    show(shown, json)
    if not result.ok:
        raise typer.Exit(1)
