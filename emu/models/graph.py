"""One pass of a transformer (a prefill, one decode step, an encoding) as ops over named tensors."""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Literal

from emu.errors import UnsupportedError
from emu.models.ops import Op
from emu.models.schemes import SCHEMES, WHOLE, Scheme, scheme_of, wide_format
from isa.tables import load

Phase = Literal["prefill", "decode", "encode"]
Role = Literal["weight", "table", "input", "activation", "kv", "output"]

FORMAT_BYTES = WHOLE


def format_of(dtype: str) -> str:
    """The instruction set's name of a dtype whose elements fill whole bytes and have no scales of blocks; fp8 means e4m3."""
    scheme = scheme_of(dtype)
    if scheme.weights.scales != "none":
        raise UnsupportedError(f"dtype {dtype}: here elements must stand for themselves; choose one of bf16, fp16, fp8, int8, fp32")
    return scheme.weights.fmt


@dataclass(frozen=True, slots=True)
class Tensor:
    """`per_layer`: there is one of it for every layer (weights, caches). Activations are shared by all layers."""

    name: str
    shape: tuple[int, ...]
    fmt: str
    role: Role
    per_layer: bool = False

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """Rows of packed elements end at a byte."""
        return prod(self.shape[:-1]) * (-(-self.shape[-1] * load().formats[self.fmt].bits // 8))


__all__ = ["FORMAT_BYTES", "Graph", "Phase", "Role", "Tensor", "format_of", "scheme_of", "wide_format"]


@dataclass(frozen=True)
class Graph:
    """`dtype` is the format of the activations in products with weights, whose rate is that of these products; `scheme` says all of it.

    `pre`, then `layer` `layers` times (the residual stream enters and leaves it as tensor `x`), then `post`, which makes `output`."""

    model: str
    phase: Phase
    batch: int
    q_len: int
    kv_len: int
    dtype: str
    kv_dtype: str
    max_tokens: int
    pre: tuple[Op, ...]
    layer: tuple[Op, ...]
    layers: int
    post: tuple[Op, ...]
    tensors: dict[str, Tensor]
    output: str
    scheme: Scheme = SCHEMES["bf16"]

    def __hash__(self) -> int:
        """Of the sizes; the tensors, which are a dict, only take part in the comparison."""
        sizes = (self.batch, self.q_len, self.kv_len, self.max_tokens, self.layers)
        return hash((self.model, self.phase, self.scheme, self.kv_dtype, sizes))

    def ops(self) -> Iterator[tuple[Op, int]]:
        """Every op with the number of times it is run."""
        yield from ((op, 1) for op in self.pre)
        yield from ((op, self.layers) for op in self.layer)
        yield from ((op, 1) for op in self.post)

    def _sum(self, tensors: Iterable[Tensor]) -> int:
        return sum(tensor.bytes * (self.layers if tensor.per_layer else 1) for tensor in tensors)

    def of_role(self, *roles: Role) -> tuple[Tensor, ...]:
        return tuple(tensor for tensor in self.tensors.values() if tensor.role in roles)

    @property
    def flops(self) -> int:
        return sum(op.flops * times for op, times in self.ops())

    @property
    def compulsory_bytes(self) -> int:
        return sum(op.compulsory_bytes * times for op, times in self.ops())

    @property
    def weight_bytes(self) -> int:
        """All weights of all layers, embedding tables and norm parameters included; a tied table counts once."""
        return self._sum(self.of_role("weight"))

    def kv_bytes(self, batch: int | None = None, tokens: int | None = None) -> int:
        """Keys and values of all layers for `tokens` tokens in each of `batch` sequences (default: the graph's own). 0 for an encoder."""
        held = self._sum(self.of_role("kv"))
        per_token = held // (self.batch * self.max_tokens)
        return per_token * (self.batch if batch is None else batch) * (self.max_tokens if tokens is None else tokens)

    @property
    def activation_bytes(self) -> int:
        """Every activation, input, table and result once, as if none could share its place; layers reuse the same ones."""
        return self._sum(self.of_role("activation", "input", "table", "output"))
