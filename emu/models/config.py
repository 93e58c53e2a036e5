"""What a transformer is, in numbers: the one description every later stage reads."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["decoder", "encoder"]
NormKind = Literal["rms", "layer"]
Activation = Literal["swiglu", "gelu_erf", "gelu_tanh"]
Positions = Literal["rope", "learned", "none"]


@dataclass(frozen=True, slots=True)
class RopeScaling:
    """How rotary frequencies are stretched. `linear` divides all of them; `llama3` only the slow ones, with a smooth passage."""

    kind: Literal["linear", "llama3"]
    factor: float
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_positions: int = 0


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A dense transformer. `ffn` is the width between the two halves of the feed-forward block (of one of gate/up for swiglu)."""

    name: str
    family: str
    kind: Kind
    hidden: int
    layers: int
    q_heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    max_positions: int
    norm: NormKind
    norm_eps: float
    norm_first: bool  # pre-norm (with a final norm) or post-norm (with a norm after the embedding)
    activation: Activation
    positions: Positions
    rope_theta: float = 0.0
    rope_scaling: RopeScaling | None = None
    qkv_bias: bool = False
    out_bias: bool = False
    ffn_bias: bool = False
    tied: bool = False  # the logits' weight is the token embedding
    type_vocab: int = 0  # rows of the segment embedding; 0 means there is none
    window: int | None = None  # a token sees this many keys, itself included
    pooler_params: int = 0  # parameters the checkpoint holds and the graph does not use (BERT's pooler)
    normalize: bool = False  # an encoder's pooled vector is scaled to length 1

    @property
    def q_width(self) -> int:
        return self.q_heads * self.head_dim

    @property
    def kv_width(self) -> int:
        return self.kv_heads * self.head_dim

    @property
    def qkv_width(self) -> int:
        return self.q_width + 2 * self.kv_width

    @property
    def causal(self) -> bool:
        return self.kind == "decoder"
