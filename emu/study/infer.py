"""`infer`: a real model with its real weights, run on the emulated chip instruction by instruction, compared with an fp32 reference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emu.chip.schema import Chip
from emu.errors import ModelError, UnsupportedError
from emu.machine import Machine, Run
from emu.mapper import Lowered, choose, lower
from emu.mapper.formats import check_scheme
from emu.mapper.placement import gemm_weights
from emu.models import Graph, Model, load_model
from emu.models.quantize import Factors, calibrate, weights_for
from emu.models.schemes import scheme_of
from emu.result import Result, header
from emu.study.result import assumed

CALIBRATION = (
    "The river froze over early that winter, and the ferry stayed in its shed until April.",
    "Revenue grew 12 % to $3.4 billion, while costs rose by less than a tenth.",
    "How do I reset the password of an account that I no longer have the e-mail address for?",
    "In mathematics, a group is a set with an operation that is associative and has an identity and inverses.",
    "for i in range(10): print(i ** 2)",
    "Yes.",
)
"""Texts on which static scales are found unless others are given: prose, figures, a question, a definition, code, one word."""


class InferResult(Result):
    """The sentence embedding [hidden], its cosine to the fp32 reference, and the run that made it."""

    def __init__(
        self, model: Model, chip: Chip, text: str, dtype: str, run: Run, embedding: np.ndarray, cosine: float, tokens: list[int],
        graph: Graph,
    ) -> None:
        self.model, self.chip, self.text, self.dtype, self.run, self.embedding = model, chip, text, dtype, run, embedding
        self.cosine_to_reference, self.tokens, self.graph = cosine, tokens, graph

    def to_dict(self) -> dict[str, Any]:
        return {
            **header("infer", self.chip, self.run.program.digest, self.run.fidelity, "bare", 0),
            "model": self.model.name,
            "dtype": self.dtype,
            "scales": self.graph.scheme.how,
            "weights_bytes": self.graph.weight_bytes,
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


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    x, y = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


class Sentence:
    """A text, its tokens, and the encoder that embeds it, with weights and the fp32 reference: loaded once for several formats."""

    def __init__(self, path: str | Path, text: str) -> None:
        from emu.models.reference import Reference
        from emu.models.tokenize import Tokenizer
        from emu.models.weights import load_weights

        self.model = load_model(path)
        if self.model.kind != "encoder":
            raise UnsupportedError(f"{self.model.name}: infer embeds sentences with an encoder; {self.model.config.family} generates text")
        if not text.strip():
            raise ModelError("the text is empty: give --text a sentence")
        self.text = text
        self._tokenizer = Tokenizer(self.model.path if self.model.path is not None else Path(path))
        self.ids = list(self._tokenizer.encode(text, self.model.config))
        self.weights = load_weights(self.model)
        self.expected = Reference(self.model, self.weights).encode([self.ids])

    def factors(self, graph: Graph, calibration: Sequence[str]) -> Factors:
        """Static factors of activations, found on other texts; none where the scheme has none."""
        if graph.scheme.how != "static" or not graph.scheme.activations.factor:
            return {}
        samples = ([self._tokenizer.encode(text, self.model.config)] for text in calibration)
        return calibrate(self.model, self.weights, graph, samples)

    def embed(
        self, chip: Chip, dtype: str, scales: str, calibration: Sequence[str], *, check: bool, trace: bool, max_memory: int | None
    ) -> InferResult:
        """Every instruction of all layers, with its values."""
        graph = self.model.graph("encode", 1, len(self.ids), dtype=dtype, scales=scales)
        if graph.scheme.plain and graph.dtype not in ("bf16", "fp16"):
            raise UnsupportedError(f"infer in {dtype} with {graph.scheme.how} scales: post-norm encoders run so in bf16 or fp16 only; "
                                   "give 8-bit floats dynamic or static scales")
        lowered = lower(graph, chip, choose(graph, chip), graph.layers)
        weights = weights_for(graph, self.weights, self.factors(graph, calibration))
        given = program_inputs(self.model, lowered, weights, np.asarray([self.ids]))
        run = Machine(chip).run(lowered.program, given, values=True, check=check, trace=trace, max_memory=max_memory)
        embedding = run.outputs[graph.output].astype(np.float32)[0]
        return InferResult(
            self.model, chip, self.text, dtype, run, embedding, cosine(embedding, np.asarray(self.expected)), self.ids, graph,
        )


def infer(
    path: str | Path, chip: Chip | str, text: str, dtype: str = "bf16", *, scales: str = "dynamic",
    calibration: Sequence[str] = CALIBRATION, check: bool = False, trace: bool = False, max_memory: int | None = None,
) -> InferResult:
    """Embed a sentence with the encoder in `path` (config.json, model.safetensors, tokenizer.json) on the emulated chip.

    Every instruction of all layers runs with its values; `cosine_to_reference` compares with a plain fp32 NumPy forward of the same
    weights. `dtype`: bf16, fp16, fp8, int8, mxfp8, mxfp6, mxfp4, nvfp4, or weights alone in four bits (mxfp4_a8, mxfp4_a16, nvfp4_a16).
    `scales`: those of each row of activations are `dynamic`, or `static`, found by fp32 passes over the `calibration` texts.
    Raises ModelError, UnsupportedError (a format or scales that the chip lacks), CapacityError, ProgramError.
    """
    from emu.chip import chip as preset

    chip = preset(chip) if isinstance(chip, str) else chip
    check_dtype(chip, dtype, scales)
    return Sentence(path, text).embed(chip, dtype, scales, calibration, check=check, trace=trace, max_memory=max_memory)


def check_dtype(chip: Chip, dtype: str, scales: str) -> None:
    """Refuse what the chip lacks before anything is loaded."""
    scheme = scheme_of(dtype, scales)
    check_scheme(chip, scheme, scheme.wide, scheme.cache)
