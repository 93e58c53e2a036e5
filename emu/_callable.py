"""Lets a subpackage and the function it is named after share one name.

``emu.chip("h100")`` is the everyday call and ``emu.chip.schema`` is where the chip's schema lives. Python binds a subpackage as an
attribute of its parent whenever anything imports it, so the function cannot simply stand in ``emu``: whoever imports ``emu.chip`` first
would hide it. Instead the subpackage itself answers the call, and the parent sees to that at the one place where every import binds it.
"""

from types import ModuleType
from typing import Any, Final

# Subpackage of emu -> the function in it that a call of the subpackage means.
CALLABLE: Final = {"chip": "chip", "models": "models", "system": "system"}


class CallableModule(ModuleType):
    """A subpackage that can be called; it passes the call on to its function of the same name."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return getattr(self, CALLABLE[self.__name__.rpartition(".")[2]])(*args, **kwargs)


class ParentModule(ModuleType):
    """The module type of ``emu``: makes the listed subpackages callable when the import system binds them."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in CALLABLE and type(value) is ModuleType:
            value.__class__ = CallableModule
        super().__setattr__(name, value)
