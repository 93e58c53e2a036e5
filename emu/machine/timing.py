"""A timing-only run as studies make it: with the short-cuts in force, its answer perhaps from the user's cache."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from emu.machine.image import Image
from emu.machine.machine import Machine
from emu.machine.result import Run
from isa import Program

_shortcuts: ContextVar[tuple[bool, bool]] = ContextVar("emu_shortcuts", default=(True, True))


@contextmanager
def shortcuts(folding: bool = True, fast_forward: bool = True) -> Iterator[None]:
    """Within it, in this thread, equal cores are simulated once only if `folding`, and periods of loops are skipped only if `fast_forward`.
    No figure changes but what the run costs and its `skipped_fraction`; without one of them no answer comes from the cache either."""
    before = _shortcuts.get()
    token = _shortcuts.set((folding and before[0], fast_forward and before[1]))
    try:
        yield
    finally:
        _shortcuts.reset(token)


def timed(
    machine: Machine, program: Program | Image, inputs: Mapping[str, Any] | None = None, trace: bool = False, warm: Sequence[str] = (),
) -> Run:
    """Times, counts and stalls of a program the compiler has just made; `warm` as for `Machine.run`."""
    folding, forward = _shortcuts.get()
    both = folding and forward
    return machine.run(
        program, inputs, values=False, verify=False, trace=trace, folding=folding, fast_forward=forward, reuse=both, warm=warm
    )  # fmt: skip
