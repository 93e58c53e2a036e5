"""The exceptions emu raises on purpose. Each message says where the trouble is and what to do; the shell prints it and exits with 2."""


class EmuError(Exception):
    """The root: catch this to catch every error that emu reports about its input."""


class ChipError(EmuError):
    """A chip's description cannot be found, read or made sense of."""


class ModelError(EmuError):
    """A model's configuration or weights cannot be found, read or made sense of."""


class ProgramError(EmuError):
    """A program is illegal, or did something illegal while it ran: an unknown word, a bad address, a race, a deadlock."""


class CapacityError(EmuError):
    """Something does not fit: weights in the chip's memory, a tile in its scratchpad, a valued run in this computer's memory."""


class UnsupportedError(EmuError):
    """Well formed, but this chip or this version of emu cannot do it."""


class CacheError(EmuError):
    """A file of the cache cannot be read or written."""
