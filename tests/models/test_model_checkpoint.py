"""Is a safetensors file read as the safetensors library reads it, and a broken one refused with file and tensor named?"""
import json
import os

import ml_dtypes
import numpy as np
import pytest
import tiny_models
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from emu import EmuError, ModelError, UnsupportedError
from emu.models.checkpoint import MAX_HEADER_BYTES, open_checkpoint


def raw(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def test_reads_what_the_library_wrote(tmp_path):
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.float16([[1.5]]), "c": np.zeros((0, 4)), "d": np.array(2.5),
              "i": np.arange(3)}
    save_file(arrays, tmp_path / "model.safetensors", metadata={"format": "pt"})
    checkpoint = open_checkpoint(tmp_path)
    expected = load_file(tmp_path / "model.safetensors")
    assert set(checkpoint.entries) == set(expected)
    for name in "abcd":
        np.testing.assert_array_equal(checkpoint.read(name), expected[name], strict=True)
    with pytest.raises(UnsupportedError, match="tensor 'i' is I64"):
        checkpoint.read("i")


def test_bf16(tmp_path):
    values = np.array([1.0, -2.5, 3e38], dtype=ml_dtypes.bfloat16)
    (tmp_path / "model.safetensors").write_bytes(raw({"w": entry("BF16", (3,), (0, 6))}, values.tobytes()))
    np.testing.assert_array_equal(open_checkpoint(tmp_path).read("w"), values, strict=True)


@pytest.mark.parametrize("content,message", [
    (b"", "truncated"), (b"\0" * 7, "truncated"), (raw({}, length=100), "truncated: the header ends at byte 108"),
    (raw({}, length=MAX_HEADER_BYTES + 1), "more than the"), (raw({}, length=2**64 - 1), "more than the"), (raw(b"nonsense"), "not JSON"),
    (raw(b"[" * 5000), "nested deeper"), (raw(b'{"w":1,"w":2}'), "'w' appears twice"),
    (raw({"w": 5}), "tensor 'w': expected an object"), (raw({"w": entry("F33")}, b"\0" * 8), "tensor 'w': dtype 'F33'.*did you mean 'F32'"),
    (raw({"w": entry(shape=(-2,))}, b"\0" * 8), "tensor 'w': shape"), (raw({"w": entry(shape=(True, 2))}, b"\0" * 8), "tensor 'w': shape"),
    (raw({"w": entry(shape=(1,) * 9)}, b"\0" * 8), "tensor 'w': shape"), (raw({"w": entry(shape=(2**60,))}), "tensor 'w': shape"),
    (raw({"w": entry(shape=(2**47,) * 8)}), "tensor 'w': F32 .* takes"),
    (raw({"w": entry(shape=(3,))}, b"\0" * 8), "tensor 'w': F32 .* takes 12 bytes, its offsets span 8"),
    (raw({"w": entry(offsets=(8, 0))}, b"\0" * 8), "tensor 'w': data_offsets"),
    (raw({"w": entry(offsets=(0,))}), "tensor 'w': data_offsets"), (raw({"w": entry()}, b"\0" * 7), "tensor 'w': truncated"),
    (raw({"w": {"dtype": "F32", "shape": [2]}}), "tensor 'w': data_offsets None"),
    (raw({"v": entry(), "w": entry(offsets=(4, 12))}, b"\0" * 12), "tensor 'w' overlaps v"),
    (raw({"v": entry(), "w": entry()}, b"\0" * 8), "overlaps"),
    (raw({"w": entry(offsets=(4, 12))}, b"\0" * 12), "leaves a gap after the header"),
    (raw({"w": entry()}, b"\0" * 9), "1 bytes after the last tensor"),
])
def test_broken_files(tmp_path, content, message):
    file = tmp_path / "model.safetensors"
    file.write_bytes(content)
    with pytest.raises(ModelError, match=message) as caught:
        open_checkpoint(tmp_path)
    assert str(file) in str(caught.value)


def test_pickles_are_refused_by_name(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ModelError, match="pytorch_model.bin: .bin weights are not read.*safetensors"):
        open_checkpoint(tmp_path)
    with pytest.raises(ModelError, match="are not read"):
        open_checkpoint(tmp_path / "pytorch_model.bin")


def test_absent_weights(tmp_path):
    with pytest.raises(ModelError, match="no model.safetensors in this folder"):
        open_checkpoint(tmp_path)
    (tmp_path / "modle.safetensors").touch()
    with pytest.raises(ModelError, match="did you mean 'modle.safetensors'"):
        open_checkpoint(tmp_path)
    with pytest.raises(ModelError, match="no such file"):
        open_checkpoint(tmp_path / "gone.safetensors")
    os.mkfifo(tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="not a regular file"):
        open_checkpoint(tmp_path)


def shards(tmp_path, weight_map=None):
    save_file({"a": np.ones(2, np.float32)}, tmp_path / "one.safetensors")
    save_file({"b": np.zeros(3, np.float32)}, tmp_path / "two.safetensors")
    weight_map = {"a": "one.safetensors", "b": "two.safetensors"} if weight_map is None else weight_map
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_shards(tmp_path):
    shards(tmp_path)
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.read("a").tolist() == [1, 1] and checkpoint.read("b").tolist() == [0, 0, 0]


@pytest.mark.parametrize("weight_map,message", [
    ({"a": "../one.safetensors"}, "plain name"), ({"a": "/etc/passwd"}, "plain name"), ({"a": "one.bin"}, "plain name"),
    ({"a": 3}, "weight_map: expected"), ([], "weight_map: expected"), ({"a": "three.safetensors"}, "three.safetensors: no such file"),
    ({"a": "one.safetensors", "c": "one.safetensors"}, "tensor 'c' of model.safetensors.index.json is not in it"),
    ({"b": "one.safetensors"}, "tensor 'a' is not where"), ({f"t{i}": f"s{i}.safetensors" for i in range(1025)}, "1025 files"),
])
def test_broken_indices(tmp_path, weight_map, message):
    shards(tmp_path, weight_map)
    with pytest.raises(ModelError, match=message):
        open_checkpoint(tmp_path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_flipped_byte_or_a_cut_never_ends_in_anything_but_an_emu_error(tmp_path, data):
    whole = raw({"v": entry(shape=(3,), offsets=(0, 12)), "w": entry("F16", (2, 2), (12, 20))}, bytes(range(20)))
    content = bytearray(whole)
    for place in data.draw(st.lists(st.integers(0, len(whole) - 21), max_size=3)):
        content[place] = data.draw(st.integers(0, 255))
    file = tmp_path / "model.safetensors"
    file.write_bytes(bytes(content[:data.draw(st.just(len(whole)) | st.integers(0, len(whole)))]))
    try:
        checkpoint = open_checkpoint(tmp_path)
        for name, found in checkpoint.entries.items():
            assert checkpoint.read(name).shape == found.shape
    except EmuError as error:
        assert "model.safetensors" in str(error)


def test_a_file_that_shrinks_after_it_was_checked(tmp_path):
    place = tiny_models.folder(tmp_path, "bert")
    checkpoint = open_checkpoint(place)
    os.truncate(place / "model.safetensors", checkpoint.entries["embeddings.word_embeddings.weight"].offset + 5)
    with pytest.raises(ModelError, match="tensor 'embeddings.word_embeddings.weight'.*truncated"):
        checkpoint.read("embeddings.word_embeddings.weight")
