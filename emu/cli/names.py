"""What a person means by a chip: the name of a preset or a file. (For models, ``emu.model`` itself takes both.)"""

from typing import TYPE_CHECKING

import emu

if TYPE_CHECKING:
    from emu.chip import Chip


def chip_of(name: str) -> "Chip":
    """Whatever looks like a path is one; a preset never does."""
    return emu.load_chip(name) if "/" in name or name.endswith(".toml") else emu.chip(name)


def clock_of(clock: str | None, no_cap: bool) -> float | str | None:
    """What `clock` of the studies is for --clock and --no-cap; a bare number is in Hz."""
    if no_cap and clock is not None:
        raise emu.UnsupportedError(f"--clock {clock} and --no-cap: a locked clock has no cap; leave out --no-cap")
    if no_cap:
        return "max"
    try:
        return None if clock is None else float(clock)
    except ValueError:
        return clock
