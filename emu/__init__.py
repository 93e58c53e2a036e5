"""An emulator of matrix-engine inference chips: values, cycles, joules and reasons from one program.

Everything public is listed in ``__all__`` and loaded when it is first used (PEP 562), so ``import emu`` costs a few milliseconds and pulls
in neither numpy nor numba. ``__init__.pyi`` tells type checkers the same names.
"""

import sys
from importlib import import_module
from typing import Any

from emu._callable import ParentModule

__version__ = "0.1.0"

_HOME = {
    "emu.chip": ("chip", "chips", "load_chip"),
    "emu.extension": ("InstructionSet", "instruction"),
    "emu.errors": ("CacheError", "CapacityError", "ChipError", "EmuError", "ModelError", "ProgramError", "UnsupportedError"),
    "emu.kernels": ("kernel",),
    "emu.machine": ("Machine",),
    "emu.models": ("load_model", "model", "models"),
    "emu.num": ("num",),
    "emu.study": ("Tuning", "attention", "collective", "estimate", "gemm", "infer", "infer_formats", "tune"),
    "emu.study.compare": ("compare",),
    "emu.study.sweep": ("Study", "load_study"),
    "emu.system": ("load_system", "system", "systems"),
    "emu.testing": ("testing",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [  # noqa: F822 - found by __getattr__
    "CacheError", "CapacityError", "ChipError", "EmuError", "InstructionSet", "Machine", "ModelError", "ProgramError", "Study", "Tuning",
    "UnsupportedError", "__version__", "attention", "chip", "chips", "collective", "compare", "estimate", "gemm", "infer", "infer_formats",
    "instruction", "kernel", "load_chip", "load_model", "load_study", "load_system", "model", "models", "num", "system", "systems",
    "testing", "tune",
]


def __getattr__(name: str) -> Any:
    module_name = _MODULE_OF.get(name)
    if module_name is None:
        raise AttributeError(f"module 'emu' has no attribute {name!r}")
    module = import_module(module_name)
    if module_name == f"emu.{name}":
        return module  # emu.chip, emu.models: the subpackage is callable
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


sys.modules[__name__].__class__ = ParentModule
