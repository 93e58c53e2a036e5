"""The graphs in plain fp32 NumPy: slow, obvious, and what the emulated chip's low-precision results are compared with."""
from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from emu.errors import ModelError
from emu.models.graph import Graph, Phase, Tensor
from emu.models.inputs import graph_inputs
from emu.models.ops import Attention, Embed, Gemm, Norm, Op, Pool, RopeAppend, TakeLast
from emu.models.weights import Weights
from emu.models.zoo import Model

Arrays = dict[str, np.ndarray]
_ERF = np.frompyfunc(math.erf, 1, 1)


class Reference:
    """An encoder's `encode`; a decoder's `prefill`, then `decode` as often as the cache has room. Weights are kept in fp32."""

    def __init__(self, model: Model, weights: Weights) -> None:
        self.model = model
        self._weights = weights
        self._held: dict[tuple[str, int | None], np.ndarray] = {}
        self._caches: list[Arrays] = []
        self._batch = self._filled = self._room = 0

    def encode(self, tokens: npt.ArrayLike) -> np.ndarray:
        """Token ids [batch, tokens] -> embeddings [batch, hidden]."""
        batch, length = np.atleast_2d(np.asarray(tokens)).shape
        return self.run(self._graph("encode", batch, length, length, length), tokens)

    def prefill(self, tokens: npt.ArrayLike, max_tokens: int | None = None) -> np.ndarray:
        """Token ids [batch, tokens] into an empty cache with room for `max_tokens` -> logits [batch, vocab] after the last token."""
        batch, length = np.atleast_2d(np.asarray(tokens)).shape
        self._caches, self._batch, self._filled, self._room = [], batch, 0, max_tokens or length
        return self._extend(tokens, length)

    def decode(self, tokens: npt.ArrayLike) -> np.ndarray:
        """One token id per sequence -> logits [batch, vocab]."""
        if not self._filled:
            raise ModelError(f"{self.model.name}: decode before prefill")
        return self._extend(tokens, 1)

    def _extend(self, tokens: npt.ArrayLike, length: int) -> np.ndarray:
        filled = self._filled + length
        result = self.run(self._graph("decode" if self._filled else "prefill", self._batch, length, filled, self._room), tokens)
        self._filled = filled
        return result

    def run(self, graph: Graph, tokens: npt.ArrayLike, observe: Callable[[Op, int | None, Arrays], None] | None = None) -> np.ndarray:
        """Every op of the graph in order; `observe` sees (op, layer, all tensors so far) after each."""
        values = graph_inputs(self.model.config, graph, tokens)
        while len(self._caches) < graph.layers:
            self._caches.append({})
        steps: list[tuple[Op, int | None]] = [(op, None) for op in graph.pre]
        steps += [(op, layer) for layer in range(graph.layers) for op in graph.layer]
        steps += [(op, None) for op in graph.post]
        for op, layer in steps:
            for name in op.inputs:
                if graph.tensors[name].role == "weight":
                    values[name] = self._weight(graph.tensors[name], layer if graph.tensors[name].per_layer else None)
            if layer is not None and isinstance(op, RopeAppend):
                self._bind_caches(graph, op, layer, values)
            self._compute(op, graph, values)
            if observe is not None:
                observe(op, layer, values)
        return values[graph.output]

    def _bind_caches(self, graph: Graph, op: RopeAppend, layer: int, values: Arrays) -> None:
        for name in (op.k_cache, op.v_cache):
            shape = graph.tensors[name].shape
            if graph.tensors[name].role == "kv" and op.start:
                values[name] = self._caches[layer][name]
            else:
                values[name] = self._caches[layer][name] = self._nothing(shape, graph.tensors[name].fmt)

    # What another arithmetic does in another way.

    def _graph(self, phase: Phase, batch: int, length: int, filled: int, room: int) -> Graph:
        return self.model.graph(phase, batch, length, filled, "fp32", max_tokens=room)

    def _nothing(self, shape: tuple[int, ...], fmt: str) -> np.ndarray:
        return np.full(shape, np.nan, dtype=np.float32)  # a read too far shows

    def _compute(self, op: Op, graph: Graph, values: Arrays) -> None:
        compute(op, values)

    def _weight(self, tensor: Tensor, layer: int | None) -> np.ndarray:
        if (tensor.name, layer) not in self._held:
            self._held[tensor.name, layer] = self._weights.tensor(tensor.name, layer, tensor.fmt)
        return self._held[tensor.name, layer]


def compute(op: Op, values: Arrays) -> None:
    """One op, from and to `values`. Caches are changed in place."""
    _COMPUTE[type(op)](op, values)


def _embed(op: Embed, values: Arrays) -> None:
    rows = [values[table][values[index]] for table, index in zip(op.tables, op.indices)]
    values[op.output] = sum(rows[1:], start=rows[0])


def _norm(op: Norm, values: Arrays) -> None:
    x = values[op.input]
    if op.norm == "layer":
        x = x - x.mean(axis=-1, keepdims=True)
    scaled = x / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + np.float32(op.eps))
    result = scaled * values[op.gamma]
    values[op.output] = result if op.beta is None else result + values[op.beta]
    if op.wide is not None:
        values[op.wide] = values[op.output]


def _gemm(op: Gemm, values: Arrays) -> None:
    x = values[op.input]
    parts = [x @ (values[weight].T if op.bt else values[weight]) for weight in op.weights]
    parts = [part + values[bias] for part, bias in zip(parts, op.biases)] if op.biases else parts
    if op.activation == "swiglu":
        gate, up = parts
        result = gate / (1 + np.exp(-gate)) * up
    else:
        result = _ACTIVATIONS[op.activation](parts[0])
    values[op.output] = result if op.residual is None else values[op.residual] + result


def _gelu_tanh(x: np.ndarray) -> np.ndarray:
    return np.float32(0.5) * x * (1 + np.tanh(np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x**3)))


def _gelu_erf(x: np.ndarray) -> np.ndarray:
    return np.float32(0.5) * x * (1 + np.asarray(_ERF(x / np.float32(math.sqrt(2))), dtype=np.float32))


_ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"none": lambda x: x, "gelu_tanh": _gelu_tanh, "gelu_erf": _gelu_erf}


def _rope_append(op: RopeAppend, values: Arrays) -> None:
    heads = values[op.input].reshape(op.batch, op.q_len, op.q_heads + 2 * op.kv_heads, op.head_dim)
    q, k, v = np.split(heads, [op.q_heads, op.q_heads + op.kv_heads], axis=2)
    if op.tables is not None:
        cos, sin = (values[table][op.start:op.start + op.q_len, None, :] for table in op.tables)
        q, k = _turn(q, cos, sin), _turn(k, cos, sin)
    new = slice(op.start, op.start + op.q_len)
    values[op.q] = q.reshape(op.batch * op.q_len, -1)
    values[op.k_cache][:, :, new] = k.transpose(0, 2, 1, 3)
    values[op.v_cache][:, :, new] = v.transpose(0, 2, 1, 3)


def _turn(x: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> np.ndarray:
    first, second = np.split(x, 2, axis=-1)
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def attention_mask(op: Attention) -> np.ndarray:
    """[q_len, kv_len], true where a query sees a key."""
    query = np.arange(op.start, op.kv_len)[:, None]
    key = np.arange(op.kv_len)[None, :]
    seen = np.ones((op.q_len, op.kv_len), dtype=bool) if not op.causal else key <= query
    return seen if op.window is None else seen & (key > query - op.window)


def _attention(op: Attention, values: Arrays) -> None:
    group = op.q_heads // op.kv_heads
    q = values[op.q].reshape(op.batch, op.q_len, op.kv_heads, group, op.head_dim).transpose(0, 2, 3, 1, 4)
    k, v = (values[cache][:, :, None, :op.kv_len] for cache in (op.k_cache, op.v_cache))
    scores = q @ k.swapaxes(-1, -2) * np.float32(op.scale)
    scores = np.where(attention_mask(op), scores, np.float32(-np.inf))
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    result = weights @ v / weights.sum(axis=-1, keepdims=True)
    values[op.output] = result.transpose(0, 3, 1, 2, 4).reshape(op.batch * op.q_len, -1)


def _take_last(op: TakeLast, values: Arrays) -> None:
    values[op.output] = values[op.input].reshape(op.batch, op.q_len, op.width)[:, -1]


def _pool(op: Pool, values: Arrays) -> None:
    mean = values[op.input].reshape(op.batch, op.tokens, op.width).mean(axis=1)
    length = np.sqrt(np.square(mean).sum(axis=-1, keepdims=True))
    values[op.output] = mean / np.maximum(length, np.float32(op.eps)) if op.normalize else mean


_COMPUTE: dict[type[Op], Callable[..., None]] = {
    Embed: _embed, Norm: _norm, Gemm: _gemm, RopeAppend: _rope_append, Attention: _attention, TakeLast: _take_last, Pool: _pool,
}
