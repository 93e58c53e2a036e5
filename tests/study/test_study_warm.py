"""Does a last-level cache that a replay has left warm save what it can, and nothing else?"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import emu
from emu.cli import main


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.sampled_from(["h100", "a100"]), st.integers(1, 3000), st.sampled_from([64, 320, 1024]), st.sampled_from([64, 512, 2048]))
def test_a_warm_gemm_reads_its_weights_and_little_more(chip: str, m: int, n: int, k: int) -> None:
    cold, warm = (emu.gemm(chip, m, n, k, stack="vllm", operands=how, clock="max") for how in ("cold", "warm"))
    read = {how: r.run.counters["hbm_read_bytes"] for how, r in (("cold", cold), ("warm", warm))}
    capacity = next(level for level in cold.chip.levels if level.name == "l2").capacity_bytes
    assert read["warm"] <= read["cold"]
    weights = -(-n // 64) * 64 * k * 2
    if 2 * (m * k + m * n) < capacity // 2 and warm.mapping["split_k"] == 1:
        assert read["warm"] <= weights + 128 * 64 and read["cold"] >= read["warm"] + m * k
    same = [name for name in cold.run.counters if name.startswith(("useful", "array", "vec", "sram", "acc"))]
    assert [cold.run.counters[c] for c in same] == [warm.run.counters[c] for c in same]
    assert (cold.mapping["operands"], warm.mapping["operands"]) == ("cold", "warm")
    assert warm.bound_s <= cold.bound_s and warm.seconds >= warm.bound_s


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.sampled_from(["h100", "a100"]), st.sampled_from(["prefill", "decode"]), st.integers(1, 40), st.sampled_from([64, 1000, 4096]))
def test_a_warm_attention_keeps_its_bound(chip: str, phase: str, batch: int, length: int) -> None:
    shape = {"phase": phase, "batch": batch, "q_heads": 4, "kv_heads": 2, "head_dim": 128, "clock": "max"}
    shape |= {"q_len": min(length, 256), "kv_len": min(length, 256)} if phase == "prefill" else {"kv_len": length}
    cold, warm = (emu.attention(chip, stack="vllm", operands=how, **shape) for how in ("cold", "warm"))
    assert warm.run.counters["hbm_read_bytes"] <= cold.run.counters["hbm_read_bytes"]
    assert warm.bound_s <= warm.seconds and warm.bound_s <= cold.bound_s


def test_what_does_not_fit_is_cold_again() -> None:
    """A cache twice as large as the last-level cache, passed from end to end: what is needed next has always just gone."""
    shape = {"phase": "decode", "batch": 1, "q_heads": 1, "kv_heads": 1, "head_dim": 128, "kv_len": 1 << 18, "clock": "max"}
    chip = emu.chip("a100").vary({"stack.vllm.attention.split_limit": 1})
    cold, warm = (emu.attention(chip, stack="vllm", operands=how, **shape) for how in ("cold", "warm"))
    assert warm.run.counters["hbm_read_bytes"] > 0.99 * cold.run.counters["hbm_read_bytes"] > 100 * 2**20


def test_without_a_cache_nothing_changes() -> None:
    cold, warm = (emu.gemm("jalapeno", 300, 512, 256, operands=how) for how in ("cold", "warm"))
    assert cold.seconds == warm.seconds and cold.run.counters == warm.run.counters


def test_refusals(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(emu.EmuError, match="operands 'warmed'.*warm"):
        emu.gemm("h100", 8, 64, 64, operands="warmed")
    assert main(["op", "gemm", "--chip", "h100", "--m", "8", "--n", "64", "--k", "64", "--operands", "tepid"]) == 2
    assert "tepid" in capsys.readouterr().err
    run = emu.gemm("h100", 8, 64, 64).run
    with pytest.raises(emu.EmuError, match="warm='q' is no buffer"):
        emu.Machine(run.chip).run(run.program, values=False, warm=["q"])
