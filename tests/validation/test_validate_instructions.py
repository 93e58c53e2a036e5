"""Do the suites of single instructions measure what they say, and would they see a machine that is off?"""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

import emu
from emu.study.validate import SUITES, validate
from emu.study.validate.instruction import clocks, program
from emu.study.validate.predict import predict
from emu.study.validate.suites import packaged

ROOT = Path(__file__).parents[2]
B200 = emu.chip("b200")


@pytest.mark.parametrize("name", ["instruction-b200", "instruction-trainium1"])
def test_the_suites_meet_their_bounds(name: str) -> None:
    found = validate([name], cache=False)
    (suite,) = found.suites
    assert found.ok and not suite.failed and suite.whole.rows == SUITES[name].count
    assert suite.to_dict()["plain_model"]["mape"] is None


def test_rows_are_those_of_the_laws() -> None:
    files = runpy.run_path(str(ROOT / "benchmarks" / "draw_laws.py"))["FILES"]
    for name, (_, rows) in files.items():
        assert len(list(rows())) == SUITES[name].count == len(packaged(SUITES[name]))


@pytest.mark.parametrize(("key", "value"), [("core.matrix.fill", "136 clk"), ("core.matrix.staged", "0 B"), ("core.matrix.cols", 32),
                                            ("core.matrix.fragment_n", 64), ("core.matrix.quantum_m", 64)])
def test_another_machine_is_seen(monkeypatch: pytest.MonkeyPatch, key: str, value: object) -> None:
    from emu.study.validate import BASE, mechanisms

    changed = B200.vary({key: value})
    monkeypatch.setattr(mechanisms, "_changed", lambda name, changes: changed)
    errors = [abs(predict((row, BASE)).error) for row in packaged(SUITES["instruction-b200"])]
    assert max(errors) > 0.05


def test_latency_is_counted_from_start_to_result() -> None:
    """Against one instruction by itself: the end of the run less its start, from the trace."""
    for space, m in (("sram", 128), ("sram", 64), ("acc", 128)):
        run = emu.Machine(B200).run(program(m, 128, 16, "bf16", space, 1, False), values=False, trace=True)
        (record,) = (r for r in run.records() if r.stream == "mm")
        took = (run.seconds * 1e15 - record.start_fs) / B200.core.period_fs
        assert took == pytest.approx(clocks(B200, m, 128, 16, "bf16", space, "latency"), abs=0.01)


def test_staged_bytes_delay_a_result_and_not_the_next_repeat() -> None:
    tiny = emu.chip("tiny")

    def both(staged: int, rows: int, space: str) -> tuple[float, float]:
        chip = tiny.vary({"core.matrix.staged": f"{staged} B"})
        return tuple(clocks(chip, rows, 8, 8, "bf16", space, q) for q in ("interval", "latency"))  # type: ignore[return-value]

    for rows in (8, 13, 64):
        plain = both(0, rows, "sram")
        for staged in (8, 16):
            interval, latency = both(staged, rows, "sram")
            assert interval == plain[0]
            stream, port = rows, -(-(rows * 16 + 128) // 64)  # a and b over 64 B/clk
            late = max(port, stream + -(-rows * staged // 64)) - max(port, stream)
            assert latency == plain[1] + late
            assert both(staged, rows, "acc") == both(0, rows, "acc")


@pytest.mark.parametrize("rows", [1, 3, 8, 20, 64])
@pytest.mark.parametrize("columns", [1, 4, 8])
def test_few_rows_take_as_long_as_the_floor(rows: int, columns: int) -> None:
    """Two clocks at least issue an instruction and close its loop."""
    tiny = emu.chip("tiny").vary({"core.ports.0.read": "4096 B/clk", "core.matrix.load_rows_per_clk": 8})
    floored = tiny.vary({"core.matrix.min_rows": 20})
    for dtype, share in (("bf16", 1), ("fp32", 2)):
        assert clocks(tiny, rows, columns, 8, dtype, "sram", "interval") == max(2, share * rows)
        assert clocks(floored, rows, columns, 8, dtype, "sram", "interval") == max(2, share * max(rows, min(20, columns)))


def test_a_floor_of_rows_is_for_arrays_that_rows_stream_past() -> None:
    with pytest.raises(emu.ChipError, match="min_rows: only a weight-stationary array"):
        emu.chip("h100").vary({"core.matrix.min_rows": 64})


def test_a_wrong_table_names_its_cell(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("chip,dtype,m,n,k,a_space,quantity,cycles\nb200,bf16,64,64,16,smem,interval,32\n")
    with pytest.raises(emu.EmuError, match="a_space: 'smem'.*acc, sram"):
        validate(tables=[path])
    path.write_text("chip,dtype,m,n,k,a_space,quantity,cycles\nb200,bf16,128,256,16,sram,interval,120\n")
    (suite,) = validate(tables=[path]).suites
    assert suite.suite.name == "instruction-b200" and suite.whole.mape == pytest.approx(128 / 120 - 1)
