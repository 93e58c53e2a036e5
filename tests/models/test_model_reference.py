"""Is the fp32 reference right? The golden values were computed once with torch and transformers from the same tensors."""
import numpy as np
import pytest
import tiny_models
from hypothesis import given, settings
from hypothesis import strategies as st

from emu import ModelError
from emu.models import Attention, Model, load_model
from emu.models.hf import parse_config
from emu.models.inputs import graph_inputs, rope_frequencies
from emu.models.reference import Reference, attention_mask
from emu.models.weights import RandomWeights, load_weights

GOLDEN = {  # the first six logits (embedding elements) of the second sequence of tiny_models.TOKENS
    "llama": [-3.31656, -0.2134, 1.05098, -1.55346, -0.85619, -0.92526],
    "llama-biased": [0.9451, 0.37426, -0.49004, -1.36139, 0.31435, 2.19578],
    "llama-3.1": [-2.62256, -2.44414, 1.85821, -2.22943, 0.82666, 1.9083],
    "llama-linear": [-1.75139, -2.34083, 1.84308, -1.72372, 0.94399, 1.35238],
    "mistral": [-1.6075, -1.13664, -1.23715, 2.35969, 1.33367, -1.55291],
    "gpt2": [2.62448, -1.38547, 0.7446, 1.86482, -1.77443, 1.7763],
    "bert": [-0.59291, -0.32007, 0.89102, -0.85754, 1.42931, 1.95626],
}
DECODERS = sorted(set(GOLDEN) - {"bert"})
TINY = {name: Model(parse_config(data, name, name)) for name, data in tiny_models.CONFIGS.items()}


@pytest.mark.parametrize("kind", GOLDEN)
def test_agrees_with_transformers(tmp_path, kind):
    chosen = load_model(tiny_models.folder(tmp_path, kind))
    reference = Reference(chosen, load_weights(chosen))
    result = reference.encode(tiny_models.TOKENS) if kind == "bert" else reference.prefill(tiny_models.TOKENS)
    np.testing.assert_allclose(result[1, :6], GOLDEN[kind], atol=3e-5)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(DECODERS), st.integers(1, 3), st.integers(1, 8), st.integers(1, 6), st.integers(0, 1000))
def test_prefill_then_decode_equals_prefill_of_all(kind, batch, prompt, steps, seed):
    tokens = np.random.default_rng(seed).integers(0, 61, size=(batch, prompt + steps))
    weights = RandomWeights(TINY[kind], seed)
    stepwise = Reference(TINY[kind], weights)
    stepwise.prefill(tokens[:, :prompt], max_tokens=prompt + steps + seed % 3)
    for step in range(steps):
        logits = stepwise.decode(tokens[:, prompt + step])
    np.testing.assert_allclose(logits, Reference(TINY[kind], weights).prefill(tokens), atol=2e-4, rtol=2e-4)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(sorted(GOLDEN)), st.integers(0, 1000))
def test_sequences_of_a_batch_do_not_meet(kind, seed):
    tokens = np.random.default_rng(seed).integers(0, 61, size=(3, 5))
    reference = Reference(TINY[kind], RandomWeights(TINY[kind], seed))
    run = reference.encode if kind == "bert" else reference.prefill
    together = run(tokens)
    np.testing.assert_allclose(together, np.concatenate([run(row) for row in tokens[:, None]]), atol=2e-4, rtol=2e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 10))
def test_tokens_outside_the_window_do_not_matter(seed, length):
    """One layer of window 4 sees 4 tokens; two layers, 7."""
    tokens = np.random.default_rng(seed).integers(0, 61, size=(1, length + 7))
    other = tokens.copy()
    other[:, :length] = (other[:, :length] + 1) % 61
    reference = Reference(TINY["mistral"], RandomWeights(TINY["mistral"], seed))
    np.testing.assert_allclose(reference.prefill(tokens), reference.prefill(other), atol=1e-5)
    other[:, length] = (other[:, length] + 1) % 61
    assert np.abs(reference.prefill(tokens) - reference.prefill(other)).max() > 1e-5


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(0, 12), st.booleans(), st.none() | st.integers(1, 15))
def test_the_mask_keeps_as_many_pairs_as_are_counted(q_len, earlier, causal, window):
    op = Attention(name="attention", phase="prefill", batch=1, q_heads=1, kv_heads=1, head_dim=2, q_len=q_len, kv_len=q_len + earlier,
                   causal=causal, window=window if causal else None, scale=1.0, q="q", k_cache="k", v_cache="v", output="o")
    mask = attention_mask(op)
    assert mask.sum() == op.pairs
    assert mask.any(axis=0).argmax() == op.first_key


def test_llama3_scaling_leaves_fast_turns_and_divides_slow_ones():
    plain, scaled = rope_frequencies(TINY["llama"].config), rope_frequencies(TINY["llama-3.1"].config)
    assert scaled[-1] == plain[-1] / 8 and (scaled <= plain).all() and (scaled >= plain / 8).all()


def test_pooled_vectors_have_length_one_when_asked():
    config = parse_config(tiny_models.BERT, "b", "b", normalize=True)
    result = Reference(Model(config), RandomWeights(Model(config))).encode([[1, 2, 3]])
    assert np.linalg.norm(result) == pytest.approx(1.0, abs=1e-6)


def test_misuse_is_refused():
    reference = Reference(TINY["llama"], RandomWeights(TINY["llama"]))
    with pytest.raises(ModelError, match="decode before prefill"):
        reference.decode([1])
    with pytest.raises(ModelError, match="token ids reach from 1 to 89, the vocabulary from 0 to 88"):
        reference.prefill([[1, 89]])
    with pytest.raises(ModelError, match="expected 1 x 2 token ids"):
        graph_inputs(TINY["llama"].config, TINY["llama"].graph("prefill", 1, 2), [1, 2, 3])
    with pytest.raises(ModelError, match="expected 1 x 2 token ids"):
        reference.prefill([[0.5, 1.5]])


def test_observe_sees_every_op_in_order():
    seen = []
    graph = TINY["bert"].graph("encode", 1, 3, dtype="fp32")
    Reference(TINY["bert"], RandomWeights(TINY["bert"])).run(graph, [1, 2, 3], lambda op, layer, values: seen.append((op.name, layer)))
    assert seen == [("embed", None), ("embed_norm", None), *((op.name, layer) for layer in range(2) for op in graph.layer), ("pool", None)]
