"""Do small decoders say what the fp32 reference says? Prefill, then steps whose program gets the caches that the program before it gave."""

from __future__ import annotations

import infer_support as support
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.mapper import choose
from emu.models import load_model
from emu.models.reference import Reference
from emu.models.weights import RandomWeights
from emu.study.infer import cosine

PROMPT, STEPS, ROOM = 11, 3, 16


def agree(got, expected, least=0.999):
    """Each sequence by itself, so that a good one does not hide a bad one."""
    assert got.shape == expected.shape
    for row, wanted in zip(got, expected):
        assert cosine(row, wanted) > least, f"cosine {cosine(row, wanted):.5f}"
        assert np.abs(row - wanted).max() <= 0.05 * np.abs(wanted).max()


def generate(model, chip, tokens, prompt, room, seed=1, dtype="bf16", check=True):
    """(pass, reference logits) of the prefill and of every step after it."""
    weights = RandomWeights(model, seed)
    reference = Reference(model, weights)
    done = support.run_pass(model, chip, "prefill", tokens[:, :prompt], weights, room=room, dtype=dtype, check=check)
    yield done, reference.prefill(tokens[:, :prompt], room)
    for j in range(prompt, tokens.shape[1]):
        step = tokens[:, j : j + 1]
        done = support.run_pass(model, chip, "decode", step, weights, start=j, room=room, dtype=dtype, check=check, caches=done.caches)
        yield done, reference.decode(tokens[:, j])


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", support.DECODERS)
@pytest.mark.parametrize("chip", ["tiny", "jalapeno"])
def test_prefill_and_steps(chip, name, batch):
    """No race, logits as the reference has them, and the same cycles and events without values."""
    tokens = np.random.default_rng(5).integers(0, 83, (batch, PROMPT + STEPS))
    for done, expected in generate(support.small(name), support.chip_named(chip), tokens, PROMPT, ROOM):
        agree(done.result, expected)
        timed = done.timed(check=True)
        assert (timed.end_fs, timed.counters, timed.raw["releases"]) == (done.run.end_fs, done.run.counters, done.run.raw["releases"])


def test_on_h100_too():
    tokens = np.random.default_rng(6).integers(0, 83, (2, PROMPT + 1))
    for done, expected in generate(support.small("llama"), support.chip_named("h100"), tokens, PROMPT, ROOM):
        agree(done.result, expected)


def test_example_model():
    """The config.json in examples/."""
    model = load_model(support.Path(__file__).parents[2] / "examples" / "models" / "tiny-llama" / "config.json")
    tokens = np.random.default_rng(2).integers(0, model.config.vocab, (1, 25))
    for done, expected in generate(model, support.chip_named("tiny"), tokens, 24, 32):
        agree(done.result, expected)


@pytest.mark.parametrize(("dtype", "least"), [("fp16", 0.9999), ("fp8", 0.97), ("bf16", 0.999)])
def test_formats(dtype, least):
    """fp16 is closer than bf16; fp8, gemms and caches alike, is near."""
    tokens = np.random.default_rng(7).integers(0, 83, (2, PROMPT + 2))
    for done, expected in generate(support.small("llama"), support.chip_named("tiny"), tokens, PROMPT, ROOM, dtype=dtype):
        for row, wanted in zip(done.result, expected):
            assert cosine(row, wanted) > least


@pytest.mark.parametrize("name", ["llama", "gpt2", "mistral"])
@pytest.mark.parametrize("chip", ["tiny", "jalapeno"])
def test_bit_equal_to_the_oracle(chip, name):
    """Logits and caches of a whole prefill and of a step after it."""
    tokens = np.random.default_rng(8).integers(0, 83, (1, 10))
    for done, _ in generate(support.small(name), support.chip_named(chip), tokens, 9, 12):
        support.assert_same_bits(done.interpreted(), done.run.outputs)


@pytest.mark.parametrize("name", ["llama", "mistral"])
def test_a_cache_split_for_a_long_context_serves_a_short_one(name):
    """estimate maps the longest step and keeps that mapping: cores without a share of a short cache must add nothing."""
    model = support.small(name, **({"sliding_window": 100} if name == "mistral" else {}))
    chip = support.chip_named("jalapeno")
    room = 200
    longest = choose(model.graph("decode", 1, 1, room, "bf16", None, room), chip)
    split = longest["attention"].__class__(8, 1, 2, 16)
    tokens = np.random.default_rng(9).integers(0, 83, (1, 4))
    weights = RandomWeights(model, 3)
    reference = Reference(model, weights)
    reference.prefill(tokens[:, :3], room)
    done = support.run_pass(model, chip, "prefill", tokens[:, :3], weights, room=room)
    choice = longest | {"attention": split}
    step = tokens[:, 3:]
    done = support.run_pass(model, chip, "decode", step, weights, start=3, room=room, caches=done.caches, choice=choice, check=True)
    agree(done.result, reference.decode(tokens[:, 3]))


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(support.DECODERS)), st.integers(1, 3), st.integers(2, 40), st.integers(0, 7), st.integers(0, 99))
def test_any_prompt(name, batch, prompt, spare, seed):
    """Any length, any batch, any room left in the cache: a prefill and one step."""
    tokens = np.random.default_rng(seed).integers(0, 83, (batch, prompt + 1))
    for done, expected in generate(support.small(name), support.chip_named("tiny"), tokens, prompt, prompt + 1 + spare, seed):
        agree(done.result, expected, least=0.998)


def test_a_wrong_cache_is_noticed():
    """The check above can fail: one changed key of another position changes the logits beyond what bf16 explains."""
    model, chip = support.small("llama"), support.chip_named("tiny")
    tokens = np.random.default_rng(5).integers(0, 83, (1, PROMPT + 1))
    weights, reference = RandomWeights(model, 1), Reference(model, RandomWeights(model, 1))
    reference.prefill(tokens[:, :PROMPT], ROOM)
    caches = support.run_pass(model, chip, "prefill", tokens[:, :PROMPT], weights, room=ROOM).caches
    caches["v_cache"] = np.roll(caches["v_cache"], 1, axis=-1)
    done = support.run_pass(model, chip, "decode", tokens[:, PROMPT:], weights, start=PROMPT, room=ROOM, caches=caches)
    with pytest.raises(AssertionError, match="cosine"):
        agree(done.result, reference.decode(tokens[:, PROMPT]))
