"""Does Perfetto get a file it can open, in which nothing is out of order and nothing silently missing?"""

import json
import random
from itertools import pairwise

import pytest

from emu.report.trace import Fold, TraceRecord, write_trace


def written(tmp_path, *args, **kwargs):
    path = tmp_path / "trace.json"
    kept = write_trace(path, *args, **kwargs)
    return kept, json.loads(path.read_text())


def slices(trace):
    return [e for e in trace["traceEvents"] if e["ph"] == "X"]


def random_records(count, seed=1):
    draw = random.Random(seed)
    records = []
    for core in range(2):
        for stream in ("mm", "vec", "ld0", "st0"):
            now = draw.randrange(1000)
            for i in range(count):
                end, repeat = now + draw.randrange(1, 5_000_000), draw.choice((1, 1, 8))
                records.append(TraceRecord(core, stream, now, end, f"{stream}{i}", f"op{i // 7}", f"gemm.s:{i}", repeat))
                now += draw.randrange(1, 4_000_000)  # may start before the former one has completed
    draw.shuffle(records)
    return records


def test_trace_event_format(tmp_path):
    kept, trace = written(tmp_path, random_records(40), {"chip": "tiny", "cores_folded": 4})
    assert kept == 2 * 4 * 40
    times = [e["ts"] for e in trace["traceEvents"] if e["ph"] != "M"]
    assert times == sorted(times)
    for event in slices(trace):
        assert event.keys() == {"ph", "name", "pid", "tid", "ts", "dur", "args"} and event["dur"] >= 0 and event["ts"] >= 0
    names = {e["args"]["name"] for e in trace["traceEvents"] if e["name"] == "thread_name"}
    assert names == {"mm", "vec", "ld0", "st0"}
    cores = {e["args"]["name"] for e in trace["traceEvents"] if e["name"] == "process_name"}
    assert cores == {"core 0 (stands for 4 equal cores)", "core 1 (stands for 4 equal cores)"}
    assert trace["otherData"]["chip"] == "tiny" and "truncated" not in trace["otherData"]


def test_slices_of_a_thread_nest(tmp_path):
    _, trace = written(tmp_path, random_records(60))
    by_thread = {}
    for event in slices(trace):
        by_thread.setdefault((event["pid"], event["tid"]), []).append(event)
    assert len(by_thread) == 8
    for events in by_thread.values():
        stack = []
        for event in events:
            while stack and stack[-1] <= event["ts"] + 1e-9:
                stack.pop()
            assert not stack or event["ts"] + event["dur"] <= stack[-1] + 1e-9, event
            assert len(stack) == (0 if event["name"].startswith("op") else 1)
            stack.append(event["ts"] + event["dur"])


def test_overlap_repeat_and_line_are_told(tmp_path):
    first = TraceRecord(0, "mm", 0, 5_000_000, "mm", "gemm", "a.s:3", 16)
    _, trace = written(tmp_path, [first, TraceRecord(0, "mm", 2_000_000, 6_000_000, "mm", "gemm", "a.s:3")])
    op, first, second = slices(trace)
    assert op["name"] == "gemm" and op["args"] == {"instructions": 2} and op["dur"] == pytest.approx(0.006)
    assert first["args"] == {"completes_after_us": 0.005, "repeat": 16, "line": "a.s:3"} and first["dur"] == pytest.approx(0.002)
    assert second["args"] == {"line": "a.s:3"} and second["ts"] == pytest.approx(0.002)


def test_folded_repeats_are_marked(tmp_path):
    _, trace = written(tmp_path, [TraceRecord(0, "mm", 0, 10, "mm")], folds=[Fold("layer", 0, 10, 30)])
    fold = next(e for e in slices(trace) if e["pid"] == -1)
    assert fold["name"] == "layer (stands for 30)" and fold["args"] == {"folded_repeats": 30}


def test_truncation_is_bounded_and_stated(tmp_path):
    records = random_records(50)
    kept, trace = written(tmp_path, records, max_slices=100)
    assert kept == 100 and trace["otherData"]["truncated_instructions"] == 300
    shown = [e for e in slices(trace) if not e["name"].startswith("op")]
    assert len(shown) == 100
    last = max(e["ts"] for e in shown)
    hidden = sorted(r.start_fs for r in records)[100:]
    assert last * 1e9 <= hidden[0]  # complete up to a moment
    mark = next(e for e in trace["traceEvents"] if e["ph"] == "i")
    assert "300 later instructions are not shown" in mark["name"]


def test_instructions_the_recorder_missed_count_as_dropped(tmp_path):
    _, trace = written(tmp_path, [TraceRecord(0, "mm", 0, 10, "mm")], unrecorded=7)
    assert trace["otherData"]["truncated_instructions"] == 7 and "7 later instructions" in trace["otherData"]["truncated"]


def test_same_records_same_bytes(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    records = random_records(10)
    write_trace(a, records)
    write_trace(b, iter(sorted(records)))
    assert a.read_bytes() == b.read_bytes()


def test_empty_and_tuples(tmp_path):
    kept, trace = written(tmp_path, [])
    assert kept == 0 and trace["traceEvents"] == []
    kept, _ = written(tmp_path, [(0, "mm", 0, 1, "mm", "", "")])
    assert kept == 1


def test_starts_are_monotone_per_stream(tmp_path):
    _, trace = written(tmp_path, random_records(30))
    for thread in range(1, 5):
        starts = [e["ts"] for e in slices(trace) if e["tid"] == thread and e["pid"] == 0]
        assert all(a <= b for a, b in pairwise(starts))
