"""What a chip is: one TOML file, validated, with units and provenance. `emu.chip("h100")` also works: the package is callable.

`emu.chip` names both this package and the function the users know; importing the package must not take the function away."""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emu.chip.load import chip as chip
    from emu.chip.load import chips as chips
    from emu.chip.load import load_chip as load_chip
    from emu.chip.provenance import Figure as Figure
    from emu.chip.schema import Chip as Chip

_WHERE = {"chip": "load", "chips": "load", "load_chip": "load", "Chip": "schema", "Figure": "provenance"}
__all__ = ["Chip", "Figure", "chip", "chips", "load_chip"]


def __getattr__(name: str) -> Any:
    """Load the part that defines a public name when it is first used (pydantic costs 0.1 s)."""
    if name not in _WHERE:
        raise AttributeError(f"module 'emu.chip' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"emu.chip.{_WHERE[name]}"), name)


class _Callable(types.ModuleType):
    """A module that can be called like the function it is named after."""

    def __call__(self, name: str) -> Chip:
        """A chip that comes with emu, by name."""
        from emu.chip.load import chip

        return chip(name)


sys.modules[__name__].__class__ = _Callable
