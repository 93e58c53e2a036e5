"""Op graph and chip in, program out: sharding over cores, tiling, placement in memory, and the choice between candidates."""

from emu.mapper.ahead import layers_ahead
from emu.mapper.choose import choose, choose_gemm, gemm_program
from emu.mapper.lower import Lowered, lower

__all__ = ["Lowered", "choose", "choose_gemm", "gemm_program", "layers_ahead", "lower"]
