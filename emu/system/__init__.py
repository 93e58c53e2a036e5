"""Many chips: which links join them, and how a collective is run over them.

`emu.system` names both this package and the function the users know; emu/_callable.py lets the package answer that call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emu.system.describe import System as System
    from emu.system.describe import load_system as load_system
    from emu.system.describe import system as system
    from emu.system.describe import systems as systems

_WHERE = {"System": "describe", "load_system": "describe", "system": "describe", "systems": "describe"}
__all__ = ["System", "load_system", "system", "systems"]


def __getattr__(name: str) -> Any:
    """Load the part that defines a public name when it is first used."""
    if name not in _WHERE:
        raise AttributeError(f"module 'emu.system' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"emu.system.{_WHERE[name]}"), name)
