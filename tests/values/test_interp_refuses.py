"""What the interpreter refuses, while a program runs and before it does."""

from __future__ import annotations

import numpy as np
import pytest
from program_support import PIPELINE, outcome

import isa
from isa.oracle import OracleError, run

FILL = """
.stream vec
        dset d0.space, sram
        dset d0.n0, {n}
        vfill d0, d1 {sync}
        halt
"""
SPACE = ".buffer s sram 0 64 temp"


@pytest.mark.parametrize("text, header, message", [
    (FILL.format(n=17, sync=""), SPACE, "out of bounds"),
    (FILL.format(n=-1, sync=""), SPACE, "negative extent"),
    (FILL.format(n=4, sync="signal=a") + ".stream ld0\n wait a, 1\n wait a, 1\n halt", SPACE + "\n.sem 1 a 0", "deadlock"),
    (FILL.format(n=4, sync="signal=a") + ".stream ld0\n loop 0, e\n wait a, 1\ne:\n halt", SPACE + "\n.sem 1 a 0", "leftover tokens"),
    (".stream vec\n loop 2, e\n signal a, 65535\ne:\n halt\n.stream ld0\n loop 2, e\n wait a, 65535\ne:\n halt", ".sem 1 a 1",
     "more than 65535"),
    (".stream ld0\n li r1, -1\n loopr r1, e\n nop\ne:\n halt", "", "loop of -1"),
    (".stream ld0\na:\n beq r0, r0, a\n halt", "", "too many steps"),
    (".stream ld0\n dma d0, d1\n halt", ".buffer x hbm 0 8 temp", "uninitialised"),
    (".stream ld0\n lds r1, r0, 0\n halt", ".buffer x hbm 0 8 temp", "role index"),
    (".stream ld0\n ldpx r1, r0, 5\n halt", "", "no parameter 5"),
    (".stream ld0\n dset d0.fmt, bf16\n dma d0, d1\n halt", ".buffer x hbm 0 8 temp", "differ in width"),
    (".stream ld0\n dset d0.n0, 3\n dset d0.n1, 2000000\n dma d0, d1\n halt", ".buffer x hbm 0 8 temp", "at most 16777216"),
    (".stream vec\n vmov d0, d1\n halt", ".buffer x hbm 0 8 temp", "must lie in sram or acc"),
    (".stream ld0\n dset d0.space, peer\n dset d0.core, 3\n dma d0, d1\n halt", ".buffer x hbm 0 8 in fp32 2\n" + SPACE, "no core 3"),
])
def test_refused_while_running(text, header, message):
    inputs = {"x": np.zeros(2, np.float32)} if "fp32 2" in header else {}
    for seed in (None, 3):
        with pytest.raises(OracleError, match=message):
            outcome(text, header, inputs, max_steps=2000, seed=seed)


def test_refused_before_running():
    x = np.zeros((64, 16), np.float32)
    program = isa.assemble(PIPELINE)
    cases = [({}, "missing"), ({"x": x, "z": x}, "no input buffer"), ({"x": x.astype(np.float64)}, "wants"), ({"x": x[:3]}, "wants")]
    for inputs, message in cases:
        with pytest.raises(OracleError, match=message):
            run(program, inputs)
    with pytest.raises(OracleError, match="which has 300 bytes"):
        run(program, {"x": x}, memory_bytes={"sram": 300})


def test_outputs_must_be_written():
    text, header = ".stream ld0\n nop\n halt", ".buffer y hbm 0 8 out fp32 2"
    with pytest.raises(OracleError, match="uninitialised"):
        outcome(text, header)
    assert outcome(text, header, partial_outputs=True)["y"].tolist() == [0, 0]
