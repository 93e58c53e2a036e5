"""What the tests of studies share: small models, chips varied from `tiny`, and passes whose layers are all run."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from typing import Any

from hypothesis import strategies as st

import emu
from emu.mapper import choose, lower
from emu.models import Graph, Model
from emu.models.hf import parse_config

MEMORY_COSTS = {"area.memory_interface": "10 mm2", "area.stack": "110 mm2", "cost.memory": "10 USD/GB"}
"""What no table says of the memory of `tiny`, so that area and cost of it can be told."""

# A module, though `emu.study` binds functions over some modules of the same names.
sampling = importlib.import_module("emu.study.sample")

LLAMA: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 128, "vocab_size": 96, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
}  # fmt: skip
GPT2: dict[str, Any] = {"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 1024, "vocab_size": 83}


def llama(**changes: Any) -> Model:
    """A small Llama with keys of its config.json changed."""
    return Model(parse_config(LLAMA | changes, "small", "small"))


def gpt2(**changes: Any) -> Model:
    """A small GPT-2."""
    return Model(parse_config(GPT2 | changes, "small-gpt2", "small-gpt2"))


@cache
def chip_named(name: str) -> Any:
    """A preset, loaded once."""
    return emu.chip(name)


def everything(model: Model, graph: Graph, chip: Any, choice: Mapping[str, Any] | None = None, fidelity: str = "fast") -> Any:
    """The pass with no layer left out, no cores folded and no periods skipped."""
    lowered = lower(graph, chip, choice or choose(graph, chip), graph.layers)
    given = sampling.inputs_for(model, graph, 0, {b.name for b in lowered.program.buffers})
    run = emu.Machine(chip, fidelity).run(lowered.program, given, values=False)
    return sampling._whole(graph, lowered, run)


def few_cores_of_h100() -> Any:
    """A chip with a cache, on which times depend on addresses and layers are repeated by their period."""
    return chip_named("h100").vary({"core_count": 4, "noc.x": 4})


VARIED = {
    "core_count": [1, 2, 3, 4, 5],
    "core.clock": ["1 GHz", "1.83 GHz", "333 MHz"],
    "hbm.bandwidth": ["16 GB/s", "64 GB/s", "300 GB/s"],
    "hbm.latency": ["20 ns", "100 ns", "700 ns"],
    "hbm.achieved_fraction": [0.8, 1.0],
    "core.sram.capacity": ["64 KiB", "256 KiB"],
    "core.acc.capacity": ["16 KiB", "64 KiB"],
    "core.dma.inflight": ["4 KiB", "16 KiB"],
    "core.matrix.shadow": [True, False],
}
"""Changes to `tiny` that leave a chip on which the small models run."""


@st.composite
def chips(draw: st.DrawFn) -> Any:
    """`tiny` with up to three figures changed."""
    keys = draw(st.lists(st.sampled_from(sorted(VARIED)), max_size=3, unique=True))
    changes = {key: draw(st.sampled_from(VARIED[key])) for key in keys}
    if "core_count" in changes:
        changes["noc.x"] = changes["core_count"]
    return chip_named("tiny").vary(changes)


@st.composite
def models(draw: st.DrawFn, layers: int | None = None) -> Model:
    """A small decoder: gated or not, grouped heads or not, odd widths."""
    count = draw(st.integers(1, 5)) if layers is None else layers
    if draw(st.booleans()):
        return gpt2(n_layer=count, n_embd=draw(st.sampled_from([32, 64])), vocab_size=draw(st.sampled_from([83, 128])))
    heads, kv_heads = draw(st.sampled_from([(4, 1), (4, 2), (4, 4), (6, 3)]))
    return llama(
        num_hidden_layers=count, num_attention_heads=heads, num_key_value_heads=kv_heads, head_dim=draw(st.sampled_from([8, 16])),
        hidden_size=draw(st.sampled_from([40, 64, 96])), intermediate_size=draw(st.sampled_from([56, 128])),
        vocab_size=draw(st.sampled_from([89, 96])), tie_word_embeddings=draw(st.booleans()),
    )  # fmt: skip


@st.composite
def graphs(draw: st.DrawFn, layers: int | None = None, dtypes: tuple[str, ...] = ("bf16", "fp16", "fp8")) -> tuple[Model, Graph]:
    """A prefill or a decode step of a small model."""
    model, batch, dtype = draw(models(layers)), draw(st.integers(1, 3)), draw(st.sampled_from(dtypes))
    if draw(st.booleans()):
        prompt = draw(st.integers(2, 40))
        return model, model.graph("prefill", batch, prompt, prompt, dtype, None, prompt + draw(st.integers(0, 9)))
    kv_len = draw(st.integers(2, 90))
    return model, model.graph("decode", batch, 1, kv_len, dtype, None, kv_len + draw(st.integers(0, 9)))
