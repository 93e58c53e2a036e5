"""Step 9. An instruction of one's own: the soft cap that some models put on attention scores, cap * tanh(score / cap), in a whole layer.

    python examples/ladder/s9_softcap.py [chip]
"""

import sys

from layer import inputs, layer, reference
from report import show

import emu
from emu.num import jit as num

CAP = 5.0
mine = emu.InstructionSet("mine")


@emu.instruction(mine, operands="d0:w, d1:r, d2:s", cycles="elements / exp_per_clk", energy="elements * (vec_exp_pj + 2 * vec_mul_pj)")
def vsoftcap(x, cap):
    """d0 = cap * tanh(d1 / cap): a tanh whose pipeline multiplies at both ends"""
    return cap * num.tanh(x * (num.f32(1) / cap))


def three_instructions(k, out, scores):
    k.mul(out, scores, 1 / CAP)
    k.tanh(out, out)
    k.mul(out, out, CAP)


def one_of_our_own(k, out, scores):
    vsoftcap(k, out, scores, CAP)


def main(chip="tiny"):
    given, machine = inputs(), emu.Machine(chip, check=True)
    want = reference(given, CAP)
    before = show("a layer, cap in three", machine.run(layer(chip, three_instructions), given), want)
    program = layer(chip, one_of_our_own)
    after = show("a layer, cap in one", machine.run(program, given), want)
    assert after.outputs["y"].tobytes() == before.outputs["y"].tobytes(), "the same roundings, so the same bits"
    timed = machine.run(program, values=False, check=False, folding=True, fast_forward=True)
    assert timed.end_fs == after.end_fs, "with or without values, and with every short-cut"
    cycles, joules = before.cycles - after.cycles, before.joules - after.joules
    print(f"{'saved':24s} {cycles:9,d} cycles ({cycles / before.cycles:.1%}), {joules * 1e6:.2f} uJ ({joules / before.joules:.1%})")
    print("a word of it:", next(line.strip() for line in program.to_text(source=True).splitlines() if "vsoftcap d" in line))


if __name__ == "__main__":
    main(*sys.argv[1:])
