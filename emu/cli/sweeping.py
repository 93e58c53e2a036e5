"""emu sweep, emu search: many points of a design space, as a table or for the best of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from emu.cli import options
from emu.cli.output import bar, format_of, note, show

StudyFile = Annotated[Path, typer.Argument(metavar="STUDY.toml", help="What to vary; docs/studies.md shows the form.")]
Jobs = Annotated[int | None, typer.Option(min=1, help="Processes; as many as there are cores if left out.")]


def sweep(
    study: StudyFile,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write the table: .parquet, .csv, .json or .md.")] = None,
    plots: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Draw what goes with it, as SVG.")] = None,
    jobs: Jobs = None,
    sample: Annotated[int | None, typer.Option(min=1, help="Draw so many of the points.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the draw, and of the estimates.")] = None,
    journal: Annotated[Path | None, typer.Option(metavar="FILE", help="Finished rows; STUDY.rows.jsonl if left out.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget rows of an earlier run.")] = False,
    json: options.Json = False,
    format: options.Format = "text",
    no_cache: options.NoCache = False,
    quiet: options.Quiet = False,
) -> None:
    """Run a study: all its combinations or a sample."""
    from emu.cli.files import will_write
    from emu.errors import EmuError
    from emu.report.draw import needs_matplotlib, save
    from emu.study.sweep import load_study
    from emu.study.sweep.table import writer_of

    format_of(format)
    will_write(out, "--out")
    if out is not None:
        writer_of(out)
    if plots is not None:
        needs_matplotlib()
        if not plots.is_dir():
            raise EmuError(f"--plots {plots}: there is no such folder")
    wanted = load_study(study, **{k: v for k, v in {"sample": sample, "seed": seed}.items() if v is not None})
    rows = journal or study.with_suffix(".rows.jsonl")
    with bar(quiet, study.name) as shown:
        state = {"done": 0, "of": len(wanted.points())}

        def heard(done: int, of: int, row: Mapping[str, Any]) -> None:
            state.update(done=done, of=of)
            if shown is not None:
                shown(done, of)

        try:
            result = wanted.run(jobs=jobs, journal=rows, fresh=fresh, cache=not no_cache, done=heard)
        except KeyboardInterrupt:
            note(f"interrupted: {state['done']} of {state['of']} points are kept in {rows}; the same command goes on from there")
            raise
    if result.failed:
        note(f"{len(result.failed)} of {len(result.rows)} points failed; the column error says why", quiet)
    if out is not None:
        result.write(out)
        note(f"table written to {out}", quiet)
    if plots is not None:
        for name, figure in result.pictures():
            save(figure, plots / f"{name}.svg")
            note(f"drawn: {plots / name}.svg", quiet)
    show(result.to_dict(), json, format)
    if len(result.failed) == len(result.rows):
        raise EmuError(f"no point has figures; the first one: {result.rows[0]['error']}")


def search(
    study: StudyFile,
    trials: Annotated[int | None, typer.Option(min=1, help="Run until there are so many; 100, or as the file says.")] = None,
    storage: Annotated[str | None, typer.Option(metavar="FILE", help="Trials, for Optuna and its dashboard; STUDY.trials.db.")] = None,
    jobs: Jobs = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the draws, and of the estimates.")] = None,
    plots: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Draw the front, as SVG.")] = None,
    json: options.Json = False,
    format: options.Format = "text",
    quiet: options.Quiet = False,
) -> None:
    """The best points of a study within limits, by Optuna."""
    from emu.errors import EmuError
    from emu.report.draw import needs_matplotlib, save
    from emu.study.search import search as run
    from emu.study.sweep import load_search

    format_of(format)
    if plots is not None:
        needs_matplotlib()
        if not plots.is_dir():
            raise EmuError(f"--plots {plots}: there is no such folder")
    wanted, how = load_search(study, **({} if seed is None else {"seed": seed}))
    how |= {} if trials is None else {"trials": trials}
    kept = storage or str(study.with_suffix(".trials.db"))
    with bar(quiet, study.name) as shown:
        try:
            result = run(wanted, storage=kept, jobs=jobs, done=shown and (lambda n, of, _: shown(n, of)), **how)
        except KeyboardInterrupt:
            note(f"interrupted: finished trials are kept in {kept}; the same command goes on from there")
            raise
    if plots is not None:
        for name, figure in result.pictures():
            save(figure, plots / f"{name}.svg")
    show(result.to_dict(), json, format)
