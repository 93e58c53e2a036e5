"""Into how many parts a library's rule divides a cache, against counts worked out by hand from the rules as their libraries state them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import emu
from emu.mapper.library_attention import parts_by_rule


@pytest.mark.parametrize("items, keys, parts", [
    (1, 1024, 8),        # eight blocks of 128 keys, each a part
    (4, 4096, 32),
    (2, 32768, 86),      # three blocks a part; 64 parts of four would fill 0.59 of the places, 128 of two no more
    (108 * 2, 4096, 1),  # the places are full
    (1, 100, 1),
])  # fmt: skip
def test_parts_that_fill_the_last_wave(items, keys, parts):
    """FlashAttention-2 on 108 SMs of two places."""
    kernels = emu.chip("a100").stack["vllm"].attention
    assert parts_by_rule(kernels.decode.rule, items, 108, -(-keys // 128), kernels.split_limit) == parts


@pytest.mark.parametrize("items, keys, parts", [(16, 32768, 8), (32, 32768, 4), (1, 16384, 32), (132, 4096, 1), (2, 512, 4)])
def test_parts_as_long_as_a_share(items, keys, parts):
    """FlashAttention-3 on 132 SMs."""
    kernels = emu.chip("h100").stack["vllm"].attention
    assert parts_by_rule(kernels.decode.rule, items, 132, -(-keys // 128), kernels.split_limit) == parts


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.sampled_from(["a100", "h100"]), st.integers(1, 4000), st.integers(1, 2000))
def test_a_rule_never_leaves_a_part_empty_or_exceeds_its_limit(chip, items, blocks):
    found = emu.chip(chip)
    kernels = found.stack["vllm"].attention
    parts = parts_by_rule(kernels.decode.rule, items, found.core_count, blocks, kernels.split_limit)
    assert 1 <= parts <= min(blocks, kernels.split_limit)
    if kernels.decode.rule.spread is None:
        assert -(-blocks // parts) * (parts - 1) < blocks
