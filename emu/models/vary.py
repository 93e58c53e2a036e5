"""Another transformer of the same family: fields of a configuration changed, checked as a config.json would be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from emu.errors import ModelError, did_you_mean
from emu.models.config import ModelConfig

SIZES = ("hidden", "layers", "q_heads", "kv_heads", "head_dim", "ffn", "vocab", "max_positions")
SWITCHES = ("qkv_bias", "out_bias", "ffn_bias", "tied")
CHOICES = {"activation": ("swiglu", "gelu_erf", "gelu_tanh"), "norm": ("rms", "layer")}
OPTIONAL = ("window",)
"""What may be changed: the others (family, kind, positions ...) make another family, which a config.json describes."""
MOST = 1 << 32


def changeable() -> tuple[str, ...]:
    """The fields `vary` takes."""
    return (*SIZES, *SWITCHES, *CHOICES, *OPTIONAL)


def varied(config: ModelConfig, changes: Mapping[str, Any]) -> ModelConfig:
    """The configuration with the changes; ModelError says which value does not go, and why."""
    for name, value in changes.items():
        _check(config.name, name, value)
    made = replace(config, **changes)
    if made.q_heads % made.kv_heads:
        raise ModelError(f"{config.name}: kv_heads = {made.kv_heads}: expected a divisor of q_heads = {made.q_heads}")
    if made.positions == "rope" and made.head_dim % 2:
        raise ModelError(f"{config.name}: head_dim = {made.head_dim}: expected an even number, since rotary positions turn pairs")
    return made


def _check(model: str, name: str, value: Any) -> None:
    if name not in changeable():
        fixed = name in {f.name for f in fields(ModelConfig)}
        why = "cannot be varied; describe the model in a config.json" if fixed else f"unknown field; {did_you_mean(name, changeable())}"
        raise ModelError(f"{model}: {name}: {why}")
    if name in CHOICES:
        if value not in CHOICES[name]:
            raise ModelError(f"{model}: {name} = {value!r}: expected one of {', '.join(CHOICES[name])}")
    elif name in SWITCHES:
        if not isinstance(value, bool):
            raise ModelError(f"{model}: {name} = {value!r}: expected true or false")
    elif not (name in OPTIONAL and value is None) and not (type(value) is int and 1 <= value <= MOST):
        raise ModelError(f"{model}: {name} = {value!r}: expected a whole number from 1 to {MOST}")
