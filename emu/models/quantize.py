"""Quantised weights: elements and scales of every matrix of a graph, made of fp32 weights; factors of activations by calibration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from emu.errors import ModelError, UnsupportedError
from emu.kernels.quantize_blocks import LARGEST, LEAST, largest_of
from emu.models.graph import Graph
from emu.models.ops import Gemm, Op
from emu.models.reference import Arrays, Reference
from emu.models.schemes import Side
from emu.models.weights import Weights
from emu.models.zoo import Model
from emu.num import cast, quantize_mx, quantize_nvfp4

Factors = Mapping[tuple[str, int], float]
"""Of the activations that gemm `name` of a layer reads."""


@dataclass(frozen=True)
class Matrix:
    """A weight [K, N]: `values`, the `scales` [blocks, N] of its blocks of k, and the factors [N] of its `columns`."""

    values: np.ndarray
    scales: np.ndarray | None = None
    columns: np.ndarray | None = None
    block: int = 0
    """Elements of k that share a scale."""

    def dequantized(self) -> np.ndarray:
        """What it stands for, in fp32."""
        wide: np.ndarray = self.values.astype(np.float32)
        if self.scales is not None:
            wide = wide * np.repeat(self.scales.astype(np.float32), self.block, 0)[: len(wide)]
        return wide if self.columns is None else wide * self.columns


def quantize_matrix(weight: npt.ArrayLike, side: Side) -> Matrix:
    """The weight [K, N] as `side` says: MX or NVFP4 blocks along k, or a factor for each column that makes its largest element the
    largest of the format. In NVFP4 all columns have the tensor's scale."""
    w = np.asarray(weight, np.float32)
    if side.scales == "mx":
        blocks = quantize_mx(w, side.fmt, axis=0)
        return Matrix(blocks.values, blocks.scales, None, blocks.block)
    if side.scales == "nvfp4":
        blocks = quantize_nvfp4(w, axis=0)
        return Matrix(blocks.values, blocks.scales, np.full(w.shape[1], blocks.tensor_scale, np.float32), blocks.block)
    if not side.factor:
        return Matrix(cast(w, side.fmt, saturate=True))
    columns = np.maximum(np.abs(w).max(axis=0), np.float32(LEAST)) * np.float32(1.0 / LARGEST[side.fmt])
    return Matrix(cast(w / columns, side.fmt, saturate=True), None, columns)


class QuantizedWeights:
    """The weights of a graph with a quantised scheme, under the graph's names: `up.weight`, `up.scales`, `up.columns`, `up.fixed`.

    `fixed`: the factors of activations where the scheme is static; each is also part of the columns' factors behind it."""

    def __init__(self, graph: Graph, weights: Weights, fixed: Factors | None = None) -> None:
        self.graph, self.weights, self._fixed = graph, weights, fixed or {}
        self._last: tuple[tuple[str, int], Matrix] | None = None
        self._reader = {weight.removesuffix(".weight"): op.name for op in graph.layer if isinstance(op, Gemm) for weight in op.weights}

    def tensor(self, name: str, layer: int | None = None, fmt: str = "fp32") -> np.ndarray:
        base, _, part = name.rpartition(".")
        if layer is None or base not in self._reader.keys() | set(self._reader.values()) or part in ("bias", "gamma", "beta"):
            return self.weights.tensor(name, layer, fmt)
        if part == "fixed":
            return np.full((1, 1), self._factor(base, layer), np.float32)
        matrix = self._matrix(base, layer)
        found = {"weight": matrix.values, "scales": matrix.scales, "columns": matrix.columns}.get(part)
        if found is None:
            raise ModelError(f"{self.graph.model} in {self.graph.scheme.name} has no weight {name!r}")
        if part == "columns" and f"{self._reader[base]}.fixed" in self.graph.tensors:
            found = found * np.float32(self._factor(self._reader[base], layer))
        return found

    def _matrix(self, base: str, layer: int) -> Matrix:
        """The parts of a matrix are asked for one after another, or layer after layer, so few are worth keeping: one."""
        if self._last is None or self._last[0] != (base, layer):
            wide = self.weights.tensor(f"{base}.weight", layer, "fp32")
            self._last = (base, layer), quantize_matrix(wide, self.graph.scheme.weights)
        return self._last[1]

    def _factor(self, gemm: str, layer: int) -> float:
        if (gemm, layer) not in self._fixed:
            raise UnsupportedError(f"{self.graph.model}: static scales need calibration, and {gemm} of layer {layer} has none; "
                                   "give what emu.models.quantize.calibrate found")
        return self._fixed[gemm, layer]


def weights_for(graph: Graph, weights: Weights, fixed: Factors | None = None) -> Weights:
    """The same weights where the graph's scheme is plain, else quantised ones."""
    return weights if graph.scheme.plain else QuantizedWeights(graph, weights, fixed)


def calibrate(model: Model, weights: Weights, graph: Graph, samples: Iterable[npt.ArrayLike]) -> dict[tuple[str, int], float]:
    """Static factors of the graph's scheme: the largest magnitude that each gemm's input has in fp32 passes over `samples`, token ids
    [batch, tokens] each, over the largest number that the format holds. Raises ModelError without a sample."""
    most: dict[tuple[str, int], float] = {}

    def see(op: Op, layer: int | None, values: Arrays) -> None:
        if isinstance(op, Gemm) and layer is not None:
            most[op.name, layer] = max(most.get((op.name, layer), LEAST), float(np.abs(values[op.input]).max()))

    reference = Reference(model, weights)
    for tokens in samples:
        batch, length = np.atleast_2d(np.asarray(tokens)).shape
        phase = "encode" if model.kind == "encoder" else "prefill"
        reference.run(model.graph(phase, batch, length, dtype="fp32"), tokens, see)  # type: ignore[arg-type]
    if not most:
        raise ModelError(f"{model.name}: calibration needs at least one sample of token ids")
    side = graph.scheme.activations
    top = np.float32(1.0 / largest_of(side.fmt, side.scale_fmt))
    return {key: float(np.float32(value) * top) for key, value in most.items()}


__all__ = ["Factors", "Matrix", "QuantizedWeights", "calibrate", "quantize_matrix", "weights_for"]
