"""Scalar and descriptor instructions: one function each, on the registers of a stream."""

from __future__ import annotations

from collections.abc import Callable

from isa.oracle.descriptor import FIELDS
from isa.oracle.errors import OracleError

Operands = dict[str, int]
Registers = list[int]


def wrap(value: int) -> int:
    """64-bit two's complement."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


# rd from ra, rb and imm
ARITHMETIC: dict[str, Callable[[int, int, int], int]] = {
    "li": lambda a, b, imm: imm,
    "lih": lambda a, b, imm: a << 32 | imm & 0xFFFFFFFF,
    "add": lambda a, b, imm: a + b,
    "sub": lambda a, b, imm: a - b,
    "mul": lambda a, b, imm: a * b,
    "addi": lambda a, b, imm: a + imm,
    "muli": lambda a, b, imm: a * imm,
    "min": lambda a, b, imm: a if a <= b else b,
    "max": lambda a, b, imm: a if a >= b else b,
    "mini": lambda a, b, imm: a if a <= imm else imm,
    "maxi": lambda a, b, imm: a if a >= imm else imm,
    "and": lambda a, b, imm: a & b,
    "or": lambda a, b, imm: a | b,
    "xor": lambda a, b, imm: a ^ b,
    "shli": lambda a, b, imm: a << imm,
    "shri": lambda a, b, imm: a >> imm,
}

BRANCH: dict[str, Callable[[int, int], bool]] = {
    "beq": lambda a, b: a == b,
    "bne": lambda a, b: a != b,
    "blt": lambda a, b: a < b,
    "bge": lambda a, b: a >= b,
}


def arithmetic(mnemonic: str, regs: Registers, operands: Operands) -> int:
    """The new value of rd."""
    a, b = regs[operands.get("ra", 0)], regs[operands.get("rb", 0)]
    return wrap(ARITHMETIC[mnemonic](a, b, operands.get("imm", 0)))


def dset(d: dict[str, int], regs: Registers, o: Operands) -> None:
    d[FIELDS[o["field"]]] = o["imm"]


def dsetr(d: dict[str, int], regs: Registers, o: Operands) -> None:
    d[FIELDS[o["field"]]] = wrap(regs[o["ra"]] + o["imm"])


def dadd(d: dict[str, int], regs: Registers, o: Operands) -> None:
    d[FIELDS[o["field"]]] = wrap(d[FIELDS[o["field"]]] + o["imm"])


def daddr(d: dict[str, int], regs: Registers, o: Operands) -> None:
    d[FIELDS[o["field"]]] = wrap(d[FIELDS[o["field"]]] + regs[o["ra"]])


def dnext(d: dict[str, int], regs: Registers, o: Operands) -> None:
    d["base"] = wrap(d["base"] + d["ring_step"])
    if d["base"] >= d["ring_lo"] + d["ring_size"]:
        d["base"] = wrap(d["base"] - d["ring_size"])


DESCRIPTOR: dict[str, Callable[[dict[str, int], Registers, Operands], None]] = {
    "dset": dset, "dsetr": dsetr, "dadd": dadd, "daddr": daddr, "dnext": dnext,
}


def loop_count(mnemonic: str, regs: Registers, operands: Operands) -> int:
    count = operands["imm"] if mnemonic == "loop" else regs[operands["ra"]]
    if count < 0:
        raise OracleError(f"a loop of {count} rounds")
    return count
