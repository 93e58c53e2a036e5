"""Is every mistake one clear message on stderr, nothing on stdout, and the documented exit code?"""

import os

import numpy as np
import pytest

import emu


def refused(result, *wanted):
    code, out, err = result
    assert code == 2 and out == "", result
    assert "Traceback" not in err
    for text in wanted:
        assert text in err, err
    return err


def test_misspelt_chip_names_the_nearest(shell, fake):
    refused(shell("estimate", "gpt-2", "--chip", "tinny"), "tinny", "tiny")


def test_misspelt_model_names_the_nearest(shell, fake):
    refused(shell("estimate", "lama-3-8b", "--chip", "tiny"), "lama-3-8b", "llama-3-8b")


def test_missing_chip_file(shell, fake):
    refused(shell("estimate", "gpt-2", "--chip", "nowhere/x.toml"), "nowhere/x.toml")


@pytest.mark.parametrize("words", [
    (), ("estimate",), ("estimate", "gpt-2"), ("estimat", "gpt-2"), ("estimate", "gpt-2", "--chip", "tiny", "--batch", "0"),
    ("estimate", "gpt-2", "--chip", "tiny", "--batch", "many"), ("estimate", "gpt-2", "--chip", "tiny", "--bath", "2"),
    ("op",), ("op", "gem"),
    ("op", "gemm", "--chip", "tiny", "--m", "4", "--n", "4"), ("op", "gemm", "--chip", "tiny", "--m", "-4", "--n", "4", "--k", "4"),
    ("run", "x.s", "--chip", "tiny", "--max-memory", "lots"),
])
def test_usage_errors(shell, fake, words):
    code, out, err = shell(*words)
    assert code == 2 and "Traceback" not in err and (out + err).strip()
    assert not fake.calls


def test_misspelt_command_and_option_name_the_nearest(shell):
    refused(shell("estimat"), "estimate")
    refused(shell("estimate", "gpt-2", "--chip", "tiny", "--bath", "2"), "--batch")


@pytest.mark.parametrize("kind", ["EmuError", "ChipError", "ModelError", "ProgramError", "CapacityError", "UnsupportedError", "CacheError"])
def test_every_emu_error_is_one_message(shell, fake, kind):
    fake.error = getattr(emu, kind)("weights need 141 GiB\nthe chip has 80 GiB \x1b[31mred")
    err = refused(shell("estimate", "gpt-2", "--chip", "tiny"))
    assert err == "emu: weights need 141 GiB\nthe chip has 80 GiB \N{REPLACEMENT CHARACTER}[31mred\n"


def test_interrupt_is_130(shell, fake):
    fake.error = KeyboardInterrupt()
    code, out, err = shell("estimate", "gpt-2", "--chip", "tiny")
    assert (code, out) == (130, "") and "Traceback" not in err


def test_a_bug_is_not_dressed_up_as_bad_input(shell, fake):
    fake.error = ZeroDivisionError("a bug")
    with pytest.raises(ZeroDivisionError):
        shell("estimate", "gpt-2", "--chip", "tiny")


def test_out_of_memory_is_explained(shell, fake):
    fake.error = MemoryError()
    refused(shell("estimate", "gpt-2", "--chip", "tiny"), "out of memory")


def program(tmp_path, content):
    path = tmp_path / "p.s"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("content", "wanted"), [
    (b".program x\n.cores 1\n.stream mm\n        mmm d0, d1\n        halt\n", "mmm"),
    (b"\xff\xfe\x00", "UTF-8"), (b"EMUP", "p.s"), (b"EMUP" + b"\xff" * 200, "p.s"), (b"", "p.s"),
])
def test_bad_programs(shell, fake, tmp_path, content, wanted):
    path = program(tmp_path, content)
    for words in (("asm", path), ("disasm", path), ("run", path, "--chip", "tiny")):
        refused(shell(*words), wanted, str(path))
    assert not fake.calls and not (tmp_path / "p.bin").exists()


def test_missing_program_and_folder(shell, tmp_path):
    refused(shell("disasm", tmp_path / "none.bin"), "none.bin", "No such file")
    refused(shell("disasm", tmp_path), str(tmp_path))


class Evil:
    def __reduce__(self):
        return print, ("executed",)


def write_object(path):
    np.save(path, np.array([Evil()], dtype=object), allow_pickle=True)


def write_lying_header(path):
    np.save(path, np.zeros(4))
    path.write_bytes(path.read_bytes().replace(b"(4,)", b"(4000000000,)").replace(b"         \n", b"\n"))


@pytest.mark.parametrize("write", [
    write_object, write_lying_header, lambda p: p.write_bytes(b""), lambda p: p.write_bytes(b"\x93NUMPY\x01\x00"),
    lambda p: p.write_text("1,2"), lambda p: p.write_bytes(b"PK\x03\x04nonsense"),
], ids=["object", "lying header", "empty", "cut", "text", "zip"])
def test_hostile_arrays(shell, fake, tmp_path, write):
    source = program(tmp_path, b".program x\n.cores 1\n.stream mm\n        halt\n")
    write(tmp_path / "x.npy")
    err = refused(shell("run", source, "--chip", "tiny", "--in", f"x={tmp_path / 'x.npy'}"), "x.npy")
    assert "executed" not in err and not fake.calls


def test_too_large_array_and_bad_bindings(shell, fake, tmp_path):
    source = program(tmp_path, b".program x\n.cores 1\n.stream mm\n        halt\n")
    np.save(tmp_path / "x.npy", np.zeros(1000))
    refused(shell("run", source, "--chip", "tiny", "--in", f"x={tmp_path / 'x.npy'}", "--max-memory", "1KiB"), "x.npy", "--max-memory")
    for binding in ("x", "=x.npy", "x=", ""):
        refused(shell("run", source, "--chip", "tiny", "--in", binding), "BUFFER=FILE")
    refused(shell("run", source, "--chip", "tiny", "--out", f"z={tmp_path / 'z.npy'}"), "no such output", "y")
    assert not (tmp_path / "z.npy").exists()


@pytest.mark.parametrize("place", ["nowhere/t.json", "."])
def test_a_trace_that_cannot_be_written_is_refused_before_the_work(shell, fake, tmp_path, place):
    refused(shell("estimate", "gpt-2", "--chip", "tiny", "--trace", tmp_path / place), "--trace", str(tmp_path))
    assert not fake.calls


@pytest.mark.parametrize("words", [
    ("asm", "PIPE"), ("disasm", "PIPE"), ("run", "PIPE", "--chip", "tiny"), ("estimate", "PIPE", "--chip", "tiny"),
])
def test_a_pipe_or_device_in_place_of_a_file_does_not_hang(shell, tmp_path, words):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for odd in (pipe, "/dev/zero"):
        refused(shell(*(odd if word == "PIPE" else word for word in words)), str(odd), "regular file")


def test_a_pipe_in_place_of_an_array(shell, fake, tmp_path):
    pipe, source = tmp_path / "pipe", tmp_path / "p.s"
    os.mkfifo(pipe)
    source.write_text(".program x\n.cores 1\n.stream mm\n        halt\n")
    refused(shell("run", source, "--chip", "tiny", "--in", f"x={pipe}"), str(pipe), "regular file")


def test_what_would_fit_is_said(shell):
    refused(shell("estimate", "llama-3-8b", "--chip", "tiny"), "needs 16.1 GB of weights", "240 such chips", "fp8")
    assert "fp8" not in refused(shell("estimate", "llama-3-8b", "--chip", "tiny", "--dtype", "int8"), "136 such chips")
    refused(shell("estimate", "llama-3-8b", "--chip", "jalapeno", "--batch", "1000000000"), "a batch of about")


@pytest.mark.parametrize("command", [("estimate", "gpt-2"), ("op", "gemm", "--m", "8", "--n", "8", "--k", "8")])
def test_a_format_the_chip_lacks_names_those_it_has(shell, command):
    refused(shell(*command, "--chip", "jalapeno", "--dtype", "fp32"), "fp32", "bf16")
    refused(shell(*command, "--chip", "jalapeno", "--dtype", "bf61"), "did you mean 'bf16'?")


ATTENTION = ("op", "attention", "--phase", "decode", "--q-heads", "4", "--head-dim", "16", "--kv-len", "9")


@pytest.mark.parametrize("command, dtype, kv_dtype", [
    (("estimate", "gpt-2"), "bf16", "int8"), (("estimate", "gpt-2"), "int8", "int8"), (("estimate", "gpt-2"), "mxfp4", "mxfp8"),
    (ATTENTION, "bf16", "int8"), (ATTENTION, "int8", "fp8"),
])
def test_formats_that_do_not_go_together(shell, command, dtype, kv_dtype):
    asked = shell(*command, "--chip", "jalapeno", "--dtype", dtype, "--kv-dtype", kv_dtype)
    refused(asked, f"dtype {dtype} with kv_dtype {kv_dtype}")


def test_scales_that_a_dtype_or_a_chip_has_not(shell):
    refused(shell("estimate", "gpt-2", "--chip", "jalapeno", "--dtype", "int8", "--scales", "unit"), "int8 with unit scales", "dynamic")
    refused(shell("estimate", "gpt-2", "--chip", "jalapeno", "--dtype", "fp8", "--scales", "some"), "'some'", "unit, dynamic, static")
    refused(shell("estimate", "gpt-2", "--chip", "h100", "--dtype", "mxfp8"), "h100", "mx scales", "core.matrix.scales: none")
    refused(shell("estimate", "gpt-2", "--chip", "h100", "--dtype", "mxfp4"), "h100", "fp4_e2m1")
