"""Do a checkpoint's tensors land where the graph wants them, and is every mismatch named?"""
import ml_dtypes
import numpy as np
import pytest
import tiny_models
from safetensors.numpy import save_file

from emu import ModelError, UnsupportedError
from emu.models import load_model, model
from emu.models.formats import STORAGE, cast
from emu.models.names import PREFIX
from emu.models.weights import RandomWeights, graph_weights, has_weights, load_weights


def saved(tmp_path, kind, change):
    """The weights of a tiny folder after `change` edited its tensors by name."""
    place = tiny_models.folder(tmp_path, kind)
    tensors = tiny_models.checkpoint(load_model(place))
    tensors = change(tensors) or tensors
    save_file(tensors, place / "model.safetensors")
    return load_weights(load_model(place))


def test_llama_is_transposed_and_fused(tmp_path):
    place = tiny_models.folder(tmp_path, "llama")
    raw, weights = tiny_models.checkpoint(load_model(place)), load_weights(load_model(place))
    parts = [raw[f"layers.1.self_attn.{part}_proj.weight"].T for part in "qkv"]
    np.testing.assert_array_equal(weights.tensor("qkv.weight", 1), np.concatenate(parts, axis=1))
    np.testing.assert_array_equal(weights.tensor("down.weight", 0), raw["layers.0.mlp.down_proj.weight"].T)
    np.testing.assert_array_equal(weights.tensor("embed.token"), raw["embed_tokens.weight"])
    np.testing.assert_array_equal(weights.tensor("logits.weight"), raw["lm_head.weight"].T)


def test_gpt2_is_not_transposed(tmp_path):
    place = tiny_models.folder(tmp_path, "gpt2")
    raw, weights = tiny_models.checkpoint(load_model(place)), load_weights(load_model(place))
    np.testing.assert_array_equal(weights.tensor("qkv.weight", 0), raw["h.0.attn.c_attn.weight"])
    np.testing.assert_array_equal(weights.tensor("up.bias", 1), raw["h.1.mlp.c_fc.bias"])


@pytest.mark.parametrize("kind", tiny_models.CONFIGS)
def test_every_tensor_of_the_graph_has_its_shape_and_format(tmp_path, kind):
    chosen = load_model(tiny_models.folder(tmp_path, kind))
    graph = chosen.graph("encode" if chosen.kind == "encoder" else "prefill", 1, 4, dtype="fp8")
    for source in (load_weights(chosen), RandomWeights(chosen)):
        total = 0
        for name, _, array in graph_weights(graph, source):
            assert array.shape == graph.tensors[name].shape and array.dtype == STORAGE[graph.tensors[name].fmt]
            total += array.nbytes
        assert total == graph.weight_bytes


@pytest.mark.parametrize("kind", ["llama", "gpt2", "bert"])
def test_prefix_and_spare_tensors_do_not_matter(tmp_path, kind):
    prefix = PREFIX[tiny_models.CONFIGS[kind]["model_type"]]
    spare = {"llama": {"model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(5)}, "gpt2": {"h.0.attn.bias": np.ones((1, 1, 4, 4))},
             "bert": {"bert.pooler.dense.weight": np.ones((24, 24)), "cls.predictions.bias": np.ones(61),
                      "embeddings.position_ids": np.ones(3)}}
    plain = load_weights(load_model(tiny_models.folder(tmp_path / "plain", kind)))

    def change(tensors):
        named = {name if name.startswith("lm_head") else prefix + name: value for name, value in tensors.items()}
        return named | {name: value.astype(np.float32) for name, value in spare[kind].items()}

    weights = saved(tmp_path / "prefixed", kind, change)
    np.testing.assert_array_equal(weights.tensor("qkv.weight", 1), plain.tensor("qkv.weight", 1))


def test_old_bert_names(tmp_path):
    def change(tensors):
        return {name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
                for name, value in tensors.items()}

    assert saved(tmp_path, "bert", change).tensor("attn_norm.gamma", 0).shape == (24,)


@pytest.mark.parametrize("change,message", [
    (lambda t: {("layers.0.mlp.gate_prj.weight" if "0.mlp.gate" in name else name): value for name, value in t.items()},
     "'layers.0.mlp.gate_proj.weight' of .* is missing; did you mean 'layers.0.mlp.gate_prj.weight'"),
    (lambda t: t | {"layers.2.mlp.up_proj.weight": t["layers.1.mlp.up_proj.weight"]}, "'layers.2.mlp.up_proj.weight' has no place"),
    (lambda t: t | {"norm.weight": np.ones(47, np.float32)}, r"'norm.weight' has shape \[47\], config.json makes it \[48\]"),
    (lambda t: t | {"model.norm.weight": t["norm.weight"]}, "are the same weight"),
    (lambda t: {name: value for name, value in t.items() if name != "lm_head.weight"}, "'lm_head.weight' of .* is missing"),
])
def test_mismatches_name_the_tensor(tmp_path, change, message):
    with pytest.raises(ModelError, match=message):
        saved(tmp_path, "llama", change)


def test_quantised_weights_are_refused_by_name(tmp_path):
    weights = saved(tmp_path, "llama", lambda t: t | {"layers.1.mlp.up_proj.weight": np.ones((56, 48), np.int8)})
    with pytest.raises(UnsupportedError, match="'layers.1.mlp.up_proj.weight' is I8"):
        weights.tensor("up.weight", 1)


@pytest.mark.parametrize("name,layer,message", [
    ("up.wieght", 0, "did you mean 'up.weight'"), ("up.weight", None, "a layer from 0 to 31"), ("up.weight", 32, "a layer from 0 to 31"),
    ("embed.token", 0, "takes no layer")])
def test_asking_for_what_is_not_there(name, layer, message):
    with pytest.raises(ModelError, match=message):
        RandomWeights(model("llama-3-8b")).tensor(name, layer)


def test_presets_have_no_weights(tmp_path):
    with pytest.raises(ModelError, match="preset without weights"):
        load_weights(model("gpt-2"))
    assert not has_weights(model("gpt-2"))
    assert has_weights(load_model(tiny_models.folder(tmp_path, "gpt2")))


def test_random_weights_repeat_and_differ():
    first, again, other = (RandomWeights(model("all-minilm-l6-v2"), seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.tensor("up.weight", 3), again.tensor("up.weight", 3))
    assert (first.tensor("up.weight", 3) != other.tensor("up.weight", 3)).any()
    assert (first.tensor("up.weight", 3) != first.tensor("up.weight", 4)).any()


def test_cast():
    wild = np.float32([1e9, -1e9, 0.3, 1e-30])
    assert cast(wild, "fp8_e4m3").astype(np.float32).tolist() == [448, -448, 0.3125, 0]
    np.testing.assert_array_equal(cast(wild, "bf16"), wild.astype(ml_dtypes.bfloat16))
    with pytest.raises(UnsupportedError, match="int8 need scales"):
        cast(wild, "int8")
