"""Users' instructions of a program as the compiled core takes them: numbers of its configuration (csrc/engine/user.c)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emu.chip.schema import Chip
from emu.errors import UnsupportedError
from emu.extension.declare import instructions_of
from isa import Extension
from isa.codegen_header import KINDS, engines
from isa.tables import USER_OPCODES, load

FIELDS, CODE = 10, 4096  # EMU_USER_FIELDS, EMU_USER_CODE
CYCLES, ENERGY, ADDRESS = 8, 9, 7


def declared(extensions: Mapping[str, Extension]) -> dict[str, Any]:
    """What the decoder needs: engine, operands and flags of each. Empty for a program without."""
    if not extensions:
        return {}
    table = [0] * (FIELDS * len(USER_OPCODES))
    for extension in extensions.values():
        access = {operand.name: operand.access for operand in extension.spec.operands if operand.kind == "descriptor"}
        flags = sum(1 << load().flags[operand.name].id for operand in extension.spec.operands if operand.kind == "flag")
        kinds = [KINDS.index(access.get(d, "")) for d in ("d0", "d1", "d2")]
        at = _at(extension)
        table[at : at + ADDRESS] = [1, engines(load()).index(extension.spec.engine), *kinds, flags, int(extension.rows)]
    return {"user": table}


def costed(extensions: Mapping[str, Extension], chip: Chip, values: bool) -> dict[str, Any]:
    """The same with what each costs on a chip and, where values run, the address of its compiled function.

    Raises UnsupportedError, ChipError, ProgramError: the chip lacks a figure, or the meaning does not compile."""
    config, code = declared(extensions), list[int]()
    for name, instruction in instructions_of(extensions).items():
        at = _at(extensions[name])
        for place, cost in ((CYCLES, instruction.cycles), (ENERGY, instruction.energy)):
            config["user"][at + place] = len(code)
            code += cost.code(chip, name)
        if values:
            config["user"][at + ADDRESS] = instruction.address
    if len(code) > CODE:
        raise UnsupportedError(f"the cost expressions of {len(extensions)} users' instructions take {len(code)} steps; {CODE} fit")
    return config | {"user_code": code + [0] * (CODE - len(code))} if config else {}


def _at(extension: Extension) -> int:
    return FIELDS * (extension.spec.opcode - USER_OPCODES.start)
