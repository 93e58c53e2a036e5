"""From pydantic's findings to sentences: file, dotted key, what was expected, the nearest valid name."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from emu.errors import ChipError, did_you_mean, nearest

Loc = Sequence[str | int]


def problems(error: ValidationError, root: type[BaseModel], limit: int) -> list[tuple[str, str]]:
    """(dotted key, sentence) of the first `limit` findings; a misspelt key comes without its echo as a missing one."""
    found = error.errors(include_url=False)[:limit]
    mistaken = {(*_parent(e["loc"]), near) for e in found if e["type"] == "extra_forbidden" and (near := _nearest_key(root, e["loc"]))}
    lines = []
    for e in found:
        loc = tuple(p for p in e["loc"] if p != "[key]")
        if e["type"] == "missing" and loc in mistaken:
            continue
        lines.append((".".join(str(p) for p in loc), _sentence(e, root, loc)))
    return lines


def report(found: Sequence[tuple[str, str]], origin: Mapping[str, str], file: str, what: str, limit: int) -> ChipError:
    """One error of all that was found, each with the file its key came from; `what` a finding without a key is about."""
    lines = []
    for key, sentence in found:
        parts = key.split(".")
        at = next((origin[k] for n in range(len(parts), 0, -1) if (k := ".".join(parts[:n])) in origin), file)
        lines.append(f"{at}: {key or what}: {sentence}")
    if len(lines) > limit + 1:
        lines = [*lines[:limit], f"{file}: and more problems"]
    return ChipError(lines[0] if len(lines) == 1 else f"{file}: {len(found)} problems\n  " + "\n  ".join(lines), lines)


def _sentence(e: Mapping[str, Any], root: type[BaseModel], loc: Loc) -> str:
    kind, value = e["type"], e.get("input")
    if kind == "extra_forbidden":
        return f"unknown key; {did_you_mean(str(loc[-1]), keys(root, loc[:-1]))}"
    if kind == "missing":
        words = described(root, loc)
        return f"missing; this key is needed{': ' + words if words else ''}"
    if kind == "literal_error":
        names = _literals(e)
        return f"{_short(value)} is not valid here; {did_you_mean(str(value), names)} (valid: {', '.join(names)})"
    if kind in ("value_error", "assertion_error"):
        return str(e["msg"]).split(", ", 1)[-1]
    if kind in ("model_type", "dict_type"):
        names = keys(root, loc)
        return f"expected a table{' with ' + ', '.join(names[:6]) if names else ''}, got {_short(value)}"
    return f"{str(e['msg'])[0].lower() + str(e['msg'])[1:]}, got {_short(value)}"


def _literals(e: Mapping[str, Any]) -> list[str]:
    return [w.strip(" '\"") for w in str(e.get("ctx", {}).get("expected", "")).replace(" or ", ",").split(",") if w.strip()]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _parent(loc: Loc) -> tuple[str | int, ...]:
    return tuple(loc[:-1])


def _nearest_key(root: type[BaseModel], loc: Loc) -> str | None:
    return nearest(str(loc[-1]), keys(root, loc[:-1]))


def keys(root: type[BaseModel], loc: Loc) -> list[str]:
    """The valid TOML keys of the table at this place."""
    model = _model_at(root, loc)
    return [f.alias or name for name, f in model.model_fields.items()] if model else []


def described(root: type[BaseModel], loc: Loc) -> str:
    """What the schema says of the key at this place; empty where it says nothing."""
    model = _model_at(root, loc[:-1])
    field = next((f for n, f in model.model_fields.items() if (f.alias or n) == loc[-1]), None) if model else None
    return " ".join((field.description or "").split()) if field else ""


def _model_at(root: type[BaseModel], loc: Loc) -> type[BaseModel] | None:
    at: Any = root
    for part in loc:
        if isinstance(at, type) and issubclass(at, BaseModel):
            field = next((f for n, f in at.model_fields.items() if (f.alias or n) == part), None)
            if field is None:
                return None
            at = _bare(field.annotation)
        else:
            arguments = typing.get_args(at)
            if not arguments:
                return None
            at = _bare(arguments[-1])
    return at if isinstance(at, type) and issubclass(at, BaseModel) else None


def _bare(annotation: Any) -> Any:
    """A type without Annotated and without `| None`."""
    if typing.get_origin(annotation) is typing.Annotated:
        return _bare(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        inner = [a for a in typing.get_args(annotation) if a is not type(None)]
        return _bare(inner[0])
    return annotation
