"""Numerics for users: formats, conversions, block scales and matrix products, bit for bit as the machine computes them.

`cast`, `encode` and `decode` convert; `pack` and `unpack` know how 4- and 6-bit elements lie in bytes; `quantize_mx` and `quantize_nvfp4`
make block-scaled tensors; `mm` multiplies any pair of formats that the machine has, in a chip's order of accumulation.
"""

from emu.num.blocks import Blocks, quantize_mx, quantize_nvfp4
from emu.num.casting import cast, decode, encode
from emu.num.formats import NAMES, dtype, pack, row_bytes, unpack
from emu.num.matmul import mm

__all__ = ["NAMES", "Blocks", "cast", "decode", "dtype", "encode", "mm", "pack", "quantize_mx", "quantize_nvfp4", "row_bytes", "unpack"]
