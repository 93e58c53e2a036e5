"""One stream of a program: its operations one after the other, and what can be set up before them.

What an operation sets up goes before the barrier of the one before it, hidden behind work; what all operations of a loop over layers agree
on goes before the loop."""

from __future__ import annotations

from emu.kernels.lang.descriptors import DESCRIPTORS, Place, Table
from emu.kernels.lang.emit import Code, Emitter
from emu.kernels.lang.memory import Ring
from emu.kernels.lang.sync import Plan
from emu.kernels.lang.tree import Block, Loop, Region
from isa.tables import load

BARRIER = 0


def tables_of(stream: str, regions: list[Region], plans: dict[Region, Plan], cursors: dict[Ring, int]) -> dict[Region, Table]:
    """The descriptor tables of the operations that use the stream. Each numbers on where the one before ended, so that few overlap."""
    tables: dict[Region, Table] = {}
    shaped = any(region.whole for region in regions)
    descriptors = scalars = 0
    for region in regions:
        if any(op.stream == stream for op in region.ops):
            table = tables[region] = Table(region, stream, plans[region], cursors, descriptors, scalars, shaped)
            descriptors = (descriptors + len(table.descs)) % (DESCRIPTORS - len(cursors))
            scalars = (scalars + len(table.scalars)) % DESCRIPTORS
    return tables


class StreamWriter:
    """Writes the words of one stream."""

    def __init__(
        self, emitter: Emitter, tables: dict[Region, Table], plans: dict[Region, Plan], labels: dict[Region, int], joins: bool,
    ) -> None:
        self.emitter = emitter
        self.tables = tables
        self.plans = plans
        self.labels = labels
        self.joins = joins  # takes part in barriers
        self.pending = ""

    def write(self, top: Block, cursors: dict[Ring, int]) -> Code:
        """All of it, from the first word to halt."""
        code = Code()
        for ring, number in cursors.items():
            if any(table.uses(ring) for table in self.tables.values()):
                self._declare(ring, number, code)
        self._block(top, code)
        self._flush(code)
        code.add("end", "halt")
        return code

    def _declare(self, ring: Ring, number: int, code: Code) -> None:
        """The descriptor that walks a ring for as long as the program runs."""
        space = load().spaces[ring.space].id
        values = {"space": space, "base": ring.base, "ring_lo": ring.base, "ring_size": ring.bytes, "ring_step": ring.slot_bytes}
        for name, value in values.items():
            code.set(ring.line, (number, name), value)

    def _flush(self, code: Code) -> None:
        """The barrier that is still due."""
        if self.pending:
            code.add(self.pending, "bar", sem=BARRIER)
            self.pending = ""

    def _block(self, block: Block, code: Code) -> None:
        for node in block.nodes:
            if isinstance(node, Region):
                self._region(node, code)
            elif isinstance(node, Loop):
                self._loop(node, code)

    def _loop(self, loop: Loop, code: Code) -> None:
        """A loop over operations. Fields that stay the same in all of them are set before it."""
        self._flush(code)
        tables = [table for region, table in self.tables.items() if _stands_in(region, loop)]
        common: dict[Place, int | None] = {}
        for table in tables:
            if not common:
                common = table.fixed.copy()
                continue
            for place, constant in table.fixed.items():
                if common.setdefault(place, constant) != constant:
                    common[place] = None
        self.emitter.set_constants(common, loop.line, code)
        varying = [place for place, constant in common.items() if constant is None]
        self.emitter.forget(varying)
        body = Code()
        self._block(loop.body, body)
        self._flush(body)
        self.emitter.forget(varying)
        if body.words:
            self.emitter.count(loop, code)
            self.emitter.close(loop, body, code)

    def _region(self, region: Region, code: Code) -> None:
        table = self.tables.get(region)
        if table is not None:
            self.emitter.prologue(region, self.plans[region], table, code)
        self._flush(code)
        if table is not None or self.joins:
            code.add(region.line, "label", imm=self.labels[region])
        if table is not None:
            self.emitter.body(region, code)
        if self.joins:
            self.pending = f"{region.name}: end"


def _stands_in(region: Region, loop: Loop) -> bool:
    at = region.loop
    while at is not None and at is not loop:
        at = at.parent_loop
    return at is loop
