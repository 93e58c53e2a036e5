"""From the trace and its plans to the words of one stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

from emu.errors import ProgramError
from emu.kernels.lang.descriptors import DESCRIPTORS, Access, Place, Table
from emu.kernels.lang.expr import Expr, Index, Looked, Value
from emu.kernels.lang.memory import Tile
from emu.kernels.lang.percore import Const, PerCore
from emu.kernels.lang.sync import Plan, Token
from emu.kernels.lang.tree import Block, Loop, Op, Region, tile_of
from isa.tables import Operand, load
from isa.words import InstructionSet, encode, instructions, pack

INDEX = 1  # registers: r1..r8 loop indices by depth, r9..r16 loop counts by depth, the rest temporary
COUNT = 9
TEMP = 17
SMALL = 1 << 31
MAX_BODY = 1 << 15


class Code:
    """Words with the source line of each."""

    def __init__(self) -> None:
        self.words: list[int] = []
        self.lines: list[str] = []

    def add(self, line: str, mnemonic: str, **operands: int | str) -> None:
        self.put(line, pack(mnemonic, operands))

    def put(self, line: str, word: int) -> None:
        self.words.append(word)
        self.lines.append(line)

    def set(self, line: str, place: Place, value: int) -> None:
        """`dset`: half of all words, so its word of the place is kept and only the constant goes in."""
        immediate, words = _dset()
        if not immediate.low <= value <= immediate.high:
            self.add(line, "dset", d0=place[0], field=place[1], imm=value)  # refuses it
        self.words.append(words[place] | (value & immediate.mask) << immediate.shift)
        self.lines.append(line)

    def extend(self, other: Code) -> None:
        self.words += other.words
        self.lines += other.lines


class Emitter:
    """Writes one stream: operation by operation, each with its plan and descriptor table."""

    def __init__(
        self, stream: str, param: Callable[[Const], int], number: Callable[[Token], int], table: Callable[[tuple[Const, ...]], int],
        neighbour: Const, instructions: InstructionSet,
    ) -> None:
        self.stream = stream
        self.param = param
        self.rows = table
        self.neighbour = neighbour
        self.instructions = instructions
        self.number = number
        self.known = _defaults().copy()  # what fields hold
        self._begun: dict[Tile, int] = {}  # the descriptor of the first product into a generation
        self._used: set[Loop] = set()
        self._looked: dict[Loop, dict[Looked, None]] = {}
        self.plan = Plan()
        self.table: Table
        self.inside: set[Op | Loop] = set()

    # --- operations

    def prologue(self, region: Region, plan: Plan, table: Table, code: Code) -> None:
        """Sets what is constant during the operation; fields that already hold their value are left alone."""
        self.plan, self.table = plan, table
        self.inside = _inside(region, self.stream)
        line = f"{region.line} (descriptors)"
        known = self.known
        for place, value in [(place, value) for place, value in table.start if known[place] != value]:
            known[place] = _UNKNOWN if table.fixed[place] is None else value  # type: ignore[assignment]
            self._set(place, value, line, code)
        self.forget(table.volatile)

    def body(self, region: Region, code: Code) -> None:
        """The operation itself, after its prologue."""
        self._block(region.body, code)

    def forget(self, places: Iterable[Place]) -> None:
        """These fields may hold anything from here on."""
        self.known.update(dict.fromkeys(places, _UNKNOWN))

    def set_constants(self, constants: dict[Place, int | None], line: str, code: Code) -> None:
        """Fields to constants, where there is one and they are not known to hold it."""
        known = self.known
        for place, value in constants.items():
            if value is not None and known[place] != value:
                known[place] = value
                code.set(line, place, value)

    # --- blocks

    def _block(self, block: Block, code: Code) -> None:
        for node in block.nodes:
            if node in self.inside:
                assert not isinstance(node, Region)
                self._before(node, code)
                if isinstance(node, Loop):
                    self._loop(node, code)
                    self._signals(node, self.plan.signals.get((self.stream, node), ()), code)
                else:
                    self._op(node, code)
                self._after(node, code)

    def _before(self, node: Op | Loop, code: Code) -> None:
        waits = self.plan.waits.get((self.stream, node), [])
        for token in waits if isinstance(node, Loop) else waits[:-1]:
            code.add(node.line, "wait", sem=self.number(token), imm=1)
        if self.stream == "mm":
            for tile in self.plan.clear.get(node, ()):
                for number in self.table.toggled(tile):
                    code.set(node.line, (number, "accumulate"), 0)

    def _after(self, node: Op | Loop, code: Code) -> None:
        for ring in self.plan.advance.get((self.stream, node), ()):
            for number in self.table.of_ring(ring):
                code.add(node.line, "dnext", d0=number)

    def _signals(self, node: Op | Loop, tokens: Iterable[Token], code: Code) -> None:
        for token in tokens:
            if token.away:
                code.add(node.line, "ldp", rd=TEMP, imm=self.param(self.neighbour))
                code.add(node.line, "rsignal", sem=self.number(token), ra=TEMP, imm=1)
            else:
                code.add(node.line, "signal", sem=self.number(token), imm=1)

    def _tells(self, op: Op, code: Code) -> bool:
        """Whether it was a wait, a fence or a signal to another chip, by itself."""
        if op.uses:
            return False
        if op.mnemonic == "fence":
            code.add(op.line, "fence")
        elif op.gives is None:
            assert op.takes is not None
            code.add(op.line, "wait", sem=self.number(op.takes), imm=1)
        else:
            register, rest = self.evaluate(op.chip, op.line, code)
            if rest:
                code.add(op.line, "addi", rd=TEMP, ra=register, imm=rest)
                register = TEMP
            code.add(op.line, "csignal", sem=self.number(op.gives), ra=register, imm=1)
        return True

    def _op(self, op: Op, code: Code) -> None:
        if self._tells(op, code):
            return
        access = self.table.access[op]
        waits = self.plan.waits.get((self.stream, op), [])
        signals = self.plan.signals.get((self.stream, op), [])
        for cursor, offset, fields in access.moved:
            for name, value in fields.items():
                self._set((cursor.number, name), value, op.line, code)
            if offset:
                code.add(op.line, "dadd", d0=cursor.number, field="base", imm=offset)
        self._add_up(op, access, code)
        operands: dict[str, int | str] = dict(access.numbers)
        operands.update(dict.fromkeys(op.flags, 1))
        operands["wait"] = self.number(waits[-1]) if waits else 0
        operands["signal"] = self.number(signals[0]) if signals else 0
        code.put(op.line, self.instructions.pack(op.mnemonic, operands))
        for cursor, offset, _ in access.moved:
            if offset:
                code.add(op.line, "dadd", d0=cursor.number, field="base", imm=-offset)
        self._signals(op, signals[1:], code)
        self._accumulate(op, access, code)

    def _add_up(self, op: Op, access: Access, code: Code) -> None:
        """Later pieces of a product add to a sum that its first piece may have begun under another descriptor."""
        tile, desc = tile_of(op.uses[0].view), access.destination
        if tile is None or desc is None:
            return
        if op in self.plan.first_mm:
            self._begun[tile] = desc.number
        elif desc.toggles and (tile.since is not None or self._begun.get(tile) != desc.number):
            code.set(op.line, (desc.number, "accumulate"), 1)

    def _accumulate(self, op: Op, access: Access, code: Code) -> None:
        """After the product that overwrote, the same descriptor adds; after the last of a sum's generation, all of its descriptors do."""
        if access.destination is not None and access.destination.toggles and op in self.plan.first_mm:
            code.set(op.line, (access.destination.number, "accumulate"), 1)
        if op in self.plan.last_mm:
            for number in self.table.toggled(self.plan.last_mm[op]):
                code.set(op.line, (number, "accumulate"), 1)

    # --- loops

    def _loop(self, loop: Loop, code: Code) -> None:
        steps = self.table.steps.get(loop)
        self.count(loop, code)
        body = Code()
        if steps:
            for value, targets in steps.head.items():
                register, rest = self.evaluate(value, loop.line, body)
                for number, name in targets:
                    body.add(loop.line, "dsetr", d0=number, field=name, ra=register, imm=rest)
        self._block(loop.body, body)
        if steps:
            for number, name, delta in steps.end:
                self._add(number, name, delta, loop.line, body)
        self.close(loop, body, code)
        if steps:
            for number, name, factor in steps.after:
                self._unwind(loop, number, name, factor, code)

    def count(self, loop: Loop, code: Code) -> None:
        """Puts a count that differs between cores or iterations into its register."""
        if isinstance(loop.count, PerCore):
            code.add(loop.line, "ldp", rd=COUNT + loop.depth, imm=self.param(loop.count))
        elif not isinstance(loop.count, int):
            source, rest = self.evaluate(loop.count, loop.line, code)
            code.add(loop.line, "addi", rd=COUNT + loop.depth, ra=source, imm=rest)

    def close(self, loop: Loop, body: Code, code: Code) -> None:
        """Puts the loop instruction before its body, and the index register around it if anything reads the index."""
        index = INDEX + loop.depth
        body = self._look_up(loop, body)
        if loop in self._used:
            code.add(loop.line, "li", rd=index, imm=0)
            body.add(loop.line, "addi", rd=index, ra=index, imm=1)
        size = len(body.words) + 1
        if size >= MAX_BODY:
            raise ProgramError(f"{loop.line}: the loop body has {size} words on stream {self.stream}; a loop spans {MAX_BODY - 1}")
        if isinstance(loop.count, int):
            code.add(loop.line, "loop", imm=loop.count, off=size)
        else:
            code.add(loop.line, "loopr", ra=COUNT + loop.depth, off=size)
        code.extend(body)

    def _look_up(self, loop: Loop, body: Code) -> Code:
        """The body with the loads of what is looked up in its loop before it."""
        whole = Code()
        for looked in self._looked.pop(loop, ()):
            self._used.add(loop)
            whole.add(loop.line, "ldpx", rd=looked.register, ra=INDEX + loop.depth, imm=self.rows(looked.table))
        whole.extend(body)
        return whole

    def _unwind(self, loop: Loop, number: int, name: str, factor: Const, code: Code) -> None:
        """Takes a field back to where it was before the loop: adds count x factor."""
        if not isinstance(loop.count, Expr):
            self._add(number, name, loop.count * factor, loop.line, code)
            return
        if isinstance(factor, int) and -SMALL <= factor < SMALL:
            code.add(loop.line, "muli", rd=TEMP, ra=COUNT + loop.depth, imm=factor)
        else:
            code.add(loop.line, "ldp", rd=TEMP, imm=self.param(factor))
            code.add(loop.line, "mul", rd=TEMP, ra=TEMP, rb=COUNT + loop.depth)
        code.add(loop.line, "daddr", d0=number, field=name, ra=TEMP)

    def _add(self, number: int, name: str, delta: Const, line: str, code: Code) -> None:
        if isinstance(delta, int):
            code.add(line, "dadd", d0=number, field=name, imm=delta)
        else:
            code.add(line, "ldp", rd=TEMP, imm=self.param(delta))
            code.add(line, "daddr", d0=number, field=name, ra=TEMP)

    def _set(self, place: Place, value: Value, line: str, code: Code) -> None:
        if isinstance(value, int):
            code.set(line, place, value)
        else:
            register, rest = self.evaluate(value, line, code)
            code.add(line, "dsetr", d0=place[0], field=place[1], ra=register, imm=rest)

    # --- values

    def evaluate(self, value: Value, line: str, code: Code) -> tuple[int, int]:
        """A register and a constant whose sum is the value; uses r17 and r18."""
        if isinstance(value, int):
            return 0, value
        if isinstance(value, PerCore):
            code.add(line, "ldp", rd=TEMP, imm=self.param(value))
            return TEMP, 0
        total = 0
        for index, factor in value.terms:
            total = self._add_term(total, self._register(index), factor, line, code)
        rest = value.const
        if isinstance(rest, PerCore) or value.clamped and not -SMALL <= rest < SMALL:
            code.add(line, "ldp", rd=TEMP + 1, imm=self.param(rest))
            code.add(line, "add", rd=TEMP, ra=total, rb=TEMP + 1)
            total, rest = TEMP, 0
        if not value.clamped:
            return total, rest
        if rest:
            code.add(line, "addi", rd=TEMP, ra=total, imm=rest)
            total = TEMP
        for bound, name in ((value.hi, "min"), (value.lo, "max")):
            if isinstance(bound, int):
                code.add(line, name + "i", rd=TEMP, ra=total, imm=bound)
                total = TEMP
            elif bound is not None:
                code.add(line, "ldp", rd=TEMP + 1, imm=self.param(bound))
                code.add(line, name, rd=TEMP, ra=total, rb=TEMP + 1)
                total = TEMP
        return total, 0

    def _register(self, index: Index) -> int:
        if isinstance(index, Looked):
            self._looked.setdefault(index.loop, {})[index] = None
            return index.register
        self._used.add(index.loop)
        return INDEX + index.depth

    def _add_term(self, total: int, index: int, factor: Const, line: str, code: Code) -> int:
        """total + index * factor."""
        if factor == 1:
            product = index
        elif isinstance(factor, int) and -SMALL <= factor < SMALL:
            product = TEMP if total == 0 else TEMP + 1
            code.add(line, "muli", rd=product, ra=index, imm=factor)
        else:
            product = TEMP if total == 0 else TEMP + 1
            code.add(line, "ldp", rd=product, imm=self.param(factor))
            code.add(line, "mul", rd=product, ra=product, rb=index)
        if total == 0:
            return product
        code.add(line, "add", rd=TEMP, ra=total, rb=product)
        return TEMP


_UNKNOWN = 1 << 80  # equals no field's value


@cache
def _dset() -> tuple[Operand, dict[Place, int]]:
    """The operand that is the constant, and the words that set each field to 0."""
    immediate = next(operand for operand in instructions()["dset"].operands if operand.name == "imm")
    return immediate, {place: encode("dset", d0=place[0], field=place[1], imm=0) for place in _defaults()}


@cache
def _defaults() -> dict[Place, int]:
    """What the fields of all descriptors hold at first."""
    return {(number, f.name): f.default for number in range(DESCRIPTORS) for f in load().fields.values()}


def _inside(region: Region, stream: str) -> set[Op | Loop]:
    """The stream's operations and every loop that holds one."""
    nodes: set[Op | Loop] = set()
    for op in region.ops:
        if op.stream == stream:
            nodes.add(op)
            loop = op.block.loop
            while loop is not None and loop not in nodes and region.contains(loop):
                nodes.add(loop)
                loop = loop.parent_loop
    return nodes
