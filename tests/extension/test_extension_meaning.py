"""Does an instruction of one's own mean the same to the oracle, to the engine and to a run without values?"""

from __future__ import annotations

import numpy as np
import pytest
from extension_support import MINE, cases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import emu
import isa
from emu.num import jit as num
from isa.oracle import OracleError
from isa.oracle import run as interpret
from isa.oracle.vec import UNARY
from isa.strategy import any_instruction

MACHINE = emu.Machine("tiny")


@given(cases())
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_the_engine_agrees_with_the_oracle_bit_for_bit(case):
    try:
        want = interpret(case.program, case.inputs)
    except OracleError as error:
        with pytest.raises(emu.EmuError):
            MACHINE.run(case.program, case.inputs)
        assert "twice or runs backwards" in str(error) or "bounds" in str(error) or "outside" in str(error)
        return
    run = MACHINE.run(case.program, case.inputs, check=True)
    assert all(run.outputs[name].tobytes() == want[name].tobytes() for name in ("y", "z"))
    assert all(sum(row.values()) == run.end_fs for row in run.stalls_fs().values())
    timed = MACHINE.run(case.program, values=False)
    assert (timed.end_fs, timed.raw["counters"], timed.raw["stalls"]) == (run.end_fs, run.raw["counters"], run.raw["stalls"])
    assert isa.assemble(case.program.to_text(), MINE) == case.program == isa.Program.from_bytes(case.program.to_bytes(), MINE)


@given(cases())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_cycles_and_energy_are_what_the_expressions_say(case):
    chip = MACHINE.chip
    try:
        run = MACHINE.run(case.program, case.inputs, values=False)
    except emu.EmuError:
        return
    cycles, pj = case.instruction.cost(chip, **case.extents) if case.extents["elements"] + case.extents["out"] else (0, 0)
    assert run.counters["user_femtojoules"] == int(pj * 1000 + 0.5)
    assert run.counters["user_elements"] == case.extents["elements"]
    stream = case.instruction.extension.spec.engine
    busy = run.stalls[stream].get("busy_s", 0) * chip.core.clock_hz
    assert round(busy) == cycles + (chip.core.vector.startup_cycles if stream == "vec" else 0)


@given(any_instruction(mnemonics=tuple(MINE.extensions), known=MINE))
def test_every_word_round_trips(instruction):
    word = MINE.encode(instruction.mnemonic, **instruction.operands)
    assert MINE.decode(word) == instruction and MINE.decode(word).spec is MINE.specs[instruction.mnemonic]


@pytest.mark.parametrize("name", [name for name in num.__all__ if name not in ("f32", "function")])
def test_functions_for_numba_have_the_machines_bits(name):
    import numba

    function = getattr(num, name)

    @numba.njit(error_model="numpy")
    def over(x, out):
        for i in range(x.size):
            out[i] = function(x[i])

    draw = np.random.default_rng(1)
    every_bf16 = (np.arange(1 << 16, dtype=np.uint32) << 16).view(np.float32)
    any_bits = draw.integers(0, 1 << 32, 200_000, np.uint32).view(np.float32)
    x = np.concatenate([every_bf16, any_bits, draw.standard_normal(50_000, np.float32) * 4])
    got = np.empty_like(x)
    over(x, got)
    with np.errstate(all="ignore"):
        want = UNARY["v" + name](x)
        few = np.array([function(v) for v in x[::997]])  # called from Python it computes with NumPy's numbers
    same = (got.view(np.uint32) == want.view(np.uint32)) | (np.isnan(got) & np.isnan(want))
    assert same.all(), x[~same][:5]
    assert few.dtype == np.float32
    assert ((few.view(np.uint32) == want[::997].view(np.uint32)) | (np.isnan(few) & np.isnan(want[::997]))).all()


@given(st.floats(width=32), st.floats(width=32, min_value=0.5, max_value=100))
def test_the_meaning_is_the_function_itself(x, cap):
    meaning = MINE.extensions["vsoftcap"].meaning
    with np.errstate(all="ignore"):
        got, want = meaning(np.float32(x), np.float32(cap)), np.float32(cap) * num.tanh(np.float32(x) / np.float32(cap))
    assert np.float32(got).tobytes() == np.float32(want).tobytes()
