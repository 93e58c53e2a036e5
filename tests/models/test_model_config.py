"""Is a stranger's config.json read rightly, or refused with a message that says where and what?"""
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import BERT, CONFIGS, LLAMA

from emu import EmuError, ModelError, UnsupportedError
from emu.models import load_model
from emu.models.files import MAX_CONFIG_BYTES, parse_object
from emu.models.hf import parse_config

GPT2 = CONFIGS["gpt2"]


def parse(data):
    return parse_config(data, "m", "config.json")


def test_defaults_of_the_family():
    config = parse({key: value for key, value in LLAMA.items() if key not in ("num_key_value_heads", "head_dim")})
    assert (config.kv_heads, config.head_dim, config.activation, config.tied) == (6, 8, "swiglu", False)
    assert parse(GPT2).ffn == 4 * 32 and parse(GPT2).tied and parse(GPT2).activation == "gelu_tanh"
    assert parse(BERT).activation == "gelu_erf" and not parse(BERT).norm_first


def test_newer_files_keep_rope_in_one_table():
    old = parse(LLAMA | {"rope_theta": 500000.0, "rope_scaling": {"rope_type": "linear", "factor": 2.0}})
    new = {key: value for key, value in LLAMA.items() if key != "rope_theta"}
    assert parse(new | {"rope_parameters": {"rope_theta": 500000.0, "rope_type": "linear", "factor": 2.0}}) == old


def test_auto_map_and_unknown_keys_are_ignored():
    assert parse(LLAMA | {"auto_map": {"AutoModel": "evil.Code"}, "_name_or_path": "x", "use_cache": True}) == parse(LLAMA)


@pytest.mark.parametrize("data,message", [
    (LLAMA | {"model_type": "lama"}, "model_type = 'lama'.*did you mean 'llama'"),
    (LLAMA | {"model_type": "mixtral"}, "config.json: model_type = 'mixtral' is not supported"),
    (LLAMA | {"num_local_experts": 8}, "num_local_experts = '8'"),
    (LLAMA | {"quantization_config": {"bits": 4}}, "quantization_config"),
    (LLAMA | {"hidden_act": "relu"}, "hidden_act = 'relu' is not supported.*'silu'"),
    (LLAMA | {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}, "rope_scaling: rope_type = 'yarn'"),
    (LLAMA | {"sliding_window": 5}, "sliding_window"),
    (LLAMA | {"layer_types": ["full_attention", "sliding_attention"]}, "layer_types"),
    (LLAMA | {"partial_rotary_factor": 0.5}, "partial_rotary_factor = '0.5'"),
    (GPT2 | {"activation_function": "gelu_nwe"}, "did you mean 'gelu_new'"),
    (GPT2 | {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx"),
    (GPT2 | {"alibi": True}, "alibi"),
    (BERT | {"position_embedding_type": "relative_key"}, "position_embedding_type"),
    (BERT | {"is_decoder": True}, "is_decoder"),
])
def test_what_is_not_supported_is_refused_by_name(data, message):
    with pytest.raises(UnsupportedError, match=message):
        parse(data)


@pytest.mark.parametrize("data,message", [
    ({key: value for key, value in LLAMA.items() if key != "hidden_size"} | {"hiden_size": 48}, "'hidden_size' is missing.*'hiden_size'"),
    ({}, "'model_type' is missing"),
    (LLAMA | {"hidden_size": "48"}, "hidden_size = '48': expected an integer"),
    (LLAMA | {"hidden_size": True}, "expected an integer"),
    (LLAMA | {"hidden_size": 48.0}, "expected an integer"),
    (LLAMA | {"num_hidden_layers": 0}, "num_hidden_layers = '0'"),
    (LLAMA | {"num_hidden_layers": 10**9}, "num_hidden_layers"),
    (LLAMA | {"num_key_value_heads": 4}, "num_key_value_heads = '4': expected a divisor of num_attention_heads = 6"),
    (LLAMA | {"head_dim": 9}, "head_dim = '9': expected an even number"),
    (LLAMA | {"rms_norm_eps": -1.0}, "rms_norm_eps"),
    (LLAMA | {"rms_norm_eps": float("inf")}, "rms_norm_eps"),
    (LLAMA | {"rope_scaling": "linear"}, "rope_scaling.*expected an object"),
    (LLAMA | {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "rope_scaling: key 'low_freq_factor' is missing"),
    (LLAMA | {"tie_word_embeddings": "yes"}, "expected true or false"),
    (LLAMA | {"model_type": ["llama"]}, "model_type.*expected text"),
    (GPT2 | {"n_head": 5}, "n_head = '5': expected a divisor of n_embd = 32"),
])
def test_bad_values_name_file_key_and_expectation(data, message):
    with pytest.raises(ModelError, match=message):
        parse(data)


@pytest.mark.parametrize("text,message", [
    (b"[" * 200_000, "nested deeper"), (b'{"a":' * 40 + b"1" + b"}" * 40, "nested deeper"), (b"{", "not JSON.*line 1"),
    (b"[]", "JSON object"),
    (b'{"a": NaN}', "NaN"), (b'{"a": 1, "a": 2}', "'a' appears twice"), (b"\xff\xfe", "UTF-8"), (b"", "not JSON"),
    (b'{"a": ' + b"9" * 5000 + b"}", "JSON"), (b'{"\\ud800": 1e999}', "model_type"),
])
def test_files_that_are_no_config(tmp_path, text, message):
    file = tmp_path / "config.json"
    file.write_bytes(text)
    with pytest.raises(ModelError, match=message):
        load_model(file)


def test_size_is_bounded(tmp_path):
    file = tmp_path / "config.json"
    file.write_text(json.dumps(LLAMA | {"padding": " " * MAX_CONFIG_BYTES}))
    with pytest.raises(ModelError, match="more than the 1048576"):
        load_model(tmp_path)


def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(ModelError, match="not a regular file"):
        load_model(tmp_path)


@pytest.mark.parametrize("path", ["nowhere", "nowhere/config.json", "a\0b"])
def test_absent_files(tmp_path, path):
    with pytest.raises(ModelError):
        load_model(str(tmp_path / path))


def test_normalize_comes_from_the_modules_of_the_folder(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(BERT | {"emu_normalize": True}))
    assert not load_model(tmp_path).config.normalize
    (tmp_path / "modules.json").write_text('[{"type": "sentence_transformers.models.Normalize"}]')
    assert load_model(tmp_path).config.normalize
    (tmp_path / "modules.json").write_text('{"type": "x"}')
    with pytest.raises(ModelError, match="modules.json"):
        load_model(tmp_path)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
KEYS = st.text(max_size=5)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=5)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(CONFIGS)), st.data())
def test_any_value_anywhere_is_understood_or_refused(kind, data):
    more = ("rope_scaling", "rope_parameters", "sliding_window", "quantization_config", "hidden_act", "num_experts")
    changed = CONFIGS[kind] | data.draw(st.dictionaries(st.sampled_from([*sorted(CONFIGS[kind]), *more]), VALUES, max_size=3))
    try:
        config = parse(changed)
    except EmuError as error:
        assert str(error).startswith("config.json")
    else:
        assert config.hidden > 0 and config.q_heads % config.kv_heads == 0


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,0123456789eE-.\\', max_size=60).map(str.encode))
def test_any_bytes_are_an_object_or_an_error(data):
    try:
        assert isinstance(parse_object(data, "f"), dict)
    except ModelError as error:
        assert str(error).startswith("f: ")
