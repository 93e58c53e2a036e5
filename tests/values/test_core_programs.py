"""Does the compiled core give the oracle's bits for whole programs, in any legal order, with no false alarm of the race checker?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from core_programs import CHIP, matrix_cases, vector_cases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import emu
import isa
from emu.testing.tensors import random_elements
from isa.oracle import OracleError
from isa.oracle import run as oracle
from isa.strategy import programs

SLOW = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.s"))
RULES = {
    "block": {"order": "block", "block_k": 3, "join": "acc_first"},
    "tree": {"order": "tree", "block_k": 1, "join": "acc_last"},
    "last": {"order": "sequential", "block_k": 1, "join": "acc_last"},
    "aligned": {"order": "block", "block_k": 4, "join": "acc_first", "inner_fraction_bits": 13, "inner_rounding": "truncate"},
    "narrow": {"order": "block", "block_k": 2, "join": "acc_last", "width": 22},
}


def same(program, given_inputs, chip=CHIP, seed=3, **rule):
    """Core == oracle; the same in another order; the same cycles without values; no race reported."""
    machine = emu.Machine(chip)
    try:
        want = oracle(program, given_inputs, **rule)
    except OracleError as error:
        with pytest.raises(emu.EmuError):
            machine.run(program, given_inputs)
        return str(error)
    got = machine.run(program, given_inputs, check=True)
    again = machine.run(program, given_inputs, order_seed=seed)
    for name, array in want.items():
        assert np.asarray(array).tobytes() == got.outputs[name].tobytes() == again.outputs[name].tobytes(), name
    index = {b.name: given_inputs[b.name] for b in program.buffers if b.role == "index"}
    timed = machine.run(program, index, values=False)
    assert (timed.end_fs, timed.counters) == (got.end_fs, got.counters) == (again.end_fs, again.counters)
    return ""


@given(vector_cases())
@SLOW
def test_a_vector_instruction_of_any_shape(case):
    same(*case)


@given(matrix_cases())
@SLOW
def test_a_matrix_instruction_of_any_shape(case):
    assert not same(*case)


@pytest.mark.parametrize("rule", RULES)
@given(case=matrix_cases())
@settings(SLOW, max_examples=20)
def test_every_order_of_accumulation(rule, case):
    fields = RULES[rule]
    written = {key: f"{value} bit" if key == "width" else value for key, value in fields.items()}
    chip = CHIP.vary({f"core.matrix.accumulate.{key}": value for key, value in written.items()})
    assert not same(*case, chip=chip, accumulate=fields)


@given(programs(), st.integers(1, 1000))
@SLOW
def test_random_programs(program, seed):
    x = np.random.default_rng(seed).integers(-128, 128, 512).astype(np.int8)
    same(program, {"x": x}, seed=seed)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_shipped_examples(path):
    program = isa.assemble(path.read_text())
    rng = np.random.default_rng(1)
    given_buffers = [b for b in program.buffers if b.role == "in"]
    arrays = {b.name: random_elements(rng, b.format, int(np.prod(b.shape)), False).reshape(b.shape) for b in given_buffers}
    assert not same(program, arrays)
