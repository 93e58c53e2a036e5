"""Do the kernels of TPU v1's networks compute what their layers mean?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import emu
from emu.kernels import Tracer
from emu.kernels.resident import Map, conv, dense, lstm_cell, max_pool, shared, weights

TINY = emu.chip("tiny")
TILE = 8


class Net:
    """One operation on the tiny chip: inputs, and what comes out of the machine with its race check."""

    def __init__(self, rows: int, depth: int = 2) -> None:
        self.k = Tracer(TINY, "net", 1)
        self.k.begin_only_op()
        self.s = shared(self.k, rows, depth, rows, TILE, 4)
        self.random, self.inputs = np.random.default_rng(5), dict[str, Any]()

    def tile(self, name: str, values: np.ndarray) -> Any:
        self.inputs[name] = values
        tensor = self.k.hbm(name, values.shape, "int8", "in")
        return self.k.fetch(tensor.at((0, 0), values.shape), 1, name=name, space="sram")

    def weights(self, name: str, depth: int, columns: int) -> tuple[Any, np.ndarray]:
        tensor = weights(self.k, name, depth, columns, TILE)
        whole = self.random.integers(-9, 10, (depth, tensor.shape[0] * TILE)).astype(np.int8)
        whole[:, columns:] = 0
        self.inputs[name] = np.ascontiguousarray(whole.reshape(depth, -1, TILE).transpose(1, 0, 2))
        return tensor, whole[:, :columns].astype(np.int64)

    def out(self, tile: Any, fmt: str = "int8") -> np.ndarray:
        self.k.store(self.k.hbm("out", tile.shape, fmt, "out").at((0, 0), tile.shape), tile)
        program = self.k.program()
        found = emu.Machine(TINY).run(program, self.inputs, check=True).outputs["out"]
        again = emu.Machine(TINY).run(program, self.inputs, order_seed=9).outputs["out"]
        assert np.array_equal(found, again)
        return np.asarray(found).reshape(tile.shape).astype(np.float64)


@pytest.mark.parametrize("kind", ["relu", "sigmoid", "tanh"])
def test_dense(kind: str) -> None:
    net = Net(12)
    x = net.random.integers(-9, 10, (12, 24)).astype(np.int8)
    w, plain = net.weights("w", 24, 16)
    fmt = "int8" if kind == "relu" else "fp32"
    y = net.k.tile((12, 16), fmt, "sram", 1, name="y")
    dense(net.k, net.s, net.tile("x", x), w, y, 1 / 16, kind)
    product = x.astype(np.int64) @ plain / 16
    curves = {"relu": np.clip(np.round(np.maximum(product, 0)), 0, 127), "sigmoid": 1 / (1 + np.exp(-product)), "tanh": np.tanh(product)}
    want = curves[kind]
    assert np.abs(net.out(y, fmt) - want).max() <= (0 if kind == "relu" else 1e-5)


def test_lstm_cell() -> None:
    net = Net(8)
    xh = net.random.integers(-9, 10, (8, 16)).astype(np.int8)
    gates, plain = zip(*(net.weights(f"w{gate}", 16, 8) for gate in "ifgo"))
    c = net.k.tile((8, 8), "fp32", "sram", 1, name="c")
    h = net.k.tile((8, 8), "fp32", "sram", 1, name="h")
    net.k.fill(c, 0.5)
    lstm_cell(net.k, net.s, net.tile("xh", xh), gates, 0, c, h.view, 1 / 64)
    i, f, g, o = (xh.astype(np.int64) @ w / 64 for w in plain)
    sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    state = sigmoid(f) * 0.5 + sigmoid(i) * np.tanh(g)
    assert np.abs(net.out(h, "fp32") - sigmoid(o) * np.tanh(state)).max() < 1e-5


def _laid_out(where: Map, images: np.ndarray) -> np.ndarray:
    rows = np.zeros((where.rows, images.shape[-1]), np.int8)
    for n in range(where.images):
        for line in range(where.height):
            at = where.first(n, line)
            rows[at : at + where.width] = images[n, line]
    return rows


@pytest.mark.parametrize("group", [1, 2])
def test_conv(group: int) -> None:
    where = Map(2, 3, 4)
    net = Net(group * where.image, 1)
    images = net.random.integers(-9, 10, (2, 3, 4, 5)).astype(np.int8)
    w, plain = net.weights("w", 9 * 5, 6)
    y = net.k.tile((where.rows, 6), "int8", "sram", 1, name="y")
    conv(net.k, net.s, net.tile("x", _laid_out(where, images)), w, 0, y, where, group, 1 / 16)
    padded = np.pad(images.astype(np.int64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [padded[:, dy : dy + 3, dx : dx + 4] for dy in range(3) for dx in range(3)]
    product = sum(tap @ plain[i * 5 : i * 5 + 5] for i, tap in enumerate(taps)) / 16
    want = np.clip(np.round(np.maximum(product, 0)), 0, 127).astype(np.int8)
    assert np.array_equal(net.out(y), _laid_out(where, want))


def test_max_pool() -> None:
    where = Map(2, 3, 4)
    net = Net(8)
    images = net.random.integers(0, 100, (2, 3, 4, 5)).astype(np.int8)
    y = net.k.tile((where.rows, 5), "int8", "sram", 1, name="y")
    max_pool(net.k, net.tile("x", _laid_out(where, images)), y, where)
    padded = np.pad(images, ((0, 0), (0, 1), (0, 1), (0, 0)))
    want = np.maximum.reduce([padded[:, dy : dy + 3, dx : dx + 4] for dy in (0, 1) for dx in (0, 1)])
    assert np.array_equal(net.out(y), _laid_out(where, want))
