"""Can a kernel be called with arrays or shapes on any chip, and does its program say where each word came from?"""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import emu
import isa


@emu.kernel
def scale(k, x, y, tile, by=2.0):
    """y = by x, `tile` rows at a time."""
    rows, width = x.shape
    for i in k.loop(-(-rows // tile)):
        t = k.fetch(x.at((i * tile, 0), (tile, width)), 2)
        o = k.tile((tile, width), y.fmt, depth=2, valid=t.valid)
        k.mul(o, t, by)
        k.store(y.at((i * tile, 0), (tile, width)), o)


X = np.random.default_rng(0).standard_normal((10, 8)).astype(np.float32)
OUT = ((10, 8), "fp32", "out")


@pytest.mark.parametrize("chip", emu.chips())
def test_arrays_on_every_chip_in_one_call(chip):
    run = scale.run(chip, 1, x=(X, "bf16"), y=OUT, tile=4)
    assert np.array_equal(run.outputs["y"], 2 * X.astype(ml_dtypes.bfloat16).astype(np.float32))
    timed = scale.run(chip, 1, x=((10, 8), "bf16"), y=OUT, tile=4)
    assert timed.end_fs == run.end_fs and not timed.values and run.values


def test_the_format_is_the_dtype_s():
    for dtype, fmt in ((np.float32, "fp32"), (ml_dtypes.bfloat16, "bf16"), (np.float16, "fp16"), (ml_dtypes.float8_e4m3fn, "fp8_e4m3")):
        run = scale.run(emu.chip("tiny"), 1, x=X.astype(dtype), y=OUT, tile=4)
        assert run.program.buffers[0].format == fmt and np.array_equal(run.outputs["y"], 2 * X.astype(dtype).astype(np.float32))


@pytest.mark.parametrize(("x", "says"), [
    (X.astype(np.float64), "x: no format of the machine has dtype float64; say which one is meant"),
    ((X, "bf61"), "x: no format 'bf61'; did you mean 'bf16'"),
    ((X, "bf16", "input"), "x: no role 'input'"),
    (((10, 8.5), "bf16"), "x: .* is no shape"),
    (((0, 8), "bf16"), "no elements"),
])  # fmt: skip
def test_wrong_arguments_are_named(x, says):
    with pytest.raises(emu.ProgramError, match=says):
        scale.run("tiny", x=x, y=OUT, tile=4)


def test_every_word_has_its_line_of_python():
    program = scale.trace("tiny", 1, x=X, y=OUT, tile=4)
    text = program.to_text(source=True)
    here = "test_kernel_calls.py:"
    for line in text.splitlines():
        if line.startswith(" ") and line.split()[0] != "halt":
            assert f"; {here}" in line, line
    vmul = next(line for line in text.splitlines() if line.split()[:1] == ["vmul"])
    assert vmul.endswith("k.mul(o, t, by)")
    assert "@emu.kernel (descriptors)" in text or "def scale" in text
    assert isa.assemble(text) == program == isa.assemble(program.to_text())  # comments change nothing


def test_errors_say_the_line():
    program = scale.trace("tiny", 1, x=X, y=OUT, tile=4)
    at = next(j for j, w in enumerate(program.streams["vec"]) if isa.decode(w).mnemonic == "vmul")
    program.streams["vec"][at] &= ~(0xFF << 25)  # it no longer gives its input back
    with pytest.raises(emu.EmuError, match=r"test_kernel_calls.py:\d+"):
        emu.Machine("tiny").run(program, {"x": X}, check=True)
