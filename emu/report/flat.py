"""Results as flat rows, for CSV and for spreadsheets: raw values under the keys of emu.report.schema, no figure rounded."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from typing import Any

Rows = list[dict[str, Any]]
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet would take a cell that begins so for: a text from somebody's file must not become one."""


def _phases(d: Mapping[str, Any]) -> Rows:
    who = {"chip": d["chip"], "model": d["model"]}
    return [{**who, "phase": phase, **op} for phase, of in d["phases"].items() for op in of["ops"]]


def _single(d: Mapping[str, Any]) -> Rows:
    return [{key: value for key, value in d.items() if value is None or isinstance(value, (bool, int, float, str))}]


def _listed(key: str) -> Callable[[Mapping[str, Any]], Rows]:
    return lambda d: [{k: v for k, v in row.items() if not isinstance(v, (dict, list))} for row in d[key]]


def _gains(d: Mapping[str, Any]) -> Rows:
    rows = []
    for row in d["rows"]:
        flat = {name: value for name, value in row.items() if not isinstance(value, dict)}
        rows.append(flat | {f"{output}_{mapping}": g for mapping in ("frozen", "remapped") for output, g in row.get(mapping, {}).items()})
    return rows


_ROWS: dict[str, Callable[[Mapping[str, Any]], Rows]] = {
    "estimate": _phases, "op": _single, "infer": _single, "run": _listed("labels"), "validation": _listed("suites"),
    "study": _listed("rows"), "roofline": _listed("rows"), "sensitivity": _gains, "comparison": _listed("rows"), "search": _listed("rows"),
}  # fmt: skip


def rows_of(result: Mapping[str, Any]) -> Rows:
    """The rows of a result's main table: operations of an estimate, labels of a run, points of a study."""
    return _ROWS[result["kind"]](result)


def dumps(result: Mapping[str, Any]) -> str:
    """RFC 4180 with a head line; an empty cell is None."""
    rows = rows_of(result)
    columns = result.get("columns") or list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(FORMULA):
        return "'" + value
    return value
