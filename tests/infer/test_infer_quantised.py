"""Small decoders in low precision: the machine against a NumPy reference that has the same numerics, bit by bit, token by token."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import infer_support as support
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.errors import UnsupportedError
from emu.mapper import choose
from emu.models.exact import Exact
from emu.models.quantize import calibrate
from emu.models.reference import Reference
from emu.models.weights import RandomWeights
from emu.study.infer import cosine
from emu.study.numerics import chosen, numerics

DTYPES = {  # dtype, scales, kv_dtype
    "bf16": ("bf16", None, None), "fp16, fp8 cache": ("fp16", None, "fp8"), "fp8 as it is": ("fp8", None, None),
    "fp8": ("fp8", "dynamic", None), "fp8, static": ("fp8", "static", None), "int8": ("int8", "dynamic", None),
    "int8, fp8 cache": ("int8", "static", "fp8"), "mxfp8": ("mxfp8", None, None), "mxfp6": ("mxfp6", None, None),
    "mxfp4": ("mxfp4", None, None), "mxfp4, fp8 cache": ("mxfp4", None, "fp8"), "nvfp4": ("nvfp4", "dynamic", None),
    "nvfp4, static": ("nvfp4", "static", "fp8_e5m2"), "mxfp4_a8": ("mxfp4_a8", None, None), "mxfp4_a16": ("mxfp4_a16", None, None),
    "nvfp4_a16": ("nvfp4_a16", None, None),
}  # fmt: skip
QUICK = settings(max_examples=24, deadline=None, derandomize=True)


class Both:
    """A decoder on a chip and the reference beside it, from an empty cache on."""

    def __init__(
        self, model: Any, chip: Any, dtype: tuple[str, str | None, str | None], room: int, seed: int = 1, check: bool = True,
    ) -> None:
        self.model, self.chip, (self.dtype, self.scales, self.kv_dtype) = model, chip, dtype
        self.room, self.check, self.weights, self.caches, self.filled = room, check, RandomWeights(model, seed), None, 0
        self.fixed = None
        if self.scales == "static":
            graph = model.graph("prefill", 1, 8, dtype=self.dtype, scales=self.scales)
            samples = np.random.default_rng(seed + 1).integers(0, model.config.vocab, (2, 1, 8))
            self.fixed = calibrate(model, self.weights, graph, samples)
        self.exact = Exact(model, self.weights, chosen(chip), self.dtype, self.kv_dtype, self.scales, self.fixed)

    def step(self, tokens: np.ndarray) -> tuple[support.Pass, np.ndarray]:
        """The pass of the machine over the next tokens [batch, q_len], and the logits of the reference."""
        done = support.run_pass(
            self.model, self.chip, "decode" if self.filled else "prefill", tokens, self.weights, start=self.filled, room=self.room,
            dtype=self.dtype, caches=self.caches, check=self.check, kv_dtype=self.kv_dtype, scales=self.scales, fixed=self.fixed,
        )
        expected = self.exact.decode(tokens[:, 0]) if self.filled else self.exact.prefill(tokens, self.room)
        self.caches, self.filled = done.caches, self.filled + tokens.shape[1]
        return done, expected

    def assert_same(self, tokens: np.ndarray) -> np.ndarray:
        """Logits and all that is in the caches; gives the logits."""
        done, expected = self.step(tokens)
        assert np.array_equal(done.result.view(np.uint32), expected.view(np.uint32))
        for name, cache in done.caches.items():
            for layer, wanted in enumerate(self.exact.caches(name)):
                got = cache.reshape(-1, *wanted.shape)[layer, :, :, : self.filled]
                assert got.tobytes() == wanted[:, :, : self.filled].tobytes(), f"{name} of layer {layer}"
        return done.result


@QUICK
@given(
    st.sampled_from(sorted(DTYPES)), st.sampled_from(["b200", "tiny", "h100"]), st.sampled_from(sorted(support.DECODERS)),
    st.integers(1, 2), st.integers(2, 20), st.integers(0, 6), st.integers(0, 99),
)
def test_machine_equals_reference(dtype, chip, name, batch, prompt, spare, seed):
    """A prefill and a step, whatever the format, model, chip and length: not one bit of logits or caches differs, and there is no race."""
    model = support.small(name)
    both = Both(model, support.low_precision(chip), DTYPES[dtype], prompt + 1 + spare, seed)
    tokens = np.random.default_rng(seed).integers(0, 83, (batch, prompt + 1))
    both.assert_same(tokens[:, :prompt])
    both.assert_same(tokens[:, prompt:])


@pytest.mark.parametrize("dtype", ["fp8", "int8, fp8 cache", "mxfp4, fp8 cache", "nvfp4"])
def test_greedy_tokens(dtype):
    """Grouped heads, a prompt of two sequences, ten tokens each: both say the same ones, because they have the same bits."""
    model = support.small("llama")
    both = Both(model, support.chip_named("jalapeno"), DTYPES[dtype], 20, check=False)
    tokens, said = np.random.default_rng(4).integers(0, 83, (2, 9)), []
    for _ in range(10):
        done, expected = both.step(tokens)
        tokens = done.result.argmax(1)[:, None]
        assert np.array_equal(tokens[:, 0], expected.argmax(1)) and np.array_equal(done.result, expected)
        said.append(tokens[:, 0].tolist())
    assert len({tuple(pair) for pair in said}) > 3  # it does not say one thing again and again


@pytest.mark.parametrize("dtype, least", [
    ("bf16", 0.999), ("int8", 0.999), ("fp8", 0.98), ("mxfp8", 0.98), ("mxfp6", 0.97), ("mxfp4_a8", 0.88), ("mxfp4", 0.8), ("nvfp4", 0.88),
])
def test_formats_are_as_near_to_fp32_as_their_bits_allow(dtype, least):
    """Mean cosine of eight sequences' logits."""
    model, tokens = support.small("llama", hidden_size=128, intermediate_size=256), np.random.default_rng(3).integers(0, 83, (8, 12))
    both = Both(model, support.chip_named("b200"), DTYPES[dtype], 12, check=False)
    done, _ = both.step(tokens)
    expected = Reference(model, both.weights).prefill(tokens)
    assert np.mean([cosine(a, b) for a, b in zip(done.result, expected)]) > least


@pytest.mark.parametrize("dtype", ["mxfp4", "nvfp4", "int8", "mxfp6"])
def test_the_program_on_the_oracle(dtype):
    """The same program, instruction by instruction, in the instruction set's own words."""
    both = Both(support.small("llama"), support.low_precision("tiny"), DTYPES[dtype], 12)
    tokens = np.random.default_rng(8).integers(0, 83, (1, 10))
    for part in (tokens[:, :9], tokens[:, 9:]):
        done, _ = both.step(part)
        support.assert_same_bits(done.interpreted(), done.run.outputs)
        timed = done.timed(check=True)
        assert (timed.end_fs, timed.counters) == (done.run.end_fs, done.run.counters)


@pytest.mark.parametrize("split", [2, 4])
def test_a_cache_that_is_split(split):
    """Parts of the cache on several cores, merged: the reference adds in the same order; one part has no keys at all."""
    model, chip = support.small("llama"), support.chip_named("jalapeno")
    both, tokens = Both(model, chip, DTYPES["mxfp4, fp8 cache"], 40), np.random.default_rng(2).integers(0, 83, (1, 26))
    both.assert_same(tokens[:, :25])

    def divided(graph):
        choice = choose(graph, chip)
        return choice | {"attention": replace(choice["attention"], tile_kv=8, split_b=1, split_h=2, split_kv=split)}

    both.exact.numerics = lambda graph: numerics(graph, chip, divided(graph))
    graph = model.graph("decode", 1, 1, 26, both.dtype, both.kv_dtype, 40, both.scales)
    done = support.run_pass(
        model, chip, "decode", tokens[:, 25:], both.weights, start=25, room=40, dtype=both.dtype, kv_dtype=both.kv_dtype,
        caches=both.caches, choice=divided(graph), check=True,
    )
    assert np.array_equal(done.result, both.exact.decode(tokens[:, 25]))


def test_the_last_bit_counts():
    """The comparison can fail: a reference that cuts sums at another k, and so rounds them elsewhere, is not the machine."""
    both = Both(support.small("llama"), support.chip_named("jalapeno"), DTYPES["mxfp8"], 12)
    right = both.exact.numerics
    both.exact.numerics = lambda graph: replace(right(graph), max_k=32)
    with pytest.raises(AssertionError):
        both.assert_same(np.random.default_rng(8).integers(0, 83, (1, 10)))


def test_static_scales_need_calibration_and_then_no_row_is_looked_at():
    """Without factors they are refused; with them there are no reductions but those of norms and softmax."""
    model, chip = support.small("llama"), support.chip_named("jalapeno")
    tokens, weights = np.random.default_rng(1).integers(0, 83, (1, 6)), RandomWeights(model, 1)
    with pytest.raises(UnsupportedError, match="static scales need calibration, and qkv of layer 0 has none"):
        support.run_pass(model, chip, "prefill", tokens, weights, dtype="int8", scales="static")
    reductions = {}
    for scales in ("dynamic", "static", None):
        both = Both(model, chip, ("bf16" if scales is None else "int8", scales, None), 6)
        done, _ = both.step(tokens)
        reductions[scales] = done.run.counters["vec_reduce"]
    assert reductions["static"] == reductions[None] < reductions["dynamic"]


def test_calibration_finds_the_largest():
    """Of every gemm's input in fp32, over all samples; a sample more can only raise it."""
    model = support.small("gpt2")
    weights, graph = RandomWeights(model, 5), model.graph("prefill", 1, 4, dtype="int8", scales="static")
    one, two = np.random.default_rng(1).integers(0, 83, (2, 1, 9))
    few, more = calibrate(model, weights, graph, [one]), calibrate(model, weights, graph, [one, two])
    assert set(few) == {(name, layer) for name in ("qkv", "attn_out", "up", "down") for layer in (0, 1)}
    assert all(few[key] <= more[key] for key in few) and any(few[key] < more[key] for key in few)
    seen = []
    Reference(model, weights).run(
        model.graph("prefill", 1, 9, dtype="fp32"), one,
        lambda op, layer, values: seen.append(np.abs(values[op.input]).max()) if (op.name, layer) == ("down", 1) else None,
    )
    assert few["down", 1] == np.float32(seen[0]) * np.float32(1 / 127)
