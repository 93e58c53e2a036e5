"""Random programs of two streams with nested loops whose extents, counts and branches come from registers that change: what short-cuts
(folding, fast-forward) must see through or leave alone."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st

import isa

REGISTERS = 6  # r1..r6 are the program's own; r10..r12 are used to keep extents, counts and addresses legal
SMALL = st.integers(-40, 40)
REGISTER = st.integers(1, REGISTERS)


@st.composite
def scalar(draw: st.DrawFn) -> list[str]:
    """One scalar instruction over the program's registers."""
    rd, ra, rb = draw(REGISTER), draw(REGISTER), draw(REGISTER)
    kind = draw(st.sampled_from(["rrr"] * 2 + ["imm"] * 4 + ["clamp"] * 2 + ["bits", "shift", "load", "table", "li"]))
    match kind:
        case "rrr":
            return [f"{draw(st.sampled_from(['add', 'sub', 'mul', 'min', 'max']))} r{rd}, r{ra}, r{rb}"]
        case "imm":
            return [f"addi r{rd}, r{ra}, {draw(SMALL)}"]
        case "clamp":
            return [f"{draw(st.sampled_from(['mini', 'maxi', 'muli']))} r{rd}, r{ra}, {draw(SMALL)}"]
        case "bits":
            return [f"{draw(st.sampled_from(['and', 'or', 'xor']))} r{rd}, r{ra}, r{rb}"]
        case "shift":
            return [f"{draw(st.sampled_from(['shli', 'shri']))} r{rd}, r{ra}, {draw(st.integers(0, 3))}"]
        case "load":
            return [f"ldp r{rd}, {draw(st.integers(0, 3))}"]
        case "table":  # hashed: which entry depends on a register
            return ["li r12, 3", f"and r12, r{ra}, r12", f"ldpx r{rd}, r12, 0"]
    return [f"li r{rd}, {draw(SMALL)}"]


def counted(draw: st.DrawFn, least: int, most: int) -> list[str]:
    """A register of the program's, clamped, in r10."""
    return [f"maxi r10, r{draw(REGISTER)}, {least}", f"mini r10, r10, {most}"]


@dataclass
class Labels:
    """Names for places in the program."""

    used: int = 0

    def new(self) -> str:
        self.used += 1
        return f"l{self.used}"


@dataclass
class Stream:
    """A stream's part that works: what a unit of work is, and its blocks."""

    work: str
    labels: Labels = field(default_factory=Labels)

    def unit(self, draw: st.DrawFn) -> list[str]:
        """An engine instruction whose extent, and perhaps address, comes from a register."""
        lines = counted(draw, draw(st.integers(0, 1)), draw(st.sampled_from([1, 8, 60])))
        lines += ["dsetr d0.n0, r10, 0", "dsetr d1.n0, r10, 0"]
        if draw(st.booleans()):
            lines += [f"muli r11, r{draw(REGISTER)}, {draw(st.sampled_from([4, 12, 64]))}", "li r12, 4092", "and r11, r11, r12"]
            lines += ["dsetr d1.base, r11, 0"]
        return [*lines, self.work]

    def block(self, draw: st.DrawFn, depth: int) -> list[str]:
        lines: list[str] = []
        for _ in range(draw(st.integers(1, 4))):
            kind = draw(st.sampled_from(["scalar", "scalar", "unit", "loop", "loopr", "branch"] if depth else ["scalar", "unit"]))
            if kind == "scalar":
                lines += draw(scalar())
            elif kind == "unit":
                lines += self.unit(draw)
            else:
                inner, end = self.block(draw, depth - 1), self.labels.new()
                if kind == "loop":
                    head = [f"loop {draw(st.integers(0, 12))}, {end}"]
                elif kind == "loopr":
                    head = [*counted(draw, 0, draw(st.integers(1, 9))), f"loopr r10, {end}"]
                else:
                    op = draw(st.sampled_from(["beq", "bne", "blt", "bge"]))
                    head = [f"{op} r{draw(REGISTER)}, r{draw(REGISTER)}, {end}"]
                lines += [*head, *inner, "nop", f"{end}:"]
        return lines


@st.composite
def loops(
    draw: st.DrawFn, copies: tuple[str, ...] = ("vmov d0, d1", "vexp d0, d1"), known: isa.InstructionSet | None = None
) -> isa.Program:
    """ld0 loads what vec copies, `times` times; what each does in a turn is random, and differs between cores through their parameters."""
    cores, times, ahead = draw(st.integers(1, 3)), draw(st.integers(1, 60)), draw(st.integers(1, 4))
    params = [[draw(SMALL)] * cores if draw(st.booleans()) else [draw(SMALL) for _ in range(cores)] for _ in range(4)]
    labels = Labels()
    start = [f"li r{r}, {draw(SMALL)}" for r in range(1, REGISTERS + 1)]
    load, copy = Stream("dma d0, d1", labels), Stream(draw(st.sampled_from(copies)), labels)
    bodies = [load.block(draw, 2), copy.block(draw, 2)]
    sides = "\n".join(f".param {j} {','.join(map(str, column))}" for j, column in enumerate(params))
    lines = ["\n        ".join([*start, *head, f"loop {times}, {end}", *turn, "nop", f"{end}:", "bar 0", "halt"]) for head, end, turn in (
        (["dset d0.space, sram", "dset d0.fmt, fp32", "dset d1.fmt, fp32", "dset d0.n0, 2048", "dset d1.n0, 2048",
          "dma d0, d1 signal=filled"], "e0", ["wait free, 1", *bodies[0], "signal full, 1"]),
        (["dset d0.space, sram", "dset d1.space, sram", "dset d0.fmt, fp32", "dset d1.fmt, fp32", "dset d0.base, 0x4000",
          "wait filled, 1"], "e1",
         ["wait full, 1", *bodies[1], "signal free, 1"]),
    )]  # fmt: skip
    return isa.assemble(f"""
.program random
.cores {cores}
.buffer x hbm 0x0 8192 in fp32 2048
.buffer a sram 0x0 8192 temp
.buffer b sram 0x4000 8192 temp
.sem 1 full 0
.sem 2 free {ahead}
.sem 3 filled 0
.barrier 0 ld0,vec
{sides}
.stream ld0
        {lines[0]}
.stream vec
        {lines[1]}
""", known)
