"""Do the presets have the published shapes?"""
import subprocess
import sys

import pytest

import emu
from emu.models import load_model, model, models

PUBLISHED = {  # parameters as published, to the digits published
    "llama-3-8b": 8.03e9, "llama-3-70b": 70.6e9, "llama-2-7b": 6.74e9, "llama-2-70b": 69.0e9, "mistral-7b": 7.24e9, "gpt-2": 124e6,
    "gpt-3-175b": 175e9, "bert-base": 110e6, "all-MiniLM-L6-v2": 22.7e6,
}


def test_exactly_the_promised_presets_exist():
    assert sorted(models()) == sorted(PUBLISHED)
    assert emu.models() == models()


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_as_published(name):
    assert model(name).param_count == pytest.approx(PUBLISHED[name], rel=0.005)


@pytest.mark.parametrize("name,count", [
    ("llama-3-8b", 8_030_261_248), ("llama-2-7b", 6_738_415_616), ("mistral-7b", 7_241_732_096), ("gpt-2", 124_439_808),
    ("bert-base", 109_482_240), ("all-minilm-l6-v2", 22_713_216)])
def test_parameters_are_those_of_the_published_checkpoints(name, count):
    assert model(name).param_count == count


def test_names_ignore_case():
    assert model("LLAMA-3-8B") == model("llama-3-8b")
    assert model("ALL-minilm-L6-V2").name == "all-MiniLM-L6-v2"


def test_unknown_name_is_told_the_nearest():
    with pytest.raises(emu.ModelError, match="'llama-3-80b'.*'llama-3-8b'"):
        model("llama-3-80b")


@pytest.mark.parametrize("name,kv_dtype,bytes_per_token", [
    ("llama-3-8b", "bf16", 2 * 32 * 8 * 128 * 2), ("llama-3-70b", "fp8", 2 * 80 * 8 * 128), ("gpt-3-175b", "bf16", 2 * 96 * 96 * 128 * 2),
    ("bert-base", "bf16", 0)])
def test_cache_bytes_per_token(name, kv_dtype, bytes_per_token):
    graph = model(name).graph("encode" if name == "bert-base" else "prefill", batch=2, q_len=5, kv_dtype=kv_dtype)
    assert graph.kv_bytes() == 10 * bytes_per_token
    assert graph.kv_bytes(batch=3, tokens=7) == 21 * bytes_per_token


def test_importing_models_is_cheap():
    code = "import sys, emu.models as m; m.model('llama-3-8b').graph('prefill', q_len=4); print(sorted({'numpy', 'torch', 'tokenizers', " \
           "'safetensors', 'ml_dtypes', 'pydantic'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_model_takes_paths_too(tmp_path):
    file = tmp_path / "config.json"
    file.write_text('{"model_type": "gpt2", "n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 4, "vocab_size": 5}')
    assert model(str(tmp_path)) == model(str(file)) == load_model(tmp_path) == load_model(file)
    assert model(str(file)).name == tmp_path.name


def test_to_dict_is_plain():
    assert model("mistral-7b").to_dict()["window"] == 4096
