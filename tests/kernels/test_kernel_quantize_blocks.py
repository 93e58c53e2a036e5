"""Quantisation of whole rows against emu.num and NumPy, and products of operands with scales against emu.num.mm."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_support import Bench

import emu
from emu.kernels.gemm import Epilogue, GemmTiling, OnTheWay, gemm
from emu.kernels.lang import Tensor
from emu.kernels.norm import Norm, RowTiling
from emu.kernels.quantize_blocks import LARGEST, Codes, Quantized, quantize
from emu.kernels.scaled import grouped_shape
from emu.num import cast, mm, quantize_mx, quantize_nvfp4
from emu.num.blocks import Blocks

MX = ["fp4_e2m1", "fp6_e2m3", "fp6_e3m2", "fp8_e4m3", "fp8_e5m2"]
B200 = emu.chip("b200")
CHECKED = settings(max_examples=25, deadline=None, derandomize=True)


def wild(bench: Bench, rows: int, width: int) -> np.ndarray:
    """Rows of numbers of very different sizes, some of them zero; a row and a block of zeros now and then."""
    size = bench.random.choice([1.0, 1e-3, 40.0, 1e-30, 0.0], (rows, width))
    size[:, : min(width, 32)] *= bench.random.choice([0.0, 1.0])
    return (bench.random.standard_normal((rows, width)) * size).astype("bfloat16")


def scaled(bench: Bench, name: str, values: Any, scales: Any, fmt: str, scale_fmt: str, role: str = "in") -> Tensor:
    return bench.set(name, values, fmt, role).scaled(bench.set(f"{name}_scales", scales, scale_fmt, role))


def as_stored(scales: np.ndarray, fmt: str, chip: Any = B200) -> np.ndarray:
    """[rows, blocks] in groups, the last one padded."""
    block = {"e8m0": 32, "fp8_e4m3": 16}[fmt]
    groups, rows, group = grouped_shape(*scales.shape, block, chip.core.matrix.max_k)
    padded = np.zeros((rows, groups * group), scales.dtype)
    padded[:, : scales.shape[1]] = scales
    return padded.reshape(rows, groups, group).transpose(1, 0, 2).copy()


def as_asked(stored: np.ndarray, blocks: int) -> np.ndarray:
    """The same backwards."""
    return stored.transpose(1, 0, 2).reshape(stored.shape[1], -1)[:, :blocks]


def outputs(bench: Bench, rows: int, width: int, codes: Codes, fixed: Tensor | None = None) -> Quantized:
    values = bench.k.hbm("y", (rows, width), codes.fmt, "out")
    if codes.block:
        lying = grouped_shape(rows, -(-width // codes.block), codes.block, bench.chip.core.matrix.max_k)
        values = values.scaled(bench.k.hbm("scales", lying, codes.scale_fmt, "out"))
    return Quantized(values, bench.k.hbm("rows", (rows, 1), "fp32", "out") if codes.dynamic else None, fixed)


@CHECKED
@given(st.integers(1, 9), st.sampled_from([8, 16, 32, 40, 64, 96, 104]), st.sampled_from(MX), st.integers(1, 4), st.integers(0, 99))
def test_mx_is_that_of_emu_num(rows: int, width: int, fmt: str, tile: int, seed: int) -> None:
    """Bit by bit, ragged last blocks and zeros included: the kernel's scale from e8m0's rounding is OCP's floor of a logarithm."""
    bench = Bench(B200, seed, 3)
    x = wild(bench, rows, width)
    quantize(bench.k, bench.set("x", x, "bf16"), outputs(bench, rows, width, Codes(fmt, "e8m0")), RowTiling(tile))
    got, want = bench.run(), quantize_mx(x, fmt)
    assert np.array_equal(as_asked(got["scales"], -(-width // 32)), want.scales.astype(np.float32))
    assert np.array_equal(got["y"], want.values.astype(np.float32))


@CHECKED
@given(st.integers(1, 9), st.integers(1, 90), st.sampled_from(["int8", "fp8_e4m3", "fp8_e5m2"]), st.integers(1, 4), st.integers(0, 99))
def test_a_factor_for_every_row(rows: int, width: int, fmt: str, tile: int, seed: int) -> None:
    """The largest element of a row becomes the largest of the format, and no element is further off than half a step of it."""
    bench = Bench(emu.chip("tiny"), seed, 3)
    x = wild(bench, rows, width)
    quantize(bench.k, bench.set("x", x, "bf16"), outputs(bench, rows, width, Codes(fmt, dynamic=True)), RowTiling(tile))
    got, wide = bench.run(), x.astype(np.float32)
    most = np.maximum(np.abs(wide).max(1, keepdims=True), np.float32(1e-12))
    assert np.array_equal(got["rows"], most * np.float32(1 / LARGEST[fmt]))
    assert np.array_equal(got["y"], cast(wide * (np.float32(1) / got["rows"]), fmt, saturate=True).astype(np.float32))
    busy = np.abs(wide).max(1) > 1e-12
    assert (np.abs(got["y"]).max(1)[busy] == LARGEST[fmt]).all() and not got["y"][np.abs(wide).max(1) == 0].any()
    step = {"int8": np.float64(1), "fp8_e4m3": 2.0**-3, "fp8_e5m2": 2.0**-2}[fmt]  # of the number itself for floats, but subnormals
    least = {"int8": 1.0, "fp8_e4m3": 2.0**-9, "fp8_e5m2": 2.0**-16}[fmt]
    off = np.abs(got["y"].astype(np.float64) * got["rows"] - wide)
    assert (off <= 1.0001 * np.maximum(0.5 * least * got["rows"], 0 if fmt == "int8" else 0.5 * step * np.abs(wide))).all()


@CHECKED
@given(st.integers(1, 7), st.sampled_from([8, 16, 40, 96]), st.booleans(), st.integers(0, 99))
def test_nvfp4_has_two_levels(rows: int, width: int, static: bool, seed: int) -> None:
    """A factor for each row, or a fixed one, and e4m3 for 16 elements: fp32 arithmetic in the order that decision 18 tells."""
    bench = Bench(B200, seed, 2)
    x = wild(bench, rows, width)
    fixed = bench.set("fixed", np.full((1, 1), 0.0123, np.float32), "fp32") if static else None
    to = outputs(bench, rows, width, Codes("fp4_e2m1", "fp8_e4m3", not static), fixed)
    quantize(bench.k, bench.set("x", x, "bf16"), to, RowTiling(3))
    got, wide = bench.run(), x.astype(np.float32)
    most = np.maximum(np.abs(wide).max(1, keepdims=True), np.float32(1e-12))
    factor = np.float32(0.0123) if static else most * np.float32(1 / (6 * 448))
    if not static:
        assert np.array_equal(got["rows"], factor)
    value, scales = wide * (np.float32(1) / factor), as_asked(got["scales"], -(-width // 16))
    for j in range(-(-width // 16)):
        part = value[:, 16 * j : 16 * j + 16]
        scale = cast(np.maximum(np.abs(part).max(1, keepdims=True) / np.float32(6), np.float32(2.0**-9)), "fp8_e4m3", saturate=True)
        assert np.array_equal(scales[:, j : j + 1], scale.astype(np.float32))
        codes = cast(part * (np.float32(1) / scale.astype(np.float32)), "fp4_e2m1")
        assert np.array_equal(got["y"][:, 16 * j : 16 * j + 16], codes.astype(np.float32))


def test_the_oracle_agrees_and_a_norm_is_an_operation_of_its_own() -> None:
    """The norm on the way changes no bit: its rows are rounded to x's format first."""

    def ran(fused: bool) -> dict[str, np.ndarray]:
        bench = Bench(B200, 3, 2)
        x, gamma = bench.put("x", (5, 96), scale=3.0), bench.put("gamma", (96,))
        to = outputs(bench, 5, 96, Codes("fp4_e2m1", "fp8_e4m3", True))
        if fused:
            quantize(bench.k, x, to, RowTiling(2), Norm("rms", gamma))
            return bench.run(both=True)
        from emu.kernels.norm import norm

        y = bench.k.hbm("normed", (5, 96), "bf16")
        norm(bench.k, x, y, Norm("rms", gamma), RowTiling(2))
        quantize(bench.k, y, to, RowTiling(4))
        return bench.run()

    one, two = ran(True), ran(False)
    assert all(np.array_equal(one[name], two[name]) for name in ("y", "scales", "rows"))


def in_parts(a: Any, b: Any, chip: Any) -> np.ndarray:
    """a @ b, instruction after instruction along k, by emu.num."""

    def part(x: Any, axis: int, first: int, end: int) -> Any:
        if not isinstance(x, Blocks):
            return x.take(range(first, end), axis)
        blocks = range(first // x.block, -(-end // x.block))
        return replace(x, values=x.values.take(range(first, end), axis), scales=x.scales.take(blocks, axis))

    depth, acc = (a.values if isinstance(a, Blocks) else a).shape[1], None
    for first in range(0, depth, chip.core.matrix.max_k):
        end = min(first + chip.core.matrix.max_k, depth)
        acc = mm(part(a, 1, first, end), part(b, 0, first, end), acc=acc, accumulate=chip.core.matrix.accumulate)
    return acc  # type: ignore[return-value]


SIDES = [("fp4_e2m1", "fp4_e2m1", "e8m0"), ("fp8_e4m3", "fp4_e2m1", "e8m0"), ("fp6_e2m3", "fp6_e2m3", "e8m0"), ("bf16", "fp4_e2m1", "e8m0"),
         ("fp4_e2m1", "fp4_e2m1", "fp8_e4m3"), ("bf16", "fp4_e2m1", "fp8_e4m3")]


@CHECKED
@given(st.sampled_from(SIDES), st.integers(1, 9), st.sampled_from([8, 24, 40, 64]), st.sampled_from([8, 32, 72, 128, 136, 200]),
       st.booleans(), st.booleans(), st.sampled_from([64, 128]), st.integers(0, 99))
def test_a_product_with_scales(
    sides: tuple[str, str, str], m: int, n: int, depth: int, resident: bool, blocked: bool, tile_k: int, seed: int
) -> None:
    """Any ragged shape, rows kept or streamed, weights plain or in blocks of columns; factors of columns before those of rows."""
    fmt, w_fmt, scale_fmt = sides
    bench = Bench(B200, seed, 3)
    make = quantize_mx if scale_fmt == "e8m0" else lambda v, fmt, axis: quantize_nvfp4(v, tensor_scale=1.0, axis=axis)
    a, w = (bench.random.standard_normal(shape).astype(np.float32) for shape in ((m, depth), (depth, n)))
    weights = make(w, w_fmt, axis=0)
    left = cast(a, "bf16") if fmt == "bf16" else make(a, fmt, axis=1)
    if fmt == "bf16":
        x = bench.set("x", left, "bf16")
    else:
        x = scaled(bench, "x", left.values, as_stored(left.scales, scale_fmt), fmt, scale_fmt)
    shapes = [weights.values, weights.scales]
    if blocked:
        shapes = [part.reshape(len(part), n // 8, 8).transpose(1, 0, 2).copy() for part in shapes]
    right = scaled(bench, "w", *shapes, w_fmt, scale_fmt, "weight")
    out, rows, columns = bench.k.hbm("y", (m, n), "fp32", "out"), bench.put("rows", (m, 1), "fp32"), bench.put("columns", (n,), "fp32")
    gemm(bench.k, x, right, out, GemmTiling(4, 16, tile_k, a_resident=resident), Epilogue(columns=columns, rows=rows))
    want = in_parts(left, weights, B200) * bench.wide("columns") * bench.wide("rows")
    assert np.array_equal(bench.run()["y"], want)


@pytest.mark.parametrize("codes", [Codes("int8", dynamic=True), Codes("fp4_e2m1", "e8m0"), Codes("fp4_e2m1", "fp8_e4m3", True)])
@pytest.mark.parametrize("normed", [False, True])
def test_on_the_way_in_is_no_other_arithmetic(codes: Codes, normed: bool) -> None:
    """Rows quantised by the gemm itself, and by an operation of its own: the same bits; the oracle has them too."""

    def ran(inside: bool) -> np.ndarray:
        bench = Bench(B200, 5, 2)
        x, gamma = bench.put("x", (6, 96)), bench.put("gamma", (96,))
        w = cast(bench.random.standard_normal((96, 24)).astype(np.float32) * 3, codes.fmt)
        right = bench.set("w", w, codes.fmt, "weight")
        if codes.block:
            blocks = quantize_mx(w.astype(np.float32), codes.fmt, axis=0) if codes.scale_fmt == "e8m0" else quantize_nvfp4(w, axis=0)
            bench.inputs["w"] = blocks.values
            right = right.scaled(bench.set("w_scales", blocks.scales, codes.scale_fmt, "weight"))
        out, by = bench.k.hbm("out", (6, 24), "fp32", "out"), Norm("rms", gamma) if normed else None
        tiling = GemmTiling(8, 16, 96 if codes.fmt != "int8" else 64)
        if inside:
            gemm(bench.k, x, right, out, tiling, Epilogue(), by, "bf16", OnTheWay(codes))
        else:
            to = outputs(bench, 6, 96, codes)
            quantize(bench.k, x, to, RowTiling(4), by)
            gemm(bench.k, to.values, right, out, tiling, Epilogue(rows=to.rows))
        return bench.run(both=inside)["out"]

    assert np.array_equal(ran(True), ran(False))


def test_what_does_not_fit_together_is_refused() -> None:
    bench = Bench(emu.chip("tiny"))
    x = bench.put("x", (2, 64))
    with pytest.raises(emu.UnsupportedError, match="not quantised to int4"):
        quantize(bench.k, x, outputs(bench, 2, 64, Codes("int4", dynamic=True)), RowTiling(1))
    bench = Bench(emu.chip("jalapeno"))
    a = quantize_mx(np.ones((4, 64), np.float32), "fp4_e2m1")
    x = scaled(bench, "x", a.values, as_stored(a.scales, "e8m0", bench.chip), "fp4_e2m1", "e8m0")
    w = bench.put("v", (64, 8), "fp8_e4m3", "weight").scaled(bench.set("s", np.ones((4, 8), "float8_e4m3fn"), "fp8_e4m3", "weight"))
    with pytest.raises(emu.UnsupportedError, match="16 and 32 elements"):
        gemm(bench.k, x, w, bench.k.hbm("y", (4, 8), "fp32", "out"), GemmTiling(4, 8, 64))
    with pytest.raises(emu.UnsupportedError, match="tile_k 48 must be whole blocks of x"):
        gemm(bench.k, x, w, bench.k.hbm("z", (4, 8), "fp32", "out"), GemmTiling(4, 8, 48))
    with pytest.raises(emu.UnsupportedError, match="packed elements are cut within a byte"):
        bench.k.fetch(x.at((0, 1), (1, 2)))
