"""`infer`: a real model with its real weights, run on the emulated chip instruction by instruction, compared with an fp32 reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from emu.chip.schema import Chip
from emu.errors import ModelError, UnsupportedError
from emu.machine import Machine, Run
from emu.mapper import Lowered, choose, lower
from emu.mapper.placement import gemm_weights
from emu.models import Graph, Model, load_model
from emu.models.graph import format_of
from emu.result import Result, header
from emu.study.result import assumed


class InferResult(Result):
    """The sentence embedding [hidden], its cosine to the fp32 reference, and the run that made it."""

    def __init__(
        self, model: Model, chip: Chip, text: str, dtype: str, run: Run, embedding: np.ndarray, cosine: float, tokens: list[int]
    ) -> None:
        self.model, self.chip, self.text, self.dtype, self.run, self.embedding = model, chip, text, dtype, run, embedding
        self.cosine_to_reference, self.tokens = cosine, tokens

    def to_dict(self) -> dict[str, Any]:
        return {
            **header("infer", self.chip, self.run.program.digest, self.run.fidelity, "bare", 0),
            "model": self.model.name,
            "dtype": self.dtype,
            "text": self.text,
            "tokens": len(self.tokens),
            "embedding": [float(v) for v in self.embedding],
            "cosine_to_reference": self.cosine_to_reference,
            "cycles": self.run.cycles,
            "seconds": self.run.seconds,
            "joules": self.run.joules,
            "watts": self.run.watts,
            "stalls": self.run.stalls,
            "energy": self.run.energy,
            "assumed": assumed(self.chip),
        }


def block_weights(weight: np.ndarray, block: int) -> np.ndarray:
    """[K, N] as [N / block][K][block], the last block padded with zeros: how gemm weights lie in device memory."""
    k, n = weight.shape
    blocks = -(-n // block)
    padded = np.zeros((k, blocks * block), weight.dtype)
    padded[:, :n] = weight
    return np.ascontiguousarray(padded.reshape(k, blocks, block).transpose(1, 0, 2))


def program_inputs(model: Model, lowered: Lowered, weights: Any, tokens: np.ndarray) -> dict[str, np.ndarray]:
    """Every input of the program: weights as the placement lays them out, token ids, tables; caches start empty (zeros)."""
    from emu.models.inputs import graph_inputs
    from emu.models.weights import graph_weights

    graph, block = lowered.graph, lowered.placement.block
    stationary = gemm_weights(graph)
    buffers = {b.name: b for b in lowered.program.buffers if b.space == "hbm"}
    given: dict[str, np.ndarray] = {}
    layers: dict[str, list[np.ndarray]] = {}
    for name, layer, array in graph_weights(graph, weights):
        op = stationary.get(name)
        if op is not None and op.bt and f"{name}.blocked" in buffers:
            given[f"{name}.blocked"] = block_weights(np.ascontiguousarray(array.T), block)
        if name not in buffers:
            continue
        laid = block_weights(array, block) if op is not None and not op.bt else array
        if layer is None:
            given[name] = laid
        else:
            layers.setdefault(name, []).append(laid)
    given.update({name: np.stack(parts) for name, parts in layers.items()})
    known = graph_inputs(model.config, graph, tokens)
    given.update({name: array for name, array in known.items() if name in buffers})
    for b in buffers.values():
        if b.role == "inout" and b.name not in given:
            given[b.name] = np.zeros(b.shape, np.float32)
    return given


def encoder_program(model: Model, chip: Chip, tokens: int, dtype: str) -> Lowered:
    """The program that embeds one sentence of `tokens` tokens."""
    graph: Graph = model.graph("encode", 1, tokens, dtype=dtype)
    return lower(graph, chip, choose(graph, chip), graph.layers)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    x, y = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


def infer(
    path: str | Path, chip: Chip | str, text: str, dtype: str = "bf16", *, check: bool = False, trace: bool = False,
    max_memory: int | None = None,
) -> InferResult:
    """Embed a sentence with the encoder in `path` (config.json, model.safetensors, tokenizer.json) on the emulated chip.

    Every instruction of all layers runs with its values; `cosine_to_reference` compares with a plain fp32 NumPy forward of the same
    weights. Raises ModelError, UnsupportedError, CapacityError, ProgramError.
    """
    from emu.chip import chip as preset
    from emu.models.reference import Reference
    from emu.models.tokenize import Tokenizer
    from emu.models.weights import load_weights

    chip = preset(chip) if isinstance(chip, str) else chip
    model = load_model(path)
    if model.kind != "encoder":
        raise UnsupportedError(f"{model.name}: infer embeds sentences with an encoder; {model.config.family} generates text")
    if format_of(dtype) not in ("bf16", "fp16"):
        raise UnsupportedError(f"infer in {dtype} is not supported yet: post-norm encoders run in bf16 or fp16")
    if not text.strip():
        raise ModelError("the text is empty: give --text a sentence")
    ids = Tokenizer(model.path if model.path is not None else Path(path)).encode(text, model.config)
    weights = load_weights(model)
    lowered = encoder_program(model, chip, len(ids), dtype)
    tokens = np.asarray([ids])
    given = program_inputs(model, lowered, weights, tokens)
    run = Machine(chip).run(lowered.program, given, values=True, check=check, trace=trace, max_memory=max_memory)
    embedding = run.outputs[lowered.graph.output].astype(np.float32)[0]
    expected = Reference(model, weights).encode(tokens)
    return InferResult(model, chip, text, dtype, run, embedding, cosine(embedding, np.asarray(expected)), list(ids))
