"""`@emu.kernel`: a traced Python function that becomes a program for a chip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emu.kernels.lang.arguments import bind
from emu.kernels.lang.source import text_of
from emu.kernels.lang.tracer import Tracer

if TYPE_CHECKING:
    from emu.chip.schema import Chip
    from emu.kernels.lang.limits import Limits
    from emu.machine import Run
    from isa import Program


@dataclass(frozen=True)
class Compiled:
    """A kernel's program for a chip, and the arrays it was called with."""

    program: Program
    chip: Any
    inputs: dict[str, Any]
    whole: bool
    """Whether every input has data; without, a run is one of time."""

    def run(self, values: bool | None = None, check: bool = True, fidelity: str = "fast", **how: Any) -> Run:
        """One run on the machine; `how` as for `emu.Machine.run`. Raises EmuError, of an input by name if `values` want it."""
        from emu.machine import Machine

        values = self.whole if values is None else values
        index = {b.name for b in self.program.buffers if b.role == "index"}
        inputs = {name: array for name, array in self.inputs.items() if values or name in index}
        return Machine(self.chip, fidelity).run(self.program, inputs, values=values, check=check, **how)


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

    def compile(self, chip: Chip | str | Limits, cores: int | None = None, **args: Any) -> Compiled:
        """This kernel alone, on a chip, for arrays or shapes (emu.kernels.lang.arguments); tensors that no argument stands for the kernel
        declares itself with k.hbm. Raises EmuError: what the kernel, the chip or an argument does not allow."""
        if isinstance(chip, str):
            from emu.chip import chip as preset

            chip = preset(chip)
        k = Tracer(chip, self.__name__, cores)
        bound, arrays, whole = bind(k, args)
        code = self.function.__code__
        k.begin_only_op(text_of(code.co_filename, code.co_firstlineno))
        self.function(k, **bound)
        return Compiled(k.program(), chip, arrays, whole)

    def trace(self, chip: Chip | str | Limits, cores: int | None = None, **args: Any) -> Program:
        """The program of this kernel alone; arguments as for `compile`."""
        return self.compile(chip, cores, **args).program

    def run(self, chip: Chip | str, cores: int | None = None, **args: Any) -> Run:
        """This kernel on a chip, in one call, with all checks: `.outputs`, `.cycles`, `.joules`, `.stalls`, `.program`. Where an input is
        given by its shape alone, only time is run. Raises EmuError."""
        return self.compile(chip, cores, **args).run()


def kernel(function: Callable[..., Any]) -> Kernel:
    """Make a kernel of a function whose first argument is the tracer."""
    return Kernel(function)
