"""Does `emu validate` say yes to rows that are right, no to rows that are wrong, and show what failed?"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import emu
from emu.cli import main
from emu.report.validation import BEGIN, END
from emu.study.validate import MECHANISMS, SUITES, validate

SHAPES = [(1, 128, 128), (16, 256, 64), (64, 128, 256), (8, 512, 128)]


@pytest.fixture(scope="module")
def predicted() -> dict[tuple[int, int, int], float]:
    return {s: emu.gemm("h100", *s, stack="vllm").seconds for s in SHAPES}


def table(path: Path, rows: dict[tuple[int, int, int], float], chip: str = "h100", dtype: str = "bf16") -> Path:
    lines = [f"{chip},{dtype},{m},{n},{k},{1e3 * s!r}" for (m, n, k), s in rows.items()]
    path.write_text("\n".join(["chip,dtype,m,n,k,latency_ms", *lines]) + "\n")
    return path


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    code = main(["validate", "--jobs", "1", *map(str, args)])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_rows_that_are_right(tmp_path, predicted, capsys) -> None:
    code, out, _ = run(capsys, "--csv", table(tmp_path / "t.csv", predicted), "--json")
    d = json.loads(out)
    (suite,) = d["suites"]
    assert code == 0 and d["ok"] and d["kind"] == "validation"
    assert suite["suite"] == "gemm-h100" and suite["rows"] == len(SHAPES) and suite["mape"] < 1e-9 and not suite["exceeded"]
    assert [r["row"] for r in suite["rows_detail"]][0].startswith("1 x 128 x 128")


def test_rows_that_are_wrong(tmp_path, predicted, capsys) -> None:
    wrong = {s: seconds / 1.2 for s, seconds in predicted.items()}
    code, out, _ = run(capsys, "--csv", table(tmp_path / "t.csv", wrong))
    assert code == 1
    assert "NOT MET" in out and "MAPE 20.0%" in out and "median +20.0%" in out


def test_a_row_that_fails_is_all_wrong_and_says_why(tmp_path, predicted, capsys) -> None:
    path = table(tmp_path / "t.csv", {**predicted, (64, 1 << 29, 1 << 29): 1.0})
    code, out, _ = run(capsys, "--csv", path, "--json")
    (suite,) = json.loads(out)["suites"]
    assert code == 1 and suite["failed"] == 1 and suite["mape"] == pytest.approx(1 / (len(SHAPES) + 1))
    assert "does not fit" in suite["worst"][0]["failure"] and suite["worst"][0]["error"] == -1
    code, out, _ = run(capsys, "--csv", path)
    assert code == 1 and "device memory" in re.sub(r"\s+", " ", out)


def test_what_is_asked_for(tmp_path, predicted, capsys) -> None:
    path = table(tmp_path / "t.csv", predicted)
    for args, says in (
        (["--suite", "gemm-h10"], "did you mean 'gemm-h100'"), (["--chip", "tpu-v5e"], "no suite has measurements"),
        (["--csv", path, "--without", "lunch"], "did you mean 'launch'"), (["--csv", path, "--suite", "gemm-a100"], ""),
        (["--csv", tmp_path / "none.csv"], "No such file"), (["--csv", path, "--chip", "a100"], "no row belongs"),
        (["--csv", path, "--page", tmp_path], "is a folder"), (["--csv", path, "--plots", tmp_path / "x"], "no such folder"),
        (["--csv", path, "--stack", "trtllm"], "bare is compared"),
    ):  # fmt: skip
        code, _, err = run(capsys, *args)
        assert code == (2 if says else 1) and says in err, args


def test_mechanisms_are_left_out_one_at_a_time(tmp_path, predicted) -> None:
    d = validate(tables=[table(tmp_path / "t.csv", predicted)], without=["launch", "stack bare"]).to_dict()
    (suite,) = d["suites"]
    assert suite["mape"] < 1e-9
    assert suite["variants"]["launch"] > 0.2 and set(suite["variants"]) == {"launch", "stack bare"}
    for name, setting in MECHANISMS.items():
        for chip in ("a100", "h100", "h200"):
            changed, whole = setting.chip(chip), emu.chip(chip)
            lacks_it = (name, chip) == ("sums in the switch", "a100")
            assert (changed.digest != whole.digest) == (bool(setting.changes) and not lacks_it), name


def test_processes_change_nothing(tmp_path, predicted) -> None:
    path = table(tmp_path / "t.csv", {s: 1.1 * seconds for s, seconds in predicted.items()})
    one, two = (validate(tables=[path], jobs=jobs).to_dict()["suites"] for jobs in (1, 2))
    for s in (*one, *two):
        s.pop("cpu_s")
    assert one == two


def test_an_interrupt_ends_it(tmp_path) -> None:
    path = table(tmp_path / "t.csv", {(1024 + i, 8192, 4096): 1e-3 for i in range(200)})
    command = [sys.executable, "-m", "emu", "validate", "--csv", str(path), "--jobs", "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None and not children.read_text():  # before, it is still being imported
        time.sleep(0.1)
    time.sleep(1)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130 and not out and "Traceback" not in err
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and _alive(process.pid):
        time.sleep(0.1)
    assert not _alive(process.pid)


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_page_and_plots(tmp_path, predicted, capsys) -> None:
    path, page = table(tmp_path / "t.csv", predicted), tmp_path / "validation.md"
    page.write_text(f"# Mine\n\nwords before\n{BEGIN}\nold\n{END}\nwords after\n")
    (tmp_path / "img").mkdir()
    code, _, _ = run(capsys, "--csv", path, "--page", page, "--plots", tmp_path / "img", "--without", "split-K", "-q")
    text = page.read_text()
    assert code == 0 and "words before" in text and "words after" in text and "old" not in text
    assert "| gemm-h100 | 4 | 0 | 0.0 % |" in text and "split-K" in text and "![" in text
    picture = (tmp_path / "img" / "gemm-h100.svg").read_text()
    assert "signed error" in picture and "measured, us" in picture
    run(capsys, "--csv", path, "--page", page, "--plots", tmp_path / "img", "--without", "split-K", "-q")
    assert page.read_text() == text and (tmp_path / "img" / "gemm-h100.svg").read_text() == picture
    assert "](img/gemm-h100.svg)" in text
    (tmp_path / "docs").mkdir()
    elsewhere = tmp_path / "docs" / "page.md"
    run(capsys, "--csv", path, "--page", elsewhere, "--plots", tmp_path / "img", "-q")
    assert "](../img/gemm-h100.svg)" in elsewhere.read_text()
    page.write_text("no marks\n")
    assert run(capsys, "--csv", path, "--page", page)[0] == 2
    assert page.read_text() == "no marks\n"


def test_matplotlib_is_imported_only_to_draw() -> None:
    code = "import sys, emu.report.pages, emu.report.validation, emu.study.validate; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_suite_can_be_named() -> None:
    assert main(["validate", "--help"]) == 0
    assert {s.chip for s in SUITES.values()} == {"a100", "h100", "h200", "gh200", "b200", "mi300x", "trainium1", "trainium2"}
