"""Words: `encode` packs operands into 64 bits, `decode` unpacks them; each refuses what the other could not give back.

What words mean is a matter of an `InstructionSet`: the machine's own, which the functions here use, or one to which a user has added."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn, SupportsIndex

from isa.errors import IsaError, nearest
from isa.tables import USER_OPCODES, Operand, Spec, load, parse_spec

_Slot = tuple[int, int, int, int]  # shift, mask, low, high


_fields = {field.name: field.id for field in load().fields.values()}


class Instruction(NamedTuple):
    """A decoded word: every operand of the instruction by name, flags as 0 or 1."""

    mnemonic: str
    operands: dict[str, int]

    @property
    def spec(self) -> Spec:
        return MACHINE.specs[self.mnemonic]


@dataclass(frozen=True)
class Extension:
    """A user's instruction: its table line, and what it means.

    `digest` is what programs carry beside the name: sha-256 over the line and over what the user says of the rest. `meaning` is the
    oracle's function: of single fp32 numbers, or with `rows` of whole rows (isa/oracle/extension.py). `engine` is kept for others."""

    spec: Spec
    digest: str
    rows: bool = False
    meaning: Callable[..., Any] | None = None
    engine: Any = None


class InstructionSet:
    """The machine's instructions and those a user adds to them. What was added stays as it is, so programs may refer to it."""

    def __init__(self, name: str = "mine") -> None:
        self.name = name
        self.extensions: dict[str, Extension] = {}
        """Users' instructions by mnemonic."""
        self.specs: dict[str, Spec] = {}
        """All instructions by mnemonic, in table order; users' last."""
        self._by_opcode: list[tuple[Spec, int, type[Instruction]] | None] = [None] * 256
        self._encoders: dict[str, tuple[int, frozenset[str], dict[str, _Slot]]] = {}
        for spec in load().specs.values():
            self._know(spec, Instruction)

    def _know(self, spec: Spec, kind: type[Instruction]) -> None:
        self.specs[spec.mnemonic] = spec
        self._by_opcode[spec.opcode] = (spec, ~spec.used_mask & (1 << 64) - 1, kind)
        required = frozenset(operand.name for operand in spec.operands if operand.required)
        slots = {operand.name: (operand.shift, operand.mask, operand.low, operand.high) for operand in spec.operands}
        self._encoders[spec.mnemonic] = (spec.opcode << 56, required, slots)

    def add(
        self, row: str, about: str = "", rows: bool = False, meaning: Callable[..., Any] | None = None, engine: Any = None
    ) -> Extension:
        """A user's instruction: one line in the form of the tables, opcode within 0xc0..0xff. `about` is what else tells it from another
        one of the name, and goes into its digest. The same instruction twice is no error: the later object stands
        for it. Another one of its name or opcode is."""
        from isa.proofs import prove_spec

        if self is MACHINE:
            raise IsaError("the machine's own instruction set is closed: add to an InstructionSet() of your own")
        cells = row.split(None, 6)
        if len(cells) != 7:
            raise IsaError(f"an instruction is a line of 7 columns, {len(cells)} found")
        tables = load()
        spec = parse_spec(cells, tables.words, tables.flags, len(tables.fields))
        digest = extension_digest(spec.row, about)
        known = self.extensions.get(spec.mnemonic)
        if known is not None and known.digest == digest:  # it means the same; what compiled code it has may be newer
            self.extensions[spec.mnemonic] = Extension(spec, digest, rows, meaning, engine)
            return self.extensions[spec.mnemonic]
        prove_spec(spec, tables)
        if spec.opcode not in USER_OPCODES:
            raise IsaError(f"{spec.mnemonic}: users' opcodes are {USER_OPCODES.start:#x}..{USER_OPCODES.stop - 1:#x}, not {spec.opcode:#x}")
        taken = self._by_opcode[spec.opcode]
        if spec.mnemonic in self.specs or taken is not None:
            owner = spec.mnemonic if taken is None else taken[0].mnemonic
            raise IsaError(f"{spec.mnemonic}: mnemonic or opcode {spec.opcode:#x} is taken by {owner!r} in set {self.name!r}")
        self._know(spec, type("Instruction", (Instruction,), {"spec": spec, "__slots__": ()}))
        self.extensions[spec.mnemonic] = Extension(spec, digest, rows, meaning, engine)
        return self.extensions[spec.mnemonic]

    def free_opcode(self) -> int:
        """The first of users' opcodes that nobody has."""
        free = next((opcode for opcode in USER_OPCODES if self._by_opcode[opcode] is None), None)
        if free is None:
            raise IsaError(f"set {self.name!r}: all {len(USER_OPCODES)} opcodes of users are taken")
        return free

    def used(self, streams: Mapping[str, list[int]]) -> dict[str, Extension]:
        """The users' instructions in some streams, by name in alphabetical order."""
        opcodes = {word >> 56 for words in streams.values() for word in words} & set(USER_OPCODES) if self.extensions else set()
        return {name: self.extensions[name] for name in sorted(self.extensions) if self.specs[name].opcode in opcodes}

    def resolve(self, name: str, digest: str | None) -> Extension:
        """The instruction a program means by a name and a digest (None: any); IsaError if it is not known here or another one."""
        found = self.extensions.get(name)
        where = f"the instruction set {self.name!r}"
        if found is None:
            raise IsaError(f"the program needs the user's instruction {name[:40]!r}, which {where} does not have: add it there first")
        if digest is not None and found.digest != digest:
            told = f"it was made with digest {digest[:12]}..., here it is {found.digest[:12]}..."
            raise IsaError(f"the user's instruction {name[:40]!r} of {where} is not the one the program was made with ({told})")
        return found

    def encode(self, mnemonic: str, /, **operands: SupportsIndex | str) -> int:
        """The word of an instruction; wait, signal and flags default to 0. A descriptor field may be given by name."""
        return self.pack(mnemonic, operands)

    def pack(self, mnemonic: str, operands: Mapping[str, SupportsIndex | str]) -> int:
        """The same of operands in a mapping."""
        try:
            word, required, slots = self._encoders[mnemonic]
            for name, value in operands.items():
                shift, mask, low, high = slots[name]
                if value.__class__ is not int:
                    value = _integer(name, value)
                if not low <= value <= high:  # type: ignore[operator]
                    self._refuse(mnemonic, operands)
                word |= (value & mask) << shift  # type: ignore[operator]
        except (KeyError, AttributeError, TypeError):
            self._refuse(mnemonic, operands)
        if len(operands) != len(slots) and not required <= operands.keys():
            self._refuse(mnemonic, operands)
        return word

    def _refuse(self, mnemonic: str, operands: Mapping[str, SupportsIndex | str]) -> NoReturn:
        """Says which operand is wrong."""
        spec = self.specs.get(mnemonic)
        if spec is None:
            raise IsaError(f"no instruction {mnemonic!r}{nearest(mnemonic, self.specs)}")
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

    def decode(self, word: int) -> Instruction:
        """The instruction of a word; refuses unknown opcodes, bits that no operand uses, and values encode would refuse."""
        if not 0 <= word < 1 << 64:
            raise IsaError(f"{word:#x} is not a 64-bit word")
        entry = self._by_opcode[word >> 56]
        if entry is None:
            mine = f" (a user's instruction that the instruction set {self.name!r} does not have)" if word >> 56 in USER_OPCODES else ""
            raise IsaError(f"word {word:#018x}: unknown opcode {word >> 56:#04x}{mine}")
        spec, unused, kind = entry
        if word & unused:
            _refuse_bits(word, spec, word & unused)
        values = {}
        for operand in spec.operands:
            value = (word >> operand.shift) & operand.mask
            if operand.signed and value > operand.high:
                value -= operand.mask + 1
            if value < operand.low or value > operand.high:
                raise IsaError(f"word {word:#018x}: {spec.mnemonic}: {operand.name} must be {operand.low}..{operand.high}, is {value}")
            values[operand.name] = value
        return kind(spec.mnemonic, values)


def extension_digest(row: str, about: str) -> str:
    """sha-256 over a table line and what else is said of a user's instruction."""
    import hashlib  # slow to import, and only extensions need it

    return hashlib.sha256(f"{row}\n{about}".encode()).hexdigest()


def _integer(name: str, value: SupportsIndex | str) -> int:
    """A descriptor field by name, or a plain integer: one of numpy would overflow in the shift. AttributeError for anything else."""
    if name == "field" and value in _fields:
        return _fields[value]  # type: ignore[index]
    return value.__index__()  # type: ignore[union-attr]


def check_range(mnemonic: str, operand: Operand, value: object) -> None:
    """IsaError unless the value is an integer the operand can hold."""
    if not hasattr(value, "__index__"):
        raise IsaError(f"{mnemonic}: {operand.name} must be an integer, not {value!r}")
    number = value.__index__()
    if not operand.low <= number <= operand.high:
        raise IsaError(f"{mnemonic}: {operand.name} must be {operand.low}..{operand.high}, is {number}")


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


MACHINE = InstructionSet("machine")
"""The instructions of the tables and nothing else; closed."""
encode, pack, decode = MACHINE.encode, MACHINE.pack, MACHINE.decode


def instructions() -> dict[str, Spec]:
    """The machine's instructions by mnemonic, in table order."""
    return dict(MACHINE.specs)
