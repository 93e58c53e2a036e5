"""Does the real all-MiniLM-L6-v2 give the right embeddings? Against fp32 NumPy, and bit for bit against the oracle."""

from __future__ import annotations

from dataclasses import replace

import infer_support as support
import numpy as np
import pytest

import emu
from emu.models import load_model
from emu.models.reference import Reference
from emu.models.tokenize import Tokenizer
from emu.models.weights import load_weights
from emu.study.infer import cosine

SENTENCES = [
    "Hello",
    "42",
    "Why?",
    "Good morning.",
    "3.14159 is not 22/7",
    "A cat sits on the mat.",
    "A kitten is resting on a rug.",
    "naïve façade — Ünïcödé, 東京!",
    "THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG",
    "The stock market fell sharply today.",
    "Send $1,250.00 to account 00-1234-567 by 31/12/2026.",
    "def add(a, b): return a + b  # a comment",
    "to be, or not to be: that is the question",
    "!!! ??? ... ;;; ---",
    "Inference on this chip is bound by the bandwidth of its memory, not by its matrix engines.",
    "He said: \"I don't know; ask the architect (or her deputy), she'll know.\"",
    "Antidisestablishmentarianism and floccinaucinihilipilification are words that a tokenizer must cut into many pieces.",
    "In 1969 two people walked on the Moon; by 1972 there had been twelve, and then, for more than fifty years, nobody at all.",
    "Each core runs the same program, and cores differ only by their number and by their column of the table of parameters, so that "
    "a layer of a very large model is a few hundred instructions.",
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness, it was the epoch of "
    "belief, it was the epoch of incredulity, it was the season of Light, it was the season of Darkness.",
    "x " * 63,
]


@pytest.fixture(scope="module")
def place():
    return support.minilm_folder()


@pytest.fixture(scope="module")
def real(place):
    """(model, weights, tokenizer, reference), loaded once."""
    model = load_model(place)
    weights = load_weights(model)
    return model, weights, Tokenizer(place), Reference(model, weights)


def tokens_of(real, text):
    return np.asarray([real[2].encode(text, real[0].config)])


def test_sentences_differ_in_length(real):
    lengths = {tokens_of(real, text).size for text in SENTENCES}
    assert len(SENTENCES) >= 20 and min(lengths) == 3 and max(lengths) >= 60 and len(lengths) >= 12


@pytest.mark.parametrize("text", SENTENCES)
def test_embedding_is_that_of_the_fp32_reference(real, text):
    """bf16 on the chip; the timed run without values takes the same cycles and counts the same events."""
    model, weights, _, reference = real
    tokens = tokens_of(real, text)
    done = support.run_pass(model, support.chip_named("jalapeno"), "encode", tokens, weights)
    assert done.lowered.layers == 6
    assert cosine(done.result[0], reference.encode(tokens)[0]) >= 0.999
    timed = done.timed()
    assert (timed.end_fs, timed.counters) == (done.run.end_fs, done.run.counters)


@pytest.mark.parametrize("name", ["tiny", "h100"])
def test_other_chips_embed_alike(real, name):
    """Other geometry, other order of addition, other tilings: the same sentence."""
    model, weights, _, reference = real
    if name == "tiny":  # whose memory does not hold the vocabulary's table and whose scratchpad is small: one layer, without races
        chip = support.chip_named("tiny").vary({"hbm.capacity": "256 MiB"})
    else:
        chip = support.chip_named(name)
    tokens = tokens_of(real, "A cat sits on the mat.")
    done = support.run_pass(model, chip, "encode", tokens, weights, check=True)
    assert cosine(done.result[0], reference.encode(tokens)[0]) >= 0.999


def test_public_infer_gives_the_same(place, real):
    """The door that users take: the embedding of that run, its cosine, its cycles and where they went."""
    text = SENTENCES[5]
    result = emu.infer(place, "jalapeno", text, check=True)
    done = support.run_pass(real[0], support.chip_named("jalapeno"), "encode", tokens_of(real, text), real[1])
    assert result.embedding.tobytes() == done.result[0].tobytes() and result.run.end_fs == done.run.end_fs
    report = result.to_dict()
    assert report["cosine_to_reference"] >= 0.999 and report["tokens"] == len(result.tokens) == 9
    assert np.linalg.norm(report["embedding"]) == pytest.approx(1.0, abs=1e-3)
    assert report["cycles"] > 0 and report["joules"] == pytest.approx(sum(report["energy"].values()))
    for causes in report["stalls"].values():
        assert sum(causes.values()) == pytest.approx(support.chip_named("jalapeno").core_count * report["seconds"], rel=1e-9)


def test_like_meanings_stay_near_on_the_chip(real):
    model, weights, _, _ = real
    chip = support.chip_named("jalapeno")
    cat, kitten, stocks = (
        support.run_pass(model, chip, "encode", tokens_of(real, SENTENCES[j]), weights).result[0] for j in (5, 6, 9)
    )
    assert cat @ kitten > 0.6 and abs(cat @ stocks) < 0.2


@pytest.mark.parametrize(("text", "layers", "name"), [(SENTENCES[5], 6, "jalapeno"), (SENTENCES[10], 1, "jalapeno"), ("Why?", 1, "h100")])
def test_bit_equal_to_the_oracle(real, text, layers, name):
    """The machine's embedding is, byte for byte, what the oracle makes of the same program: all six layers of a sentence, one of others."""
    model, weights, _, _ = real
    model = replace(model, config=replace(model.config, layers=layers))
    done = support.run_pass(model, support.chip_named(name), "encode", tokens_of(real, text), weights, check=True)
    support.assert_same_bits(done.interpreted(), done.run.outputs)
