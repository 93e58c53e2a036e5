"""Does the order in which a core goes through its tiles leave the values alone, and is it chosen where a cache makes it matter?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import emu
from emu.errors import UnsupportedError
from emu.kernels.gemm import GemmTiling
from emu.mapper.area import divide
from emu.mapper.choose import gemm_image, gemm_program
from emu.mapper.gemm import GemmShape, rated
from emu.study.infer import block_weights

TINY = emu.chip("tiny")


@pytest.mark.parametrize("m, n, k", [(40, 48, 64), (17, 24, 33)])
@pytest.mark.parametrize("kind", [{}, {"residual": True}, {"gates": 1, "activation": "swiglu"}])
def test_the_order_changes_no_bit(m, n, k, kind):
    area, draw = divide(TINY, "bf16"), np.random.default_rng(m)
    shape = GemmShape(m, n, k, "bf16", "bf16", **kind)
    x, w, gate, residual = (draw.standard_normal(s).astype(np.float32) for s in ((m, k), (k, n), (k, n), (m, n)))
    given = {"x": x, "w": block_weights(w, area.block)}
    given |= {"gate": block_weights(gate, area.block)} if shape.gates else {}
    given |= {"residual": residual} if shape.residual else {}
    tiling = GemmTiling(8, 8, 16, 2, 1, False, 3, area.slots)
    rows, columns = (
        emu.Machine(TINY).run(gemm_program(TINY, shape, area, replace(tiling, by_columns=by)), given, check=True).outputs["y"]
        for by in (False, True)
    )
    assert np.array_equal(rows, columns)


def test_rows_that_stay_cannot_go_by_columns():
    area, shape = divide(TINY, "bf16"), GemmShape(16, 16, 16, "bf16", "bf16")
    with pytest.raises(UnsupportedError, match="by_columns: rows of x cannot stay"):
        gemm_program(TINY, shape, area, GemmTiling(8, 8, 8, a_resident=True, by_columns=True))


def test_the_order_that_reads_less_is_chosen_on_a_small_cache():
    """4 MiB hold neither operand: row by row all columns of w come again for every row, column by column they stay."""
    chip = emu.chip("h100").vary({"levels.l2.capacity": "4 MiB", "levels.l2.bandwidth": "9 TB/s"})  # so that memory binds, not the cache
    area, shape = divide(chip, "bf16"), GemmShape(4096, 16384, 1024, "bf16", "bf16")
    chosen = rated(shape, chip, area, 1)[0][1]
    runs = {
        by: emu.Machine(chip).run(gemm_image(chip, shape, area, replace(chosen, by_columns=by)), values=False, verify=False)
        for by in (False, True)
    }
    assert chosen.by_columns
    assert runs[True].end_fs < 0.7 * runs[False].end_fs
    assert runs[True].counters["hbm_read_bytes"] < 0.5 * runs[False].counters["hbm_read_bytes"]
