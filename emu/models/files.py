"""Reading JSON that a stranger wrote: size, nesting, duplicates and odd files are bounded or refused by name."""
from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Any, NoReturn

from emu.errors import ModelError

MAX_CONFIG_BYTES = 1 << 20
MAX_NESTING = 32
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def regular_size(path: Path) -> int:
    """The size of a regular file. A pipe or a device would block or never end, so it is refused unopened."""
    try:
        info = os.stat(path)
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read: {error}") from None
    if not stat.S_ISREG(info.st_mode):
        raise ModelError(f"{path}: not a regular file")
    return info.st_size


def read_bounded(path: Path, limit: int) -> bytes:
    """The bytes of a regular file of at most `limit` bytes."""
    size = regular_size(path)
    if size > limit:
        raise ModelError(f"{path}: {size} bytes, more than the {limit} that are read")
    try:
        with open(path, "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error}") from None
    if len(data) > limit:
        raise ModelError(f"{path}: more than the {limit} bytes that are read")
    return data


def parse_object(data: bytes, where: object) -> dict[str, Any]:
    """A JSON object; `where` names its origin in messages."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelError(f"{where}: not UTF-8 text at byte {error.start}") from None
    _bound_nesting(text, where)

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(items)
        if len(result) != len(items):
            keys = [key for key, _ in items]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ModelError(f"{where}: key {twice[:80]!r} appears twice")
        return result

    def constant(name: str) -> NoReturn:
        raise ModelError(f"{where}: {name} is not a number of JSON")

    try:
        value = json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    except json.JSONDecodeError as error:
        raise ModelError(f"{where}: not JSON: {error.msg}, line {error.lineno} column {error.colno}") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{where}: not usable JSON: {error}") from None
    if not isinstance(value, dict):
        raise ModelError(f"{where}: expected a JSON object, found {type(value).__name__}")
    return value


def read_object(path: Path, limit: int = MAX_CONFIG_BYTES) -> dict[str, Any]:
    return parse_object(read_bounded(path, limit), path)


def _bound_nesting(text: str, where: object) -> None:
    """Before the parser recurses: a megabyte of '[' must not exhaust the stack."""
    depth = 0
    for match in _TOKEN.finditer(text):
        first = match.group()[0]
        if first in "[{":
            depth += 1
            if depth > MAX_NESTING:
                raise ModelError(f"{where}: nested deeper than {MAX_NESTING} levels")
        elif first in "]}":
            depth -= 1
