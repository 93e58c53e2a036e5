"""What a function says, for the digest of the instruction it means: its source, and that of what it uses."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from types import ModuleType
from typing import Any

PACKAGES = ("numba", "numpy", "math", "emu", "builtins")
"""Modules whose functions are told by their names: what they mean goes with emu's version and its dependencies'."""


def about(function: Callable[..., Any]) -> str:
    """Text that differs where the function, a function of the user's that it calls, or a constant it uses differs."""
    seen: dict[str, str] = {}
    _visit(getattr(function, "py_func", function), seen)
    return "\n".join(f"{name}: {text}" for name, text in sorted(seen.items()))


def _visit(function: Callable[..., Any], seen: dict[str, str]) -> None:
    name = function.__qualname__
    if name in seen:
        return
    code = function.__code__
    try:
        seen[name] = _text(function)
    except (OSError, TypeError):  # typed at a prompt: the code itself, which only this version of Python makes so
        seen[name] = f"{code.co_code.hex()} {code.co_consts!r} {code.co_names!r}"
    used = inspect.getclosurevars(function)
    for variable, value in {**used.globals, **used.nonlocals}.items():
        value = getattr(value, "py_func", value)
        if inspect.isfunction(value) and not _known(value.__module__):
            _visit(value, seen)
        else:
            seen[f"{name}.{variable}"] = _constant(value)


def _text(function: Callable[..., Any]) -> str:
    """The source below its decorators, without which it means the same."""
    lines = textwrap.dedent(inspect.getsource(function)).splitlines()
    start = next((at for at, line in enumerate(lines) if line.startswith("def ")), 0)
    return "\n".join(line.rstrip() for line in lines[start:])


def _known(module: str | None) -> bool:
    return (module or "").partition(".")[0] in PACKAGES


def _constant(value: Any) -> str:
    if isinstance(value, ModuleType):
        return value.__name__
    if hasattr(value, "tobytes"):
        return f"{value.dtype} {value.shape} {value.tobytes().hex()}"
    if callable(value):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', repr(value))}"
    return repr(value)
