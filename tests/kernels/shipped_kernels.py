"""Every kernel that emu ships, in each of its forms, and layers of models made of them, so small that all their mutants can be run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from kernel_support import Bench

import emu
from emu.chip.schema import Chip
from emu.kernels.attention_decode import DecodeTiling, attention_decode, attention_merge, partials
from emu.kernels.attention_prefill import PrefillTiling, attention_prefill
from emu.kernels.cache_write import convert_rows, write_cache
from emu.kernels.decode_blocks import DecodeBlocks, decode_blocks
from emu.kernels.embed import EmbedTiling, Learned, embed
from emu.kernels.gemm import Epilogue, GemmTiling, gemm
from emu.kernels.gemm_blocks import BlockTiling, gemm_blocks, gemm_in_blocks
from emu.kernels.heads import Attention, Heads
from emu.kernels.norm import Norm, RowTiling, norm
from emu.kernels.quantize import quantize_rows
from emu.kernels.quantize_blocks import Quantized, quantize
from emu.kernels.rope import Rope, RopeTiling, rope_append
from emu.kernels.rows import add, pool, softmax, take_last
from emu.kernels.split_k import add_parts, gemm_divided, gemm_parts
from emu.mapper import choose, lower
from emu.models.hf import parse_config
from emu.models.zoo import Model
from emu.testing import inputs_for
from isa import Program

TINY = emu.chip("tiny")
WORKING_ACC = TINY.vary({"core.acc.work": True})
Build = Callable[[Bench], None]
GROUPED = Attention(1, 2, 2, 8, 29, 33)


def product(tiling: GemmTiling, form: str = "", fmt: str = "bf16", m: int = 17, n: int = 19, kk: int = 24) -> Build:
    """gemm with the named parts of an epilogue; `norm` also has a norm on the way in."""

    def build(bench: Bench) -> None:
        x, w, out = bench.put("x", (m, kk), fmt), bench.put("w", (kk, n), fmt, "weight"), bench.k.hbm("y", (m, n), "bf16", "out")
        epilogue = Epilogue(
            bench.put("bias", (n,)) if "bias" in form else None,
            "silu" if "gate" in form else "gelu_tanh" if "bias" in form else "none",
            bench.put("gate", (kk, n), role="weight") if "gate" in form else None,
            bench.put("residual", (m, n)) if "residual" in form else None,
        )
        before = Norm("layer", bench.put("gamma", (kk,)), bench.put("beta", (kk,))) if "norm" in form else None
        gemm(bench.k, x, w, out, tiling, epilogue, before)

    return build


def blocks(tiling: BlockTiling, m: int = 33, n: int = 24, kk: int = 40) -> Build:
    def build(bench: Bench) -> None:
        x, w, out = bench.put("x", (m, kk)), bench.put("w", (kk, n), role="weight"), bench.k.hbm("y", (m, n), "bf16", "out")
        gemm_in_blocks(bench.k, x, w, out, tiling, 16) if tiling.split_k > 1 else gemm_blocks(bench.k, x, w, out, tiling)

    return build


def quantised(bench: Bench) -> None:
    """The rows in fp8 with their scales, and the product that multiplies by them."""
    bench.k.runs_ahead = False
    x, w = bench.put("x", (9, 40)), bench.put("w", (40, 16), "fp8_e4m3", "weight")
    small, scale = bench.k.hbm("small", (9, 40), "fp8_e4m3"), bench.k.hbm("scale", (9, 1), "fp32")
    out = bench.k.hbm("y", (9, 16), "bf16", "out")
    quantize_rows(bench.k, x, small, scale, 16)
    with bench.k.op("gemm"):
        gemm_in_blocks(bench.k, small, w, out, BlockTiling(8, 8, 8, 2), 16, scale)


def divided(bench: Bench) -> None:
    x, w, out = bench.put("x", (9, 40)), bench.put("w", (40, 16), role="weight"), bench.k.hbm("y", (9, 16), "bf16", "out")
    gemm_divided(bench.k, x, w, out, GemmTiling(8, 8, 8, 1, 2, False, 2, split_k=2), 16)


def parts_and_sum(bench: Bench) -> None:
    x, w = bench.put("x", (9, 40)), bench.put("w", (40, 16), role="weight")
    parts, out = bench.k.hbm("parts", (2, 9, 16), "fp32"), bench.k.hbm("y", (9, 16), "bf16", "out")
    gemm_parts(bench.k, x, w, parts, GemmTiling(8, 8, 8, 1, 2, False, 2, chunk_m=4))
    add_parts(bench.k, parts, out, 8)


def rows_of(kind: str) -> Build:
    """A kernel that goes row by row; 19 rows are more than one tile of two for each of four cores."""

    def build(bench: Bench) -> None:
        shape = (19, 24)
        x, y = bench.put("x", shape), bench.k.hbm("y", shape, "bf16", "out")
        if kind == "softmax":
            softmax(bench.k, x, y, RowTiling(2))
        elif kind == "add":
            add(bench.k, x, bench.put("z", shape), y, RowTiling(2))
        else:
            norm(bench.k, x, y, Norm(kind, bench.put("gamma", (24,)), bench.put("beta", (24,)) if kind == "layer" else None), RowTiling(2))

    return build


def ends(bench: Bench) -> None:
    x = bench.put("x", (6 * 7, 16))
    pool(bench.k, x, bench.k.hbm("mean", (6, 16), "fp32", "out"), 4)
    pool(bench.k, x, bench.k.hbm("plain", (6, 16), "fp32", "out"), 4, False)
    take_last(bench.k, x, bench.k.hbm("last", (6, 16), "bf16", "out"))


def looked_up(parts: str) -> Build:
    def build(bench: Bench) -> None:
        ids = bench.set("ids", bench.random.integers(0, 50, 2 * 9).astype(np.int32), "int32", "index")
        table = bench.put("table", (50, 24), role="weight")
        learned = Learned(
            bench.put("positions", (20, 24)) if "p" in parts else None, bench.put("segments", (2, 24)) if "s" in parts else None, 2,
        )  # fmt: skip
        embed(bench.k, ids, table, bench.k.hbm("y", (18, 24), "bf16", "out"), 2, EmbedTiling(2, 2, 2), learned)

    return build


def turned(turn: bool, fmt: str = "bf16") -> Build:
    """Rope and the append to the cache, of new tokens behind old ones."""

    def build(bench: Bench) -> None:
        batch, kv, group, dim, tokens, past = 2, 2, 2, 8, 9, 3
        heads, cache = kv * group, (batch, kv, tokens + past, dim)
        qkv = bench.put("qkv", (batch * tokens, (heads + 2 * kv) * dim))
        rope = Rope(bench.put("cos", (12, dim // 2), "fp32"), bench.put("sin", (12, dim // 2), "fp32")) if turn else None
        out = bench.k.hbm("q_out", (batch * tokens, heads * dim), "bf16", "out")
        caches = [bench.k.hbm(name, cache, fmt, "out") for name in ("k_cache", "v_cache")]
        at = [Heads(qkv, batch, dim, column * dim) for column in (0, heads, heads + kv)]
        shape = Attention(batch, kv, group, dim, tokens, tokens + past)
        rope_append(bench.k, *at, *(Heads(t, batch, dim) for t in (out, *caches)), shape, RopeTiling(2, 2, 2, 1), rope)

    return build


def written(bench: Bench) -> None:
    """New tokens to the cache, queries in its format."""
    shape, cache = Attention(3, 2, 2, 8, 4, 9), (3, 2, 9, 8)
    new = [bench.put(name, (12, 16)) for name in "kv"]
    caches = [bench.k.hbm(name, cache, "fp8_e4m3", "out") for name in ("kc", "vc")]
    write_cache(bench.k, *(Heads(t, 3, 8) for t in (*new, *caches)), shape)
    q, narrow = bench.put("q", (12, 32)), bench.k.hbm("q8", (12, 32), "fp8_e4m3", "out")
    convert_rows(bench.k, Heads(q, 1, 8), Heads(narrow, 1, 8), shape)


def coded(bench: Bench) -> None:
    """Rows of integers, each row with the factor that it found."""
    codes, factors = bench.k.hbm("codes", (7, 48), "int8", "out"), bench.k.hbm("factors", (7, 1), "fp32", "out")
    quantize(bench.k, bench.put("x", (7, 48)), Quantized(codes, factors, None), RowTiling(2))


def prefill(tiling: PrefillTiling, shape: Attention = GROUPED) -> Build:
    def build(bench: Bench) -> None:
        width, cache = shape.kv_heads * shape.group * shape.head_dim, (shape.batch, shape.kv_heads, shape.kv_len + 3, shape.head_dim)
        q, keys, values = bench.put("q", (shape.batch * shape.q_len, width)), bench.put("k", cache), bench.put("v", cache)
        out, table = bench.k.hbm("y", q.shape, "bf16", "out"), bench.put("table", (shape.batch,))
        at = [Heads(t, shape.batch, shape.head_dim) for t in (q, keys, values, out)]
        attention_prefill(bench.k, *at, shape, tiling, table)

    return build


def decode(tiling: DecodeTiling | DecodeBlocks, kv_len: int = 40, batch: int = 3, in_turn: bool = False) -> Build:
    """Decode attention; the merge behind it where the cache is divided."""

    def build(bench: Bench) -> None:
        shape, t = Attention(batch, 2, 2, 8, 1, kv_len), tiling
        q, table = bench.put("q", (batch, 32)), bench.put("table", (batch,))
        keys, values = (bench.put(name, (batch, 2, kv_len + 2, 8)) for name in "kv")
        out = bench.k.hbm("y", (batch, 32), "bf16", "out")
        at = [Heads(x, batch, 8) for x in (q, keys, values)]
        if isinstance(t, DecodeBlocks):
            t = replace(t, split_kv=t.parts(kv_len))
        to = partials(bench.k, shape, t.split_kv) if t.split_kv > 1 else Heads(out, batch, 8)
        if isinstance(t, DecodeBlocks):
            decode_blocks(bench.k, *at, to, shape, t, table)
        else:
            attention_decode(bench.k, *at, to, shape, t)
        if t.split_kv > 1:
            attention_merge(bench.k, to, out, RowTiling(2), in_turn)

    return build


DEALT = PrefillTiling(8, 8, resident=1, in_order=True, dealt=True, lookups=2)
KERNELS: dict[str, tuple[Build, Chip]] = {
    name: (build, chip)
    for name, build, chip in (
        ("gemm", product(GemmTiling(8, 8, 8, 2, 2)), TINY),
        ("gemm streamed", product(GemmTiling(8, 8, 8, 2, 2, False, 2, 2)), TINY),
        ("gemm by columns", product(GemmTiling(8, 8, 8, 2, 1, False, 3, by_columns=True)), TINY),
        ("gemm bias", product(GemmTiling(8, 8, 8, 1, 2, chunk_m=4), "bias residual"), TINY),
        ("gemm gate norm", product(GemmTiling(8, 8, 16, 1, 3), "gate norm", m=9), TINY),
        ("gemm one row", product(GemmTiling(8, 8, 16, 1, 3), "gate norm", m=1), TINY),
        ("gemm int8", product(GemmTiling(8, 8, 16, 2, 2), fmt="int8"), TINY),
        ("gemm blocks", blocks(BlockTiling(8, 8, 8, 2)), TINY),
        ("gemm blocks resident", blocks(BlockTiling(8, 8, 8, 1, 2, panel=2)), TINY),
        ("gemm blocks persistent", blocks(BlockTiling(8, 8, 8, 3, 1, 1, 8, True, 2)), TINY),
        ("gemm blocks cluster", blocks(BlockTiling(8, 8, 8, 3, 1, 1, 2, cluster=2)), TINY),
        ("gemm blocks cluster persistent", blocks(BlockTiling(8, 8, 8, 3, 1, 1, 2, True, cluster=2)), TINY),
        ("gemm blocks divided", blocks(BlockTiling(8, 8, 8, 2, 1, 2)), TINY),
        ("gemm quantised", quantised, TINY),
        ("gemm divided", divided, TINY),
        ("gemm parts", parts_and_sum, TINY),
        *((kind, rows_of(kind), TINY) for kind in ("softmax", "add", "rms", "layer")),
        ("rms in registers", rows_of("rms"), WORKING_ACC),
        ("pool and last", ends, TINY),
        *((f"embed {parts}".strip(), looked_up(parts), TINY) for parts in ("", "p", "s", "ps")),
        ("rope", turned(True), TINY),
        ("append", turned(False), TINY),
        ("append fp8", turned(False, "fp8_e4m3"), TINY),
        ("write cache", written, TINY),
        ("quantize", coded, TINY),
        ("prefill", prefill(PrefillTiling(8, 8, 1, 2, 2)), TINY),
        ("prefill window", prefill(PrefillTiling(8, 8, 1, 1, 4), Attention(1, 1, 2, 8, 40, 44, window=11)), TINY),
        ("prefill full", prefill(PrefillTiling(16, 8, 1, 2, 1), Attention(1, 2, 2, 8, 29, 33, False)), TINY),
        ("prefill turned", prefill(PrefillTiling(5, 12, resident=1, dealt=True, in_place=True, turned=True)), TINY),
        ("prefill in place", prefill(PrefillTiling(8, 16, 1, 2, 2, in_place=True)), TINY),
        ("prefill registers", prefill(PrefillTiling(8, 8, 1, 2, 2, in_place=True)), WORKING_ACC),
        ("prefill dealt", prefill(DEALT), TINY),
        ("prefill dealt ahead", prefill(replace(DEALT, scanned=1, in_place=True)), TINY),
        ("decode", decode(DecodeTiling(8, 1, 2)), TINY),
        ("decode split", decode(DecodeTiling(8, 1, 2, 2)), TINY),
        ("decode split in turn", decode(DecodeTiling(8, 1, 2, 2), in_turn=True), TINY),
        ("decode registers", decode(DecodeTiling(8, 1, 2, 2)), WORKING_ACC),
        ("decode blocks", decode(DecodeBlocks(8)), TINY),
        ("decode blocks turned", decode(DecodeBlocks(8, turned=True)), TINY),
        ("decode blocks split", decode(DecodeBlocks(8, 3, 2, 2, 1, rows=4, in_turn=2)), TINY),
        ("decode blocks in turn", decode(DecodeBlocks(8, 3, 1, 1, 0, in_turn=1), in_turn=True), TINY),
    )
}
_SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 40, "vocab_size": 61}
_LLAMA = {"model_type": "llama", "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64, **_SMALL}
MODELS: dict[str, dict[str, Any]] = {
    "llama": _LLAMA,
    "mistral": _LLAMA | {"model_type": "mistral", "sliding_window": 4},
    "gpt2": {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 48, "vocab_size": 83},
    "bert": {"model_type": "bert", "max_position_embeddings": 32, "type_vocab_size": 2, "hidden_act": "gelu", **_SMALL},
}
LAYERS: dict[str, tuple[str, tuple[Any, ...], Chip]] = {
    "llama prefill": ("llama", ("prefill", 1, 9, 9, "bf16", None, 16), TINY),
    "llama decode": ("llama", ("decode", 2, 1, 12, "bf16", None, 16), TINY),
    "llama decode fp8 cache": ("llama", ("decode", 2, 1, 12, "bf16", "fp8_e4m3", 16), TINY),
    "llama int8": ("llama", ("prefill", 1, 9, 9, "int8", None, 16), TINY),
    "mistral prefill": ("mistral", ("prefill", 1, 9, 9, "bf16", None, 16), WORKING_ACC),
    "gpt2 prefill": ("gpt2", ("prefill", 1, 9, 9, "bf16", None, 16), TINY),
    "bert": ("bert", ("encode", 2, 9), TINY),
}
"""Layers as the mapper makes them, two in a hardware loop: the model, its pass, the chip."""
NAMES = (*KERNELS, *LAYERS)


@cache
def shipped(name: str) -> tuple[Program, Chip, dict[str, np.ndarray]]:
    """The program, its chip and its inputs."""
    if name in KERNELS:
        build, chip = KERNELS[name]
        bench = Bench(chip)
        build(bench)
        return bench.k.program(), chip, bench.inputs
    model, how, chip = LAYERS[name]
    graph = Model(parse_config(MODELS[model], model, model)).graph(*how)
    program = lower(graph, chip, choose(graph, chip), 2).program
    return program, chip, inputs_for(program)


def index_of(program: Program, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What timing-only runs need: inputs that decide addresses."""
    return {b.name: inputs[b.name] for b in program.buffers if b.role == "index"}
