"""What a person means by a chip: the name of a preset or a file. (For models, ``emu.model`` itself takes both.)"""

from typing import TYPE_CHECKING

import emu

if TYPE_CHECKING:
    from emu.chip import Chip


def chip_of(name: str) -> "Chip":
    """Whatever looks like a path is one; a preset never does."""
    return emu.load_chip(name) if "/" in name or name.endswith(".toml") else emu.chip(name)
