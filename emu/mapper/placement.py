"""Where a graph's tensors lie in device memory: weights of a gemm in blocks of columns, one after another for all layers."""

from __future__ import annotations

from emu.errors import UnsupportedError
from emu.kernels.lang import Tensor, Tracer, Value
from emu.kernels.scaled import grouped_shape
from emu.models import Gemm, Graph

ROLE = {"weight": "weight", "table": "weight", "activation": "temp", "kv": "inout", "output": "out"}


def blocked(columns: int, block: int) -> int:
    """Blocks of columns, the last one padded."""
    return -(-columns // block)


def gemm_weights(graph: Graph) -> dict[str, Gemm]:
    """Weight name -> a gemm that reads it as its stationary operand; scales of a weight's blocks lie as it does."""
    return {name: op for op, _ in graph.ops() if isinstance(op, Gemm) for name in (*op.weights, *op.weight_scales)}


class Placement:
    """The tensors of a graph, declared in a tracer. `layers` is how many there are."""

    def __init__(self, k: Tracer, graph: Graph, layers: int, block: int) -> None:
        self.graph, self.layers, self.block = graph, layers, block
        self.tensors: dict[str, Tensor] = {}
        self.per_layer: set[str] = set()
        stationary = gemm_weights(graph)
        read = {name for op, _ in graph.ops() for name in op.inputs + op.outputs}
        tied = {name for name, op in stationary.items() if op.bt}
        of_rows = {op.input_scales for op, _ in graph.ops() if isinstance(op, Gemm)}
        for tensor in graph.tensors.values():
            if tensor.name not in read:
                continue
            shape = tensor.shape
            if tensor.name in stationary and tensor.name not in tied:
                shape = (blocked(shape[1], block), shape[0], block)
            elif tensor.name in of_rows:
                shape = grouped_shape(*shape, graph.scheme.activations.block, k.limits.max_k)  # type: ignore[call-arg,misc]
            elif tensor.role == "output" and len(shape) == 2 and any(op.output == tensor.name for op in stationary.values()):
                shape = (shape[0], blocked(shape[1], block) * block)  # a vocabulary is padded to whole blocks, here and in the weights
            self._declare(k, tensor.name, shape, tensor.fmt, "index" if tensor.role == "input" else ROLE[tensor.role], tensor.per_layer)
        for name in sorted(tied):  # the logits' operand: a copy of the embedding in blocks of columns
            tensor = graph.tensors[name]
            self._declare(k, f"{name}.blocked", (blocked(tensor.shape[0], block), tensor.shape[1], block), tensor.fmt, "weight", False)

    def _declare(self, k: Tracer, name: str, shape: tuple[int, ...], fmt: str, role: str, per_layer: bool) -> None:
        if role == "index" and fmt != "int32":
            raise UnsupportedError(f"{name}: inputs of a pass are indices (int32), not {fmt}")
        if per_layer:
            self.per_layer.add(name)
            shape = (self.layers, *shape)
        self.tensors[name] = k.hbm(name, shape, fmt, role)

    def get(self, name: str, layer: Value) -> Tensor:
        """The tensor, or the given layer's part of it."""
        tensor = self.tensors[name]
        return tensor.select(layer) if name in self.per_layer else tensor
