"""Words: `encode` packs operands into 64 bits, `decode` unpacks them; each refuses what the other could not give back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, NoReturn, SupportsIndex

from isa.errors import IsaError, nearest
from isa.tables import USER_OPCODES, Operand, Spec, load, parse_spec

_Slot = tuple[int, int, int, int]  # shift, mask, low, high


class Instruction(NamedTuple):
    """A decoded word: every operand of the instruction by name, flags as 0 or 1."""

    mnemonic: str
    operands: dict[str, int]

    @property
    def spec(self) -> Spec:
        return _specs[self.mnemonic]


_specs: dict[str, Spec] = {}
_by_opcode: list[tuple[Spec, int, tuple[Operand, ...]] | None] = [None] * 256
_fields = {field.name: field.id for field in load().fields.values()}
_encoders: dict[str, tuple[int, frozenset[str], dict[str, _Slot]]] = {}


def _add(spec: Spec) -> None:
    _specs[spec.mnemonic] = spec
    _by_opcode[spec.opcode] = (spec, ~spec.used_mask & (1 << 64) - 1, spec.operands)
    required = frozenset(operand.name for operand in spec.operands if operand.required)
    slots = {operand.name: (operand.shift, operand.mask, operand.low, operand.high) for operand in spec.operands}
    _encoders[spec.mnemonic] = (spec.opcode << 56, required, slots)


for _spec in load().specs.values():
    _add(_spec)


def instructions() -> dict[str, Spec]:
    """Every known instruction by mnemonic, in table order; users' instructions last."""
    return dict(_specs)


def extend(row: str) -> Spec:
    """Makes a user's instruction known: one line in the form of the tables, opcode within 0xc0..0xff. The same line twice is no error."""
    from isa.proofs import prove_spec

    cells = row.split(None, 6)
    if len(cells) != 7:
        raise IsaError(f"an instruction is a line of 7 columns, {len(cells)} found")
    tables = load()
    spec = parse_spec(cells, tables.words, tables.flags, len(tables.fields))
    if _specs.get(spec.mnemonic) == spec:
        return spec
    prove_spec(spec, tables)
    if spec.opcode not in USER_OPCODES:
        raise IsaError(f"{spec.mnemonic}: users' opcodes are {USER_OPCODES.start:#x}..{USER_OPCODES.stop - 1:#x}, not {spec.opcode:#x}")
    taken = _by_opcode[spec.opcode]
    if spec.mnemonic in _specs or taken is not None:
        owner = taken[0].mnemonic if taken is not None else spec.mnemonic
        raise IsaError(f"{spec.mnemonic}: mnemonic or opcode {spec.opcode:#x} is taken by {owner!r}")
    _add(spec)
    return spec


def forget(mnemonic: str) -> None:
    """Takes back an `extend`."""
    spec = _specs.get(mnemonic)
    if spec is None or spec.opcode not in USER_OPCODES:
        raise IsaError(f"{mnemonic!r} is not a user's instruction")
    del _specs[mnemonic], _encoders[mnemonic]
    _by_opcode[spec.opcode] = None


def encode(mnemonic: str, /, **operands: SupportsIndex | str) -> int:
    """The word of an instruction; wait, signal and flags default to 0. A descriptor field may be given by name."""
    return pack(mnemonic, operands)


def pack(mnemonic: str, operands: Mapping[str, SupportsIndex | str]) -> int:
    """The same of operands in a mapping."""
    try:
        word, required, slots = _encoders[mnemonic]
        for name, value in operands.items():
            shift, mask, low, high = slots[name]
            if value.__class__ is not int:
                value = _integer(name, value)
            if not low <= value <= high:  # type: ignore[operator]
                _refuse(mnemonic, operands)
            word |= (value & mask) << shift  # type: ignore[operator]
    except (KeyError, AttributeError, TypeError):
        _refuse(mnemonic, operands)
    if len(operands) != len(slots) and not required <= operands.keys():
        _refuse(mnemonic, operands)
    return word


def _integer(name: str, value: SupportsIndex | str) -> int:
    """A descriptor field by name, or a plain integer: one of numpy would overflow in the shift. AttributeError for anything else."""
    if name == "field" and value in _fields:
        return _fields[value]  # type: ignore[index]
    return value.__index__()  # type: ignore[union-attr]


def _refuse(mnemonic: str, operands: Mapping[str, SupportsIndex | str]) -> NoReturn:
    """Says which operand is wrong."""
    spec = _specs.get(mnemonic)
    if spec is None:
        raise IsaError(f"no instruction {mnemonic!r}{nearest(mnemonic, _specs)}")
    known = {operand.name: operand for operand in spec.operands}
    for name, value in operands.items():
        operand = known.get(name)
        if operand is None:
            raise IsaError(f"{mnemonic} has no operand {name!r}{nearest(name, known)}")
        if name == "field" and isinstance(value, str):
            if value not in _fields:
                raise IsaError(f"{mnemonic}: no descriptor field {value!r}{nearest(value, _fields)}")
        else:
            check_range(mnemonic, operand, value)
    missing = [name for name, operand in known.items() if operand.required and name not in operands]
    raise IsaError(f"{mnemonic} needs operand {', '.join(missing)}")


def check_range(mnemonic: str, operand: Operand, value: object) -> None:
    """IsaError unless the value is an integer the operand can hold."""
    if not hasattr(value, "__index__"):
        raise IsaError(f"{mnemonic}: {operand.name} must be an integer, not {value!r}")
    number = value.__index__()
    if not operand.low <= number <= operand.high:
        raise IsaError(f"{mnemonic}: {operand.name} must be {operand.low}..{operand.high}, is {number}")


def decode(word: int) -> Instruction:
    """The instruction of a word; refuses unknown opcodes, bits that no operand uses, and values encode would refuse."""
    if not 0 <= word < 1 << 64:
        raise IsaError(f"{word:#x} is not a 64-bit word")
    entry = _by_opcode[word >> 56]
    if entry is None:
        mine = " (a user's instruction, not known here: declare it with isa.words.extend)" if word >> 56 in USER_OPCODES else ""
        raise IsaError(f"word {word:#018x}: unknown opcode {word >> 56:#04x}{mine}")
    spec, unused, operands = entry
    if word & unused:
        _refuse_bits(word, spec, word & unused)
    values = {}
    for operand in operands:
        value = (word >> operand.shift) & operand.mask
        if operand.signed and value > operand.high:
            value -= operand.mask + 1
        if value < operand.low or value > operand.high:
            raise IsaError(f"word {word:#018x}: {spec.mnemonic}: {operand.name} must be {operand.low}..{operand.high}, is {value}")
        values[operand.name] = value
    return Instruction(spec.mnemonic, values)


def _refuse_bits(word: int, spec: Spec, wrong: int) -> NoReturn:
    for field in load().words[spec.format].values():
        bits = wrong >> field.lo & field.mask
        if bits:
            break
    what = "is reserved" if field.name == "zero" else f"is not used by {spec.mnemonic}"
    if field.name == "flags":
        names = [flag.name for flag in load().flags.values() if bits >> flag.id & 1]
        what = f"has {', '.join(names) or f'bits {bits:#x}'}, which {spec.mnemonic} does not take"
    raise IsaError(f"word {word:#018x}: field {field.name} (bits {field.hi}..{field.lo}) {what} and must be 0")
