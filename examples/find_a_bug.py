"""A kernel with a bug, and the one line that finds it and makes it small: docs/testing.md quotes what this prints.

    python examples/find_a_bug.py
"""

import numpy as np

import emu
from emu.testing import check_kernel, extents

TILE = 8


def normalised(k, rows: int, width: int, tiles: int) -> None:
    """y = x less the largest element of its row, tile by tile: core c takes tiles c, c + cores, ..."""
    x, y = k.hbm("x", (rows, width), "bf16", "in"), k.hbm("y", (rows, width), "bf16", "out")
    first = k.per_core(list(range(k.cores)))
    for i in k.loop(k.per_core([max(0, -(-(tiles - c) // k.cores)) for c in range(k.cores)])):
        at = ((i * k.cores + first) * TILE, 0)
        tile = k.fetch(x.at(at, (TILE, width)), 2)  # the last one may have fewer rows
        top = k.tile((TILE, 1), "fp32", valid=(tile.valid[0], 1))
        out = k.tile((TILE, width), "bf16", "sram", 2, tile.valid)
        k.rmax(top, tile)
        k.sub(out, tile, top)
        k.store(y.at(at, (TILE, width)), out)


@emu.kernel
def wrong(k, rows: int, width: int) -> None:
    normalised(k, rows, width, max(1, rows // TILE))  # the bug: rows behind the last whole tile are forgotten


@emu.kernel
def right(k, rows: int, width: int) -> None:
    normalised(k, rows, width, -(-rows // TILE))


def oracle(inputs, rows: int, width: int) -> np.ndarray:
    x = inputs["x"].astype(np.float32)
    return x - x.max(-1, keepdims=True)


def main() -> None:
    sizes = {"rows": extents(TILE, 60), "width": extents(TILE, 60)}
    try:
        check_kernel(wrong, oracle, sizes)
    except emu.testing.ContractError as error:
        print(error)
    check_kernel(right, oracle, sizes)
    print("right: every contract holds")


if __name__ == "__main__":
    main()
