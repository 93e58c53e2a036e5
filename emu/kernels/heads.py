"""Where the heads of queries, keys and values lie: columns of a [tokens, columns] tensor, or a cache [batch][head][token][dim]."""

from __future__ import annotations

from dataclasses import dataclass

from emu.errors import UnsupportedError
from emu.kernels.lang import Tensor, Value, View


@dataclass(frozen=True)
class Heads:
    """`tensor` is [batch * tokens, columns] with head h at `column` + h * dim, or a cache [batch, heads, capacity, dim]."""

    tensor: Tensor
    batch: int
    dim: int
    column: int = 0

    def at(self, b: Value, head: Value, groups: int, token: Value, rows: int, valid: Value) -> View:
        """[groups, rows, dim]: `groups` heads from `head`, `rows` tokens (of which `valid` count) from `token` of sequence b."""
        shape = self.tensor.shape
        if len(shape) == 4:
            return self.tensor.at((b, head, token, 0), (1, groups, rows, self.dim), (1, None, valid, None)).as_dims(1, 2, 3)
        tokens, columns = shape[0] // self.batch, shape[1]
        if columns % self.dim or self.column % self.dim:
            raise UnsupportedError(f"{self.tensor.name}: {columns} columns from {self.column} are not whole heads of {self.dim}")
        split = self.tensor.reshape((self.batch, tokens, columns // self.dim, self.dim))
        first = head + self.column // self.dim
        return split.at((b, token, first, 0), (1, rows, groups, self.dim), (1, valid, None, None)).as_dims(2, 1, 3)


@dataclass(frozen=True)
class Attention:
    """The shape of an attention: `group` query heads share each of `kv_heads` key and value heads."""

    batch: int
    kv_heads: int
    group: int
    head_dim: int
    q_len: int
    kv_len: int
    causal: bool = True
    window: int = 0
    scale: float | None = None

    @property
    def softmax_scale(self) -> float:
        """1 / sqrt(head_dim) unless given."""
        return self.head_dim**-0.5 if self.scale is None else self.scale

    @property
    def past(self) -> int:
        """Tokens before the first query."""
        return self.kv_len - self.q_len
