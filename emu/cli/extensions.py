"""`--instructions FILE.py:NAME`: a set with users' instructions. The one file of the command line that is executed, because it says what to
execute; programs never name it."""

import runpy
from pathlib import Path
from typing import TYPE_CHECKING

from emu.errors import EmuError, did_you_mean

if TYPE_CHECKING:
    from isa import InstructionSet


def read_set(text: str | None) -> "InstructionSet | None":
    """The InstructionSet under a name of a Python file; None if the option was left out. EmuError says what is wrong with either."""
    if text is None:
        return None
    from isa import InstructionSet

    file, colon, name = text.rpartition(":")
    if not (file and colon and name):
        raise EmuError(f"--instructions {text}: expected FILE.py:NAME, a Python file and the name of an emu.InstructionSet in it")
    if not Path(file).is_file():
        raise EmuError(f"--instructions {file}: no such file")
    try:
        found = runpy.run_path(file)
    except EmuError:
        raise
    except Exception as error:  # the user's own code may raise anything
        raise EmuError(f"--instructions {file}: running it raised {type(error).__name__}: {error}") from error
    sets = {key: value for key, value in found.items() if isinstance(value, InstructionSet)}
    if name not in sets:
        raise EmuError(f"--instructions {file}: no InstructionSet is named {name!r} there; {did_you_mean(name, sets)}")
    return sets[name]
