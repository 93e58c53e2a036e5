"""Are toggles counted right, and do joules follow them while cycles do not?"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import emu
from emu import _num
from emu.chip.vocabulary import EVENTS, FORMATS
from emu.machine import Machine
from emu.machine.config import FORMATS as NUMBERED
from emu.machine.memory import DTYPES
from emu.mapper.area import divide
from emu.mapper.choose import choose_gemm, gemm_program
from emu.mapper.gemm import GemmShape
from emu.power import NORMAL, Data, activity_of, energy
from emu.power.activity import DATA, SIDE, bus, products, sample

TINY = emu.chip("tiny")


def ones(a: np.ndarray, b: np.ndarray) -> int:
    """Bits in which two arrays of bytes differ, by NumPy."""
    return int(np.unpackbits(np.bitwise_xor(a.reshape(-1), b.reshape(-1))).sum())


@given(st.binary(max_size=300), st.integers(1, 64))
def test_a_bus_by_numpy(data: bytes, width: int) -> None:
    raw = np.frombuffer(data, np.uint8).copy()
    expected = (ones(raw[width:], raw[:-width]), 8 * (len(raw) - width)) if len(raw) > width else (0, 0)
    assert _num.bus_toggles(raw, width) == expected


@given(st.data(), st.sampled_from([(1, 1), (2, 0), (4, 6)]), st.tuples(*[st.integers(0, 5)] * 3), st.integers(0, 2))
def test_a_view_by_numpy(data: st.DataObject, fmt: tuple[int, int], shape: tuple[int, int, int], along: int) -> None:
    size = {"fp32": 4, "bf16": 2, "int8": 1}
    name = ("fp32", "bf16", "int8")[[4, 2, 1].index(fmt[0])]
    raw = np.frombuffer(data.draw(st.binary(min_size=600, max_size=600)), np.uint8).copy()[: int(np.prod(shape)) * size[name]]
    array = raw.reshape(*shape, size[name])
    strides = (size[name], size[name] * shape[2], size[name] * shape[2] * shape[1], 0)
    numbered = ("fp32", "bf16", "fp16", "fp8_e4m3", "fp8_e5m2", "int8", "int32").index(name)
    axis = 2 - along  # dimension 0 is the innermost
    after, before = np.take(array, range(1, shape[axis]), axis), np.take(array, range(shape[axis] - 1), axis) if shape[axis] else array
    expected = (ones(after, before), 8 * after.size) if all(shape) and shape[axis] > 1 else (0, 0)
    assert _num.view_toggles((raw, 0, numbered, (*shape[::-1], 1), strides), along) == expected


@given(
    st.sampled_from([("fp4_e2m1", 4), ("fp6_e3m2", 6), ("int4", 4)]), st.tuples(*[st.integers(0, 9)] * 3), st.integers(0, 2),
    st.integers(0, 999),
)
def test_a_packed_view_by_its_codes(fmt: tuple[str, int], shape: tuple[int, int, int], along: int, seed: int) -> None:
    name, bits = fmt
    row = -(-shape[2] * bits // 8)
    raw = np.random.default_rng(seed).integers(0, 256, (*shape[:2], row), np.uint8)
    stream = np.unpackbits(raw, axis=-1, bitorder="little")[..., : shape[2] * bits].reshape(*shape, bits)
    axis, view = 2 - along, (raw.reshape(-1), 0, NUMBERED.index(name), (*shape[::-1], 1), (1, row, row * shape[1], 0))
    some = all(shape) and shape[axis] > 1
    changed = np.diff(stream.astype(np.int8), axis=axis) if some else np.zeros(0)
    assert _num.view_toggles(view, along) == (int(np.abs(changed).sum()), changed.size)


@pytest.mark.parametrize("fmt", FORMATS)
def test_classes_lie_in_order(fmt: str) -> None:
    """Nothing toggles in zeros, half of uniform bits do; normal numbers repeat exponents. Quantised to int8 they use all bits."""
    zeros, normal, random = (bus(name, fmt) for name in DATA)
    assert zeros == 0 < normal <= random * Fraction(101, 100) and random == pytest.approx(0.5, abs=0.005)
    assert sum(products("zeros", "normal", fmt)) == products("zeros", "normal", fmt)[1] > 0
    for a, b, c in zip(*(products(name, name, fmt) for name in DATA)):
        assert a == 0 < b <= c * Fraction(101, 100)
    assert sample("random", fmt).shape == (SIDE, SIDE)
    if fmt != "int8":
        assert np.isfinite(sample("random", fmt).astype(np.float64)).all()


def program(m: int, n: int, k: int, dtype: str = "bf16") -> Any:
    area = divide(TINY, dtype)
    shape = GemmShape(m, -(-n // area.block) * area.block, k, dtype, dtype)
    return gemm_program(TINY, shape, area, choose_gemm(TINY, shape, area)[0])


def inputs(made: Any, name: str) -> Mapping[str, np.ndarray]:
    draw = np.random.default_rng(1)
    given = {}
    for b in made.buffers:
        if b.space == "hbm" and b.role in ("in", "weight"):
            x = draw.standard_normal(b.shape).astype(DTYPES[b.format])
            given[b.name] = np.zeros_like(x) if name == "zeros" else x
    return given


@settings(max_examples=6, deadline=None)
@given(st.sampled_from([(32, 64, 32), (33, 40, 70), (1, 64, 128)]), st.sampled_from(["bf16", "fp16"]))
def test_toggles_change_joules_and_no_cycle(shape: tuple[int, int, int], dtype: str) -> None:
    made = program(*shape, dtype)
    machine = Machine(TINY)
    plain = machine.run(made, inputs(made, "normal"))
    zeros, normal = (machine.run(made, inputs(made, name), toggles=True) for name in ("zeros", "normal"))
    assert plain.cycles == zeros.cycles == normal.cycles and plain.counters == zeros.counters == normal.counters
    assert not plain.toggles and {k: t for k, (t, _) in zeros.toggles.items() if t} == {}
    assert zeros.joules < normal.joules
    assert sum(zeros.energy.values()) == zeros.joules and sum(normal.energy.values()) == normal.joules
    declared = energy(TINY, plain.counters, plain.seconds, activity_of(made, plain.counters, Data.of("zeros")))
    assert zeros.energy["matrix"] == declared.components["matrix"] and zeros.energy["hbm"] == declared.components["hbm"]
    if shape[0] > 1:  # a sample of as many numbers as this run has is normal to a few percent
        assert normal.joules == pytest.approx(plain.joules, rel=0.03)


def test_what_moves_is_counted_by_the_bus() -> None:
    made = program(64, 64, 64)
    given = inputs(made, "normal")
    seen = Machine(TINY).run(made, given, toggles=True).toggles
    assert set(seen) >= {"mm_a", "mm_b", "mm_acc", "hbm_read", "hbm_write", "sram"}
    assert all(0 <= t <= n for t, n in seen.values()) and seen["hbm_read"][1] > 0
    assert seen["hbm_read"][0] / seen["hbm_read"][1] == pytest.approx(float(bus("normal", "bf16")), rel=0.05)
    with pytest.raises(emu.UnsupportedError, match="where values run"):
        Machine(TINY).run(made, values=False, toggles=True)


@pytest.mark.parametrize("dtype", ["bf16", "fp8", "int8"])
def test_watts_follow_the_class(dtype: str) -> None:
    by_class = {name: emu.gemm(TINY, 128, 128, 128, dtype=dtype, data=name) for name in DATA}
    watts = [r.watts for r in by_class.values()]
    assert watts[0] < watts[1] <= 1.005 * watts[2]
    assert len({r.cycles for r in by_class.values()}) == 1
    for name, r in by_class.items():
        assert sum(r.energy.values()) == r.joules and r.to_dict()["data"] == name
        assert {c: j for c, j in r.energy.items() if c in ("static", "instructions")} == {
            c: j for c, j in by_class["normal"].energy.items() if c in ("static", "instructions")
        }
    mixed = emu.gemm(TINY, 128, 128, 128, dtype=dtype, data={"activations": "zeros"})
    assert watts[0] < mixed.watts < watts[1] and mixed.to_dict()["data"] == "activations zeros, weights normal, kv normal"


def test_the_short_cuts_give_the_same_attojoules() -> None:
    from emu.machine import shortcuts

    quick = emu.gemm("jalapeno", 300, 2048, 512, data="zeros")
    with shortcuts(False, False):
        slow = emu.gemm("jalapeno", 300, 2048, 512, data="zeros")
    assert quick.energy_report.attojoules == slow.energy_report.attojoules


def test_estimates_take_a_class_too() -> None:
    asked = {"batch": 1, "prompt": 32, "generate": 3}
    low, mid = (emu.estimate("gpt-2", "jalapeno", data=data, **asked) for data in ("zeros", "normal"))
    assert low.joules < mid.joules and low.seconds == mid.seconds
    cache = emu.estimate("gpt-2", "jalapeno", data={"kv": "zeros"}, **asked)
    assert low.joules < cache.joules < mid.joules and cache.to_dict()["data"] == "activations normal, weights normal, kv zeros"


def test_normal_data_is_what_prices_are_for() -> None:
    made = program(64, 64, 64)
    counters = Machine(TINY).run(made, values=False).counters
    assert activity_of(made, counters, NORMAL) == {}
    assert set(activity_of(made, counters, Data("zeros", "random", "normal"))) <= {e for events in EVENTS.values() for e in events}


WRONG = [("zeroes", "did you mean 'zeros'"), ({"weight": "zeros"}, "did you mean 'weights'"), ({"kv": 3}, "no class")]


@pytest.mark.parametrize("data, said", WRONG)
def test_unknown_classes_are_named(data: Any, said: str) -> None:
    with pytest.raises(emu.UnsupportedError, match=said):
        emu.gemm(TINY, 64, 64, 64, data=data)
