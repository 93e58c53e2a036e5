"""emu report, emu trace: an answer to show, and what happened when."""

import json as jsons
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emu.cli import options
from emu.cli.output import bar, note, progress
from emu.errors import EmuError

if TYPE_CHECKING:
    from emu.study import Estimate

Source = Annotated[str, typer.Argument(metavar="SOURCE", help="A model, a study (STUDY.toml) or a result (--json's output in a file).")]
Chip = Annotated[str | None, typer.Option(autocompletion=options.chip_names, help="For a model: a preset or a chip file, my.toml.")]
Prompt = Annotated[int, typer.Option(min=1, help="Tokens of prompt.")]
Generate = Annotated[int, typer.Option(min=1, help="Tokens to generate.")]
MAX_RESULT_BYTES = 64 << 20


def report(
    source: Source,
    chip: Chip = None,
    batch: options.Batch = 1,
    prompt: Prompt = 512,
    generate: Generate = 128,
    dtype: options.DType = "bf16",
    kv_dtype: options.KvDType = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The HTML file.")] = Path("report.html"),
    question: Annotated[str, typer.Option(help="The question it answers, as its title.")] = "",
    sensitivity: Annotated[bool, typer.Option("--sensitivity", help="What 1 % more of each figure gives, too.")] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes of a study.")] = None,
    quiet: options.Quiet = False,
) -> None:
    """One HTML file with tables, plots, timeline, sources, command."""
    from emu.cli.files import will_write
    from emu.report.document import check_place, write_report

    will_write(out, "--out")
    check_place(out)
    command = shlex.join(["emu", *sys.argv[1:]])
    if source.endswith(".toml"):
        write_report(out, [_studied(Path(source), jobs, quiet)], question=question, command=command)
    elif (saved := _saved(source)) is not None:
        try:
            write_report(out, [saved], question=question, command=command)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise EmuError(f"{source}: not a whole result of emu ({type(error).__name__}: {error}); print it again with --json") from None
    else:
        with progress(quiet, source) as say:
            found = _estimated(source, chip, batch, prompt, generate, dtype, kv_dtype, say)
            found.report(out, question, command, sensitivity)
    note(f"report written to {out}", quiet)


def _studied(path: Path, jobs: int | None, quiet: bool) -> dict[str, Any]:
    """Rows that `emu sweep` has left are taken from there."""
    from emu.study.sweep import load_study

    with bar(quiet, path.name) as shown:
        def heard(number: int, of: int, row: Any) -> None:
            if shown is not None:
                shown(number, of)

        return load_study(path).run(jobs=jobs, journal=path.with_suffix(".rows.jsonl"), done=heard).to_dict()


def _saved(source: str) -> dict[str, Any] | None:
    """A result that was printed with --json; a model's config.json is none."""
    path = Path(source)
    if path.suffix != ".json" or not path.is_file():
        return None
    if path.stat().st_size > MAX_RESULT_BYTES:
        raise EmuError(f"{path}: larger than {MAX_RESULT_BYTES >> 20} MiB, which no result is")
    try:
        found = jsons.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise EmuError(f"{path}: not JSON ({error})") from None
    if not isinstance(found, dict) or "kind" not in found:
        return None
    from emu.report.schema import SCHEMA_VERSION

    if found.get("schema_version") != SCHEMA_VERSION:
        raise EmuError(f"{path}: schema_version {found.get('schema_version')!r:.20}; this emu reads {SCHEMA_VERSION}: run it again")
    return found


def _estimated(
    model: str, chip: str | None, batch: int, prompt: int, generate: int, dtype: str, kv_dtype: str | None, say: Any
) -> "Estimate":
    import emu
    from emu import study
    from emu.cli.names import chip_of

    if chip is None:
        raise EmuError(f"{model}: a model needs --chip; a study's name ends in .toml, a result's in .json")
    return study.estimate(
        emu.model(model), chip_of(chip), batch=batch, prompt=prompt, generate=generate, dtype=dtype, kv_dtype=kv_dtype, progress=say
    )


def trace(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A model, or a timeline that was written before (.json).")],
    chip: Chip = None,
    batch: options.Batch = 1,
    prompt: Prompt = 512,
    generate: Generate = 128,
    dtype: options.DType = "bf16",
    kv_dtype: options.KvDType = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Where to write it.")] = Path("timeline.json"),
    open_: Annotated[bool, typer.Option("--open", help="Open it in Perfetto, served from this machine.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="For --open; 0: a free one.")] = 0,
    quiet: options.Quiet = False,
) -> None:
    """The timeline of a run: engines, bandwidth, watts."""
    from emu.cli.files import will_write
    from emu.report.serve import perfetto_files, view

    if open_:
        perfetto_files()
    written = Path(source) if source.endswith(".json") and chip is None else None
    if written is None:
        will_write(out, "--out")
        with progress(quiet, source) as say:
            _estimated(source, chip, batch, prompt, generate, dtype, kv_dtype, say).trace(out)
        note(f"timeline written to {out}" + ("" if open_ else "; emu trace --open shows it, or https://ui.perfetto.dev"), quiet)
    if open_:
        view(written or out, port, lambda address: note(f"{address} shows it until Ctrl-C", quiet))
    elif written is not None:
        raise EmuError(f"{written}: already a timeline; --open shows it")
