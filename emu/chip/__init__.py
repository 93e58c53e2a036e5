"""What a chip is: one TOML file, validated, with units and provenance.

`emu.chip` names both this package and the function the users know; emu/_callable.py lets the package answer that call."""

from __future__ import annotations

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
