"""Weights for a graph's tensors: from a checkpoint, or random ones of the right size. Both answer `tensor(name, layer, fmt)`."""
from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from math import sqrt
from pathlib import Path
from typing import Protocol

import numpy as np

from emu.errors import ModelError
from emu.models.checkpoint import Checkpoint, open_checkpoint
from emu.models.config import ModelConfig
from emu.models.formats import cast
from emu.models.graph import Graph, Tensor
from emu.models.names import is_spare, plain_name, source
from emu.models.tensors import WeightFormats, weight_tensors
from emu.models.zoo import Model
from isa.errors import nearest


class Weights(Protocol):
    def tensor(self, name: str, layer: int | None = None, fmt: str = "fp32") -> np.ndarray:
        """Weight `name` of the graph, of layer `layer` if there is one per layer, in a format of the instruction set."""
        ...


def load_weights(model: Model, path: str | os.PathLike[str] | None = None) -> CheckpointWeights:
    """The weights in `path`, by default in the folder the model came from."""
    place = path if path is not None else model.path
    if place is None:
        raise ModelError(f"{model.name} is a preset without weights: give the folder that holds its model.safetensors")
    return CheckpointWeights(model.config, open_checkpoint(place))


def graph_weights(graph: Graph, weights: Weights) -> Iterator[tuple[str, int | None, np.ndarray]]:
    """(name, layer, array) for every weight of the graph, in the graph's formats, one at a time."""
    for tensor in graph.of_role("weight"):
        for layer in range(graph.layers) if tensor.per_layer else (None,):
            yield tensor.name, layer, weights.tensor(tensor.name, layer, tensor.fmt)


class _Shapes:
    """Looks a tensor up by name and checks that a layer is given exactly where there is one."""

    def __init__(self, config: ModelConfig) -> None:
        self.config = config
        self.tensors = {tensor.name: tensor for tensor in weight_tensors(config, WeightFormats("fp32", "fp32"))}

    def find(self, name: str, layer: int | None) -> Tensor:
        if name not in self.tensors:
            raise ModelError(f"{self.config.name} has no weight {name!r}{nearest(name, self.tensors)}")
        tensor = self.tensors[name]
        if (layer is not None) != tensor.per_layer or (layer is not None and not 0 <= layer < self.config.layers):
            expected = f"a layer from 0 to {self.config.layers - 1}" if tensor.per_layer else "no layer"
            raise ModelError(f"{self.config.name}: weight {name!r} takes {expected}, not {layer}")
        return tensor

    def places(self) -> Iterator[tuple[Tensor, int | None]]:
        for tensor in self.tensors.values():
            for layer in range(self.config.layers) if tensor.per_layer else (None,):
                yield tensor, layer


class CheckpointWeights:
    """Every name and shape is checked when it is opened; data is read when it is asked for."""

    def __init__(self, config: ModelConfig, checkpoint: Checkpoint) -> None:
        self.config = config
        self._checkpoint = checkpoint
        self._shapes = _Shapes(config)
        self._actual: dict[str, str] = {}
        for name in checkpoint.entries:
            plain = plain_name(config, name)
            if plain in self._actual:
                raise ModelError(f"{checkpoint.where}: tensors {self._actual[plain]!r} and {name!r} are the same weight")
            self._actual[plain] = name
        self._check()

    def _check(self) -> None:
        wanted: dict[str, tuple[int, ...]] = {}
        for tensor, layer in self._shapes.places():
            origin = source(self.config, tensor, layer)
            wanted.update(zip(origin.names, origin.shapes))
        extra = sorted(name for name in self._actual if name not in wanted and not is_spare(self.config, name))
        for name, shape in wanted.items():
            if name not in self._actual:
                raise ModelError(f"{self._checkpoint.where}: tensor {name!r} of {self.config.name} is missing{nearest(name, extra)}"
                                 if extra else f"{self._checkpoint.where}: tensor {name!r} of {self.config.name} is missing")
            entry = self._checkpoint.entries[self._actual[name]]
            if entry.shape != shape:
                raise ModelError(f"{entry.file}: tensor {self._actual[name]!r} has shape {list(entry.shape)}, "
                                 f"config.json makes it {list(shape)}")
        if extra:
            raise ModelError(f"{self._checkpoint.where}: tensor {self._actual[extra[0]]!r} has no place in {self.config.name} "
                             f"({len(extra)} such){nearest(extra[0], wanted)}")

    def tensor(self, name: str, layer: int | None = None, fmt: str = "fp32") -> np.ndarray:
        origin = source(self.config, self._shapes.find(name, layer), layer)
        parts = [self._checkpoint.read(self._actual[part]) for part in origin.names]
        if origin.transposed:
            parts = [part.T for part in parts]
        joined = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)
        return np.ascontiguousarray(cast(joined, fmt))


class RandomWeights:
    """Normal weights of variance 1/in, so that activations keep their size; the same for the same seed, name and layer."""

    def __init__(self, model: Model, seed: int = 0) -> None:
        self.config = model.config
        self.seed = seed
        self._shapes = _Shapes(model.config)

    def tensor(self, name: str, layer: int | None = None, fmt: str = "fp32") -> np.ndarray:
        shape = self._shapes.find(name, layer).shape
        stream = np.random.default_rng([self.seed, zlib.crc32(name.encode()), 0 if layer is None else layer + 1])
        values: np.ndarray = stream.standard_normal(shape, dtype=np.float32)
        if name.endswith(".gamma"):
            values = 1 + values / 8
        elif len(shape) == 2 and not name.startswith("embed."):
            values /= np.float32(sqrt(shape[0]))
        else:
            values /= 8
        return cast(values, fmt)


def has_weights(model: Model) -> bool:
    """Whether the model came from a folder with weights in it, without opening them."""
    folder: Path | None = model.path
    return folder is not None and any((folder / name).is_file() for name in ("model.safetensors", "model.safetensors.index.json"))
