"""What the language refuses, and what it says."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_support import Bench, close

import emu
from emu.errors import CapacityError, EmuError, ProgramError, UnsupportedError
from emu.kernels import Tracer, kernel
from emu.kernels.gemm import GemmTiling, gemm
from emu.kernels.norm import RowTiling
from emu.kernels.rows import add


def tracer() -> Tracer:
    k = Tracer(emu.chip("tiny"), "test")
    k.begin_only_op()
    return k


def test_capacity_names_the_buffer_and_what_fits():
    bench = Bench()
    x, w = bench.put("x", (64, 512)), bench.put("w", (512, 64), role="weight")
    out = bench.k.hbm("y", (64, 64), "bf16", "out")
    gemm(bench.k, x, w, out, GemmTiling(64, 32, 32))
    want = r"a \(2 x 65536 bytes, gemm.py:\d+ .*does not fit the sram of tiny.*slots of at most \d+ bytes would fit"
    with pytest.raises(CapacityError, match=want):
        bench.k.program()


def test_accumulators_have_a_capacity_too():
    bench = Bench()
    x, w = bench.put("x", (128, 8)), bench.put("w", (8, 64), role="weight")
    out = bench.k.hbm("y", (128, 64), "bf16", "out")
    gemm(bench.k, x, w, out, GemmTiling(64, 64, 8))
    with pytest.raises(CapacityError, match=r"acc \(2 x 16384 bytes.* the acc of tiny.*depth 1 would fit"):
        bench.k.program()


def test_device_memory_has_a_capacity():
    with pytest.raises(CapacityError, match="big .* does not fit"):
        tracer().hbm("big", (1 << 26, 2), "bf16")


def test_a_python_range_is_refused():
    k = tracer()
    x = k.hbm("x", (100, 8), "bf16", "in")
    with pytest.raises(ProgramError, match=r"test_language.py:\d+ k.load.*k.loop"):
        for i in range(100):
            t = k.tile((1, 8), "bf16")
            k.load(t, x.at((i, 0), (1, 8)))


def test_loop_indices_are_symbols():
    k = tracer()
    x = k.hbm("x", (64, 8), "bf16", "in")
    for i in k.loop(8):
        with pytest.raises(UnsupportedError, match="not known while tracing"):
            assert i
        with pytest.raises(UnsupportedError, match="not affine"):
            i * i
        k.fetch(x.at((i * 8, 0), (8, 8)))


def test_a_tile_has_one_writer():
    k = tracer()
    x = k.hbm("x", (8, 8), "bf16", "in")
    t = k.fetch(x)
    k.add(t, t, 1.0)
    with pytest.raises(ProgramError, match="x is written by ld1 and vec"):
        k.program()


def test_results_are_worked_on_in_place_once_they_are_read():
    for fills in (False, True):
        k = tracer()
        a, b, y = (k.hbm(n, (8, 8), "bf16", role) for n, role in (("a", "in"), ("b", "in"), ("y", "out")))
        acc, o = k.tile((8, 8), "fp32", "acc", name="acc"), k.tile((8, 8), "bf16", name="o")
        k.mm(acc, k.fetch(a, space="sram"), k.fetch(b, space="sram"))
        if fills:
            k.fill(acc, 0.0)
        k.mul(acc, acc, 2.0)
        k.mov(o, acc)
        k.store(y, o)
        if fills:
            with pytest.raises(ProgramError, match="vec overwrites acc before"):
                k.program()
        else:
            k.program()


def test_a_sum_goes_on_in_one_slot():
    k = tracer()
    ring = k.ring("sum", 256, 2, "acc")
    with pytest.raises(ProgramError, match="one slot; sum has 2"):
        k.resume(ring, k.block, (8, 8))


def test_a_tile_is_read_where_it_is_declared():
    k = tracer()
    x, y = k.hbm("x", (64, 8), "bf16", "in"), k.hbm("y", (8, 8), "bf16", "out")
    for i in k.loop(8):
        t = k.fetch(x.at((i * 8, 0), (8, 8)))
    k.store(y, t)
    with pytest.raises(ProgramError, match="used outside the block"):
        k.program()


def test_interleaved_writing_and_reading_is_refused():
    k = tracer()
    x, y = k.hbm("x", (64, 8), "bf16", "in"), k.hbm("y", (64, 8), "bf16", "out")
    t = k.tile((8, 8), "bf16")
    for i in k.loop(8):
        k.load(t, x.at((i * 8, 0), (8, 8)))
        k.store(y.at((i * 8, 0), (8, 8)), t)
    with pytest.raises(ProgramError, match="before ld1 has written all of it"):
        k.program()


@pytest.mark.parametrize("wrong", ["shape", "format", "mm", "queue", "broadcast"])
def test_shapes_and_formats_are_checked(wrong):
    k = tracer()
    x = k.hbm("x", (16, 8), "bf16", "in")
    t, acc = k.tile((8, 8), "bf16"), k.tile((8, 16), "fp32", "acc")
    with pytest.raises(EmuError):
        if wrong == "shape":
            k.load(t, x)
        elif wrong == "format":
            k.load(k.tile((16, 8), "fp32"), x)
        elif wrong == "mm":
            k.mm(acc, t, t)
        elif wrong == "queue":
            k.load(t, x[:8], queue="ld0")
        else:
            k.add(t, acc, 1.0)


def test_a_loop_must_run_to_its_end():
    k = tracer()
    x = k.hbm("x", (64, 8), "bf16", "in")
    for i in k.loop(8):
        k.fetch(x.at((i * 8, 0), (8, 8)))
        break
    with pytest.raises(ProgramError, match="left with break"):
        k.program()


def test_a_kernel_of_ones_own():
    @kernel
    def double(k, n):
        """y = 2 x."""
        x, y = k.hbm("x", (n, 8), "bf16", "in"), k.hbm("y", (n, 8), "bf16", "out")
        rows = k.per_core([4 * c for c in range(4)])
        for i in k.loop(k.per_core([1, 1, 2, 0])):
            t = k.fetch(x.at((rows + i * 4, 0), (4, 8)))
            o = k.tile((4, 8), "bf16", depth=2, valid=t.valid)
            k.mul(o, t, 2.0)
            k.store(y.at((rows + i * 4, 0), (4, 8)), o)

    program = double.trace(emu.chip("tiny"), n=14)
    assert program.name == "double" and program.labels == ["double"] and not program.barriers
    x = np.arange(112, dtype=np.float32).reshape(14, 8).astype("bfloat16")
    run = emu.Machine("tiny").run(program, {"x": x}, check=True)
    assert (run.outputs["y"].astype(np.float32) == 2 * x.astype(np.float32)).all()


def test_rows_split_over_fewer_cores():
    bench = Bench(cores=3)
    a, b = bench.put("a", (5, 8)), bench.put("b", (5, 8))
    out = bench.k.hbm("y", (5, 8), "fp32", "out")
    add(bench.k, a, b, out, RowTiling(1, split=2))
    close(bench.run(both=True)["y"], bench.wide("a") + bench.wide("b"), "fp32")
