"""What a person means by a chip or a model: the name of a preset or a path."""

from pathlib import Path
from typing import TYPE_CHECKING

import emu

if TYPE_CHECKING:
    from emu.chip import Chip
    from emu.models import Model


def chip_of(name: str) -> "Chip":
    """Whatever looks like a path is one; a preset never does."""
    return emu.load_chip(name) if "/" in name or name.endswith(".toml") else emu.chip(name)


def model_of(name: str) -> "Model":
    """A preset's name wins over a folder of the same name (write ./name for the folder)."""
    if "/" in name or name.endswith(".json") or (Path(name).exists() and name not in emu.models()):
        return emu.load_model(name)
    return emu.model(name)
