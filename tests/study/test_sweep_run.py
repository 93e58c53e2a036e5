"""Is a study's table the same however it is run: at once or interrupted, here or elsewhere, whatever fails or dies on the way?"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import study_support as support

import emu
from emu.study.sweep import journal as journals
from emu.study.sweep import point
from emu.study.sweep import study as studies

SMALL = {"model": support.llama(), "chip": "tiny", "prompt": 8, "generate": 2}
AXES = {"batch": [1, 2, 3], "chip.hbm.bandwidth": ["16 GB/s", "64 GB/s"]}


@pytest.fixture(scope="module")
def study():
    return emu.Study(**SMALL, vary=AXES)


@pytest.fixture(scope="module")
def table(study):
    """Every point in this process: what all other ways are compared with."""
    return study.run(jobs=1)


def test_rows_are_the_estimates(table):
    for row in table.rows:
        chip = support.chip_named("tiny").vary({"hbm.bandwidth": f"{row['chip.hbm.bandwidth'] // 10**9} GB/s"})
        one = emu.estimate(support.llama(), chip, batch=row["batch"], prompt=8, generate=2).to_dict()
        for name in ("ttft_s", "tpot_s", "tokens_per_s", "joules_per_token", "watts", "mfu"):
            assert row[name] == one[name], name
        assert row["decode_bound_by"] == one["phases"]["decode"]["bound_by"] and row["chip_digest"] == chip.digest[:16]
    assert [(r["batch"], r["chip.hbm.bandwidth"]) for r in table.rows] == [(b, w) for b in (1, 2, 3) for w in (16 * 10**9, 64 * 10**9)]


def test_processes_give_the_same_table(study, table):
    assert study.run(jobs=2).to_dict() == table.to_dict()


def test_threads_give_the_same_table(study, table):
    with ThreadPoolExecutor(3) as executor:
        assert study.run(executor).to_dict() == table.to_dict()


def test_dask_gives_the_same_table(study, table):
    """Worker processes of their own on loopback, as they would be on other machines."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1") as cluster,
        distributed.Client(cluster) as client,
    ):
        workers = {info["nanny"] for info in client.scheduler_info()["workers"].values()}
        assert len(workers) == 2
        found = study.run(client.get_executor(pure=False))
    assert found.to_dict() == table.to_dict()


class Interrupting:
    """`done` that raises after so many rows, as Ctrl-C would."""

    def __init__(self, after):
        self.after, self.heard = after, []

    def __call__(self, number, of, row):
        self.heard.append((number, of))
        if len(self.heard) == self.after:
            raise KeyboardInterrupt


def test_an_interrupted_study_goes_on(study, table, tmp_path):
    rows = tmp_path / "rows.jsonl"
    with pytest.raises(KeyboardInterrupt):
        study.run(jobs=1, journal=rows, done=Interrupting(2))
    assert len(rows.read_text().splitlines()) == 2
    with rows.open("a") as file:
        file.write('{"key": "cut by the inter')  # what a power cut leaves
    heard = Interrupting(99)
    assert study.run(jobs=1, journal=rows, done=heard).to_dict() == table.to_dict()
    assert heard.heard == [(2, 6), (3, 6), (4, 6), (5, 6), (6, 6)]
    again = Interrupting(99)
    assert study.run(jobs=1, journal=rows, done=again).to_dict() == table.to_dict() and again.heard == [(6, 6)]
    more = emu.Study(**SMALL, vary={**AXES, "batch": [1, 2, 3, 4]})
    heard = Interrupting(99)
    more.run(jobs=1, journal=rows, done=heard)
    assert [number for number, _ in heard.heard] == [6, 7, 8]  # an extended study runs what is new
    heard = Interrupting(99)
    study.run(jobs=1, journal=rows, fresh=True, done=heard)
    assert len(heard.heard) == 6


def test_another_emu_or_chip_does_not_believe_the_rows(study, tmp_path, monkeypatch):
    rows, heard = tmp_path / "rows.jsonl", Interrupting(99)
    study.run(jobs=1, journal=rows)
    other = emu.Study(**{**SMALL, "chip": support.chip_named("tiny").vary({"hbm.latency": "300 ns"})}, vary=AXES)
    other.run(jobs=1, journal=rows, done=heard)
    assert len(heard.heard) == 6
    monkeypatch.setattr(journals, "build", lambda: "another build")
    heard = Interrupting(99)
    study.run(jobs=1, journal=rows, done=heard)
    assert len(heard.heard) == 6


def test_a_journal_in_use_or_impossible_is_refused(study, tmp_path):
    held = journals.Journal(tmp_path / "rows.jsonl")
    with pytest.raises(emu.EmuError, match="another run of this study"):
        study.run(jobs=1, journal=tmp_path / "rows.jsonl")
    held.close()
    for place in (tmp_path, tmp_path / "none" / "rows"):
        with pytest.raises(emu.EmuError, match=str(place)):
            study.run(jobs=1, journal=place)


def test_a_failed_point_is_a_row_with_its_reason(monkeypatch, tmp_path):
    axes = {"batch": [1, 10**9, "two"], "dtype": ["bf16", "fp4"], "chip.core_count": [4, 5]}
    rows = emu.Study(**SMALL, vary=axes).run(jobs=1, journal=tmp_path / "j").rows
    assert len(rows) == 12 and [r.get("error") is None for r in rows].count(True) == 1
    reasons = {(r["batch"], r["dtype"], r["chip.core_count"]): (r.get("error") or "", r.get("error_kind")) for r in rows}
    assert "would fit" in reasons[10**9, "bf16", 4][0] and reasons[10**9, "bf16", 4][1] == "CapacityError"
    assert "fp4" in reasons[1, "fp4", 4][0] and "noc: x * y" in reasons[1, "bf16", 5][0] and "whole number" in reasons["two", "bf16", 4][0]
    monkeypatch.setattr(point, "_estimate", lambda s: 1 / 0)
    study = emu.Study(**SMALL, vary={"batch": [1]})
    [row] = study.run(jobs=1, journal=tmp_path / "k").rows
    assert row["error_kind"] == "bug" and "ZeroDivisionError" in row["error"] and not (tmp_path / "k").read_text()  # tried again next time


def deadly(task):
    """Stands in for a point that takes more memory than there is."""
    if task.settings.call["batch"] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"figure": task.settings.call["batch"]}


def test_a_process_that_dies_is_a_row(study, monkeypatch):
    monkeypatch.setattr(studies, "run_point", deadly)
    rows = study.run(jobs=2).rows
    assert [r.get("figure") for r in rows] == [1, 1, None, None, 3, 3] and all("died" in r["error"] for r in rows if r["batch"] == 2)


class Broken:
    """An executor that gives up at once."""

    def submit(self, function, *args):
        from concurrent.futures import BrokenExecutor

        future = Future()
        future.set_exception(BrokenExecutor())
        return future


def test_an_executor_that_breaks_loses_no_row(study):
    rows = study.run(Broken()).rows
    assert len(rows) == 6 and all(r["error_kind"] == "died" for r in rows)


def test_a_script_without_a_main_guard_is_told(tmp_path):
    script = tmp_path / "study.py"
    script.write_text("import emu\nemu.Study(model='gpt-2', chip='h100', vary={'batch': [1, 2]}).run(jobs=2)\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "__name__" in done.stderr.strip().split("\n")[-1], done.stderr


def test_ctrl_c_ends_the_processes(tmp_path):
    script = tmp_path / "study.py"
    script.write_text(
        "import emu, sys\nif __name__ == '__main__':\n    heard = lambda *a: print('row', flush=True)\n"
        "    study = emu.Study(model='llama-3-8b', chip='jalapeno', vary={'batch': list(range(1, 200))})\n"
        "    study.run(jobs=2, done=heard, journal=sys.argv[1])\n"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    child = subprocess.Popen([sys.executable, script, tmp_path / "j"], start_new_session=True, **pipes)
    assert child.stdout.readline() == "row\n"
    os.killpg(child.pid, signal.SIGINT)
    begin = time.monotonic()
    _, err = child.communicate(timeout=30)
    assert time.monotonic() - begin < 10 and err.strip().endswith("KeyboardInterrupt") and err.count("Traceback") == 1, err
    assert 1 <= len((tmp_path / "j").read_text().splitlines()) < 199


def test_a_frame_and_files(table, tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = table.frame()
    assert list(frame.columns) == table.columns and len(frame) == 6 and frame["tpot_s"].dtype == float
    for suffix in (".csv", ".json", ".md"):
        table.write(tmp_path / f"t{suffix}")
    assert json.loads((tmp_path / "t.json").read_text()) == json.loads(table.to_json())
    read = pandas.read_csv(tmp_path / "t.csv")
    assert list(read.columns) == table.columns and read["tpot_s"].tolist() == table.column("tpot_s")
    assert "| bandwidth |" in (tmp_path / "t.md").read_text()
    pytest.importorskip("pyarrow")
    import pyarrow.parquet

    table.write(tmp_path / "t.parquet")
    pandas.testing.assert_frame_equal(pandas.read_parquet(tmp_path / "t.parquet"), frame)
    about = json.loads(pyarrow.parquet.read_schema(tmp_path / "t.parquet").metadata[b"emu"])
    assert about["digests"]["chip tiny"] == support.chip_named("tiny").digest and about["seed"] == 0
    mixed = emu.Study(**SMALL, vary={"batch": [1, "two"]}).run(jobs=1)
    mixed.write(tmp_path / "m.parquet")
    assert pandas.read_parquet(tmp_path / "m.parquet")["batch"].tolist() == ["1", "two"]
    with pytest.raises(emu.EmuError, match=".parquet, .csv"):
        table.write(tmp_path / "t.xlsx")
    with pytest.raises(emu.EmuError, match="did you mean 'tpot_s'"):
        table.column("tpots")


def test_a_mapping_field_is_a_setting():
    axes = {"mapping.decode.qkv.depth_a": [1, 2], "mapping.decode.qvk.tile_n": [64]}
    rows = emu.Study(**SMALL, vary={"mapping.decode.qkv.depth_a": [1, 2, 0]}).run(jobs=1).rows
    assert [r.get("error") is None for r in rows] == [True, True, False] and "1 or more" in rows[2]["error"]
    assert "did you mean 'qkv'" in emu.Study(**SMALL, vary=axes).run(jobs=1).rows[0]["error"]
    frozen = emu.estimate(support.llama(), "tiny", prompt=8, generate=2)
    again = emu.estimate(support.llama(), "tiny", prompt=8, generate=2, mapping=frozen.mapping)
    assert again.to_dict() == frozen.to_dict() | {"mapping": "given"}
    for wrong, wanted in (
        ({"decod": {}}, "decode"), ({"decode": {"qkv": {"tile": 3}}}, "no field"), ({"decode": {"qkv": {"a_resident": 1}}}, "true or"),
    ):
        with pytest.raises(emu.UnsupportedError, match=wanted):
            emu.estimate(support.llama(), "tiny", prompt=8, generate=2, mapping=wrong)
