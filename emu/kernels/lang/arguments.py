"""What a kernel is called with: arrays and shapes become tensors in device memory, everything else reaches the kernel as it is.

    array                      an input, in the format of its dtype
    (array, "bf16")            an input that is rounded to a format
    ((rows, cols), "bf16")     an input without data: then only time is run
    ((rows, cols), "bf16", "out")   with a role: out, weight, inout, index, temp"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from emu.errors import ProgramError, did_you_mean
from isa.program import ROLES
from isa.tables import load

if TYPE_CHECKING:
    from emu.kernels.lang.tracer import Tracer


def is_tensor(value: Any) -> bool:
    """Whether an argument stands for a tensor: an array of one axis or more, or a tuple of an array or a shape and a format."""
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    pair = isinstance(value, tuple) and 2 <= len(value) <= 3
    return pair and isinstance(value[1], str) and isinstance(value[0], (tuple, list, np.ndarray))


def bind(k: Tracer, arguments: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], bool]:
    """Arguments for the kernel, the arrays among them by name, and whether every tensor that wants data has them.

    Raises ProgramError: a dtype without a format, an unknown format or role, a shape that is none."""
    from emu.machine.memory import GIVEN

    bound, arrays, whole = {}, {}, True
    for name, value in arguments.items():
        if not is_tensor(value):
            bound[name] = value.item() if isinstance(value, np.generic) else value
            continue
        what, fmt, role = (*value, "in")[:3] if isinstance(value, tuple) else (value, "", "in")
        if role not in ROLES:
            raise ProgramError(f"{name}: no role {role!r}; {did_you_mean(str(role), ROLES)}")
        if isinstance(what, np.ndarray):
            fmt, shape = fmt or _format_of(name, what), what.shape
            if role in GIVEN:
                arrays[name] = what
        else:
            shape = tuple(what)
            whole = whole and role not in GIVEN
        if fmt not in load().formats:
            raise ProgramError(f"{name}: no format {fmt!r}; {did_you_mean(fmt, load().formats)}")
        if not all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in shape):
            raise ProgramError(f"{name}: {what!r} is no shape: a tuple of whole numbers is")
        bound[name] = k.hbm(name, tuple(int(n) for n in shape), fmt, role)
    return bound, arrays, whole


def _format_of(name: str, array: np.ndarray) -> str:
    from emu.machine.memory import DTYPES

    found = next((fmt for fmt, dtype in DTYPES.items() if np.dtype(dtype) == array.dtype), None)
    if found is None:
        raise ProgramError(f"{name}: no format of the machine has dtype {array.dtype}; say which one is meant: {name}=(array, \"bf16\")")
    return found
