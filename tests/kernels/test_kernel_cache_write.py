"""Do new keys and values come to their places in the cache, converted where it has another format, and does a whole call give attention?"""

from __future__ import annotations

import numpy as np
import pytest
from kernel_support import DTYPES, Bench, attention, close

import emu
from emu.kernels.cache_write import convert_rows, look_up, write_cache
from emu.kernels.heads import Attention, Heads
from emu.mapper.library_attention import Call, library_attention_program, tilings
from emu.models import Attention as Op

KERNELS = {
    "tiles": [{"head_dim": 64, "rows": 16, "keys": 16}], "resident": 1, "lookups": 2, "split_limit": 4, "write_resident": 2,
    "grouped_copies": 2,
}  # fmt: skip
STACK = {"mode": "kernel-per-op", "launch": "1 us", "tiles": [[16, 16]], "attention_floor": "9 us", "attention": KERNELS}
CHIP = emu.chip("tiny").vary({"stack": {"lib": STACK}})


@pytest.mark.parametrize("fmt", ["bf16", "fp8_e4m3"])
@pytest.mark.parametrize(("batch", "tokens", "past"), [(1, 1, 0), (5, 1, 7), (2, 9, 0), (3, 4, 5)])
def test_tokens_go_behind_those_before(batch: int, tokens: int, past: int, fmt: str) -> None:
    bench = Bench()
    shape, cache = Attention(batch, 2, 1, 8, tokens, past + tokens), (batch, 2, past + tokens, 8)
    new = [bench.put(name, (batch * tokens, 16), scale=0.5) for name in "kv"]
    caches = [bench.k.hbm(name, cache, fmt, "out") for name in ("kc", "vc")]
    write_cache(bench.k, *(Heads(t, batch, 8) for t in (*new, *caches)), shape, 2)
    got = bench.run(both=not past)  # the oracle wants every byte of an output written
    for name in "kv":
        rows = bench.wide(name).astype(DTYPES[fmt]).astype(np.float32).reshape(batch, tokens, 2, 8).transpose(0, 2, 1, 3)
        assert (got[f"{name}c"][:, :, past:] == rows).all() and not got[f"{name}c"][:, :, :past].any()


def test_rows_in_another_format() -> None:
    bench = Bench()
    q, out = bench.put("q", (7, 32)), bench.k.hbm("y", (7, 32), "fp8_e4m3", "out")
    convert_rows(bench.k, Heads(q, 1, 8), Heads(out, 1, 8), Attention(7, 2, 2, 8, 1, 3), 2)
    assert (bench.run()["y"] == bench.wide("q").astype(DTYPES["fp8_e4m3"]).astype(np.float32)).all()


def test_lookups_wait_for_one_another() -> None:
    """Each is a trip to memory; what the queue loads next comes after all of them."""

    def seconds(times: int) -> float:
        bench = Bench()
        table, x = bench.put("table", (4,), "int32"), bench.put("x", (8, 8))
        out = bench.k.hbm("y", (8, 8), "bf16", "out")
        with bench.k.op("look"):
            look_up(bench.k, table, 2, times)
            bench.k.store(out.at((0, 0), (8, 8)), bench.k.fetch(x.at((0, 0), (8, 8)), name="x"))
        return emu.Machine(bench.chip).run(bench.k.program(), bench.inputs).seconds

    latency = CHIP.hbm.latency_s
    assert seconds(0) < seconds(1) < seconds(2) < seconds(4)
    assert seconds(4) - seconds(2) == pytest.approx(seconds(6) - seconds(4), rel=1e-6)
    assert seconds(6) - seconds(4) >= 2 * latency


def _op(batch: int, group: int, q_len: int, kv_len: int) -> Op:
    return Op(
        name="attention", phase="decode" if q_len == 1 else "prefill", batch=batch, q_heads=2 * group, kv_heads=2, head_dim=8, q_len=q_len,
        kv_len=kv_len, causal=True, window=None, scale=8**-0.5, q="q", k_cache="k_cache", v_cache="v_cache", output="heads",
        compulsory_bytes=0, operand_bytes=0,
    )  # fmt: skip


@pytest.mark.parametrize(("batch", "group", "q_len", "kv_len"), [(1, 1, 1, 2), (3, 2, 1, 37), (1, 4, 1, 90), (2, 2, 9, 9), (1, 1, 20, 26)])
def test_a_call_is_attention(batch: int, group: int, q_len: int, kv_len: int) -> None:
    """New tokens are read back from the cache they were written into. Every tiling gives the same attention."""
    random, op = np.random.default_rng(1), _op(batch, group, q_len, kv_len)
    call, past = Call(op, "bf16", "bf16"), kv_len - q_len

    def normal(*shape: int) -> np.ndarray:
        return random.standard_normal(shape).astype(DTYPES["bf16"])

    inputs = {"q": normal(batch * q_len, 16 * group), "k": normal(batch * q_len, 16), "v": normal(batch * q_len, 16)}
    inputs |= {"k_cache": normal(batch, 2, kv_len, 8), "v_cache": normal(batch, 2, kv_len, 8), "table": np.zeros(batch, np.int32)}
    wide = {name: a.astype(np.float32) for name, a in inputs.items()}
    for name in "kv":
        wide[f"{name}_cache"][:, :, past:] = wide[name].reshape(batch, q_len, 2, 8).transpose(0, 2, 1, 3)
    q = wide["q"].reshape(batch, q_len, 2 * group, 8).transpose(0, 2, 1, 3)
    want = attention(q, wide["k_cache"], wide["v_cache"], q_len > 1)
    kernels = CHIP.stack["lib"].attention
    assert kernels is not None
    found = tilings(CHIP, call, kernels) + tilings(CHIP, call, kernels.model_copy(update={"packed": False, "in_order": True}))
    assert found and all(t.resident == 1 and t.lookups == 2 for t in found)
    for tiling in found:
        program = library_attention_program(CHIP, call, tiling, kernels)
        got = np.asarray(emu.Machine(CHIP).run(program, inputs, check=True).outputs["heads"]).astype(np.float32)
        close(got.reshape(batch, q_len, 2 * group, 8).transpose(0, 2, 1, 3), want, "bf16")


def test_the_smallest_call_takes_the_floor() -> None:
    r = emu.attention(CHIP, "decode", batch=1, q_heads=1, kv_heads=1, head_dim=8, kv_len=2, stack="lib", regime="short")
    assert r.seconds == pytest.approx(9e-6) and r.launch_s < 9e-6
    two = emu.attention(CHIP, "decode", batch=2, q_heads=4, kv_heads=2, head_dim=8, kv_len=2, stack="lib", regime="short")
    assert {"write", "copy0", "copy1", "attention"} <= {label["name"] for label in two.run.labels}  # a grouped step of several sequences
    with pytest.raises(emu.UnsupportedError, match="heads of 96 in bf16; its widest heads in 16 bits are of 64"):
        emu.attention(CHIP, phase="prefill", batch=1, q_heads=1, kv_heads=1, head_dim=96, q_len=4, kv_len=4, stack="lib")
    with pytest.raises(emu.UnsupportedError, match="no attention kernels"):
        emu.attention(CHIP.vary({"stack": {"lib": {"mode": "kernel-per-op"}}}), "decode", kv_len=8, stack="lib")
