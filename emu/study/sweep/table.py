"""What a study gives: a table of one row a point, in the order of its points, whoever ran them and whenever."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emu.chip import units
from emu.errors import EmuError, did_you_mean
from emu.result import Result

if TYPE_CHECKING:
    import pandas

NEEDS = {".parquet": ("pyarrow", "pandas")}


def plain(value: Any) -> Any:
    """A setting as a table holds it: quantities in SI, whatever else as it is."""
    if isinstance(value, str):
        try:
            number = units.exact(value)[0]
        except ValueError:
            return value
        return int(number) if number.denominator == 1 else float(number)
    return value


class StudyResult(Result):
    """Result of `Study.run`. `rows` are dicts: the settings that vary, then figures, or `error` and `error_kind` for a failed point.

    `frame()` is the same as a pandas DataFrame; `write(path)` writes Parquet, CSV, JSON or Markdown by the name's ending."""

    def __init__(self, about: Mapping[str, Any], axes: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
        self.about, self.axes = dict(about), list(axes)
        self.rows: list[dict[str, Any]] = [dict(row) for row in rows]

    @property
    def columns(self) -> list[str]:
        """Settings first, in the study's order, then figures in an estimate's order, then what went wrong."""
        found = dict.fromkeys(self.axes) | dict.fromkeys(name for row in self.rows for name in row)
        last = [name for name in ("error", "error_kind") if name in found]
        return [name for name in found if name not in last] + last

    @property
    def failed(self) -> list[dict[str, Any]]:
        """Rows without figures."""
        return [row for row in self.rows if row.get("error") is not None]

    def column(self, name: str) -> list[Any]:
        """One column, None where a row has no such figure; EmuError names the nearest one if no row has it."""
        if name not in self.columns:
            raise EmuError(f"{name}: no such column; {did_you_mean(name, self.columns)}")
        return [row.get(name) for row in self.rows]

    def frame(self) -> pandas.DataFrame:
        """A pandas DataFrame of all columns."""
        try:
            import pandas
        except ImportError:
            raise EmuError("a DataFrame needs pandas: pip install 'emu[study]'") from None

        return pandas.DataFrame({name: self.column(name) for name in self.columns})

    def to_dict(self) -> dict[str, Any]:
        return {**self.about, "axes": self.axes, "columns": self.columns, "rows": self.rows}

    def heat_map(self, path: str | Path, x: str, y: str, value: str) -> None:
        """Draw a figure over two settings, the best where others vary too."""
        from emu.report.draw import save
        from emu.report.draw_studies import heat_map

        save(heat_map(self.to_dict(), x, y, value), path)

    def pareto(self, path: str | Path, x: str, y: str) -> None:
        """Draw every point by two figures, and the front of those that no other beats in both."""
        from emu.report.draw import save
        from emu.report.draw_studies import pareto

        save(pareto(self.to_dict(), x, y), path)

    def write(self, path: str | Path) -> None:
        """Write the table; .parquet carries the study's description in the file's metadata."""
        place = Path(path)
        writer = writer_of(place)
        writer(self, place)


def _parquet(result: StudyResult, path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    from emu.report.json import dumps

    frame = result.frame()
    for name in result.columns:  # a column of Parquet has one type
        if len({isinstance(v, str) for v in result.column(name) if v is not None}) > 1:
            frame[name] = [None if v is None else str(v) for v in result.column(name)]
    made = pyarrow.Table.from_pandas(frame, preserve_index=False)
    about = {b"emu": dumps(result.about, None).encode()}
    pyarrow.parquet.write_table(made.replace_schema_metadata({**(made.schema.metadata or {}), **about}), path)


_WRITERS: dict[str, Callable[[StudyResult, Path], object]] = {
    ".parquet": _parquet,
    ".csv": lambda result, path: path.write_text(result.to_csv(), encoding="utf-8"),
    ".json": lambda result, path: path.write_text(result.to_json() + "\n", encoding="utf-8"),
    ".md": lambda result, path: path.write_text(result.to_markdown(), encoding="utf-8"),
}


def writer_of(path: Path) -> Callable[[StudyResult, Path], object]:
    """The writer for a file of this name; EmuError if there is none, or what it needs is not installed: asked before the work begins."""
    from importlib.util import find_spec

    if path.suffix not in _WRITERS:
        raise EmuError(f"{path}: a table is written as {', '.join(_WRITERS)}; let its name end in one of these")
    for needed in NEEDS.get(path.suffix, ()):
        if find_spec(needed) is None:
            raise EmuError(f"{path}: {path.suffix} needs {needed}: pip install 'emu[study]'")
    return _WRITERS[path.suffix]
