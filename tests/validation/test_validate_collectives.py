"""Is a measured collective read by the conventions of its table, and is the machine as near to it as the suites promise?"""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import emu
from emu.study.validate import validate
from emu.study.validate.mechanisms import BASE
from emu.study.validate.predict import predict
from emu.study.validate.rows import TableError, read
from emu.study.validate.statistics import figures
from emu.study.validate.suites import SUITES, packaged

HEADER = "chip,op_name,num_gpus,message_bytes,latency_ms\n"
MINE = ("collectives-a100", "collectives-h100", "all-reduce-a100", "all-reduce-h100")


def rows_of(tmp_path: Path, *lines: str):
    path = tmp_path / "t.csv"
    path.write_text(HEADER + "\n".join(lines) + "\n")
    return read(path)


def test_conventions(tmp_path):
    """message_bytes is the whole buffer, chips x shard, of every operation; what a chip sends is (n - 1) / n of it, all-reduce twice that;
    repeated keys are averaged; alltoall is all_to_all; sums are fp16."""
    gather, reduce, exchange = rows_of(
        tmp_path, "h100,all_gather,4,4096,0.010", "h100,all_gather,4,4096,0.012", "h100,all_reduce,8,4096,0.016",
        "a100,alltoall,2,512,0.01",
    )  # fmt: skip
    assert (gather.measured, gather.times, gather.bytes, gather.decade) == (pytest.approx(11e-6), 2, 3072, 3)
    assert reduce.bytes == 2 * 7 * 512 and (exchange["op"], exchange.bytes) == ("all_to_all", 256)
    r = emu.collective("h100", "all_gather", 4096, 4, stack="vllm", dtype="fp16")
    shapes = {b.name: b.shape for b in r.run.program.buffers if b.role in ("in", "out")}
    assert shapes == {"x": (1, 512), "y": (4, 512)}, "a shard of 1,024 bytes in, all four out"
    assert predict((gather, BASE)).predicted == r.seconds
    with pytest.raises(TableError, match="did you mean 'all_reduce'"):
        rows_of(tmp_path, "h100,all_reduse,8,4096,0.016")


def test_suites_hold_their_bounds():
    result = validate(MINE)
    for s in result.suites:
        assert not s.exceeded and not s.failed, (s.suite.name, s.exceeded, s.failed)
        assert s.whole.mape < s.plain[0], "a plain model with three constants, fitted to the same rows"
        assert 0 < s.whole.geometric < s.whole.mape
    assert all(len(packaged(SUITES[name])) == (21 if "reduce" in name else 90) for name in MINE)


def test_geometric_mean_is_of_the_sizes():
    assert figures([0.1, -0.4]).geometric == pytest.approx(0.2) and figures([0.0]).geometric == pytest.approx(1e-3)
    assert math.isclose(figures([0.05]).mape, figures([0.05]).geometric)


def test_what_is_left_out_is_missed():
    """Each mechanism in the suite where it shows most; none makes the other suites' rows its own."""
    for name, missing, cost in (
        ("collectives-h100", "hop latency", 0.05), ("collectives-h100", "call of a collective", 0.1),
        ("all-reduce-h100", "sums in the switch", 0.02), ("collectives-a100", "copy out of the receive buffer", 0.02),
    ):  # fmt: skip
        (s,) = validate([name], without=[missing]).suites
        assert figures([o.error for o in s.variants[missing]]).mape > s.whole.mape + cost, missing
    (gemm,) = validate(["gemm-h100"], without=["hop latency"], rows=1).suites
    assert not gemm.variants


def test_choices_are_the_librarys():
    """NCCL's own figures say when it leaves LL: later than measured times would, and so does its emulation."""
    protocol = {n: emu.collective("a100", "all_gather", 1 << n, 8, stack="vllm").mapping["protocol"] for n in (16, 21, 22, 23, 25)}
    assert protocol == {16: "ll", 21: "ll", 22: "ll128", 23: "ll128", 25: "simple"}
    assert emu.collective("h100", "all_reduce", 1 << 24, 8, stack="vllm").mapping["algorithm"] == "switch"
    assert emu.collective("h100", "all_reduce", 1 << 24, 4, stack="vllm").mapping["algorithm"] == "ring"
    assert emu.collective("a100", "all_reduce", 1 << 24, 8, stack="vllm").mapping["algorithm"] == "ring"
