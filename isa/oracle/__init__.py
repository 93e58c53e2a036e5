"""What every instruction means, bit by bit, in plain NumPy and ml_dtypes; and an interpreter of whole programs built on it.

Nothing here knows emu, time or chips. It is slow and meant to be read: the compiled core is tested against it.
"""

from __future__ import annotations

from isa.oracle.errors import OracleError
from isa.oracle.interp import run
from isa.oracle.mm import Accumulate

__all__ = ["Accumulate", "OracleError", "run"]
