"""What every result carries and can do, from a run of one program to an estimate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from emu.chip.schema import Chip


class Result:
    """Base of all results (Run, Estimate, OpResult, StudyResult ...): they define `to_dict`; drawing is the report's business."""

    def to_dict(self) -> Mapping[str, Any]:
        """The result as `--json` prints it; keys carry units (emu.report.schema documents them)."""
        raise NotImplementedError

    def to_json(self, indent: int | None = 2) -> str:
        from emu.report.json import dumps

        return dumps(self.to_dict(), indent)

    def to_csv(self) -> str:
        """The main table (operations, points ...) as CSV, raw values under the dict's keys."""
        from emu.report.flat import dumps

        return dumps(self.to_dict())

    def to_markdown(self) -> str:
        """What a terminal shows, as Markdown."""
        from emu.report.markdown import dumps

        return dumps(self.to_dict())

    def pictures(self) -> list[tuple[str, Figure]]:
        """(name, matplotlib figure) of each plot that goes with this kind of result; an EmuError if matplotlib is missing."""
        from emu.report.pictures import pictures_of

        return pictures_of(self.to_dict())

    def plot(self, path: str | Path, name: str = "") -> None:
        """Draw one of `pictures`, the first if no name is given, as SVG, PNG or PDF by the file's ending."""
        from emu.report.draw import check_ending, save
        from emu.report.pictures import named

        check_ending(path)
        save(named(self.pictures(), name), path)

    def report(self, path: str | Path, question: str = "", command: str = "") -> None:
        """Write one HTML file that stands by itself: tables, plots, assumptions with sources, and `command`, which repeats it."""
        from emu.report.document import write_report

        write_report(path, [self.to_dict()], question=question, command=command)

    def __str__(self) -> str:
        from emu.report.text import render_result

        return render_result(self.to_dict())

    def _repr_html_(self) -> str:
        from emu.report.html import repr_html

        return repr_html(self.to_dict())


def header(kind: str, chip: Chip, program: str | None, fidelity: str, stack: str = "bare", seed: int = 0) -> dict[str, Any]:
    """Schema and emu versions, digests, and how the result was made."""
    import emu
    import isa.tables
    from emu.report.schema import SCHEMA_VERSION

    return {
        "schema_version": SCHEMA_VERSION,
        "emu_version": emu.__version__,
        "kind": kind,
        "chip": chip.name,
        "hypothetical": chip.hypothetical,
        "digests": {"chip": chip.digest, "program": program, "isa": isa.tables.load().digest},
        "fidelity": fidelity,
        "stack": stack,
        "seed": seed,
    }
