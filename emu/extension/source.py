"""What a function says, for the digest of the instruction it means: its source, and that of what it uses."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from types import CodeType, ModuleType
from typing import Any

PACKAGES = ("numba", "numpy", "math", "emu", "builtins")
"""Modules whose functions are told by their names: what they mean goes with emu's version and its dependencies'."""


def about(function: Callable[..., Any]) -> str:
    """Text that differs where the function, a function of the user's that it calls, or a constant it uses differs."""
    said: dict[str, str] = {}
    _visit("meaning", getattr(function, "py_func", function), said, set())
    return "\n".join(f"{name}: {text}" for name, text in sorted(said.items()))


def _visit(name: str, function: Callable[..., Any], said: dict[str, str], seen: set[int]) -> None:
    if id(function) in seen:
        return
    seen.add(id(function))
    said[name] = _text(function)
    used = inspect.getclosurevars(function)
    for variable, value in {**used.globals, **used.nonlocals}.items():
        value = getattr(value, "py_func", value)
        if inspect.isfunction(value) and not _known(value.__module__):
            _visit(f"{name}.{variable}", value, said, seen)
        else:
            said[f"{name}.{variable}"] = _constant(value)


def _text(function: Callable[..., Any]) -> str:
    """The source below its decorators, without which it means the same. Where there is none, or it is not a function's alone, the code
    itself, which only this version of Python makes so."""
    compiled = _compiled(function.__code__)
    try:
        lines = textwrap.dedent(inspect.getsource(function)).splitlines()
    except (OSError, TypeError):
        return compiled
    start = next((at for at, line in enumerate(lines) if line.startswith("def ")), None)
    return compiled if start is None else "\n".join(line.rstrip() for line in lines[start:])


def _compiled(code: CodeType) -> str:
    constants = [_compiled(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return f"{code.co_code.hex()} {constants} {code.co_names} {code.co_varnames}"


def _known(module: str | None) -> bool:
    return (module or "").partition(".")[0] in PACKAGES


def _constant(value: Any) -> str:
    if isinstance(value, ModuleType):
        return value.__name__
    if hasattr(value, "tobytes"):
        return f"{value.dtype} {value.shape} {value.tobytes().hex()}"
    if isinstance(value, (int, float, complex, str, bytes, tuple, type(None))):
        return repr(value)
    named = value if hasattr(value, "__qualname__") else type(value)  # no repr: it may name an address, another one in each process
    return f"{named.__module__}.{named.__qualname__}"
