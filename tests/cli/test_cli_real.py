"""The whole way from the command line to the compiled core and back, on small things."""

import json
from pathlib import Path

import numpy as np
import pytest

import emu

pytest.importorskip("emu._core", reason="the compiled core is not built")

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def operands(tmp_path):
    draw = np.random.default_rng(3)
    arrays = {name: draw.integers(-4, 5, (64, 64)).astype(np.float32) for name in "ab"}  # small integers: exact in bf16
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    return arrays


def test_gemm_example_as_text_and_as_binary(shell, operands, tmp_path):
    source, binary = EXAMPLES / "gemm.s", tmp_path / "gemm.bin"
    assert shell("asm", source, "-o", binary)[0] == 0
    results = []
    for program in (source, binary):
        c, trace = tmp_path / "c.npy", tmp_path / "trace.json"
        code, out, err = shell(
            "run", program, "--chip", "tiny", "--in", f"a={tmp_path}/a.npy", "--in", f"b={tmp_path}/b.npy", "--out", f"c={c}",
            "--trace", trace, "--json", "--quiet",
        )
        assert code == 0 and err == "", err
        assert np.array_equal(np.load(c), operands["a"] @ operands["b"])
        results.append(json.loads(out))
    assert results[0] == results[1]
    run = results[0]
    assert run["counters"]["useful_macs_bf16"] == 64**3 and run["seconds"] > 0
    assert run["joules"] == pytest.approx(sum(run["energy"].values()))
    for causes in run["stalls"].values():
        assert sum(causes.values()) == pytest.approx(4 * run["seconds"], rel=1e-9)  # every cycle of every core has a cause
    events = [e for e in json.loads(trace.read_text())["traceEvents"] if e["ph"] == "X"]
    assert sum(e["name"] == "mm" for e in events) > 0 and {e["pid"] for e in events} == {0, 1, 2, 3}
    assert max(e["ts"] + e["dur"] for e in events) <= run["seconds"] * 1e6 * (1 + 1e-9)


def test_timing_only_needs_no_inputs_and_agrees(shell, operands, tmp_path):
    inputs = [word for name in "ab" for word in ("--in", f"{name}={tmp_path}/{name}.npy")]
    valued = json.loads(shell("run", EXAMPLES / "gemm.s", "--chip", "tiny", *inputs, "--json")[1])
    timed = json.loads(shell("run", EXAMPLES / "gemm.s", "--chip", "tiny", "--no-values", "--json")[1])
    assert timed == valued


def test_missing_and_unknown_inputs_and_outputs(shell, operands, tmp_path):
    a = f"a={tmp_path}/a.npy"
    for words, wanted in ((("--in", a), "b"), (("--in", a, "--in", f"bb={tmp_path}/b.npy"), "bb")):
        code, out, err = shell("run", EXAMPLES / "gemm.s", "--chip", "tiny", *words)
        assert code == 2 and out == "" and wanted in err and "Traceback" not in err
    code, _, err = shell("run", EXAMPLES / "gemm.s", "--chip", "tiny", "--no-values", "--fidelity", "perfect")
    assert code == 2 and "perfect" in err


def test_wrong_shape_names_the_buffer(shell, operands, tmp_path):
    np.save(tmp_path / "b.npy", np.zeros((3, 3), np.float32))
    code, out, err = shell("run", EXAMPLES / "gemm.s", "--chip", "tiny", "--in", f"a={tmp_path}/a.npy", "--in", f"b={tmp_path}/b.npy")
    assert code == 2 and out == "" and "'b'" in err and "64" in err


def test_memory_limit_is_kept(shell, operands, tmp_path):
    inputs = [word for name in "ab" for word in ("--in", f"{name}={tmp_path}/{name}.npy")]
    code, out, err = shell("run", EXAMPLES / "gemm.s", "--chip", "tiny", *inputs, "--max-memory", "20KB")
    assert code == 2 and out == "" and "--max-memory" in err.replace("max_memory", "--max-memory")


@pytest.mark.parametrize("words", [
    ("gemm", "--m", "1", "--n", "1", "--k", "1"), ("gemm", "--m", "1", "--n", "3000", "--k", "7"),
    ("attention", "--phase", "decode", "--q-heads", "1", "--head-dim", "1", "--kv-len", "1"),
    ("attention", "--phase", "decode", "--q-heads", "4", "--kv-heads", "2", "--head-dim", "16", "--kv-len", "100"),
    ("attention", "--phase", "prefill", "--q-heads", "4", "--kv-heads", "2", "--head-dim", "16", "--kv-len", "33"),
], ids=" ".join)
@pytest.mark.parametrize("chip", ["tiny", "jalapeno"])
def test_one_operation_by_itself(shell, chip, words):
    code, out, err = shell("op", *words, "--chip", chip, "--json")
    assert code == 0 and err == "", err
    result = json.loads(out)
    assert result["seconds"] >= result["bound_s"] > 0 and result["joules"] > 0


def test_a_product_larger_than_the_memory_says_so(shell):
    code, out, err = shell("op", "gemm", "--chip", "tiny", "--m", "100000", "--n", "100000", "--k", "100000")
    assert code == 2 and out == "" and "does not fit" in err and "20000000000 bytes" in err


@pytest.mark.parametrize("flags", [["--no-folding"], ["--no-fast-forward"], ["--no-folding", "--no-fast-forward"]])
def test_short_cuts_change_no_figure(shell, flags):
    ask = ["op", "gemm", "--chip", "tiny", "--m", 256, "--n", 128, "--k", 1024, "--json", "--quiet", "--no-cache"]
    short, long = (json.loads(shell(*ask, *more)[1]) for more in ([], flags))
    assert short.pop("skipped_fraction") > 0.5
    assert (long.pop("skipped_fraction") == 0) == ("--no-fast-forward" in flags)
    assert short == long


@pytest.mark.parametrize("fidelity", ["ideal", "fast", "detailed"])
@pytest.mark.parametrize("words", [
    ("op", "gemm", "--m", 8, "--n", 64, "--k", 64),
    ("op", "attention", "--phase", "decode", "--q-heads", 4, "--head-dim", 16, "--kv-len", 64),
    ("run", EXAMPLES / "gemm.s", "--no-values"), ("estimate", EXAMPLES / "models" / "tiny-llama", "--prompt", 8, "--generate", 2),
])  # fmt: skip
def test_every_fidelity_on_every_command(shell, words, fidelity):
    code, out, err = shell(*words, "--chip", "tiny", "--fidelity", fidelity, "--json", "--quiet")
    assert code == 0 and json.loads(out)["fidelity"] == fidelity, err


def test_a_chip_without_a_device_is_refused_in_one_line(shell, tmp_path):
    mine = tmp_path / "mine.toml"
    lines = (Path(emu.__file__).parent / "chip" / "presets" / "tiny.toml").read_text().splitlines()
    mine.write_text("\n".join(line for line in lines if not line.startswith(("device =", "channels ="))))
    code, out, err = shell("op", "gemm", "--m", 8, "--n", 8, "--k", 8, "--chip", mine, "--fidelity", "detailed")
    assert code == 2 and out == "" and "hbm.device" in err and "Traceback" not in err
