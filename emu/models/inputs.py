"""What a pass is fed besides weights: token ids, positions, segment ids, rotary tables."""
from __future__ import annotations

from math import pi

import numpy as np
import numpy.typing as npt

from emu.errors import ModelError
from emu.models.config import ModelConfig
from emu.models.graph import Graph


def index_inputs(config: ModelConfig, graph: Graph, tokens: npt.ArrayLike) -> dict[str, np.ndarray]:
    """An array for every input of the graph; `tokens` is [batch, q_len], or flat."""
    ids = np.asarray(tokens)
    if ids.size != graph.batch * graph.q_len or not np.issubdtype(ids.dtype, np.integer):
        raise ModelError(f"{graph.model}: expected {graph.batch} x {graph.q_len} token ids, got {ids.dtype} {list(ids.shape)}")
    if ids.min() < 0 or ids.max() >= config.vocab:
        raise ModelError(f"{graph.model}: token ids reach from {ids.min()} to {ids.max()}, the vocabulary from 0 to {config.vocab - 1}")
    positions = np.tile(np.arange(graph.kv_len - graph.q_len, graph.kv_len, dtype=np.int32), graph.batch)
    known = {"tokens": ids.astype(np.int32).reshape(-1), "positions": positions, "types": np.zeros(ids.size, dtype=np.int32)}
    return {tensor.name: known[tensor.name] for tensor in graph.of_role("input")}


def graph_inputs(config: ModelConfig, graph: Graph, tokens: npt.ArrayLike) -> dict[str, np.ndarray]:
    """An array for every input and table of the graph."""
    known = index_inputs(config, graph, tokens)
    if config.positions == "rope":
        known["rope_cos"], known["rope_sin"] = rope_tables(config, graph.max_tokens)
    return {tensor.name: known[tensor.name] for tensor in graph.of_role("input", "table")}


def rope_tables(config: ModelConfig, tokens: int) -> tuple[np.ndarray, np.ndarray]:
    """cos and sin [tokens, head_dim/2] of position x frequency; angles in fp64, the tables in fp32."""
    angles = np.outer(np.arange(tokens, dtype=np.float64), rope_frequencies(config))
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def rope_frequencies(config: ModelConfig) -> np.ndarray:
    frequencies = config.rope_theta ** (-np.arange(0, config.head_dim, 2, dtype=np.float64) / config.head_dim)
    scaling = config.rope_scaling
    if scaling is None:
        return frequencies
    if scaling.kind == "linear":
        return frequencies / scaling.factor
    # llama3: full turns made within the original context decide; many turns stay, few are stretched, between them a straight mix.
    turns = scaling.original_max_positions * frequencies / (2 * pi)
    kept = np.clip((turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor), 0.0, 1.0)
    return frequencies * kept + frequencies / scaling.factor * (1 - kept)
