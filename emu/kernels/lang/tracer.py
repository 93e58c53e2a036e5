"""The tracer `k` that a kernel is written against: tensors, tiles, loops, transfers; vector and matrix operations are mixed in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import TYPE_CHECKING, Any

from emu.errors import CapacityError, ProgramError, UnsupportedError
from emu.kernels.lang.expr import Expr, Looked, Value, as_const, clamp, index_expr, maximum, minimum, upper
from emu.kernels.lang.limits import limits_of
from emu.kernels.lang.matops import MatOps
from emu.kernels.lang.memory import Dim, Operand, Ring, Tensor, Tile, View, array_bytes, format_bits, view_of
from emu.kernels.lang.netops import NetOps
from emu.kernels.lang.percore import Const, uniform
from emu.kernels.lang.source import call_site, source_line
from emu.kernels.lang.transfer import matched, merged
from emu.kernels.lang.tree import Block, Loop, Op, Region, Scalars, Use, tensor_of, tile_of
from emu.kernels.lang.vecops import VecOps
from isa.words import MACHINE, InstructionSet

if TYPE_CHECKING:
    from isa import Program

HBM_ALIGN = 4096
TILE_ALIGN = 64
MAX_UNROLL = 64
MAX_TRANSFER = 16 << 20
LOOKED = range(19, 32)
"""Registers of what is looked up."""


class Tracer(VecOps, MatOps, NetOps):
    """Records one program. `cores` is how many cores of each of `chips` run it (all of the chip unless given)."""

    def __init__(self, chip: Any, name: str = "kernel", cores: int | None = None, chips: int = 1) -> None:
        self.limits = limits_of(chip)
        self.name = name
        self.cores = self.limits.cores if cores is None else cores
        self.chips = chips
        if not 1 <= self.cores <= self.limits.cores:
            raise UnsupportedError(f"{self.cores} cores asked for; {self.limits.name} has {self.limits.cores}")
        self.instructions = MACHINE
        """What its words mean: a set of the user's once one of its instructions was used."""
        self.tensors: list[Tensor] = []
        self.regions: list[Region] = []
        self.persistent: list[Ring] = []
        self.top = Block(None)
        self._blocks = [self.top]
        self._region: Region | None = None
        self.runs_ahead = True
        """Whether ld0 passes barriers and fetches weights of later operations; False where operations are kernels launched one by one."""
        self.implicit = False  # one operation without begin_op and end_op: no barrier
        self._sites: dict[tuple[int, object], int] = {}
        self._hbm_end = 0
        self._lookups = 0
        self._left = ""  # the line of a loop that was left before its end
        self._turn = 0

    # --- values

    def per_core(self, values: Sequence[int]) -> Const:
        """A constant that differs between cores."""
        if len(values) != self.cores:
            raise ProgramError(f"per_core needs one value for each of {self.cores} cores, got {len(values)}")
        return uniform(int(v) for _ in range(self.chips) for v in values)

    def deal(self, units: int) -> int:
        """The core whose turn it is when fewer units than cores are dealt out; the next deal goes on behind the last to get one."""
        turn = self._turn
        self._turn = (turn + units) % self.cores
        return turn

    def minimum(self, a: Value, b: Value) -> Value:
        """The smaller of two values, one of them the same in all iterations."""
        return minimum(a, b)

    def maximum(self, a: Value, b: Value) -> Value:
        """The larger of two values, one of them the same in all iterations."""
        return maximum(a, b)

    def lookup(self, index: Value, table: Sequence[Const]) -> Value:
        """table[index], `index` being that of an open loop; an entry is a constant >= 0, perhaps another one on every core."""
        if isinstance(index, int):
            return table[index]
        if not isinstance(index, Expr) or index != index_expr(index.terms[-1][0]):
            raise ProgramError("k.lookup takes the index of a loop as it is")
        loop = index.terms[-1][0].loop
        if upper(loop.count) > len(table):
            raise ProgramError(f"{loop.line}: runs {upper(loop.count)} times, the table has {len(table)} entries")
        if self._lookups == len(LOOKED):
            raise CapacityError(f"more than {len(LOOKED)} tables are looked up in one program")
        self._lookups += 1
        return index_expr(Looked(loop, tuple(table), LOOKED[self._lookups - 1]))

    # --- memory

    def hbm(self, name: str, shape: Sequence[int], fmt: str, role: str = "temp") -> Tensor:
        """A tensor in device memory, row-major. Roles: in, weight, index, inout, out, temp."""
        if any(t.name == name for t in self.tensors):
            raise ProgramError(f"two tensors are named {name!r}")
        if not shape or min(shape) < 1:
            raise ProgramError(f"{name}: the shape {tuple(shape)} has no elements")
        tensor = Tensor(name, shape, fmt, role, self._hbm_end)
        end = tensor.address + tensor.bytes
        if end > self.limits.hbm_bytes:
            have = self.limits.hbm_bytes
            raise CapacityError(f"{name} ({tensor.bytes} bytes) does not fit: {self._hbm_end} of {have} bytes of device memory are taken")
        self._hbm_end = -(-end // HBM_ALIGN) * HBM_ALIGN
        self.tensors.append(tensor)
        return tensor

    def ring(self, name: str, slot_bytes: int, depth: int = 1, space: str = "sram") -> Ring:
        """On-chip memory of `depth` slots for `next`; only needed when one ring serves tiles declared in several places."""
        if depth < 1 or slot_bytes < 1:
            raise ProgramError(f"{name}: a ring needs at least one slot of at least one byte")
        region = self._need_region()
        space = self.limits.work if space == "work" else space
        ring = Ring(name, -(-slot_bytes // TILE_ALIGN) * TILE_ALIGN, depth, space, source_line(), region)
        region.rings.append(ring)
        return ring

    def weight_ring(self, slot_bytes: int, depth: int, cluster: int = 1) -> Ring:
        """The ring that ld0 fills with weights and mm empties; it lives across operations, so ld0 runs ahead of barriers.

        `cluster`: cores c and c + 1, c even, hold the same in it; the first loads it for both, by multicast, into slots both have freed."""
        if cluster not in (1, 2) or self.cores % cluster:
            raise UnsupportedError(f"clusters of {cluster} among {self.cores} cores: a ring is shared by two cores or not at all")
        if self.persistent:
            raise ProgramError("a program has one weight ring; use k.weights")
        ring = Ring("weights", -(-slot_bytes // TILE_ALIGN) * TILE_ALIGN, depth, "sram", source_line(), None)
        ring.cluster = cluster
        self.persistent.append(ring)
        return ring

    @property
    def weights(self) -> Ring | None:
        """The weight ring, if one was declared."""
        return self.persistent[0] if self.persistent else None

    def next(self, ring: Ring, shape: Sequence[int], fmt: str, valid: Sequence[Value] | None = None) -> Tile:
        """The following slot of a ring as a tile."""
        self._need_region()
        tile = Tile(ring, shape, fmt, valid, self._blocks[-1])
        ring.generations.append(tile)
        return tile

    @property
    def block(self) -> Block:
        """Where the kernel stands: the body of the innermost open loop."""
        return self._blocks[-1]

    def resume(self, ring: Ring, since: Block, shape: Sequence[int], valid: Sequence[Value] | None = None) -> Tile:
        """The one slot of a ring of accumulators as it was left: products add to it, the vector engine works on it in place between them.
        The first product in each execution of the block `since` overwrites it."""
        if ring.depth != 1:
            raise ProgramError(f"{ring.line}: a sum goes on in one slot; {ring.name} has {ring.depth}")
        tile = self.next(ring, shape, "fp32", valid)
        tile.since = since
        return tile

    def put(self, ring: Ring, shape: Sequence[int], fmt: str, valid: Sequence[Value] | None = None) -> Tile:
        """The following slot of a ring to write; another block takes it out with `get`, in the same order and as often."""
        tile = Tile(ring, shape, fmt, valid, self._blocks[-1], "put")
        ring.generations.append(tile)
        return tile

    def get(self, ring: Ring, shape: Sequence[int], fmt: str, valid: Sequence[Value] | None = None) -> Tile:
        """The oldest slot that was `put` and not yet taken, to read."""
        tile = Tile(ring, shape, fmt, valid, self._blocks[-1], "get")
        ring.generations.append(tile)
        return tile

    def tile(
        self, shape: Sequence[int], fmt: str, space: str = "work", depth: int = 1, valid: Sequence[Value] | None = None, name: str = "",
    ) -> Tile:
        """A tile on chip; inside a loop each iteration takes the next of `depth` slots. `valid` are the extents of ragged edges.

        Space `work` is where the chip keeps what its vector engine works on: the scratchpad, or a register file."""
        if not name:
            name = source_line().partition(" ")[2].partition("=")[0].strip().partition(",")[0] or "tile"
            name = name if name.isidentifier() else "tile"
        return self.next(self.ring(name, array_bytes(shape, fmt), depth, space), shape, fmt, valid)

    # --- control

    def loop(self, count: Value, resident: int = 0) -> Iterator[Value]:
        """`for i in k.loop(n):` - traced once, counted in hardware. n: int, per-core constant, or affine in outer indices.

        `resident`: iterations are thread blocks, so many of which are on the core at a time: the loads of one begin when the last store
        of the one so many before it has ended."""
        count = clamp(count, 0)
        line = source_line()
        if isinstance(count, int) and count <= 1:
            yield from self._inline(count)
            return
        block = self._blocks[-1]
        loop = Loop(count, block, line, resident)
        self._blocks.append(loop.body)
        try:
            yield index_expr(loop.index)
        except GeneratorExit:
            self._left = line
        finally:
            self._blocks.pop()
        if loop.body.nodes:
            block.nodes.append(loop)

    def _inline(self, count: int) -> Iterator[Value]:
        """A loop that runs once is its body; one that never runs leaves nothing behind."""
        if count == 1:
            yield 0
            return
        region = self._region
        kept = len(region.ops) if region else 0
        before = {id(ring): len(ring.generations) for ring in self._rings()}
        self._blocks.append(Block(self._blocks[-1].loop))
        try:
            yield 0
        finally:
            self._blocks.pop()
        if region:
            del region.ops[kept:]
        for ring in self._rings():
            del ring.generations[before.get(id(ring), 0) :]

    def _rings(self) -> tuple[Ring, ...]:
        return (*self.persistent, *(self._region.rings if self._region else ()))

    def begin_op(self, name: str, whole: bool = False) -> Region:
        """Starts an operation: its own label and its own on-chip memory.

        `whole`: its products and vector instructions have the shape of whole tiles, as in kernels compiled for one shape: they take time
        and energy for what ragged extents mask, unless nothing at all is valid."""
        if self._region is not None:
            raise ProgramError(f"operation {self._region.name!r} is still open; call k.end_op() before {name!r}")
        block = self._blocks[-1]
        region = Region(name, block, source_line(), whole)
        block.nodes.append(region)
        self._blocks.append(region.body)
        self.regions.append(region)
        self._region = region
        return region

    def end_op(self) -> None:
        """Ends an operation: all streams but ld0 of all cores meet, so the next one may read what this one stored."""
        if self._region is None or self._blocks[-1] is not self._region.body:
            raise ProgramError("k.end_op() must stand where its k.begin_op() stands, outside the loops of the operation")
        self._blocks.pop()
        self._region = None

    @contextmanager
    def op(self, name: str, whole: bool = False) -> Iterator[Region]:
        """`with k.op("norm"):` - begin_op and end_op."""
        yield self.begin_op(name, whole)
        self.end_op()

    @property
    def in_op(self) -> bool:
        """Whether an operation is open."""
        return self._region is not None

    def begin_only_op(self, line: str = "") -> None:
        """The whole program is one operation: no barrier, and `program` ends it. `line`: where it stands, for the program's line table."""
        if self.regions:
            raise ProgramError("the program has operations already")
        self.begin_op(self.name).line = line or source_line()
        self.implicit = True

    def _need_region(self) -> Region:
        if self._region is None:
            if self.regions or self._blocks[-1] is not self.top:
                raise ProgramError("this needs an operation around it: k.begin_op(name) ... k.end_op()")
            self.begin_only_op()
        assert self._region is not None
        return self._region

    # --- instructions

    def _emit(
        self, stream: str, mnemonic: str, uses: tuple[Use, ...], scalars: Scalars | None = None, flags: tuple[str, ...] = (),
        piece: bool = False,
    ) -> None:
        region = self._need_region()
        block = self._blocks[-1]
        line, site = call_site()
        if not piece:
            self._count_site(block, line, (mnemonic, site))
        op = Op(stream, mnemonic, uses, block, line, scalars, flags)
        block.nodes.append(op)
        region.ops.append(op)

    def _count_site(self, block: Block, line: str, site: object) -> None:
        """One line that emits again and again in one block is a Python loop."""
        key = (id(block), site)
        self._sites[key] = times = self._sites.get(key, 0) + 1
        if times > MAX_UNROLL:
            raise ProgramError(f"{line}: emitted more than {MAX_UNROLL} times in one block; use k.loop(n) instead of Python's range")

    def adopt(self, known: InstructionSet) -> None:
        """Words of the program may be of this set from here on."""
        if self.instructions not in (MACHINE, known):
            raise ProgramError(f"a program is of one instruction set: this one uses {self.instructions.name!r} and now {known.name!r}")
        self.instructions = known

    def load(self, dst: Operand, src: Operand, queue: str = "ld1") -> None:
        """Copies from device memory to a tile. Queue ld0 runs ahead of barriers and fills the weight ring only."""
        target, source = view_of(dst), view_of(src)
        tile, tensor = tile_of(target), tensor_of(source)
        if tile is None or tensor is None:
            raise ProgramError("k.load copies from a tensor to a tile")
        if queue not in ("ld0", "ld1"):
            raise ProgramError(f"loads go through ld0 or ld1, not {queue!r}")
        if (queue == "ld0") != tile.ring.persistent:
            raise ProgramError(f"{tile.name}: ld0 fills the weight ring and nothing else, because it does not wait at barriers")
        self._transfer(queue, target, source)

    def turn(self, dst: Operand, src: Operand) -> None:
        """Copies [r, c] of a tile to [c, r] of another, in the queue that loads: behind what it has loaded, before what it loads next."""
        target, source = view_of(dst), view_of(src)
        if tile_of(target) is None or tile_of(source) is None or len(target.dims) != 2 or len(source.dims) != 2:
            raise ProgramError("k.turn copies a tile of two axes to a tile")
        self._transfer("ld1", target, source.as_dims(1, 0))

    def fetch(
        self, src: Operand, depth: int = 1, queue: str = "ld1", ring: Ring | None = None, name: str = "", space: str = "work",
    ) -> Tile:
        """A new tile with the shape and valid extents of `src`, and the load that fills it."""
        source = view_of(src)
        if ring is not None:
            tile = self.next(ring, source.shape, source.fmt, source.extents)
        else:
            name = name or source.buffer.name
            tile = self.tile(source.shape, source.fmt, space, depth, source.extents, name)
        self.load(tile, source, queue)
        return tile

    def store(self, dst: Operand, src: Operand, queue: str = "st0") -> None:
        """Copies from a tile to device memory."""
        target, source = view_of(dst), view_of(src)
        if tensor_of(target) is None or tile_of(source) is None:
            raise ProgramError("k.store copies from a tile to a tensor")
        if queue != "st0":
            raise ProgramError(f"stores go through st0, not {queue!r}")
        self._transfer(queue, target, source)

    def copy(self, dst: Operand, src: Operand) -> None:
        """Copies within device memory, by the store queue."""
        target, source = view_of(dst), view_of(src)
        if tensor_of(target) is None or tensor_of(source) is None or target.chip is not None or source.chip is not None:
            raise ProgramError("k.copy copies from a tensor to a tensor of this chip")
        self._transfer("st0", target, source)

    def gather(self, dst: Operand, table: Operand, indices: Operand) -> None:
        """dst[i, :] = table[indices[i], :]; indices are int32 in device memory, the table's rows stay there too."""
        target, source, rows = view_of(dst), view_of(table), view_of(indices)
        if len(target.dims) != 2 or len(source.dims) != 2 or len(rows.dims) != 1 or rows.fmt != "int32":
            raise ProgramError("gather takes a [rows, n] tile, a [table, n] tensor and [rows] int32 indices")
        first = Dim(target.dims[0].extent, source.dims[0].stride, target.dims[0].size)
        dims = (first, Dim(target.dims[1].extent, source.dims[1].stride, target.dims[1].size))
        self._emit("ld1", "dmag", (Use("d0", target, "w"), Use("d1", source, "r", dims), Use("d2", rows, "i")))

    def _transfer(self, stream: str, target: View, source: View) -> None:
        if format_bits(target.fmt) != format_bits(source.fmt):
            raise ProgramError(f"a transfer does not convert: {source.buffer.name} is {source.fmt}, {target.buffer.name} is {target.fmt}")
        to, origin = merged(*matched(target, source))
        if prod(upper(d.extent) for d in to) * format_bits(target.fmt) > 8 * MAX_TRANSFER:
            raise UnsupportedError(f"{source_line()}: a transfer of more than {MAX_TRANSFER >> 20} MiB; load it in smaller tiles")
        uses = (Use("d0", target, "w", to), Use("d1", source, "r", origin))
        tile = tile_of(target)
        if tile is None or tile.ring.cluster == 1:
            self._emit(stream, "dma", uses)
            return
        for _ in self.loop(self.per_core([int(c % tile.ring.cluster == 0) for c in range(self.cores)])):
            self._emit(stream, "dmam", uses)

    def program(self) -> Program:
        """The finished program."""
        from emu.kernels.lang.assemble import assemble

        if self._left or len(self._blocks) > 1 + self.in_op:
            raise ProgramError(f"{self._left}: left with break or return; loops are traced once and must run to their end".lstrip(": "))
        if self._region is not None:
            if not self.implicit:
                raise ProgramError(f"operation {self._region.name!r} is still open; call k.end_op()")
            self.end_op()
        return assemble(self)


__all__ = ["Tracer", "as_const"]
