"""From a meaning in Python to machine code that the engine calls: one Numba function around it, with the signature of emu_user_fn
(csrc/num/num.h). Numba is imported when this module is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from numba import carray, types

DONE = 1  # EMU_USER_DONE; a function that raises returns 0
_FLOATS = types.CPointer(types.float32)
SIGNATURE = types.int64(_FLOATS, types.int64, _FLOATS, types.int64, _FLOATS, types.int64, types.float32)
OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": False}
"""Division by zero gives what IEEE says; nothing is fused or reordered."""


def _elements(f: Any) -> dict[tuple[bool, str], Callable[..., int]]:
    """Loops around a meaning of elements, by whether it is given the old element of d0, and by its second operand: none, the scalar `s`,
    or `r`: an element of d2, in whose place the scalar stands where the instruction has an immediate."""
    f32 = types.float32

    def one(out, n, a, n_a, b, n_b, scalar):  # type: ignore[no-untyped-def]
        d, x = carray(out, n), carray(a, n)
        for i in range(n):
            d[i] = f32(f(x[i]))
        return DONE

    def scaled(out, n, a, n_a, b, n_b, scalar):  # type: ignore[no-untyped-def]
        d, x = carray(out, n), carray(a, n)
        for i in range(n):
            d[i] = f32(f(x[i], scalar))
        return DONE

    def two(out, n, a, n_a, b, n_b, scalar):  # type: ignore[no-untyped-def]
        d, x = carray(out, n), carray(a, n)
        if n_b == 0:
            for i in range(n):
                d[i] = f32(f(x[i], scalar))
        else:
            y = carray(b, n)
            for i in range(n):
                d[i] = f32(f(x[i], y[i]))
        return DONE

    def old_one(out, n, a, n_a, b, n_b, scalar):  # type: ignore[no-untyped-def]
        d, x = carray(out, n), carray(a, n)
        for i in range(n):
            d[i] = f32(f(d[i], x[i]))
        return DONE

    def old_scaled(out, n, a, n_a, b, n_b, scalar):  # type: ignore[no-untyped-def]
        d, x = carray(out, n), carray(a, n)
        for i in range(n):
            d[i] = f32(f(d[i], x[i], scalar))
        return DONE

    def old_two(out, n, a, n_a, b, n_b, scalar):  # type: ignore[no-untyped-def]
        d, x = carray(out, n), carray(a, n)
        if n_b == 0:
            for i in range(n):
                d[i] = f32(f(d[i], x[i], scalar))
        else:
            y = carray(b, n)
            for i in range(n):
                d[i] = f32(f(d[i], x[i], y[i]))
        return DONE

    keeping = {(True, ""): old_one, (True, "s"): old_scaled, (True, "r"): old_two}
    return {(False, ""): one, (False, "s"): scaled, (False, "r"): two} | keeping


def _rows(f: Any) -> dict[str, Callable[..., int]]:
    """Calls of a meaning of rows, by its second operand."""

    def one(out, n, a, n_a, b, n_b, scalar):  # type: ignore[no-untyped-def]
        f(carray(out, n), carray(a, n_a))
        return DONE

    def scaled(out, n, a, n_a, b, n_b, scalar):  # type: ignore[no-untyped-def]
        f(carray(out, n), carray(a, n_a), scalar)
        return DONE

    def two(out, n, a, n_a, b, n_b, scalar):  # type: ignore[no-untyped-def]
        f(carray(out, n), carray(a, n_a), carray(b, n_b))
        return DONE

    return {"": one, "s": scaled, "r": two}


def compiled(meaning: Callable[..., Any], rows: bool, keeps: bool, second: str) -> Any:
    """The function for the engine; its `address` is what it calls, and it must be kept alive. Raises what Numba says of the meaning."""
    inner = meaning if hasattr(meaning, "py_func") else numba.njit(**OPTIONS)(meaning)
    return numba.cfunc(SIGNATURE, **OPTIONS)(_rows(inner)[second] if rows else _elements(inner)[keeps, second])
