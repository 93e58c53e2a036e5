"""What a `dtype` means: in which formats a model's products take their operands, and which scales these have.

A number stands for its element times the scale of its block of k (`scales`: MX, NVFP4) times one in fp32 (`factor`), which each row of
activations and each column of weights has for itself. Where the last is `static`, all rows of a tensor share one that was calibrated."""

from __future__ import annotations

from dataclasses import dataclass, replace

from emu.errors import UnsupportedError
from isa.errors import nearest
from isa.tables import load

HOW = ("unit", "dynamic", "static")
"""Scales of activations: 1; of each row (token), found when it is written; one for each tensor, known before."""
WHOLE = {"fp32": 4, "bf16": 2, "fp16": 2, "fp8_e4m3": 1, "fp8_e5m2": 1, "int8": 1, "int32": 4}
"""Bytes of an element, of the formats that fill whole ones."""


@dataclass(frozen=True, slots=True)
class Side:
    """One operand: the format of its elements, the kind of scales of its blocks (`isa/tables/scales.tsv`), and whether it has a factor."""

    fmt: str
    scales: str = "none"
    factor: bool = False

    @property
    def block(self) -> int:
        """Elements that share a scale; 0 for none."""
        return load().scales[self.scales].block

    @property
    def scale_fmt(self) -> str:
        """The format of the scales of blocks."""
        return load().scales[self.scales].format


@dataclass(frozen=True, slots=True)
class Scheme:
    """A dtype: both operands of products with weights, and the format of a cache of keys and values unless another is asked for.

    `how` says where factors of activations come from; `unit`: there are none, and numbers are cast as they are."""

    name: str
    activations: Side
    weights: Side
    cache: str
    how: str = "unit"

    @property
    def quantizes(self) -> bool:
        """Whether activations go through a step of their own that scales them."""
        return self.how != "unit" and (self.activations.factor or self.activations.scales != "none")

    @property
    def plain(self) -> bool:
        """Whether elements stand for themselves on both sides."""
        return self.how == "unit"

    @property
    def wide(self) -> str:
        """The format of everything around products: the residual stream, parameters of norms, biases, embeddings, logits' operands."""
        return wide_format(self.activations.fmt)


def wide_format(fmt: str) -> str:
    """The format of the residual stream beside gemms in `fmt`: those of 8 bits and less keep bf16 around them."""
    return fmt if WHOLE.get(fmt, 0) > 1 else "bf16"


def _plain(fmt: str) -> Scheme:
    return Scheme(fmt, Side(fmt), Side(fmt), fmt)


def _scaled(name: str, activations: Side, weights: Side, cache: str = "bf16") -> Scheme:
    return Scheme(name, activations, weights, cache, "dynamic")


_MXFP8, _MXFP4, _NVFP4 = Side("fp8_e4m3", "mx"), Side("fp4_e2m1", "mx"), Side("fp4_e2m1", "nvfp4", True)
_TABLE = (
    *(_plain(fmt) for fmt in ("fp32", "bf16", "fp16", "fp8_e4m3", "fp8_e5m2")),
    _scaled("int8", Side("int8", "none", True), Side("int8", "none", True)),
    _scaled("mxfp8", _MXFP8, _MXFP8),
    _scaled("mxfp6", Side("fp6_e2m3", "mx"), Side("fp6_e2m3", "mx")),
    _scaled("mxfp4", _MXFP4, _MXFP4),
    _scaled("nvfp4", _NVFP4, _NVFP4),
    _scaled("mxfp4_a8", _MXFP8, _MXFP4),
    _scaled("mxfp4_a16", Side("bf16"), _MXFP4),
    _scaled("nvfp4_a16", Side("bf16"), _NVFP4),
)
SCHEMES = {scheme.name: scheme for scheme in _TABLE} | {"fp8": replace(_plain("fp8_e4m3"), name="fp8")}


def scheme_of(dtype: str, scales: str | None = None) -> Scheme:
    """The scheme of a dtype. `scales`: unit, dynamic or static, of those activations that have a factor; None is unit for 8-bit floats and
    dynamic for others. Raises UnsupportedError for names that are not known and for int8 without scales."""
    if dtype not in SCHEMES and dtype in load().formats:
        raise UnsupportedError(f"dtype {dtype!r}: models and kernels do not compute in it alone, programs and emu.num do; choose one of "
                               f"{', '.join(SCHEMES)}")
    if dtype not in SCHEMES:
        raise UnsupportedError(f"dtype {str(dtype)[:80]!r} is not known{nearest(str(dtype), SCHEMES)}")
    if scales is not None and scales not in HOW:
        raise UnsupportedError(f"scales {str(scales)[:80]!r}: expected one of {', '.join(HOW)}")
    scheme = SCHEMES[dtype]
    if scheme.plain:
        eight = WHOLE[scheme.weights.fmt] == 1
        if not eight or scales in (None, "unit"):
            return scheme
        side = replace(scheme.weights, factor=True)
        return replace(scheme, activations=side, weights=side, how=scales)
    if scales == "unit":
        raise UnsupportedError(f"dtype {dtype} with unit scales: its elements mean nothing without scales; use dynamic or static")
    return replace(scheme, how=scales or scheme.how)
