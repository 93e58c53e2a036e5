"""`@emu.kernel`: a traced Python function that becomes a program for a chip."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from emu.kernels.lang.tracer import Tracer

if TYPE_CHECKING:
    from isa import Program


class Kernel:
    """A kernel. Calling it traces into a tracer that others use too; `trace` makes a whole program of it alone."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.__name__ = function.__name__
        self.__doc__ = function.__doc__

    def __call__(self, k: Tracer, *args: Any, **kwargs: Any) -> Any:
        """Trace into `k`; outside any operation the kernel becomes one of its own."""
        if k.in_op:
            return self.function(k, *args, **kwargs)
        with k.op(self.__name__):
            return self.function(k, *args, **kwargs)

    def trace(self, chip: Any, cores: int | None = None, **args: Any) -> Program:
        """The program of this kernel alone. The kernel declares its own tensors with k.hbm."""
        k = Tracer(chip, self.__name__, cores)
        k.begin_only_op()
        self.function(k, **args)
        return k.program()


def kernel(function: Callable[..., Any]) -> Kernel:
    """Make a kernel of a function whose first argument is the tracer."""
    return Kernel(function)
