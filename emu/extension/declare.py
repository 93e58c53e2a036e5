"""`@emu.instruction`: from a function and a few words about it to an instruction of a set."""

from __future__ import annotations

import ctypes
import inspect
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any

from emu.chip.schema import Chip
from emu.errors import ProgramError, UnsupportedError, did_you_mean
from emu.extension.costs import Cost
from emu.extension.source import about
from emu.formula import FormulaError
from isa import Extension, InstructionSet, IsaError

if TYPE_CHECKING:
    from emu.kernels.lang import Tracer

ENGINES = ("vec", "mm")
PER = ("element", "row")
FLAGS = ("imm", "sat", "sr")
SECOND = ("", "r", "s")
"""How d2 may be used: not at all, as an operand, as a number."""


class UserInstruction:
    """An instruction that a user added to a set. Called inside a kernel it emits itself: `vsoftcap(k, out, x, 30.0)`."""

    def __init__(
        self, known: InstructionSet, row: str, meaning: Callable[..., Any], per: str, cycles: Cost, energy: Cost,
        code: Any, version: str,
    ) -> None:
        self.set, self.meaning, self.per, self.cycles, self.energy = known, meaning, per, cycles, energy
        self.code, self.pointer = code, _address(row.split()[0], code)  # held as long as the instruction is
        said = (about(meaning), per, cycles.text, energy.text, "" if code is None else "compiled elsewhere", version)
        self.extension: Extension = known.add(row, "\n".join(said), per == "row", getattr(meaning, "py_func", meaning), self)
        self.__name__, self.__doc__ = self.extension.spec.mnemonic, meaning.__doc__

    @property
    def name(self) -> str:
        """Its mnemonic."""
        return self.extension.spec.mnemonic

    @property
    def digest(self) -> str:
        """What programs carry beside the name: of the table line, the meaning's source, cycles, energy and version."""
        return self.extension.digest

    @cached_property
    def access(self) -> dict[str, str]:
        """How it uses d0, d1 and d2."""
        return {operand.name: operand.access for operand in self.extension.spec.operands if operand.kind == "descriptor"}

    @cached_property
    def flags(self) -> tuple[str, ...]:
        """Flags it takes."""
        return tuple(operand.name for operand in self.extension.spec.operands if operand.kind == "flag")

    @cached_property
    def _compiled(self) -> Any:
        from emu.extension.compiled import compiled  # imports Numba

        return compiled(self.meaning, self.per == "row", self.access["d0"] == "rw", self.access.get("d2", ""))

    @property
    def address(self) -> int:
        """Of the function that the engine calls; the first use compiles it. ProgramError says what Numba could not do."""
        if self.pointer is not None:
            return self.pointer
        try:
            return int(self._compiled.address)
        except Exception as error:  # Numba's errors have no common base but this one
            said = " ".join(str(error).split())
            raise ProgramError(f"{self.name}: Numba cannot compile its meaning: {said:.600}") from None

    def cost(self, chip: Chip, elements: int, out: int | None = None, rows: int = 1) -> tuple[int, Fraction]:
        """Whole cycles and picojoules of one execution on a chip, from the expressions alone: ports and start-up come to it."""
        extents = {"elements": elements, "out": elements if out is None else out, "rows": rows, "width": elements // rows}
        cycles = self.cycles.value(chip, extents, self.name)
        return -(-cycles.numerator // cycles.denominator), self.energy.value(chip, extents, self.name)

    def check(self, chip: Chip | str = "tiny", trials: int = 20, seed: int = 0) -> None:
        """Holds the compiled code against the meaning, bit for bit, on a chip's engine and random operands. ProgramError says what differs;
        UnsupportedError and others, why it does not run there."""
        from emu.extension.check import check

        check(self, chip, trials, seed)

    def __call__(self, k: Tracer, dst: Any, *sources: Any) -> None:
        """Emit it in a kernel: destination, the operand of d1 and, where it has one, that of d2 or the number that stands for it."""
        k.emit_user(self, dst, *sources)

    def __repr__(self) -> str:
        return f"<instruction {self.name} of set {self.set.name!r}, digest {self.digest[:12]}>"


def instruction(
    known: InstructionSet, *, operands: str = "d0:w, d1:r", cycles: str | float, energy: str | float, engine: str = "vec",
    per: str = "element", opcode: int | None = None, name: str | None = None, pointer: Any = None, version: str = "",
) -> Callable[[Callable[..., Any]], UserInstruction]:
    """Adds the decorated function to an instruction set as an instruction.

    operands: `d0:w` or `d0:rw`, `d1:r`, perhaps `d2:r` or `d2:s` (its scalar field), and flags `imm`, `sat`, `sr`, as in the tables.
    per "element": the function takes fp32 numbers (the old one of d0 if it is rw, one of d1, then one of d2 or the scalar) and returns one.
    per "row": it takes fp32 arrays: the row of d0 to fill, a row of d1 and perhaps of d2, each with its own length, then the scalar.
    The result is rounded once to d0's format, as with any vector instruction. Constants in it want `num.f32(...)`: to Numba a plain 0.5 is
    a double.
    cycles, energy: expressions (emu.extension.costs) in cycles of the engine and in pJ, of extents and of the chip's own figures.
    engine: "vec", or "mm" for one that occupies the matrix engine. opcode: within 0xc0..0xff; the first free one unless given.
    pointer: compiled code instead of Numba's: an address, a ctypes function, anything with an `address`, or a capsule of Cython's
    `__pyx_capi__`, with the signature of emu_user_fn in csrc/num/num.h; the decorated function is then what it is tested against, and
    `version` tells one such code from another, in the digest that programs carry.

    Raises UnsupportedError, or ProgramError where the set has another instruction of its name or opcode."""

    def declare(meaning: Callable[..., Any]) -> UserInstruction:
        who = name or meaning.__name__
        try:
            costs = Cost.read("cycles", cycles), Cost.read("energy", energy)
        except FormulaError as error:
            raise UnsupportedError(f"{who}: {error}") from None
        tokens = [token.strip() for token in operands.split(",")]
        used, flags = [token for token in tokens if ":" in token], [token for token in tokens if ":" not in token]
        _check(who, meaning, used, flags, engine, per)
        if pointer is not None and not version:
            raise UnsupportedError(f"{who}: compiled code says nothing of itself: give it a version, which becomes part of the digest")
        text = " ".join((inspect.getdoc(meaning) or who).split())
        try:
            code = opcode if opcode is not None else _opcode_of(known, who)
            row = f"{who} {code:#04x} E {','.join([*used, 'wait', 'signal', *flags])} {engine} user {text}"
            return UserInstruction(known, row, meaning, per, *costs, pointer, version)
        except IsaError as error:
            raise ProgramError(str(error)) from None

    return declare


def _opcode_of(known: InstructionSet, name: str) -> int:
    """The one it has already, so that declaring the same again is no error, or a free one."""
    return known.extensions[name].spec.opcode if name in known.extensions else known.free_opcode()


def _check(who: str, meaning: Callable[..., Any], used: list[str], flags: list[str], engine: str, per: str) -> None:
    """Everything the set itself does not look at."""
    if not who.isidentifier():
        raise UnsupportedError(f"{who!r} is no name for an instruction; give it one: name=\"vown\"")
    if engine not in ENGINES:
        raise UnsupportedError(f"{who}: engine {engine!r}: it works on vec or mm; DMA takes its time from memory")
    if per not in PER:
        raise UnsupportedError(f"{who}: per {per!r}: its meaning is one of an {PER[0]} or of a {PER[1]}")
    access = dict(token.split(":", 1) for token in used)
    good = access.get("d0") in ("w", "rw") and access.get("d1") == "r" and access.get("d2", "") in SECOND
    if not good or access.keys() - {"d0", "d1", "d2"}:
        raise UnsupportedError(f"{who}: operands {', '.join(used)!r}: expected d0:w or d0:rw, d1:r, and perhaps d2:r or d2:s, then flags")
    if unknown := [flag for flag in flags if flag not in FLAGS]:
        raise UnsupportedError(f"{who}: {unknown[0]!r} is no flag that it could take; {did_you_mean(unknown[0], FLAGS)}")
    if "imm" in flags and (access.get("d2") != "r" or per == "row"):
        raise UnsupportedError(f"{who}: imm puts a number in the place of an element of d2:r; d2:s is a number always")
    wanted = (access["d0"] == "rw" or per == "row") + 1 + ("d2" in access)
    found = len(inspect.signature(getattr(meaning, "py_func", meaning)).parameters)
    if found != wanted:
        raise UnsupportedError(f"{who}: with operands {', '.join(used)}, per {per}, it takes {wanted} values, and has {found} parameters")


def _address(who: str, pointer: Any) -> int | None:
    if pointer is None:
        return None
    if type(pointer).__name__ == "PyCapsule":
        name = ctypes.pythonapi.PyCapsule_GetName
        name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
        get = ctypes.pythonapi.PyCapsule_GetPointer
        get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
        pointer = get(pointer, name(pointer))
    elif hasattr(pointer, "address"):
        pointer = pointer.address
    elif not isinstance(pointer, (int, str, bytes)):
        try:
            pointer = ctypes.cast(pointer, ctypes.c_void_p).value
        except ctypes.ArgumentError:
            pointer = None
    if not isinstance(pointer, int) or isinstance(pointer, bool) or pointer <= 0:
        raise UnsupportedError(f"{who}: pointer: expected an address, a ctypes function, something with an address, or a capsule")
    return pointer


def instructions_of(extensions: Mapping[str, Extension]) -> dict[str, UserInstruction]:
    """The declared instructions behind extensions; UnsupportedError for one that was added to its set by its line alone."""
    for name, extension in extensions.items():
        if not isinstance(extension.engine, UserInstruction):
            raise UnsupportedError(f"{name}: added by its table line alone, it has no time and no meaning; use emu.instruction")
    return {name: extension.engine for name, extension in extensions.items()}
