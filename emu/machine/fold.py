"""Folding: cores that must take the same time are simulated once and counted as often as there are (SOUNDNESS 14).

All cores run the same words; what differs is their column of the parameter table. A parameter that only ever becomes an address cannot
change a time in `fast` without a cache: device memory is one fair-share server whatever the address. A backward data-flow analysis over
every stream finds the parameters that reach anything else (loop counts, extents, strides, branches); cores that agree in those are one
class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from emu.chip.schema import Chip
from isa import Program, decode

ADDRESS_FIELDS = ("base", "ring_lo")
SOURCES = {
    "lih": ("ra",), "add": ("ra", "rb"), "sub": ("ra", "rb"), "mul": ("ra", "rb"), "addi": ("ra",), "muli": ("ra",), "min": ("ra", "rb"),
    "max": ("ra", "rb"), "mini": ("ra",), "maxi": ("ra",), "and": ("ra", "rb"), "or": ("ra", "rb"), "xor": ("ra", "rb"), "shli": ("ra",),
    "shri": ("ra",), "li": (), "ldp": (),
}  # fmt: skip
BRANCHES = ("beq", "bne", "blt", "bge")
IDENTITY = ("cid", "ldpx", "lds", "rsignal", "dmam")
"""Instructions by which a core can learn which one it is, or reach another one: a program with any of them is not folded."""


@dataclass(frozen=True)
class Word:
    """What the analysis needs of one word: register masks, the parameter it loads, where control goes next."""

    define: int
    sources: int
    use: int
    param: int
    next: tuple[int, ...]


@dataclass(frozen=True)
class Folding:
    """One core of each class, how many cores it stands for, and the class of every core."""

    cores: tuple[int, ...]
    weights: tuple[int, ...]
    class_of: tuple[int, ...]


def _mask(operands: dict[str, int], names: Sequence[str]) -> int:
    return sum({1 << operands[n] for n in names}) & ~1  # r0 reads 0


def _words(words: list[int], fields: dict[int, str], peer: int) -> list[Word] | None:
    """None if the stream holds something that forbids folding."""
    ends: dict[int, list[int]] = {}
    result = []
    for at, word in enumerate(words):
        i = decode(word)
        name, ops = i.mnemonic, i.operands
        if name in IDENTITY:
            return None
        define = sources = use = 0
        param, follow = -1, [at + 1]
        if name in SOURCES:
            define, sources = 1 << ops["rd"] & ~1, _mask(ops, SOURCES[name])
            param = ops["imm"] if name == "ldp" else -1
        elif name in BRANCHES:
            use, follow = _mask(ops, ("ra", "rb")), [at + 1, at + ops["off"]]
        elif name in ("loop", "loopr"):
            use = _mask(ops, ("ra",)) if name == "loopr" else 0
            follow = [at + 1, at + ops["off"]]
            ends.setdefault(at + ops["off"] - 1, []).append(at + 1)
        elif name in ("dsetr", "daddr"):
            field = fields[ops["field"]]
            if field not in ADDRESS_FIELDS:
                use = _mask(ops, ("ra",))
        elif name == "dset" and fields[ops["field"]] == "space" and ops["imm"] == peer:
            return None
        elif name == "halt":
            follow = []
        result.append(Word(define, sources, use, param, tuple(follow)))
    for end, starts in ends.items():
        w = result[end]
        result[end] = Word(w.define, w.sources, w.use, w.param, w.next + tuple(starts))
    return result


def _relevant(words: list[Word]) -> set[int]:
    """Parameters of one stream that reach more than an address: liveness of registers whose value may matter to time, to a fixed point."""
    live = [0] * (len(words) + 1)
    changed = True
    while changed:
        changed = False
        for at in range(len(words) - 1, -1, -1):
            w = words[at]
            out = 0
            for n in w.next:
                out |= live[n] if n < len(words) else 0
            now = (out & ~w.define) | w.use | (w.sources if out & w.define else 0)
            if now != live[at]:
                live[at] = now
                changed = True
    found = set()
    for w in words:
        if w.param >= 0 and any(live[n] & w.define for n in w.next if n < len(words)):
            found.add(w.param)
    return found


def relevant_params(program: Program) -> set[int] | None:
    """Indices of the parameters that can change a time; None if the program cannot be folded."""
    from isa.tables import load

    tables = load()
    fields = {f.id: f.name for f in tables.fields.values()}
    peer = tables.spaces["peer"].id
    found: set[int] = set()
    for stream in program.streams.values():
        words = _words(stream, fields, peer)
        if words is None:
            return None
        found |= _relevant(words)
    return found


def foldable(chip: Chip) -> bool:
    """Whether addresses cannot matter on this chip: no cache whose contents depend on them."""
    return not any(level.kind == "cache" for level in chip.levels)


def fold(program: Program, chip: Chip) -> Folding | None:
    """The classes of equal cores; None if nothing can be folded."""
    if program.cores < 2 or not foldable(chip):
        return None
    relevant = relevant_params(program)
    if relevant is None:
        return None
    columns = [program.params[j] for j in sorted(relevant)]
    classes: dict[tuple[int, ...], int] = {}
    class_of: list[int] = []
    cores: list[int] = []
    weights: list[int] = []
    for core in range(program.cores):
        key = tuple(column[core] for column in columns)
        number = classes.setdefault(key, len(classes))
        if number == len(cores):
            cores.append(core)
            weights.append(0)
        weights[number] += 1
        class_of.append(number)
    return Folding(tuple(cores), tuple(weights), tuple(class_of)) if len(cores) < program.cores else None
