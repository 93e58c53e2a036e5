"""Does an array in Verilog, written from a page of its own (SPEC.md), give each result when the matrix engine says, and with its value?"""

from __future__ import annotations

import fcntl
import math
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtl_support import (
    DATAFLOWS,
    HERE,
    MUTANTS,
    SIDE,
    STREAMED,
    Array,
    Product,
    Results,
    arrays,
    engine,
    in_verilog,
    operands,
    products,
)

import emu
import isa
from emu.errors import UnsupportedError
from emu.machine import Machine
from emu.machine.array import ready_cycles
from emu.machine.config import period_fs

BUILD = ["verilator", "--cc", "--exe", "--build", "-Wno-WIDTH", "-Wno-fatal", "--top-module", "systolic", "-CFLAGS", "-O1", "-Mdir"]


@pytest.fixture(scope="session")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The array, built once. Without verilator these tests are skipped, but in CI that is a failure."""
    if shutil.which("verilator") is None:
        why = "verilator is not installed (Debian, Ubuntu: apt-get install verilator); the array in Verilog is not compared"
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(why)
        pytest.skip(why)
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "verilated"
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w") as lock:  # workers of pytest-xdist share one build
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "built").exists():
            command = [*BUILD, str(folder), str(HERE / "systolic.v"), str(HERE / "driver.cpp")]
            built = subprocess.run(command, capture_output=True, text=True)
            assert built.returncode == 0, built.stdout + built.stderr
            (folder / "built").touch()
    return folder / "Vsystolic"


def aligned(results: Results, like: Results) -> Results:
    """Cycles counted from the first result of all: the array counts from the first tile's issue, the engine from its stream."""
    shift = min(c for c, _ in like[0].values()) - min(c for c, _ in results[0].values())
    return [{at: (cycle + shift, value) for at, (cycle, value) in found.items()} for found in results]


def final_values(results: Results, work: list[Product]) -> Results:
    """Where later products add to them, values are those of the last one: all that is left in the engine's accumulators."""
    found = [dict(r) for r in results]
    for j in range(len(work) - 1, 0, -1):
        if work[j].add:
            found[j - 1] = {at: (cycle, found[j][at][1]) for at, (cycle, _) in found[j - 1].items()}
    return found


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_every_result_comes_in_its_cycle_with_its_value(binary: Path, data: st.DataObject) -> None:
    array = data.draw(arrays())
    work = data.draw(products(array))
    given_data = operands(work, data.draw(st.integers(0, 2**32 - 1)))
    expected = engine(array, work, given_data)
    said = in_verilog(binary, array, work, given_data)
    load = -(-work[0].k // array.load_rows) if array.load_rows else 0
    said = [{at: (cycle - load, value) for at, (cycle, value) in found.items()} for found in said]  # the first load begins in clock 0
    assert final_values(said, work) == expected


@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_a_full_array_at_its_largest(binary: Path, dataflow: str) -> None:
    loads = dataflow != "output_stationary"
    array = Array(dataflow, SIDE, SIDE, 1, 2 if loads else 1, True, int(loads))
    work = [Product(16, 16, 16, 3, 0, False), Product(16, 16, 16, 3, 0, True), Product(16, 16, 16, 1, 5, False)]
    given_data = operands(work, 5)
    expected = engine(array, work, given_data)
    assert final_values(aligned(in_verilog(binary, array, work, given_data), expected), work) == expected


def differences(binary: Path, array: Array, work: list[Product], other: Array | None = None, mutant: int = 0) -> tuple[bool, bool]:
    """Whether cycles and whether values differ between the engine of `array` and a wrong array."""
    given_data = operands(work, 11)
    good, said = engine(array, work, given_data), final_values(in_verilog(binary, other or array, work, given_data, mutant), work)
    right = final_values(in_verilog(binary, array, work, given_data), work)
    shift = min(c for c, _ in right[0].values()) - min(c for c, _ in good[0].values())
    pairs = [(a[at], (b[at][0] - shift, b[at][1])) for a, b in zip(good, said) for at in a]
    return any(a[0] != b[0] for a, b in pairs), any(a[1] != b[1] for a, b in pairs)


@pytest.mark.parametrize("dataflow", ["weight_stationary", "input_stationary"])
def test_a_hop_more_is_seen_in_the_cycles(binary: Path, dataflow: str) -> None:
    """Everything else moves with it, so that values stay right."""
    array, wrong = (Array(dataflow, 5, 7, 1, hop, True, 1) for hop in (1, 2))
    work = Product(6, 7, 5, 2, 0, False) if dataflow == "weight_stationary" else Product(7, 6, 5, 2, 0, False)
    assert differences(binary, array, [work], wrong) == (True, False)


def test_a_hop_more_of_operands_is_seen_in_the_cycles(binary: Path) -> None:
    assert differences(binary, Array("output_stationary", 5, 7, 1, 1, True, 0), [Product(5, 7, 9, 2, 0, False)],
                       Array("output_stationary", 5, 7, 2, 1, True, 0)) == (True, False)  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_compute_something_else(binary: Path, name: str) -> None:
    array = Array("weight_stationary", 6, 6, 1, 1, MUTANTS[name] != 3, 1)
    assert differences(binary, array, [Product(4, 6, 6, 3, 0, False)], mutant=MUTANTS[name])[1]


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_the_last_result_completes_the_instruction(data: st.DataObject) -> None:
    """Whole tiles: the run is over when the last element of the last repeat is there. Elements never come later than that."""
    array = data.draw(arrays())
    lanes = {"m": array.rows if array.dataflow == "output_stationary" else array.cols, "n": array.cols, "k": array.rows}
    m, n, k = (data.draw(st.integers(1, 40)) if axis == STREAMED[array.dataflow] else lanes[axis] for axis in "mnk")
    whole, chip = int(ready_cycles(array.chip(), m, n, k).max()), array.chip()
    run = Machine(chip).run(alone(m, n, k), values=False, trace=True)
    start = next(r[4] for r in run.raw["records"] if r[1] == 0)
    assert run.end_fs == start + whole * period_fs(chip)
    part = ready_cycles(chip, max(m // 2, 1), max(n // 2, 1), max(k // 2, 1))
    assert part.max() <= whole


def alone(m: int, n: int, k: int, folds: int = 1) -> isa.Program:
    """`folds` equal products one after the other, their operands in sram from the start of the mm stream on."""
    return isa.assemble(f"""
.program alone
.cores 1
.buffer x hbm 0 {(m + n) * k} in int8 {(m + n) * k}
.buffer s sram 0 {(m + n) * k} temp
.buffer t acc 0 {m * n * 4} temp
.sem 1 there 0
.stream ld0
 dset d0.space, sram
 dset d0.fmt, int8
 dset d1.fmt, int8
 dset d0.n0, {(m + n) * k}
 dma d0, d1 signal=there
 halt
.stream mm
 dset d0.space, acc
 dset d0.fmt, int32
 dset d0.n1, {m}
 dset d0.n0, {n}
 dset d0.s1, {n * 4}
 dset d1.space, sram
 dset d1.fmt, int8
 dset d1.n1, {m}
 dset d1.n0, {k}
 dset d1.s1, {k}
 dset d2.space, sram
 dset d2.fmt, int8
 dset d2.base, {m * k}
 dset d2.n1, {k}
 dset d2.n0, {n}
 dset d2.s1, {n}
 wait there, 1
 loop {folds}, done
 mm d0, d1, d2
done:
 fence
 halt
""")


def scale_sim(dataflow: str, rows: int, cols: int, m: int, n: int, k: int, hop: int = 1) -> int:
    """SCALE-Sim v3's closed forms, with the array's own hop for partial sums; "Total Cycles" there is one less."""
    if dataflow == "weight_stationary":
        return math.ceil(k / rows) * math.ceil(n / cols) * ((1 + hop) * rows + cols + m - 2)
    if dataflow == "input_stationary":
        return math.ceil(k / rows) * math.ceil(m / cols) * ((1 + hop) * rows + cols + n - 2)
    return math.ceil(m / rows) * math.ceil(n / cols) * (rows + cols + k - 2)


def folded(chip: emu.Chip, dataflow: str, m: int, n: int, k: int) -> int:
    """Cycles of the matrix engine for all folds, each padded to a full one as SCALE-Sim does, from the first load to the last result."""
    rows, cols = chip.core.matrix.rows, chip.core.matrix.cols
    tile, folds = {
        "weight_stationary": ((m, cols, rows), math.ceil(k / rows) * math.ceil(n / cols)),
        "input_stationary": ((cols, n, rows), math.ceil(k / rows) * math.ceil(m / cols)),
        "output_stationary": ((rows, cols, k), math.ceil(m / rows) * math.ceil(n / cols)),
    }[dataflow]
    run = Machine(chip).run(alone(*tile, folds), values=False, trace=True)
    start = min(r[4] for r in run.raw["records"] if r[1] == 0)
    load = math.ceil(rows / chip.core.matrix.load_rows_per_clk) if chip.core.matrix.load_rows_per_clk else 0
    return (run.end_fs - start) // period_fs(chip) + load


def without_overlap(dataflow: str, rows: int, cols: int, hop: int = 1, most: int = 512) -> emu.Chip:
    """A chip file as SCALE-Sim sees the world: no shadow weights, nothing enters before all has left, and results count when they leave
    the array, one clock before they are in an accumulator."""
    chip = Array(dataflow, rows, cols, 1, hop, False, int(dataflow != "output_stationary")).chip()
    return chip.vary({"core.matrix.drain_overlap": False, "core.matrix.fill": f"{chip.core.matrix.fill_cycles - 1} clk",
                      "core.sram.capacity": "4 MiB", "core.acc.capacity": "4 MiB", "core.matrix.max_m": most, "core.matrix.max_n": most,
                      "core.matrix.max_k": most})  # fmt: skip


@given(st.sampled_from(DATAFLOWS), st.tuples(*[st.integers(1, 16)] * 2), st.tuples(*[st.integers(1, 60)] * 3), st.integers(1, 2))
@settings(max_examples=40, deadline=None)
def test_scale_sims_closed_forms_follow_from_a_chip_file(
    dataflow: str, sides: tuple[int, int], shape: tuple[int, int, int], hop: int,
) -> None:
    rows, cols = sides
    chip = without_overlap(dataflow, rows, cols, hop)
    assert folded(chip, dataflow, *shape) == scale_sim(dataflow, rows, cols, *shape, hop)


@pytest.mark.parametrize(("dataflow", "size", "side", "total"), [
    ("weight_stationary", 128, 32, 3551), ("output_stationary", 128, 32, 3039), ("weight_stationary", 512, 128, 14303),
    ("output_stationary", 512, 128, 12255)])  # fmt: skip
def test_scale_sims_own_examples(dataflow: str, size: int, side: int, total: int) -> None:
    assert folded(without_overlap(dataflow, side, side), dataflow, size, size, size) - 1 == total


@given(arrays(), st.booleans(), st.integers(1, 8), st.integers(2, 60))
@settings(max_examples=30, deadline=None)
def test_every_femtosecond_has_a_cause_and_short_cuts_change_nothing(array: Array, overlap: bool, size: int, folds: int) -> None:
    chip = array.chip().vary({"core.matrix.drain_overlap": overlap})
    lanes = {"m": array.rows if array.dataflow == "output_stationary" else array.cols, "n": array.cols, "k": array.rows}
    work = alone(*(min(lanes[axis], size) if axis != STREAMED[array.dataflow] else size for axis in "mnk"), folds)
    run = Machine(chip).run(work, values=False)
    for which in ("stalls", "root_stalls"):
        for row in run.stalls_fs(which).values():
            assert sum(row.values()) == run.end_fs and min(row.values()) >= 0
    quick = Machine(chip).run(work, values=False, fast_forward=True, folding=True)
    assert (quick.end_fs, quick.counters, quick.stalls_fs()) == (run.end_fs, run.counters, run.stalls_fs())


def test_with_shadow_weights_a_fold_costs_the_longer_of_stream_and_load() -> None:
    chip = Array("weight_stationary", 16, 16).chip()
    long, short = (folded(chip, "weight_stationary", m, 160, 16) for m in (40, 8))
    one = 2 * 16 + 16 - 1  # load, fill and accumulator of a single fold, its stream apart
    assert long == one + 10 * 40
    assert short == one + 8 + 9 * (16 + 1)  # an instruction that is bound by its load issues a clock after the stream before began


def test_what_is_not_one_pass_is_refused() -> None:
    chip = emu.chip("tiny")
    with pytest.raises(UnsupportedError, match=re.escape("n = 9 is not one pass through its weight_stationary array; choose 1 to 8")):
        ready_cycles(chip, 4, 9, 8)
    with pytest.raises(UnsupportedError, match="'int8'"):
        ready_cycles(chip, 4, 8, 8, "in8")
    assert np.array_equal(ready_cycles(chip, 2, 2, 8, "fp32"), [[2 + 8, 2 + 9], [4 + 8, 4 + 9]])  # a row takes two clocks
