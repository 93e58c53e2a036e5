"""JSON of a result: strict (a NaN is an error, not the word NaN that other readers refuse), numpy's numbers as plain ones."""

import json
from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:
    """The same value in JSON's own types."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if value is None or isinstance(value, (str, bool)):
        return value
    if hasattr(value, "tolist"):  # numpy scalars and arrays, without importing numpy to ask
        return plain(value.tolist())
    if isinstance(value, (int, float)):
        return value
    raise TypeError(f"a result holds a {type(value).__name__}, which JSON cannot express")


def dumps(result: Mapping[str, Any], indent: int | None = 2) -> str:
    return json.dumps(plain(result), indent=indent, allow_nan=False, ensure_ascii=False)
