"""Sets an op's byte figures from its tensors. `emu.models.ops` says what they mean; they feed lower bounds, so they never overcount."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from emu.models.graph import FORMAT_BYTES, Tensor
from emu.models.ops import Attention, Embed, Op, RopeAppend, TakeLast

T = TypeVar("T", bound=Op)


def with_bytes(op: T, tensors: Mapping[str, Tensor]) -> T:
    """The op with `compulsory_bytes` and `operand_bytes` filled in."""
    if isinstance(op, Embed):
        compulsory, operand = _embed(op, tensors)
    elif isinstance(op, RopeAppend):
        compulsory, operand = _rope_append(op, tensors)
    elif isinstance(op, Attention):
        compulsory, operand = _attention(op, tensors)
    elif isinstance(op, TakeLast):
        row_bytes = op.batch * op.width * _size(tensors[op.input])
        compulsory, operand = (row_bytes if tensors[op.input].role == "input" else 0) + _outside(tensors[op.output]), 2 * row_bytes
    else:
        named = [tensors[name] for name in (*op.inputs, *op.outputs)]
        compulsory = _outside(*named)
        operand = sum(tensor.bytes for tensor in named)
    return replace(op, compulsory_bytes=compulsory, operand_bytes=operand)


def _outside(*tensors: Tensor) -> int:
    """Bytes of those that start or end in memory."""
    return sum(tensor.bytes for tensor in tensors if tensor.role in ("weight", "table", "input", "output"))


def _size(tensor: Tensor) -> int:
    return FORMAT_BYTES[tensor.fmt]


def _embed(op: Embed, tensors: Mapping[str, Tensor]) -> tuple[int, int]:
    """A table may be asked for one row again and again, and a tied one is read by the logits anyway: no row of it is compulsory."""
    rows = sum(op.width * _size(tensors[table]) for table in op.tables)
    indices = sum(tensors[index].bytes for index in op.indices)
    return indices + _outside(tensors[op.output]), indices + op.rows * rows + tensors[op.output].bytes


def _rope_append(op: RopeAppend, tensors: Mapping[str, Tensor]) -> tuple[int, int]:
    """The tables serve every layer alike, so they may stay on the chip and are not compulsory."""
    turned = sum(op.q_len * op.head_dim // 2 * _size(tensors[table]) for table in op.tables or ())
    caches = (tensors[op.k_cache], tensors[op.v_cache])
    new = sum(op.batch * op.kv_heads * op.q_len * op.head_dim * _size(cache) for cache in caches)
    kept = new if caches[0].role == "kv" else 0  # an encoder's keys and values end with the layer
    return kept + _outside(tensors[op.input], tensors[op.q]), tensors[op.input].bytes + turned + tensors[op.q].bytes + new


def _attention(op: Attention, tensors: Mapping[str, Tensor]) -> tuple[int, int]:
    """Keys of this very pass may still be on the chip; earlier ones that some query sees must come from memory."""
    row = op.batch * op.kv_heads * op.head_dim * (_size(tensors[op.k_cache]) + _size(tensors[op.v_cache]))
    earlier = max(0, op.start - op.first_key) if tensors[op.k_cache].role == "kv" else 0
    seen = op.kv_len - op.first_key
    ends = (tensors[op.q], tensors[op.output])
    return row * earlier + _outside(*ends), row * seen + sum(tensor.bytes for tensor in ends)
