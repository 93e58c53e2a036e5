"""Are the graphs consistent, and do their FLOP and byte figures equal the closed forms?"""
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import CONFIGS

from emu import UnsupportedError
from emu.models import Attention, Gemm, Model, Norm, RopeAppend, Tensor, model, models, with_bytes
from emu.models.graph import FORMAT_BYTES, format_of
from emu.models.hf import parse_config
from emu.models.tensors import WeightFormats, weight_tensors

TINY = {name: Model(parse_config(data, name, name)) for name, data in CONFIGS.items()}
DTYPES = ("bf16", "fp16", "fp8", "fp8_e5m2", "fp32")


@st.composite
def graphs(draw, kinds=tuple(TINY)):
    chosen = TINY[draw(st.sampled_from(kinds))]
    dtype, kv_dtype = draw(st.sampled_from(DTYPES)), draw(st.none() | st.sampled_from(DTYPES))
    batch = draw(st.integers(1, 3))
    if chosen.kind == "encoder":
        return chosen, chosen.graph("encode", batch, draw(st.integers(1, 20)), dtype=dtype, kv_dtype=kv_dtype)
    phase = draw(st.sampled_from(("prefill", "decode")))
    q_len = 1 if phase == "decode" else draw(st.integers(1, 20))
    kv_len = q_len + draw(st.integers(0, 20))
    return chosen, chosen.graph(phase, batch, q_len, kv_len, dtype, kv_dtype, kv_len + draw(st.integers(0, 5)))


def check_shapes(op, tensors):
    shapes = {name: tensors[name].shape for name in (*op.inputs, *op.outputs)}
    if isinstance(op, Gemm):
        assert shapes[op.input] == (op.m, op.k) and shapes[op.output] == (op.m, op.n)
        assert all(shapes[weight] == ((op.n, op.k) if op.bt else (op.k, op.n)) for weight in op.weights)
        assert all(shapes[bias] == (op.n,) for bias in op.biases) and len(op.biases) in (0, len(op.weights))
        assert op.residual is None or tensors[op.residual] == replace(tensors[op.output], name=op.residual)
        assert tensors[op.input].fmt == tensors[op.weights[0]].fmt and op.out_fmt == tensors[op.output].fmt
    if isinstance(op, Norm):
        assert shapes[op.input] == shapes[op.output] == (op.rows, op.width)
    if isinstance(op, RopeAppend):
        assert shapes[op.input] == (op.batch * op.q_len, (op.q_heads + 2 * op.kv_heads) * op.head_dim)
        assert shapes[op.q] == (op.batch * op.q_len, op.q_heads * op.head_dim)
        assert all(shapes[table][0] >= op.start + op.q_len for table in op.tables or ())
    if isinstance(op, Attention):
        assert shapes[op.q] == shapes[op.output] == (op.batch * op.q_len, op.q_heads * op.head_dim)
        assert shapes[op.k_cache] == shapes[op.v_cache]
        assert shapes[op.k_cache][2] >= op.kv_len


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_every_tensor_is_made_before_it_is_read_and_fits(chosen_graph):
    _, graph = chosen_graph
    made = {tensor.name for tensor in graph.of_role("weight", "table", "input")}
    made |= {"k_cache", "v_cache"} if graph.kv_len > graph.q_len else set()
    used = set()
    for op in (*graph.pre, *graph.layer, *graph.layer, *graph.post):
        assert set(op.inputs) <= made, op
        made |= set(op.outputs)
        used |= set(op.inputs) | set(op.outputs)
        check_shapes(op, graph.tensors)
    assert used == set(graph.tensors)
    assert graph.tensors[graph.output].role == "output"


@settings(max_examples=100, deadline=None)
@given(graphs())
def test_flops_equal_the_closed_form(chosen_graph):
    chosen, graph = chosen_graph
    config = chosen.config
    ffn = config.hidden * config.ffn * (3 if config.activation == "swiglu" else 2)
    per_token = config.hidden * config.qkv_width + config.q_width * config.hidden + ffn
    kept = 0
    for position in range(graph.kv_len - graph.q_len, graph.kv_len):
        keys = range(graph.kv_len) if not config.causal else range(position + 1)
        kept += sum(config.window is None or key > position - config.window for key in keys)
    logits = config.hidden * config.vocab if config.kind == "decoder" else 0
    per_sequence = config.layers * (graph.q_len * per_token + 2 * config.q_width * kept) + logits
    assert graph.flops == 2 * graph.batch * per_sequence


@settings(max_examples=100, deadline=None)
@given(graphs())
def test_bytes_equal_the_closed_form(chosen_graph):
    chosen, graph = chosen_graph
    config = chosen.config
    gemm, wide = FORMAT_BYTES[graph.dtype], max(2, FORMAT_BYTES[graph.dtype])
    matrices = config.layers * sum(tensor.elements for tensor in weight_tensors(config, WeightFormats("", "")) if
                                   tensor.per_layer and tensor.name.endswith(".weight"))
    matrices += 0 if config.tied or config.kind == "encoder" else config.hidden * config.vocab
    assert graph.weight_bytes == matrices * gemm + (chosen.param_count - config.pooler_params - matrices) * wide

    tables = sum(tensor.bytes for tensor in graph.of_role("weight") if tensor.name.startswith("embed."))
    read = graph.weight_bytes - tables + (graph.tensors["embed.token"].bytes if config.tied else 0)
    row = 2 * config.layers * config.kv_width * FORMAT_BYTES[graph.kv_dtype] * graph.batch if config.causal else 0
    start = graph.kv_len - graph.q_len
    earlier = start if config.window is None else min(start, config.window - 1)
    rest = sum(tensor.bytes for tensor in graph.of_role("input", "output"))
    assert graph.compulsory_bytes == read + row * (earlier + graph.q_len) + rest
    assert graph.kv_bytes() == row * graph.max_tokens


@settings(max_examples=100, deadline=None)
@given(graphs())
def test_compulsory_is_at_most_what_the_op_alone_moves(chosen_graph):
    for op, _ in chosen_graph[1].ops():
        assert 0 <= op.compulsory_bytes <= op.operand_bytes


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(set(TINY) - {"bert"})), st.integers(1, 2), st.integers(1, 12), st.integers(1, 12))
def test_chunked_prefill_costs_what_a_whole_one_does(name, batch, first, second):
    def attention_flops(q_len, kv_len):
        return sum(op.flops for op in TINY[name].graph("prefill", batch, q_len, kv_len).layer if isinstance(op, Attention))

    assert attention_flops(first, first) + attention_flops(second, first + second) == attention_flops(first + second, first + second)


def test_eight_bit_gemms_keep_a_wide_residual():
    for name in ("llama", "bert", "gpt2"):
        chosen = TINY[name]
        graph = chosen.graph("encode" if chosen.kind == "encoder" else "prefill", 1, 3, dtype="fp8")
        assert graph.tensors["x"].fmt == "bf16"
        assert all(graph.tensors[op.input].fmt == "fp8_e4m3" for op in graph.layer if isinstance(op, Gemm))


@pytest.mark.parametrize("dtype,kv_dtype,q", [
    ("bf16", None, "bf16"), ("fp8", None, "fp8_e4m3"), ("bf16", "fp8", "bf16"), ("fp8", "bf16", "bf16")])
def test_queries_are_as_wide_as_the_wider_of_weights_and_cache(dtype, kv_dtype, q):
    graph = TINY["llama"].graph("prefill", 1, 3, dtype=dtype, kv_dtype=kv_dtype)
    assert graph.tensors["q"].fmt == q and graph.tensors["k_cache"].fmt == format_of(kv_dtype or dtype)


@pytest.mark.parametrize("name", models())
def test_every_preset_has_its_graphs(name):
    chosen = model(name)
    for phase in ("encode",) if chosen.kind == "encoder" else ("prefill", "decode"):
        graph = chosen.graph(phase, 2, 1 if phase == "decode" else 128, 256 if phase == "decode" else None)
        assert graph.flops > 0 and graph.compulsory_bytes <= graph.weight_bytes + graph.kv_bytes() + graph.activation_bytes


def test_decode_of_llama_3_8b_reads_the_weights_without_the_embedding():
    graph = model("llama-3-8b").graph("decode", 1, 1, 513)
    assert graph.compulsory_bytes == pytest.approx(2 * (8_030_261_248 - 128256 * 4096) + graph.kv_bytes(), rel=1e-4)


@pytest.mark.parametrize("arguments,message", [
    (("encode", 1, 4), r"llama \(decoder\) has no phase 'encode'"), (("decode", 1, 2), "one new token"),
    (("prefill", 0, 2), "batch = 0"), (("prefill", 1, 0), "q_len = 0"), (("prefill", 1, 4, 3), "q_len <= kv_len"),
    (("prefill", 1, 65), "65 tokens is beyond the model's maximum of 64"), (("prefill", 1, 4, 4, "bf15"), "did you mean 'bf16'"),
    (("prefill", 1, 4, 8, "bf16", None, 6), "max_tokens"),
])
def test_impossible_passes_are_refused(arguments, message):
    with pytest.raises(UnsupportedError, match=message):
        TINY["llama"].graph(*arguments)


def test_an_op_made_by_hand_gets_its_bytes():
    op = Attention(name="attention", phase="decode", batch=2, q_heads=8, kv_heads=2, head_dim=16, q_len=1, kv_len=100, causal=True,
                   window=None, scale=0.25, q="q", k_cache="k", v_cache="v", output="o")
    tensors = {"q": Tensor("q", (2, 128), "bf16", "input"), "o": Tensor("o", (2, 128), "bf16", "output")}
    tensors |= {name: Tensor(name, (2, 2, 100, 16), "fp8_e4m3", "kv") for name in "kv"}
    assert with_bytes(op, tensors).operand_bytes == 2 * 2 * 2 * 100 * 16 + 2 * 2 * 128 * 2
    windowed = with_bytes(replace(op, window=30), tensors)
    assert windowed.operand_bytes == 2 * 2 * 2 * 30 * 16 + 2 * 2 * 128 * 2
    assert windowed.compulsory_bytes == windowed.operand_bytes - 2 * 2 * 2 * 16  # this step's own key and value


@pytest.mark.parametrize("dtype, words", [("fp4_e2m1", "do not compute in it"), ("tf32", "do not compute in it"), ("fp7", "is not known"),
                                          ("mxfp4", "stand for themselves")])
def test_a_format_that_models_do_not_use_is_refused_as_what_it_is(dtype, words):
    with pytest.raises(UnsupportedError, match=words):
        format_of(dtype)
