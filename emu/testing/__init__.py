"""Property-based testing of chips, kernels and programs of your own: hypothesis strategies, and contracts that hold for every one of them.

    emu.testing.check_chip("my.toml")
    emu.testing.check_kernel(my_kernel, my_oracle, {"rows": emu.testing.extents()})

Needs hypothesis (`pip install 'emu[testing]'`); nothing else of emu imports it. docs/testing.md shows more.
"""

from __future__ import annotations

from emu.errors import UnsupportedError

try:
    import hypothesis as _hypothesis  # noqa: F401 - only asked for here, so that what is missing is named once
except ImportError:
    raise UnsupportedError("emu.testing needs hypothesis: pip install 'emu[testing]'") from None

from emu.testing.check import check_chip, check_kernel, check_program
from emu.testing.chips import FIGURES, chips
from emu.testing.contracts import CONTRACTS, Case, ContractError, check_case
from emu.testing.kernels import RowKernel, kernels
from emu.testing.loops import loops
from emu.testing.mutants import KINDS, Mutant, mutants
from emu.testing.profile import checked, deep
from emu.testing.races import races
from emu.testing.tensors import extents, inputs, inputs_for, tensors
from isa.strategy import any_instruction, programs, words

__all__ = [
    "CONTRACTS", "FIGURES", "KINDS", "Case", "ContractError", "Mutant", "RowKernel", "any_instruction", "check_case", "check_chip",
    "check_kernel", "check_program", "checked", "chips", "deep", "extents", "inputs", "inputs_for", "kernels", "loops", "mutants",
    "programs", "races", "tensors", "words",
]
