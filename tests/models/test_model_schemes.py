"""What a dtype means: sides, sizes, and weights that stand for what they were made of, within what their bits allow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import CONFIGS

from emu import UnsupportedError
from emu.models import Gemm, Model, Quantize
from emu.models.hf import parse_config
from emu.models.quantize import QuantizedWeights, quantize_matrix
from emu.models.schemes import HOW, SCHEMES, Side, scheme_of
from emu.models.weights import RandomWeights, graph_weights

TINY = {name: Model(parse_config(data, name, name)) for name, data in CONFIGS.items()}
SCALED = sorted(name for name, scheme in SCHEMES.items() if not scheme.plain)
CHECKED = settings(max_examples=60, deadline=None)


@st.composite
def graphs(draw):
    """A pass of a small model in a quantised dtype."""
    model, dtype = TINY[draw(st.sampled_from(sorted(TINY)))], draw(st.sampled_from([*SCALED, "fp8", "fp8_e5m2"]))
    scales, tokens = draw(st.sampled_from(["dynamic", "static"])), draw(st.integers(1, 9))
    kv = draw(st.sampled_from([None, "bf16", "fp8"]))
    phase = "encode" if model.kind == "encoder" else draw(st.sampled_from(["prefill", "decode"]))
    q_len = 1 if phase == "decode" else tokens
    return model, model.graph(phase, draw(st.integers(1, 2)), q_len, tokens, dtype, kv, scales=scales)


@CHECKED
@given(graphs())
def test_every_gemm_of_a_layer_has_its_operands(drawn):
    """Elements, scales and factors of the scheme on both sides, in the right shapes, made before they are read and all of them used."""
    _, graph = drawn
    x, w = graph.scheme.activations, graph.scheme.weights
    made = {t.name for t in graph.of_role("weight", "table", "input")} | ({"k_cache", "v_cache"} if graph.kv_len > graph.q_len else set())
    used: set[str] = set()
    for op in (*graph.pre, *graph.layer, *graph.post):
        assert set(op.inputs) <= made, op
        made |= set(op.outputs)
        used |= set(op.inputs) | set(op.outputs)
    assert used == set(graph.tensors)
    shape = {name: tensor.shape for name, tensor in graph.tensors.items()}
    fmt = {name: tensor.fmt for name, tensor in graph.tensors.items()}
    for op in (op for op in graph.layer if isinstance(op, Gemm)):
        assert fmt[op.input] == x.fmt and {fmt[name] for name in op.weights} == {w.fmt}
        assert (op.input_scales is None) == (not x.block) and len(op.weight_scales) == (len(op.weights) if w.block else 0)
        if op.input_scales:
            assert shape[op.input_scales] == (op.m, -(-op.k // x.block)) and fmt[op.input_scales] == x.scale_fmt
        assert all(shape[name] == (-(-op.k // w.block), op.n) and fmt[name] == w.scale_fmt for name in op.weight_scales)
        assert len(op.columns) == (len(op.weights) if w.factor else 0) and all(shape[name] == (op.n,) for name in op.columns)
        assert (op.rows is not None) == (x.factor and graph.scheme.how == "dynamic")
    assert sum(isinstance(op, Quantize) for op in graph.layer) == (4 if graph.scheme.quantizes else 0)


@CHECKED
@given(graphs())
def test_bytes_are_those_of_packed_elements_scales_and_factors(drawn):
    model, graph = drawn
    side, config, bits = graph.scheme.weights, model.config, {"fp4_e2m1": 4, "fp6_e2m3": 6}
    ups = 2 if config.activation == "swiglu" else 1
    shapes = [(config.hidden, config.qkv_width), (config.q_width, config.hidden), (config.ffn, config.hidden)]
    shapes += [(config.hidden, config.ffn)] * ups
    per_layer = sum(k * (-(-n * bits.get(side.fmt, 8) // 8)) for k, n in shapes)
    per_layer += sum(-(-k // side.block) * n for k, n in shapes) if side.block else 0
    per_layer += 4 * sum(n for _, n in shapes) if side.factor else 0
    per_layer += 16 if graph.scheme.how == "static" and graph.scheme.activations.factor else 0
    wide = 2 * (model.param_count - config.pooler_params - config.layers * sum(k * n for k, n in shapes))
    assert graph.weight_bytes == config.layers * per_layer + wide
    compulsory = sum(op.compulsory_bytes * times for op, times in graph.ops())
    assert graph.compulsory_bytes == compulsory >= config.layers * per_layer
    assert all(op.compulsory_bytes <= op.operand_bytes for op, _ in graph.ops())


SIDES = sorted({scheme_of(name, how).weights for name in [*SCALED, "fp8", "fp8_e5m2"] for how in HOW[1:]}, key=str)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(SIDES), st.integers(1, 70), st.integers(1, 9), st.integers(0, 999), st.booleans())
def test_a_matrix_stands_for_what_it_was(side, k, n, seed, zeros):
    """Every element within half a step of its format at its scale: relative to itself, and below the smallest normal number absolute."""
    random = np.random.default_rng(seed)
    w = random.standard_normal((k, n)).astype(np.float32) * random.choice([1e-3, 1, 30], (k, n)).astype(np.float32)
    w[:, 0] = 0 if zeros else w[:, 0]
    got = quantize_matrix(w, side)
    assert (got.scales is None) == (not side.block) and (got.columns is None) == (not side.factor)
    off, unit = np.abs(got.dequantized().astype(np.float64) - w), np.ones((k, n))
    if got.scales is not None:
        unit = unit * np.repeat(got.scales.astype(np.float64), side.block, 0)[:k]
    if got.columns is not None:
        unit = unit * got.columns
    relative, least = {"int8": (0, 0.5), "fp8_e4m3": (2.0**-4, 2.0**-10), "fp8_e5m2": (2.0**-3, 2.0**-17), "fp6_e2m3": (2.0**-4, 2.0**-4),
                       "fp4_e2m1": (2.0**-2, 0.25)}[side.fmt]  # half a step of a normal number, and of a subnormal one
    if side.scales == "mx":  # what lies above the largest number in the block's binade is cut: 8/7, 4/3 ... of it at most
        relative = max(relative, {"fp8_e4m3": 1 - 448 / 512, "fp4_e2m1": 1 - 6 / 8, "fp6_e2m3": 1 - 7.5 / 8}.get(side.fmt, 0))
    if side.scales == "nvfp4":  # the scale itself is rounded to 4 bits, down by 1/16 at most, and its least is 2^-9
        relative, least = 2.0**-2 + 2.0**-4, 0.25 + 6 * 2.0**-9
    unit = np.maximum(unit, 0 if got.columns is None else got.columns.max())
    assert (off <= 1.0001 * np.maximum(relative * np.abs(w), least * unit)).all()
    assert not zeros or not got.dequantized()[:, 0].any()


def test_weights_come_in_their_parts():
    """Under the graph's names; what is not quantised is what it was; a factor of activations is part of the columns behind it."""
    model = TINY["llama"]
    plain, graph = RandomWeights(model, 3), model.graph("prefill", 1, 4, dtype="nvfp4", scales="static")
    fixed = {(op.name, layer): 0.5 + layer for op in graph.layer if isinstance(op, Gemm) for layer in range(2)}
    parts = {(name, layer): array for name, layer, array in graph_weights(graph, QuantizedWeights(graph, plain, fixed))}
    assert {name for name, _ in parts} == {t.name for t in graph.of_role("weight")}
    assert all(array.shape == graph.tensors[name].shape for (name, _), array in parts.items())
    matrix = quantize_matrix(plain.tensor("up.weight", 1), graph.scheme.weights)
    assert np.array_equal(parts["up.columns", 1], matrix.columns * np.float32(1.5)) and parts["gate_up.fixed", 1] == 1.5
    assert parts["up.weight", 1].tobytes() == matrix.values.tobytes() and parts["up.scales", 1].tobytes() == matrix.scales.tobytes()
    assert np.array_equal(parts["ffn_norm.gamma", 0], plain.tensor("ffn_norm.gamma", 0, "bf16"))


def test_names():
    assert scheme_of("fp8").plain and scheme_of("fp8", "dynamic").weights == Side("fp8_e4m3", "none", True)
    assert scheme_of("bf16", "static") == scheme_of("bf16") and scheme_of("int8").how == "dynamic"
    assert scheme_of("mxfp4_a16").activations == Side("bf16") and not scheme_of("mxfp4_a16").quantizes
    assert scheme_of("nvfp4").weights.block == 16 and scheme_of("mxfp6").weights.block == 32
    refused = (("mxfp5", None, "did you mean"), ("int8", "unit", "mean nothing without scales"), ("fp8", "x", "unit, dynamic"))
    for dtype, scales, words in refused:
        with pytest.raises(UnsupportedError, match=words):
            scheme_of(dtype, scales)
    for kv in ("int8", "mxfp8"):
        with pytest.raises(UnsupportedError, match=f"kv_dtype {kv}"):
            TINY["llama"].graph("prefill", 1, 2, dtype="mxfp4", kv_dtype=kv)
    graph = TINY["llama"].graph("prefill", 1, 2, dtype="mxfp4", kv_dtype="fp8")
    assert (graph.dtype, graph.kv_dtype, graph.tensors["q"].fmt, graph.tensors["x"].fmt) == ("fp4_e2m1", "fp8_e4m3", "bf16", "bf16")
