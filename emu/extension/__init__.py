"""Instructions of one's own: `emu.instruction` adds one to an `emu.InstructionSet`, and everything that works with words knows it at once.

    from emu.num import jit as num

    mine = emu.InstructionSet("mine")

    @emu.instruction(mine, operands="d0:w, d1:r, d2:s", cycles="elements / exp_per_clk", energy="elements * 1.4 pJ")
    def vsoftcap(x, cap):
        "d0 = cap * tanh(d1 / cap)"
        return cap * num.tanh(x / cap)

`isa.assemble(text, mine)` reads it, programs print it and carry its name and digest, `isa.oracle` runs the function above, the engine calls
what Numba made of it, and a kernel writes `vsoftcap(k, out, x, 30.0)`."""

from emu.extension.declare import UserInstruction, instruction
from isa import InstructionSet

__all__ = ["InstructionSet", "UserInstruction", "instruction"]
