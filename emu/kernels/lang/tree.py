"""The trace: a tree of blocks, loops and operations, exactly as the kernel wrote them, before it is split into streams."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from emu.errors import ProgramError
from emu.kernels.lang.expr import Index, Value, upper
from emu.kernels.lang.memory import Dim, Ring, Tensor, Tile, View
from emu.kernels.lang.percore import PerCore

if TYPE_CHECKING:
    from emu.kernels.lang.sync import Token

STREAMS = ("mm", "vec", "ld0", "ld1", "st0", "net0", "net1", "net2", "net3")
QUEUES = ("ld0", "ld1", "st0")
BARRIER_STREAMS = tuple(s for s in STREAMS if s != "ld0")  # which stays out, so that weights of later operations are fetched ahead
MAX_LOOPS = 8


@dataclass(eq=False)
class Use:
    """An operand of an operation: which descriptor slot, which bytes, and whether it is read or written."""

    slot: str
    view: View
    mode: str
    dims: tuple[Dim, ...] = ()  # as the instruction wants them; from the view if empty
    more: dict[str, Value] = field(default_factory=dict)  # further fields of the descriptor


@dataclass(eq=False)
class Scalars:
    """Scalar fields an instruction takes from its third descriptor: an immediate, or the shape of a mask."""

    bits: int
    diag: Value = 0
    window: int = 0


@dataclass(eq=False)
class Op:
    """One engine instruction."""

    stream: str
    mnemonic: str
    uses: tuple[Use, ...]
    block: Block
    line: str
    scalars: Scalars | None = None
    flags: tuple[str, ...] = ()
    takes: Token | None = None
    gives: Token | None = None
    """Tokens between chips: what it waits for, and what it signals there."""
    chip: Value = 0
    """Whom a signal by itself tells."""
    everywhere: int = 0
    """Chips that a transfer through the switch reaches."""


@dataclass(eq=False)
class Block:
    """A list of nodes that run one after the other; the body of a loop or the top of an operation or program."""

    loop: Loop | None
    nodes: list[Op | Loop | Region] = field(default_factory=list)


class Loop:
    """A counted loop, traced once."""

    def __init__(self, count: Value, block: Block, line: str, resident: int = 0) -> None:
        self.block = block
        self.line = line
        self.parent_loop = block.loop
        self.depth: int = 0 if block.loop is None else block.loop.depth + 1
        self.count = count
        self.resident = resident
        last: int | PerCore = upper(count) - 1 if not isinstance(count, (int, PerCore)) else count - 1
        self.index = Index(self.depth, last, self)
        self.body = Block(self)
        if self.depth >= MAX_LOOPS:
            raise ProgramError(f"{line}: loops nest {self.depth + 1} deep; the hardware counts {MAX_LOOPS}")


class Region:
    """One operation of a program: between begin_op and end_op, with its own on-chip memory."""

    def __init__(self, name: str, block: Block, line: str, whole: bool = False) -> None:
        self.name = name
        self.block = block
        self.line = line
        self.whole = whole
        """Whether instructions have the shape of whole tiles: masked lanes take their time."""
        self.loop = block.loop
        self.body = Block(block.loop)
        self.ops: list[Op] = []
        self.rings: list[Ring] = []
        self.channels: list[Token] = []

    def contains(self, loop: Loop | None) -> bool:
        """Whether the loop stands inside this operation (rather than around it)."""
        return loop is not None and (self.loop is None or loop.depth > self.loop.depth)


def child_in(node: Op | Loop, block: Block, what: str) -> Op | Loop:
    """The node directly in `block` that is or contains `node`."""
    at: Op | Loop = node
    while at.block is not block:
        if at.block.loop is None or at.block.loop.body is not at.block:
            raise ProgramError(f"{node.line}: {what} is used outside the block in which it was declared")
        at = at.block.loop
    return at


def tile_of(view: View) -> Tile | None:
    return view.buffer if isinstance(view.buffer, Tile) else None


def tensor_of(view: View) -> Tensor | None:
    return view.buffer if isinstance(view.buffer, Tensor) else None
