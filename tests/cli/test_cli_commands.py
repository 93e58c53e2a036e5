"""Does each command pass on what the user typed, and print what came back?"""

import json

import numpy as np
import pytest

PROGRAM = """
.program nothing
.cores 1
.stream mm
        halt
"""


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "nothing.s"
    path.write_text(PROGRAM)
    return path


def test_estimate_defaults(shell, fake):
    code, out, err = shell("estimate", "llama-3-8b", "--chip", "tiny")
    assert code == 0 and err == "" and "time to first token" in out
    [(name, (model, chip), options)] = fake.calls
    assert name == "estimate" and model.name == "llama-3-8b" and chip.name == "tiny"
    assert options == {
        "batch": 1, "prompt": 512, "generate": 128, "dtype": "bf16", "kv_dtype": None, "scales": None, "fidelity": "fast", "stack": "bare",
        "seed": 0, "data": "normal", "clock": None, "regime": "steady", "progress": None,
    }


def test_estimate_all_flags(shell, fake, tmp_path):
    trace = tmp_path / "trace.json"
    code, out, err = shell(
        "estimate", "gpt-2", "--chip", "tiny", "--batch", 8, "--prompt", 99, "--generate", 7, "--dtype", "fp8", "--kv-dtype", "int8",
        "--fidelity", "ideal", "--stack", "vllm", "--seed", 5, "--json", "--trace", trace,
    )
    assert code == 0 and json.loads(out)["ttft_s"] == 0.0123
    options = fake.calls[0][2]
    assert (options["batch"], options["prompt"], options["generate"], options["seed"]) == (8, 99, 7, 5)
    assert (options["dtype"], options["kv_dtype"], options["fidelity"], options["stack"]) == ("fp8", "int8", "ideal", "vllm")
    assert trace.exists() and str(trace) in err


def test_quiet_says_nothing_on_stderr(shell, fake, tmp_path):
    code, out, err = shell("estimate", "gpt-2", "--chip", "tiny", "--trace", tmp_path / "t.json", "--quiet")
    assert code == 0 and out and err == ""


def test_model_may_be_a_folder_or_a_config(shell, fake, tmp_path):
    config = {
        "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
        "vocab_size": 256, "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "hidden_act": "silu",
    }
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    for model in (folder, folder / "config.json"):
        assert shell("estimate", model, "--chip", "tiny")[0] == 0
    assert [call[1][0].name for call in fake.calls] == ["mine", "mine"]


def test_op_gemm(shell, fake):
    code, out, _ = shell("op", "gemm", "--chip", "tiny", "--m", 3, "--n", 5, "--k", 7, "--dtype", "int8", "--json")
    assert code == 0 and json.loads(out)["kind"] == "op"
    name, (chip, *sizes), options = fake.calls[0]
    assert name == "gemm" and chip.name == "tiny" and sizes == [3, 5, 7]
    usual = {"fidelity": "fast", "stack": "bare", "data": "normal", "clock": None, "regime": "steady", "operands": "cold"}
    assert options == {"dtype": "int8", **usual}


@pytest.mark.parametrize(("phase", "q_len"), [("prefill", 64), ("decode", 1)])
def test_op_attention_fills_in_what_follows(shell, fake, phase, q_len):
    code, out, _ = shell("op", "attention", "--chip", "tiny", "--phase", phase, "--q-heads", 8, "--head-dim", 16, "--kv-len", 64)
    assert code == 0 and "lower bound" in out
    options = fake.calls[0][2]
    assert options["phase"] == phase and options["q_len"] == q_len and options["kv_heads"] == 8 and options["kv_len"] == 64


def test_infer(shell, fake, tmp_path):
    code, out, _ = shell("infer", tmp_path, "--chip", "tiny", "--text", "a red apple")
    assert code == 0 and "cosine to fp32 reference" in out
    name, (path, chip, text), options = fake.calls[0]
    assert (name, path, chip.name, text, options) == ("infer", tmp_path, "tiny", "a red apple", {"dtype": "bf16", "scales": "dynamic"})


@pytest.mark.parametrize("asked, dtypes", [("all", None), ("bf16, nvfp4", ["bf16", "nvfp4"])])
def test_infer_in_several_formats(shell, fake, tmp_path, asked, dtypes):
    code, out, _ = shell("infer", tmp_path, "--chip", "tiny", "--text", "a red apple", "--dtype", asked, "--scales", "static")
    assert code == 0 and "cosine to fp32" in out and "nvfp4" in out
    name, (path, chip, text, several), options = fake.calls[0]
    assert (name, path, chip.name, text, several) == ("infer_formats", tmp_path, "tiny", "a red apple", dtypes)
    assert options["scales"] == "static"


def test_run_reads_and_writes_arrays(shell, fake, source, tmp_path):
    x, y = tmp_path / "x.npy", tmp_path / "y"
    np.save(x, np.arange(6.0).reshape(2, 3))
    code, out, err = shell("run", source, "--chip", "tiny", "--in", f"x={x}", "--out", f"y={y}", "--max-memory", "1MiB")
    assert (code, err) == (0, "") and "where the engines' time went" in out
    assert np.array_equal(np.load(y), np.arange(4, dtype=np.float32))
    _, (chip, program), options = fake.calls[0]
    assert chip.name == "tiny" and program.name == "nothing" and np.array_equal(options["inputs"]["x"], np.arange(6.0).reshape(2, 3))
    rest = {key: value for key, value in options.items() if key != "inputs"}
    assert rest == {"fidelity": "fast", "values": True, "check": True, "trace": False, "max_memory": 1 << 20}


def test_run_trace_and_flags(shell, fake, source, tmp_path):
    trace = tmp_path / "t.json"
    code, out, err = shell("run", source, "--chip", "tiny", "--no-check", "--no-values", "--fidelity", "ideal", "--trace", trace, "--json")
    assert code == 0 and json.loads(out)["cycles"] == 148500 and trace.exists() and "perfetto" in err
    options = fake.calls[0][2]
    assert options["trace"] and not options["check"] and not options["values"] and options["fidelity"] == "ideal"


def test_formats_numpy_cannot_name_are_written_as_float32(tmp_path):
    import ml_dtypes

    from emu.cli.files import write_array

    exact = np.array([1.5, -2.0, np.inf], dtype=ml_dtypes.bfloat16)
    write_array(tmp_path / "y.npy", exact)
    back = np.load(tmp_path / "y.npy", allow_pickle=False)
    assert back.dtype == np.float32 and np.array_equal(back, exact.astype(np.float32))


def test_asm_and_disasm_are_inverse(shell, source, tmp_path):
    code, out, err = shell("asm", source)
    assert code == 0 and out == "" and "1 instruction" in err
    binary = tmp_path / "nothing.bin"
    code, text, err = shell("disasm", binary)
    assert code == 0 and ".program nothing" in text and err == ""
    again, other = tmp_path / "again.s", tmp_path / "other.bin"
    assert shell("disasm", binary, "-o", again)[0] == 0 and again.read_text() == text
    assert shell("asm", again, "-o", other)[0] == 0 and other.read_bytes() == binary.read_bytes()


def test_chips_and_models(shell):
    code, out, _ = shell("chips")
    assert code == 0 and "tiny" in out and out == shell("chips", "list")[1]
    code, out, _ = shell("chips", "show", "tiny")
    assert code == 0 and "core.matrix.rows" in out and "hypothetical" in out
    assert json.loads(shell("chips", "--json")[1])["chips"] == __import__("emu").chips()
    assert json.loads(shell("chips", "show", "tiny", "--json")[1])["name"] == "tiny"
    code, out, _ = shell("models")
    assert code == 0 and "llama-3-8b" in out
    assert {m["name"] for m in json.loads(shell("models", "--json")[1])["models"]} >= {"llama-3-8b", "gpt-2"}


def test_chip_may_be_a_file(shell, tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text('schema_version = 1\nextends = "tiny"\nname = "mine"\n')
    code, out, err = shell("chips", "show", mine)
    assert code == 0 and out.startswith("mine"), err


@pytest.mark.parametrize("words", [("chips",), ("models",), *(("chips", "show", name) for name in __import__("emu").chips())])
def test_catalogues_fit_100_columns(shell, words):
    code, out, _ = shell(*words)
    assert code == 0 and max(map(len, out.split("\n"))) <= 100


CLOCKS = [([], None), (["--no-cap"], "max"), (["--clock", "1.5 GHz"], "1.5 GHz"), (["--clock", "2e9"], 2e9)]


@pytest.mark.parametrize("flags, clock", CLOCKS)
def test_op_clock(shell, fake, flags, clock):
    code, _, _ = shell("op", "gemm", "--chip", "tiny", "--m", 3, "--n", 5, "--k", 7, "--regime", "short", *flags)
    assert code == 0 and fake.calls[0][2]["clock"] == clock and fake.calls[0][2]["regime"] == "short"
    code, _, err = shell("op", "gemm", "--chip", "tiny", "--m", 3, "--n", 5, "--k", 7, "--no-cap", "--clock", "max")
    assert code == 2 and "leave out --no-cap" in err
