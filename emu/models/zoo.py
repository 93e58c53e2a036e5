"""Finding models: presets by name, configurations by path."""
from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emu.errors import ModelError
from emu.models.build import build_graph
from emu.models.config import ModelConfig
from emu.models.files import read_object
from emu.models.graph import Graph, Phase
from emu.models.hf import parse_config
from emu.models.tensors import param_count
from isa.errors import nearest

_PRESETS = Path(__file__).parent / "presets"
# Of a preset only: what sentence-transformers keeps in a folder's modules.json. A stranger's file cannot say it.
_NORMALIZE_KEY = "emu_normalize"


@dataclass(frozen=True)
class Model:
    """A transformer's shape, and where its weights lie if it came from a folder."""

    config: ModelConfig
    path: Path | None = None

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def kind(self) -> str:
        return self.config.kind

    @property
    def param_count(self) -> int:
        return param_count(self.config)

    def vary(self, changes: Mapping[str, Any]) -> Model:
        """A copy with fields of its configuration changed, `model.vary({"layers": 40})`; ModelError names what cannot be so."""
        from emu.models.vary import varied

        return Model(varied(self.config, changes), self.path)

    def graph(self, phase: Phase, batch: int = 1, q_len: int = 1, kv_len: int | None = None, dtype: str = "bf16",
              kv_dtype: str | None = None, max_tokens: int | None = None, scales: str | None = None) -> Graph:
        return build_graph(self.config, phase, batch, q_len, kv_len, dtype, kv_dtype, max_tokens, scales)

    def to_dict(self) -> dict[str, Any]:
        config = self.config
        keys = ("name", "family", "kind", "hidden", "layers", "q_heads", "kv_heads", "head_dim", "ffn", "vocab", "max_positions", "norm",
                "activation", "positions", "tied", "window")
        return {key: getattr(config, key) for key in keys} | {"parameters": self.param_count}


def models() -> list[str]:
    """The names of the presets."""
    return sorted((path.stem for path in _PRESETS.glob("*.json")), key=str.lower)


def model(name: str) -> Model:
    """A preset by name (case does not matter), or what `load_model` makes of a path."""
    for known in models():
        if known.lower() == name.lower():
            path = _PRESETS / f"{known}.json"
            data = read_object(path)
            return Model(parse_config(data, known, str(path.name), normalize=data.get(_NORMALIZE_KEY) is True))
    if os.sep in name or name.endswith(".json") or os.path.isdir(name):
        return load_model(name)
    raise ModelError(f"model {name!r} is not known{nearest(name, models())} (or give the path of a config.json or of a folder holding one)")


def load_model(path: str | os.PathLike[str]) -> Model:
    """From a Hugging Face config.json, or from a folder holding one."""
    place = Path(path)
    folder = place if place.is_dir() else place.parent
    file = place / "config.json" if place.is_dir() else place
    data = read_object(file)
    name = folder.resolve().name if file.name == "config.json" else file.stem
    return Model(parse_config(data, name or "model", str(file), normalize=_normalizes(folder)), folder)


def _normalizes(folder: Path) -> bool:
    """Whether a sentence-transformers folder ends with its Normalize module. Its modules.json is a list, so it is wrapped to be read."""
    file = folder / "modules.json"
    if not file.exists():
        return False
    from emu.models.files import MAX_CONFIG_BYTES, parse_object, read_bounded

    modules = parse_object(b'{"modules":' + read_bounded(file, MAX_CONFIG_BYTES) + b"}", file)["modules"]
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise ModelError(f"{file}: expected a list of objects")
    return any(str(module.get("type", "")).endswith(".Normalize") for module in modules)
