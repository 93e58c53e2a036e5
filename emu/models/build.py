"""ModelConfig and the dimensions of one pass -> Graph."""
from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt
from typing import Literal

from emu.errors import UnsupportedError
from emu.models.config import ModelConfig
from emu.models.graph import FORMAT_BYTES, Graph, Phase, Role, Tensor, format_of
from emu.models.ops import Attention, Embed, Gemm, Norm, Op, Pool, Quantize, RopeAppend, TakeLast
from emu.models.schemes import Scheme, scheme_of
from emu.models.tensors import WeightFormats, weight_tensors
from emu.models.traffic import with_bytes
from isa.errors import nearest

_PHASES = {"decoder": ("prefill", "decode"), "encoder": ("encode",)}


def build_graph(
    config: ModelConfig, phase: Phase, batch: int = 1, q_len: int = 1, kv_len: int | None = None, dtype: str = "bf16",
    kv_dtype: str | None = None, max_tokens: int | None = None, scales: str | None = None,
) -> Graph:
    """`kv_len` counts the tokens in the cache after this pass (default q_len); `max_tokens` is the cache's room (default kv_len).

    `dtype` and `scales` as `emu.models.schemes` knows them."""
    kv_len = q_len if kv_len is None else kv_len
    max_tokens = kv_len if max_tokens is None else max_tokens
    _check(config, phase, batch, q_len, kv_len, max_tokens)
    scheme = scheme_of(dtype, scales)
    build = _Build(config, phase, batch, q_len, kv_len, max_tokens, scheme, cache_format(scheme, kv_dtype))
    build.tensors.update((tensor.name, tensor) for tensor in weight_tensors(config, WeightFormats.of(scheme)))
    pre = build.finish(build.pre())
    layer = build.finish(build.pre_norm_layer() if config.norm_first else build.post_norm_layer())
    post = build.finish(build.logits() if config.kind == "decoder" else build.pool())
    return Graph(config.name, phase, batch, q_len, kv_len, scheme.activations.fmt, build.kv_fmt, max_tokens, pre, layer, config.layers,
                 post, build.tensors, post[-1].outputs[0], scheme)


def cache_format(scheme: Scheme, kv_dtype: str | None) -> str:
    """The format of keys and values: the scheme's own, or another one whose elements stand for themselves."""
    if kv_dtype is None:
        return scheme.cache
    if kv_dtype == "int8" or scheme_of(kv_dtype).weights.scales != "none":
        raise UnsupportedError(f"dtype {scheme.name} with kv_dtype {kv_dtype}: keys and values have no scales, so their elements must "
                               "stand for themselves; use bf16, fp16 or fp8")
    return format_of(kv_dtype)


def _check(config: ModelConfig, phase: str, batch: int, q_len: int, kv_len: int, max_tokens: int) -> None:
    known = _PHASES[config.kind]
    if phase not in known:
        raise UnsupportedError(f"{config.name} ({config.kind}) has no phase {phase!r}{nearest(str(phase), known)}")
    for name, value in (("batch", batch), ("q_len", q_len), ("kv_len", kv_len)):
        if value < 1:
            raise UnsupportedError(f"{config.name}: {name} = {value}: expected at least 1")
    if phase == "decode" and q_len != 1:
        raise UnsupportedError(f"{config.name}: q_len = {q_len}: a decode step has one new token per sequence")
    if phase == "encode" and kv_len != q_len:
        raise UnsupportedError(f"{config.name}: kv_len = {kv_len}: an encoder sees exactly its q_len = {q_len} tokens")
    if not q_len <= kv_len <= max_tokens:
        raise UnsupportedError(f"{config.name}: need q_len <= kv_len <= max_tokens, have {q_len}, {kv_len}, {max_tokens}")
    if max_tokens > config.max_positions:
        raise UnsupportedError(f"{config.name}: a context of {max_tokens} tokens is beyond the model's maximum of {config.max_positions}")


@dataclass
class _Build:
    config: ModelConfig
    phase: Phase
    batch: int
    q_len: int
    kv_len: int
    max_tokens: int
    scheme: Scheme
    kv_fmt: str
    tensors: dict[str, Tensor] = field(default_factory=dict)

    @property
    def wide(self) -> str:
        return self.scheme.wide

    @property
    def fmt(self) -> str:
        """Of what products leave for products: quantised only in front of them, if that takes a step of its own."""
        return self.wide if self.scheme.quantizes else self.scheme.activations.fmt

    @property
    def rows(self) -> int:
        return self.batch * self.q_len

    def new(self, name: str, *shape: int, fmt: str, role: Role = "activation", per_layer: bool = False) -> str:
        self.tensors.setdefault(name, Tensor(name, shape, fmt, role, per_layer))
        return name

    def finish(self, ops: list[Op]) -> tuple[Op, ...]:
        return tuple(with_bytes(op, self.tensors) for op in ops)

    def norm(self, name: str, rows: int, source: str, output: str, wide: str | None = None) -> Norm:
        beta = f"{name}.beta" if self.config.norm == "layer" else None
        return Norm(name=name, norm=self.config.norm, rows=rows, width=self.config.hidden, eps=self.config.norm_eps, gamma=f"{name}.gamma",
                    beta=beta, input=source, output=output, wide=wide)

    def gemm(self, name: str, source: str, output: str, residual: str | None = None,
             activation: Literal["none", "gelu_erf", "gelu_tanh", "swiglu"] = "none", weights: tuple[str, ...] = ()) -> Gemm:
        weights = weights or (name,)
        k, n = self.tensors[f"{weights[0]}.weight"].shape

        def those(part: str) -> tuple[str, ...]:
            return tuple(f"{weight}.{part}" for weight in weights if f"{weight}.{part}" in self.tensors)

        of = {part: name for part, name in ((part, f"{source}.{part}") for part in ("scales", "rows")) if name in self.tensors}
        return Gemm(name=name, m=self.rows, n=n, k=k, weights=those("weight"), biases=those("bias"), activation=activation,
                    residual=residual, input=source, output=output, out_fmt=self.tensors[output].fmt, input_scales=of.get("scales"),
                    weight_scales=those("scales"), columns=those("columns"), rows=of.get("rows"))

    def quantized(self, name: str, source: str) -> tuple[list[Op], str]:
        """The step in front of gemm `name` that brings its input into the scheme's format, if there is one, and what the gemm reads."""
        side, (rows, width) = self.scheme.activations, self.tensors[source].shape
        if not self.scheme.quantizes:
            return [], source
        codes = self.new(f"{source}.codes", rows, width, fmt=side.fmt)
        scales = factor = fixed = None
        if side.block:
            scales = self.new(f"{codes}.scales", rows, -(-width // side.block), fmt=side.scale_fmt)
        if side.factor and self.scheme.how == "static":
            fixed = f"{name}.fixed"
        elif side.factor:
            factor = self.new(f"{codes}.rows", rows, 1, fmt="fp32")
        step = f"{name}_quantize"
        return [Quantize(name=step, rows=rows, width=width, input=source, output=codes, scales=scales, factor=factor, fixed=fixed)], codes

    def pre(self) -> list[Op]:
        config, hidden = self.config, self.config.hidden
        names = [name for name in ("token", "position", "type") if f"embed.{name}" in self.tensors]
        indices = tuple(self.new(f"{name}s", self.rows, fmt="int32", role="input") for name in names)
        x = self.new("x", self.rows, hidden, fmt=self.wide)
        output = x if config.norm_first else self.new("embedded", self.rows, hidden, fmt=self.wide)
        embed = Embed(name="embed", rows=self.rows, width=hidden, tables=tuple(f"embed.{name}" for name in names), indices=indices,
                      output=output)
        return [embed] if config.norm_first else [embed, self._post_norm("embed_norm", output, "x")]

    def attention(self, source: str) -> list[Op]:
        """From the normed rows to the heads' outputs, side by side."""
        config = self.config
        inner = self.scheme.cache if self.scheme.plain or self.scheme.activations.fmt == self.scheme.cache else self.wide
        q_fmt = max(inner, self.kv_fmt, key=lambda fmt: FORMAT_BYTES[fmt])  # no narrower than either, so no precision is lost here
        self.new("qkv", self.rows, config.qkv_width, fmt=self.wide)
        self.new("q", self.rows, config.q_width, fmt=q_fmt)
        role: Role = "kv" if config.causal else "activation"
        for name in ("k_cache", "v_cache"):
            shape = (self.batch, config.kv_heads, self.max_tokens, config.head_dim)
            self.new(name, *shape, fmt=self.kv_fmt, role=role, per_layer=config.causal)
        tables = None
        if config.positions == "rope":
            half = config.head_dim // 2
            tables = (self.new("rope_cos", self.max_tokens, half, fmt="fp32", role="table"),
                      self.new("rope_sin", self.max_tokens, half, fmt="fp32", role="table"))
        self.new("heads", self.rows, config.q_width, fmt=self.fmt)
        append = RopeAppend(
            name="rope_append" if tables else "append", batch=self.batch, q_len=self.q_len, q_heads=config.q_heads,
            kv_heads=config.kv_heads, head_dim=config.head_dim, start=self.kv_len - self.q_len, tables=tables,
            input="qkv", q="q", k_cache="k_cache", v_cache="v_cache")
        attend = Attention(
            name="attention", phase=self.phase, batch=self.batch, q_heads=config.q_heads, kv_heads=config.kv_heads,
            head_dim=config.head_dim, q_len=self.q_len, kv_len=self.kv_len, causal=config.causal, window=config.window,
            scale=1.0 / sqrt(config.head_dim), q="q", k_cache="k_cache", v_cache="v_cache", output="heads")
        before, source = self.quantized("qkv", source)
        return [*before, self.gemm("qkv", source, "qkv"), append, attend]

    def attn_out(self, residual: str) -> list[Op]:
        before, source = self.quantized("attn_out", "heads")
        return [*before, self.gemm("attn_out", source, "y", residual)]

    def feed_forward(self, source: str, residual: str, output: str) -> list[Op]:
        weights = ("gate", "up") if self.config.activation == "swiglu" else ("up",)
        self.new("ffn", self.rows, self.config.ffn, fmt=self.fmt)
        name = "_".join(weights)
        before, source = self.quantized(name, source)
        up = self.gemm(name, source, "ffn", activation=self.config.activation, weights=weights)
        between, hidden = self.quantized("down", "ffn")
        return [*before, up, *between, self.gemm("down", hidden, output, residual)]

    def pre_norm_layer(self) -> list[Op]:
        hidden = self.config.hidden
        self.new("normed", self.rows, hidden, fmt=self.fmt)
        self.new("y", self.rows, hidden, fmt=self.wide)
        return [
            self.norm("attn_norm", self.rows, "x", "normed"), *self.attention("normed"), *self.attn_out("x"),
            self.norm("ffn_norm", self.rows, "y", "normed"), *self.feed_forward("normed", "y", "x"),
        ]

    def post_norm_layer(self) -> list[Op]:
        hidden = self.config.hidden
        self.new("y", self.rows, hidden, fmt=self.wide)
        self.new("z", self.rows, hidden, fmt=self.wide)
        return [
            *self.attention(self._gemm_side("x")), *self.attn_out("x"), self._post_norm("attn_norm", "y", "z"),
            *self.feed_forward(self._gemm_side("z"), "z", "y"), self._post_norm("ffn_norm", "y", "x"),
        ]

    def _gemm_side(self, stream: str) -> str:
        """The residual stream as the gemm behind it reads it, before any quantisation."""
        return stream if self.wide == self.fmt else self.new(f"{stream}_narrow", self.rows, self.config.hidden, fmt=self.fmt)

    def _post_norm(self, name: str, source: str, stream: str) -> Norm:
        """Writes the residual stream, and beside it a copy for the gemm where that is in a narrower format."""
        narrow = self._gemm_side(stream)
        return self.norm(name, self.rows, source, narrow, None if narrow == stream else stream)

    def logits(self) -> list[Op]:
        """Of the last token of each sequence only. A tied table is kept, and multiplied, in the wide format, and so is a weight of its own
        where scales would be needed, as published checkpoints leave it."""
        config, batch = self.config, self.batch
        fmt = self.wide if config.tied else self.tensors["logits.weight"].fmt
        ops: list[Op] = []
        last = "x"
        if self.q_len > 1:
            last = self.new("last", batch, config.hidden, fmt=self.wide)
            ops.append(TakeLast(name="take_last", batch=batch, q_len=self.q_len, width=config.hidden, input="x", output=last))
        self.new("last_normed", batch, config.hidden, fmt=fmt)
        self.new("logits", batch, config.vocab, fmt="fp32", role="output")
        weight = "embed.token" if config.tied else "logits.weight"
        gemm = Gemm(name="logits", m=batch, n=config.vocab, k=config.hidden, weights=(weight,), input="last_normed", output="logits",
                    out_fmt="fp32", bt=config.tied)
        return [*ops, self.norm("final_norm", batch, last, "last_normed"), gemm]

    def pool(self) -> list[Op]:
        self.new("embedding", self.batch, self.config.hidden, fmt="fp32", role="output")
        return [Pool(name="pool", batch=self.batch, tokens=self.q_len, width=self.config.hidden, normalize=self.config.normalize, eps=1e-12,
                     input="x", output="embedding")]
