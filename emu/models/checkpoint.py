"""Reading safetensors files that a stranger wrote.

The header is checked in full before any tensor is touched, so that a message can name the tensor at fault; data is read, not mapped,
because a mapped file that shrinks kills the process. Pickled weights are code and are refused by name.
"""
from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from emu.errors import ModelError, UnsupportedError
from emu.models.files import parse_object, read_bounded, regular_size
from emu.models.formats import STORAGE
from isa.errors import nearest

MAX_HEADER_BYTES = 16 << 20
MAX_INDEX_BYTES = 16 << 20
MAX_SHARDS = 1024
MAX_DIMS = 8
_CODE_OR_FOREIGN = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack", ".onnx", ".gguf")
_SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I64": 8, "I32": 4, "I16": 2, "I8": 1,
          "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1}
_FLOATS: dict[str, np.dtype[Any]] = {"F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": STORAGE["bf16"]}


@dataclass(frozen=True, slots=True)
class Entry:
    file: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int  # from the start of the file


class Checkpoint:
    """The tensors of one model, in one file or many."""

    def __init__(self, where: Path, entries: Mapping[str, Entry]) -> None:
        self.where = where
        self.entries = dict(entries)

    def read(self, name: str) -> np.ndarray:
        """The tensor in its own float type."""
        entry = self.entries[name]
        if entry.dtype not in _FLOATS:
            raise UnsupportedError(f"{entry.file}: tensor {name!r} is {entry.dtype}: quantised weights are not supported")
        count = prod(entry.shape)
        try:
            data = np.fromfile(entry.file, dtype=_FLOATS[entry.dtype], count=count, offset=entry.offset)
        except OSError as error:
            raise ModelError(f"{entry.file}: tensor {name!r} cannot be read: {error}") from None
        if data.size != count:
            raise ModelError(f"{entry.file}: tensor {name!r}: the file was truncated while it was read")
        return data.reshape(entry.shape)


def open_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """From a .safetensors file, or a folder with model.safetensors or model.safetensors.index.json."""
    place = Path(path)
    if place.is_dir():
        index, single = place / "model.safetensors.index.json", place / "model.safetensors"
        if index.exists():
            return _open_sharded(index)
        if not single.exists():
            raise _no_weights(place)
        place = single
    if place.suffix != ".safetensors":
        raise _refused(place)
    return Checkpoint(place, read_header(place))


def _refused(file: Path) -> ModelError:
    return ModelError(f"{file}: {file.suffix or 'such'} weights are not read (pickles can run code): convert them to safetensors")


def _no_weights(folder: Path) -> ModelError:
    others = sorted(file for file in folder.iterdir() if file.suffix in _CODE_OR_FOREIGN)
    if others:
        return _refused(others[0])
    found = sorted(file.name for file in folder.glob("*.safetensors"))
    return ModelError(f"{folder}: neither model.safetensors nor model.safetensors.index.json is there{nearest('model.safetensors', found)}"
                      if found else f"{folder}: no model.safetensors in this folder")


def _open_sharded(index: Path) -> Checkpoint:
    weight_map = parse_object(read_bounded(index, MAX_INDEX_BYTES), index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(shard, str) for shard in weight_map.values()):
        raise ModelError(f"{index}: weight_map: expected an object of tensor name to file name")
    shards = sorted(set(weight_map.values()))
    if len(shards) > MAX_SHARDS:
        raise ModelError(f"{index}: {len(shards)} files, more than the {MAX_SHARDS} that are read")
    entries: dict[str, Entry] = {}
    for shard in shards:
        if Path(shard).name != shard or "\\" in shard or not shard.endswith(".safetensors"):
            raise ModelError(f"{index}: weight_map names {shard[:80]!r}: expected the plain name of a .safetensors file beside it")
        for name, entry in read_header(index.parent / shard).items():
            if name in entries:
                raise ModelError(f"{entry.file}: tensor {name!r} is in {entries[name].file.name} too")
            if weight_map.get(name) != shard:
                raise ModelError(f"{entry.file}: tensor {name!r} is not where {index.name} says{nearest(name, weight_map)}")
            entries[name] = entry
    for name, shard in weight_map.items():
        if name not in entries:
            raise ModelError(f"{index.parent / shard}: tensor {name[:80]!r} of {index.name} is not in it{nearest(name[:80], entries)}")
    return Checkpoint(index, entries)


def read_header(file: Path) -> dict[str, Entry]:
    """Every tensor of one file: known type, whole, inside the file, and none over another."""
    size = regular_size(file)
    if size < 8:
        raise ModelError(f"{file}: {size} bytes are no safetensors file (truncated?)")
    with open(file, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > MAX_HEADER_BYTES:
            raise ModelError(f"{file}: a header of {length} bytes, more than the {MAX_HEADER_BYTES} that are read (is it safetensors?)")
        if 8 + length > size:
            raise ModelError(f"{file}: truncated: the header ends at byte {8 + length}, the file at {size}")
        header = parse_object(stream.read(length), f"{file}: header")
    header.pop("__metadata__", None)
    entries = {name: _entry(file, name, value, 8 + length, size) for name, value in header.items()}
    _check_cover(file, entries, 8 + length, size)
    return entries


def _entry(file: Path, name: str, value: Any, data_start: int, size: int) -> Entry:
    where = f"{file}: tensor {name[:120]!r}"
    if not isinstance(value, dict):
        raise ModelError(f"{where}: expected an object")
    dtype, shape, offsets = value.get("dtype"), value.get("shape"), value.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in _SIZES:
        raise ModelError(f"{where}: dtype {str(dtype)[:40]!r} is not known{nearest(str(dtype)[:40], _SIZES)}")
    if not isinstance(shape, list) or not _naturals(shape) or len(shape) > MAX_DIMS:
        raise ModelError(f"{where}: shape {str(shape)[:80]}: expected up to {MAX_DIMS} whole numbers")
    if not isinstance(offsets, list) or not _naturals(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ModelError(f"{where}: data_offsets {str(offsets)[:80]}: expected a begin and an end")
    begin, end = offsets
    if end - begin != prod(shape) * _SIZES[dtype]:
        raise ModelError(f"{where}: {dtype} {shape} takes {prod(shape) * _SIZES[dtype]} bytes, its offsets span {end - begin}")
    if data_start + end > size:
        raise ModelError(f"{where}: truncated: its data ends at byte {data_start + end}, the file at {size}")
    return Entry(file, dtype, tuple(shape), data_start + begin)


def _naturals(items: list[Any]) -> bool:
    return all(type(item) is int and 0 <= item < 1 << 48 for item in items)


def _check_cover(file: Path, entries: Mapping[str, Entry], data_start: int, size: int) -> None:
    end, last = data_start, "the header"
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].offset, prod(item[1].shape))):
        if entry.offset != end:
            raise ModelError(f"{file}: tensor {name[:120]!r} {'overlaps' if entry.offset < end else 'leaves a gap after'} {last[:120]}")
        end, last = entry.offset + prod(entry.shape) * _SIZES[entry.dtype], name
    if end != size:
        raise ModelError(f"{file}: {size - end} bytes after the last tensor")
