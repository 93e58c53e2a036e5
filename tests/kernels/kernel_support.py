"""What the tests of kernels share: run a traced program on the oracle and on the machine, and NumPy references in fp32."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

import emu
from emu.kernels import Tracer
from isa import Program
from isa.oracle import run as interpret

Array = NDArray[Any]
DTYPES: dict[str, Any] = {
    "bf16": ml_dtypes.bfloat16, "fp16": np.float16, "fp32": np.float32, "int8": np.int8, "int32": np.int32,
    "fp8_e4m3": ml_dtypes.float8_e4m3fn, "fp8_e5m2": ml_dtypes.float8_e5m2,
}
TOLERANCE = {"fp32": 2e-3, "bf16": 2e-2, "fp16": 4e-3, "fp8_e4m3": 0.15, "int32": 0.0}


class Bench:
    """A tracer with inputs at hand: `put` declares a tensor and keeps the array that fills it."""

    def __init__(self, chip: Any = None, seed: int = 0, cores: int | None = None) -> None:
        self.chip = chip if chip is not None else emu.chip("tiny")
        self.k = Tracer(self.chip, "test", cores)
        self.random = np.random.default_rng(seed)
        self.inputs: dict[str, Array] = {}

    def put(self, name: str, shape: tuple[int, ...], fmt: str = "bf16", role: str = "in", scale: float = 1.0) -> Any:
        """A random input tensor."""
        if fmt == "int8":
            values = self.random.integers(-20, 21, shape).astype(np.int8)
        else:
            values = (self.random.standard_normal(shape) * scale).astype(DTYPES[fmt])
        return self.set(name, values, fmt, role)

    def set(self, name: str, values: Array, fmt: str, role: str = "in") -> Any:
        """An input tensor with given values."""
        self.inputs[name] = values
        return self.k.hbm(name, values.shape, fmt, role)

    def wide(self, name: str) -> Array:
        """The input in fp32."""
        return self.inputs[name].astype(np.float32)

    def run(self, both: bool = False, **options: Any) -> dict[str, Array]:
        """Outputs in fp32, from the machine with its race check; with `both` also from the oracle, which must agree bit for bit."""
        program = self.k.program()
        return run(program, self.chip, self.inputs, both, **options)


def run(program: Program, chip: Any, inputs: Mapping[str, Array], both: bool = False, **options: Any) -> dict[str, Array]:
    """Runs a program with all checks on, and once more in another legal order, which must change nothing."""
    machine = emu.Machine(chip)
    result = machine.run(program, inputs, check=True, **options)
    again = machine.run(program, inputs, order_seed=7)
    assert all(np.asarray(result.outputs[name]).tobytes() == np.asarray(again.outputs[name]).tobytes() for name in result.outputs)
    shapes = {b.name: b.shape for b in program.buffers}
    outputs = {name: np.asarray(value).reshape(shapes[name]) for name, value in result.outputs.items()}
    if both:
        for name, value in interpret(program, inputs).items():
            assert value.tobytes() == outputs[name].tobytes(), f"{name}: machine and oracle differ"
    return {name: value.astype(np.float32) for name, value in outputs.items()}


def close(got: Array, want: Array, fmt: str) -> None:
    """Equal within what the format allows, relative to the largest value."""
    scale = max(1e-6, float(np.abs(want).max()))
    worst = float(np.abs(got - want).max()) / scale
    assert got.shape == want.shape
    assert worst <= TOLERANCE[fmt], f"largest error {worst:.2e} of the largest value; {fmt} allows {TOLERANCE[fmt]}"


def erf(x: Array) -> Array:
    """erf of an array."""
    from math import erf as one

    return np.vectorize(one, otypes=[np.float32])(x)


ACTIVATION: dict[str, Callable[[Array], Array]] = {
    "none": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu_erf": lambda x: 0.5 * x * (1 + erf(x / np.sqrt(2))),
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
}


def softmax(x: Array) -> Array:
    """Along the last axis."""
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attention(q: Array, keys: Array, values: Array, causal: bool, window: int = 0) -> Array:
    """q [b, h, t, d], keys and values [b, kv, s, d]; query i sees keys up to i + s - t."""
    group = q.shape[1] // keys.shape[1]
    keys, values = np.repeat(keys, group, 1), np.repeat(values, group, 1)
    scores = q @ keys.swapaxes(-1, -2) * q.shape[-1] ** -0.5
    if causal:
        i = np.arange(q.shape[2])[:, None] + keys.shape[2] - q.shape[2]
        j = np.arange(keys.shape[2])[None]
        hidden = (j > i) | ((j <= i - window) if window else False)
        scores = np.where(hidden, -np.inf, scores)
    return softmax(scores) @ values


def rms(x: Array, gamma: Array, eps: float = 1e-5) -> Array:
    """RMS norm."""
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * gamma


def layer(x: Array, gamma: Array, beta: Array, eps: float = 1e-5) -> Array:
    """Layer norm."""
    c = x - x.mean(-1, keepdims=True)
    return c / np.sqrt((c * c).mean(-1, keepdims=True) + eps) * gamma + beta
