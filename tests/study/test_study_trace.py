"""Does the timeline of an estimate open, show every engine, and say what was repeated?"""

from __future__ import annotations

import json

import pytest
import study_support as support

import emu

STREAMS = {"ld0", "ld1", "mm", "vec", "st0"}


def events_of(path):
    document = json.loads(path.read_text())
    return document, document["traceEvents"]


def test_one_track_per_engine(tmp_path):
    chip, path = support.chip_named("tiny"), tmp_path / "t.json"
    result = emu.estimate(support.llama(), chip, prompt=16, generate=4)
    written = result.trace(path)
    document, events = events_of(path)
    tracks = {(e["pid"], e["args"]["name"]) for e in events if e["ph"] == "M" and e["name"] == "thread_name"}
    assert {core for core, _ in tracks} == set(range(chip.core_count))
    assert all(STREAMS <= {name for core, name in tracks if core == c} for c in range(chip.core_count))
    assert len(tracks) == len({(e["pid"], e["tid"]) for e in events if e["ph"] == "X" and e["pid"] >= 0})
    named = {e["name"] for e in events if e["ph"] == "X"}
    assert {"prefill: qkv", "decode: attention", "decode: logits", "mm"} <= named
    assert written == sum(1 for e in events if e["ph"] == "X" and ":" not in e["name"]) and document["otherData"]["chip"] == "tiny"
    assert min(e["dur"] for e in events if e["ph"] == "X") >= 0
    last = max(e["ts"] + e["dur"] for e in events if e["ph"] == "X")
    firsts = sum(phase.passes[0].sample.run.seconds for phase in result.phases.values())
    assert firsts * 1e6 * 0.99 <= last <= (firsts * 1e6 + 2) * (1 + 1e-9)
    assert not [e for e in events if "folded_repeats" in e.get("args", {})]  # both layers are drawn


def test_layers_that_are_not_drawn_are_marked(tmp_path):
    path = tmp_path / "t.json"
    result = emu.estimate(support.llama(num_hidden_layers=40), "tiny", prompt=32, generate=1)
    result.trace(path)
    _, events = events_of(path)
    folds = [e for e in events if e["ph"] == "X" and "folded_repeats" in e["args"]]
    assert [e["args"]["folded_repeats"] for e in folds] == [37] and "stands for 36 more" in folds[0]["name"]
    assert folds[0]["dur"] * 1e9 == pytest.approx(result.phases["prefill"].passes[0].sample.period_fs, rel=0.05)
    assert len([e for e in events if e["ph"] == "X" and e["name"] == "prefill: qkv" and e["pid"] == 0 and e["tid"] == 1]) == 4


def test_llama_3_8b_is_of_a_size_that_opens(tmp_path):
    """Perfetto opens 60 MB in some seconds; what is left out is said."""
    path = tmp_path / "t.json"
    emu.estimate("llama-3-8b", "jalapeno", generate=2).trace(path)
    assert 1e5 < path.stat().st_size < 60e6
    document, events = events_of(path)
    assert {e["args"]["name"] for e in events if e["ph"] == "M" and e["name"] == "thread_name"} >= STREAMS
    if document["otherData"]["truncated_instructions"]:
        assert "not shown" in document["otherData"]["truncated"]


def test_bandwidth_and_watts_add_up_and_stay_below_the_peak():
    import numpy as np

    from emu.study.timeline import recorded

    chip = support.chip_named("jalapeno")
    result = emu.estimate(support.llama(hidden_size=512, intermediate_size=1024, num_hidden_layers=4), chip, batch=4, prompt=64, generate=2)
    t = recorded(result)
    names = {c.name: np.array(c.points) for c in t.counters}
    memory, power = names["device memory, B/s"], names["power, W"]
    assert memory[:, 1].max() <= chip.hbm.bandwidth_bytes_per_s * (1 + 1e-9)
    for name, begin, end in t.phases:
        phase = result.phases[name]
        within = (memory[:, 0] >= begin) & (memory[:, 0] < end)
        width = (end - begin) / 600 / 1e15
        moved = sum(phase.counters[f"hbm_{way}_bytes"] for way in ("read", "write")) / phase.count
        assert memory[within, 1].sum() * width == pytest.approx(moved, rel=1e-3)  # all four layers are drawn: one pass
        assert power[within, 1].sum() * width == pytest.approx(phase.energy.joules / phase.count, rel=1e-3)
    assert len(t.layers) == 8 and all(a < b for _, _, a, b in t.layers)
    assert {r.layer for r in t.records if r.op_name == "decode: qkv"} == {0, 1, 2, 3}
    assert all(r.layer is None for r in t.records if r.op_name == "decode: logits")
