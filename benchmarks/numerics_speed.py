"""Speed of the numerics against numpy and ml_dtypes, each a ratio of two times measured by turns in one run, on one thread.

    python benchmarks/numerics_speed.py [--json]

Exact-order GEMM of 1024^3 against numpy's `float32 @` of the same shape: wanted 0.5, in bf16 and int8. Conversions of 2^20 elements against
ml_dtypes' `astype`: wanted 5, for fp8 and fp4 to fp32 and for fp32 to fp8. ml_dtypes keeps an fp4 element in a byte, emu packs two.

numpy's BLAS is asked for one thread and for the kernels of this processor: OPENBLAS_CORETYPE and its like are removed from the environment
of the process that measures, which this script starts for that purpose."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
OTHER_KERNELS = ("OPENBLAS_CORETYPE", "MKL_DEBUG_CPU_TYPE", "MKL_ENABLE_INSTRUCTIONS", "BLIS_ARCH_TYPE", "NPY_DISABLE_CPU_FEATURES")
SIDE, COUNT = 1024, 1 << 20
ROUNDS = 9
WANTED = {"gemm": 0.5, "to fp32": 5.0, "from fp32": 5.0}
MEASURED = "EMU_NUMERICS_SPEED_CHILD"


def honest(environment: dict[str, str]) -> dict[str, str]:
    """The environment with one thread, and without what chooses another processor's kernels for numpy."""
    kept = {name: value for name, value in environment.items() if name not in OTHER_KERNELS}
    return {**kept, **dict.fromkeys(ONE_THREAD, "1"), MEASURED: "1"}


def by_turns(ours: Callable[[], Any], theirs: Callable[[], Any]) -> tuple[float, float]:
    """The least seconds of each, measured one after the other so that both meet the same machine."""
    least = [float("inf"), float("inf")]
    for _ in range(ROUNDS):
        for i, work in enumerate((ours, theirs)):
            begin = time.perf_counter()
            work()
            least[i] = min(least[i], time.perf_counter() - begin)
    return least[0], least[1]


def gemms() -> list[dict[str, Any]]:
    import numpy as np

    from emu import _num
    from emu.num import cast, quantize_mx, quantize_nvfp4
    from emu.num.formats import format_of, number

    rng = np.random.default_rng(0)
    wide = [rng.standard_normal((SIDE, SIDE)).astype(np.float32) for _ in range(2)]
    out = np.zeros(SIDE * SIDE * 4, np.uint8)
    rows = []
    for fmt, rule in (("bf16", {}), ("fp16", {}), ("fp8_e4m3", {}), ("int8", {}), ("fp4_e2m1", {}), ("bf16", {"order": 1, "block_k": 16}),
                      ("fp8_e4m3", {"order": 1, "block_k": 32, "inner_bits": 13, "truncate": 1, "width": 22})):
        acc = "int32" if fmt == "int8" else "fp32"
        scaled = [x * 40 if fmt == "int8" else x for x in wide]
        operands = [_view(cast(x, fmt), fmt) for x in scaled]
        target = (out, 0, number(acc), (SIDE, SIDE, 1, 1), (4, 4 * SIDE, 0, 0))
        ours, theirs = by_turns(lambda: _num.mm(target, *operands, **rule), lambda: wide[0] @ wide[1])  # noqa: B023 - called at once
        name = f"{fmt}, blocks of {rule['block_k']}{', aligned' if 'inner_bits' in rule else ''}" if rule else fmt
        rows.append(_row("gemm", name, 2 * SIDE**3, ours, theirs, not rule and fmt in ("bf16", "int8")))
    for name, quantize in (("fp4_e2m1, mx scales", lambda x: quantize_mx(x, "fp4_e2m1")), ("fp4_e2m1, nvfp4 scales", quantize_nvfp4)):
        a, b = (quantize(x) for x in wide)
        target = (out, 0, number("fp32"), (SIDE, SIDE, 1, 1), (4, 4 * SIDE, 0, 0))
        operands = [_view(x.values, x.fmt) for x in (a, b)]
        scales = {f"scale_{n}": _view(x.scales, format_of(x.scales)) for n, x in zip("ab", (a, b))}
        ours, theirs = by_turns(lambda: _num.mm(target, *operands, 1, **scales, scale_block=a.block), lambda: wide[0] @ wide[1])  # noqa: B023
        rows.append(_row("gemm", name, 2 * SIDE**3, ours, theirs, False))
    return rows


def _view(matrix: Any, fmt: str) -> Any:
    from emu.num import pack
    from emu.num.formats import known, number

    raw = pack(matrix, fmt)
    return raw.reshape(-1), 0, number(fmt), (matrix.shape[1], SIDE, 1, 1), (max(known(fmt).bits // 8, 1), raw.shape[1], 0, 0)


def conversions() -> list[dict[str, Any]]:
    import numpy as np

    from emu.num import decode, dtype, encode

    x = np.random.default_rng(1).standard_normal(COUNT).astype(np.float32)
    rows = []
    for fmt in ("fp8_e4m3", "fp8_e5m2", "fp4_e2m1", "fp6_e2m3", "fp6_e3m2"):
        stored, packed = x.astype(dtype(fmt)), encode(x, fmt)
        back = by_turns(lambda: decode(packed, fmt, COUNT), lambda: stored.astype(np.float32))  # noqa: B023 - called at once
        there = by_turns(lambda: encode(x, fmt), lambda: x.astype(dtype(fmt)))  # noqa: B023
        rows.append(_row("to fp32", fmt, COUNT, *back, fmt[:3] in ("fp8", "fp4")))
        rows.append(_row("from fp32", fmt, COUNT, *there, fmt[:3] == "fp8"))
    ours, theirs = by_turns(lambda: encode(x, "fp8_e4m3", rounding="stochastic"), lambda: x.astype(dtype("fp8_e4m3")))
    rows.append(_row("from fp32", "fp8_e4m3, stochastic", COUNT, ours, theirs, False))
    return rows


def _row(kind: str, name: str, work: int, ours: float, theirs: float, bound: bool) -> dict[str, Any]:
    row = {"kind": kind, "format": name, "per_s": work / ours, "reference_per_s": work / theirs, "ratio": theirs / ours}
    return row | {"wanted": WANTED[kind] if bound else None}


def measure() -> dict[str, Any]:
    from emu import _num

    return {"level": _num.level(), "threads": 1, "rows": gemms() + conversions()}


def main(arguments: list[str]) -> int:
    if MEASURED not in os.environ:
        return subprocess.run([sys.executable, __file__, *arguments], env=honest(dict(os.environ))).returncode
    found = measure()
    if "--json" in arguments:
        print(json.dumps(found))
    else:
        print(f"code level {found['level']}, one thread; the reference is numpy's float32 @ or ml_dtypes' astype")
        for row in found["rows"]:
            wanted = f"wanted {row['wanted']}" if row["wanted"] else ""
            unit = "GFLOP/s" if row["kind"] == "gemm" else "G/s    "
            print(f"{row['kind']:10} {row['format']:32} {row['per_s'] / 1e9:8.2f} {unit} "
                  f"reference {row['reference_per_s'] / 1e9:8.3f}  ratio {row['ratio']:6.2f}  {wanted}")
    return int(any(row["wanted"] and row["ratio"] < row["wanted"] for row in found["rows"]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
