"""Where a chip keeps its rows in a register file (core.acc.work), are values the same, and is the scratchpad left to operands?"""

from __future__ import annotations

import pytest
from kernel_support import Bench

import emu
from emu.kernels.attention_decode import DecodeTiling, attention_decode, attention_merge, partials
from emu.kernels.attention_prefill import PrefillTiling, attention_prefill
from emu.kernels.heads import Attention, Heads
from emu.kernels.norm import Norm, RowTiling, norm

SPACES = {False: emu.chip("tiny"), True: emu.chip("tiny").vary({"core.acc.work": True})}


def _prefill(bench: Bench, in_place: bool = False) -> None:
    q, cache = bench.put("q", (9, 4 * 8)), (1, 2, 12, 8)
    heads = [Heads(t, 1, 8) for t in (q, bench.put("k", cache), bench.put("v", cache), bench.k.hbm("y", q.shape, "bf16", "out"))]
    attention_prefill(bench.k, *heads, Attention(1, 2, 2, 8, 9, 12), PrefillTiling(8, 8, 1, 2, 2, in_place=in_place))


def _in_place(bench: Bench) -> None:
    _prefill(bench, True)


def _decode(bench: Bench) -> None:
    q, cache = bench.put("q", (2, 4 * 8)), (2, 2, 40, 8)
    q_, keys, values = (Heads(t, 2, 8) for t in (q, bench.put("k", cache), bench.put("v", cache)))
    shape, out = Attention(2, 2, 2, 8, 1, 37), bench.k.hbm("y", q.shape, "bf16", "out")
    parts = partials(bench.k, shape, 2)
    with bench.k.op("attention"):
        attention_decode(bench.k, q_, keys, values, parts, shape, DecodeTiling(8, 1, 2, 2))
    with bench.k.op("merge"):
        attention_merge(bench.k, parts, out, RowTiling(2))


def _norm(bench: Bench) -> None:
    x, gamma = bench.put("x", (9, 16)), bench.put("gamma", (16,))
    norm(bench.k, x, bench.k.hbm("y", x.shape, "bf16", "out"), Norm("rms", gamma), RowTiling(2))


@pytest.mark.parametrize("kernel", [_prefill, _in_place, _decode, _norm], ids=lambda f: f.__name__[1:])
def test_values_do_not_depend_on_the_space(kernel) -> None:
    runs = {}
    for work, chip in SPACES.items():
        bench = Bench(chip)
        kernel(bench)
        values = bench.run(both=work)["y"]
        runs[work] = values, emu.Machine(chip).run(bench.k.program(), bench.inputs).counters
    assert (runs[False][0] == runs[True][0]).all()
    assert runs[True][1]["sram_write_bytes"] < runs[False][1]["sram_write_bytes"]
    assert runs[True][1]["acc_write_bytes"] > runs[False][1]["acc_write_bytes"]


def test_a_small_scratchpad_beside_many_registers() -> None:
    small = {"core.sram.capacity": "16 KiB", "core.acc.capacity": "512 KiB"}
    shape = {"phase": "prefill", "q_heads": 4, "kv_heads": 2, "head_dim": 64, "q_len": 64}
    with pytest.raises(emu.CapacityError, match=r"scratchpad \(\d+ free\)"):
        emu.attention(emu.chip("tiny").vary(small), **shape)
    assert emu.attention(emu.chip("tiny").vary({**small, "core.acc.work": True}), **shape).ratio >= 1


def test_registers_need_their_paths() -> None:
    ports = [{"engine": "mm", "space": "sram", "read": "64 B/clk"}, {"engine": "vec", "space": "acc", "read": "64 B/clk"}]
    with pytest.raises(emu.ChipError, match="acc.work"):
        emu.chip("tiny").vary({"core.acc.work": True, "core.ports": ports})
