"""Which descriptors a stream needs in one operation, and how each of their fields gets its value.

Equal views share a descriptor. A field that is the same throughout is set once, before the operation; an address that moves with loops is
advanced by one add per loop level; only clamped extents are computed anew, at the head of the loop they depend on."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache

from emu.errors import CapacityError, ProgramError
from emu.kernels.lang.expr import Expr, Looked, Value
from emu.kernels.lang.memory import Ring, Tensor, Tile, format_bits
from emu.kernels.lang.percore import Const, PerCore
from emu.kernels.lang.sync import Plan
from emu.kernels.lang.tree import Loop, Op, Region, Use, tile_of
from isa.tables import load

Fields = dict[str, Value]
Key = tuple[object, ...]
Place = tuple[int, str]
"""A field: the descriptor's number and the field's name."""
DESCRIPTORS = 32
EXTENTS = ("n0", "n1", "n2", "n3")
WHOLE = ("w0", "w1", "w2", "w3")
STRIDES = ("s0", "s1", "s2", "s3")
_MISSING: list[Fields] = [{name: int(name in EXTENTS) for i in range(axes, 4) for name in (EXTENTS[i], STRIDES[i])} for axes in range(5)]
"""Fields of the axes that a view of so many axes has not."""


@dataclass(eq=False)
class Desc:
    """A descriptor register during one operation."""

    number: int
    name: str
    fields: Fields
    ring: Ring | None = None
    overwrites: bool = False
    adds: bool = False
    repeats: bool = False  # its first product stands in an inner loop

    @property
    def toggles(self) -> bool:
        """Whether the same words must first overwrite and then add."""
        return self.repeats or self.overwrites and self.adds


@dataclass
class Access:
    """How one operation refers to its descriptors."""

    numbers: dict[str, int] = field(default_factory=dict)
    destination: Desc | None = None
    moved: list[tuple[Desc, int, Fields]] = field(default_factory=list)  # cursor of a persistent ring: byte offset and fields for this op


@dataclass
class Steps:
    """Updates of descriptor fields at the edges of a loop: at the head and end of its body, and after it."""

    head: dict[Expr, list[tuple[int, str]]] = field(default_factory=dict)
    end: list[tuple[int, str, Const]] = field(default_factory=list)
    after: list[tuple[int, str, Const]] = field(default_factory=list)  # to be multiplied by the loop's count


class Table:
    """The descriptors of one stream in one operation."""

    def __init__(
        self, region: Region, stream: str, plan: Plan, cursors: dict[Ring, int], first: int, first_scalar: int, shaped: bool = False
    ) -> None:
        """`shaped`: some operation of the program has instructions of a fixed shape, so that the others must say that theirs have none."""
        self.first, self.first_scalar = first, first_scalar
        self.shaped = shaped
        self.region = region
        self.stream = stream
        self.cursors = cursors
        self._fill(plan, compact=False)
        if len(self.descs) + len(cursors) > DESCRIPTORS:
            self._fill(plan, compact=True)
        if len(self.descs) + len(cursors) > DESCRIPTORS:
            names = ", ".join(sorted({d.name for d in self.descs.values()}))
            raise CapacityError(
                f"{region.name}: stream {stream} needs {len(self.descs) + len(cursors)} descriptors and has {DESCRIPTORS} "
                f"(for {names}); use fewer different views, smaller tiles, or split the operation",
            )
        self._settle()
        self.fixed: dict[Place, int | None] = {
            place: value if isinstance(value, int) and place not in self.volatile else None for place, value in self.start
        }  # what a field holds throughout, None where it varies
        self.fixed.update(dict.fromkeys(self.volatile))

    def _fill(self, plan: Plan, compact: bool) -> None:
        """Descriptors of all operations. Compact: views of a buffer that differ in place and extents only share one, set at each use."""
        self.compact = compact
        self.descs: dict[Key, Desc] = {}
        self.scalars: dict[Key, tuple[int, Fields]] = {}
        self.access: dict[Op, Access] = {}
        self.steps: dict[Loop, Steps] = defaultdict(Steps)
        self.start: list[tuple[Place, Value]] = []  # each place once
        self.volatile: set[Place] = set()
        self._cursors: dict[Ring, Desc] = {}
        self._shared: dict[Desc, list[tuple[Access, int, Fields]]] = defaultdict(list)
        for op in self.region.ops:
            if op.stream == self.stream:
                self._add(op, plan)

    def _number(self) -> int:
        return (self.first + len(self.descs)) % (DESCRIPTORS - len(self.cursors))

    def uses(self, ring: Ring) -> bool:
        """Whether the operation touches a persistent ring."""
        return ring in self._cursors

    def of_ring(self, ring: Ring) -> list[int]:
        """Numbers of the descriptors that walk a ring."""
        if ring in self.cursors:
            return [self.cursors[ring]]
        return [d.number for d in self.descs.values() if d.ring is ring]

    def toggled(self, tile: Tile) -> list[int]:
        """Descriptors of an accumulator whose first product must be told to overwrite."""
        return [d.number for d in self.descs.values() if d.ring is tile.ring and d.toggles]

    def _add(self, op: Op, plan: Plan) -> None:
        access = self.access[op] = Access()
        for use in op.uses:
            tile = tile_of(use.view)
            fields = _fields(use, op) | (self._whole(use, op) if self.shaped else {})
            written = op.mnemonic == "mm" and use.slot == "d0"
            once = plan.first_mm.get(op)  # True: overwrites; False: overwrites, then adds; None: adds
            if tile is not None and tile.ring.persistent:
                self._add_cursor(access, use, tile.ring, fields)
            elif self.compact and not (written and once is False):
                self._add_shared(access, use, fields, {"accumulate": int(once is None)} if written else {})
            else:
                desc = self._intern(use, fields)
                access.numbers[use.slot] = desc.number
                if written:
                    access.destination = desc
                    desc.repeats |= once is False
                    desc.overwrites |= once is True
                    desc.adds |= once is None
        if op.scalars is not None:
            self._add_scalars(op, access)
        if op.mnemonic == "dmam":
            access.numbers["d2"] = self._receivers(op).number
        if op.everywhere:
            key = ("chips", op.everywhere)
            found = self.descs.setdefault(key, Desc(self._number(), "chips", {"n0": op.everywhere, "s1": 1, "core": 0}))
            access.numbers["d2"] = found.number

    def _whole(self, use: Use, op: Op) -> Fields:
        """The extents that an instruction of a fixed shape works on where they are more than the valid ones, else 0."""
        fields: Fields = dict.fromkeys(WHOLE, 0)
        if self.region.whole and op.stream in ("mm", "vec"):
            for name, dim in zip(WHOLE, reversed(use.dims or use.view.dims)):
                fields[name] = 0 if dim.extent == dim.size else dim.size
        return fields

    def _receivers(self, op: Op) -> Desc:
        """The cores of a multicast: this one, which begins its cluster, and those behind it."""
        tile = tile_of(op.uses[0].view)
        assert tile is not None
        key = ("receivers", tile.ring)
        if key not in self.descs:
            self.descs[key] = Desc(self._number(), "receivers", {"n0": tile.ring.cluster, "s1": 1})
        return self.descs[key]

    def _intern(self, use: Use, fields: Fields, key: Key = ()) -> Desc:
        tile = tile_of(use.view)
        ring = tile.ring if tile is not None else None
        key = key or (ring, *fields.values())
        desc = self.descs.get(key)
        if desc is None:
            if ring is not None and ring.depth > 1:
                fields = fields | {"ring_lo": ring.base, "ring_size": ring.bytes, "ring_step": ring.slot_bytes}
            desc = self.descs[key] = Desc(self._number(), use.view.buffer.name, fields, ring)
        return desc

    def _add_shared(self, access: Access, use: Use, fields: Fields, more: Fields) -> None:
        base = fields["base"]
        place = base.const if isinstance(base, Expr) else base
        if not isinstance(place, int):
            access.numbers[use.slot] = self._intern(use, fields | more).number
            return
        each = [name for name in (*EXTENTS, *WHOLE) if name in fields]
        extents = {name: fields[name] for name in each} | more
        rest = tuple(value for name, value in fields.items() if name not in each and name != "base")
        key = ("shared", use.slot, base - place, use.view.buffer if isinstance(use.view.buffer, Tensor) else use.view.buffer.ring, *rest)
        desc = self._intern(use, {name: value for name, value in fields.items() if name not in each}, key)
        first = desc.fields["base"]
        offset = place - (first.const if isinstance(first, Expr) else first)  # type: ignore[operator]
        access.numbers[use.slot] = desc.number
        self._shared[desc].append((access, offset, extents))  # type: ignore[arg-type]

    def _add_cursor(self, access: Access, use: Use, ring: Ring, fields: Fields) -> None:
        offset = use.view.offset
        if not isinstance(offset, int):
            raise ProgramError(f"{ring.name}: a part of a tile of the weight ring must stand at a constant place")
        del fields["base"], fields["space"]
        access.numbers[use.slot] = self.cursors[ring]
        cursor = self._cursors.setdefault(ring, Desc(self.cursors[ring], ring.name, {}, ring))
        self._shared[cursor].append((access, offset, fields))

    def _add_scalars(self, op: Op, access: Access) -> None:
        """Scalar fields are a register file of their own: field `scalar` of descriptor i belongs to nobody else."""
        assert op.scalars is not None
        scalars = op.scalars
        masks = op.mnemonic == "vmask"
        key = (scalars.bits, scalars.diag, scalars.window) if masks else (scalars.bits,)
        slot = self.scalars.get(key)
        if slot is None:
            number = (self.first_scalar + len(self.scalars)) % DESCRIPTORS
            if len(self.scalars) >= DESCRIPTORS:
                raise CapacityError(f"{self.region.name}: stream {self.stream} needs more than {DESCRIPTORS} different immediates")
            fields: Fields = {"scalar": scalars.bits}
            if masks:
                fields |= {"diag": scalars.diag, "window": scalars.window}
            slot = self.scalars[key] = (number, fields)
        access.numbers["d2"] = slot[0]

    def _settle(self) -> None:
        for desc, uses in self._shared.items():
            self._settle_shared(desc, uses)
        for desc in self.descs.values():
            if desc.toggles:
                self.volatile.add((desc.number, "accumulate"))
            elif desc.overwrites or desc.adds:
                desc.fields["accumulate"] = int(desc.adds)
            walks = "base" if desc.ring is not None and desc.ring.depth > 1 else ""
            number = desc.number
            for name, value in desc.fields.items():
                if value.__class__ is int and name != walks:  # as _plan_field would; most fields are
                    self.start.append(((number, name), value))
                else:
                    self._plan_field(number, name, value, name == walks)
        for number, fields in self.scalars.values():
            for name, value in fields.items():
                self._plan_field(number, name, value, False)

    def _settle_shared(self, desc: Desc, uses: list[tuple[Access, int, Fields]]) -> None:
        """What all uses agree on is set once; the rest at each use."""
        same = {name: value for name, value in uses[0][2].items() if all(fields[name] == value for _, _, fields in uses)}
        for name, value in same.items():
            self._plan_field(desc.number, name, value, False)
        for access, offset, fields in uses:
            changed = {name: value for name, value in fields.items() if name not in same}
            self.volatile.update((desc.number, name) for name in changed)
            if offset or changed:
                access.moved.append((desc, offset, changed))

    def _plan_field(self, number: int, name: str, value: Value, walks: bool) -> None:
        """Where a field is set and updated. `walks`: it also moves along a ring, so it must be back in place right after each loop."""
        if walks:
            self.volatile.add((number, name))
        if not isinstance(value, Expr):
            self.start.append(((number, name), value))
            return
        self.volatile.add((number, name))
        inner = value.deepest
        if inner is None or not self.region.contains(inner.loop):
            self.start.append(((number, name), value))
        elif value.clamped:
            self.steps[inner.loop].head.setdefault(value, []).append((number, name))
        else:
            self._plan_affine(number, name, value, walks)

    def _plan_affine(self, number: int, name: str, value: Expr, walks: bool) -> None:
        terms = dict(value.terms)
        looked = max((index.depth for index, _ in value.terms if isinstance(index, Looked)), default=-1)
        outside = tuple((index, c) for index, c in value.terms if not self.region.contains(index.loop))
        loop = value.terms[-1][0].loop
        inner: tuple[Loop, Const] | None = None
        if looked < 0:
            self.start.append(((number, name), Expr(value.const, outside) if outside else value.const))
        else:  # set anew at the head of the loop in which it is looked up; loops within add to that
            first = tuple((index, c) for index, c in value.terms if index.depth <= looked)
            self.steps[first[-1][0].loop].head.setdefault(Expr(value.const, first), []).append((number, name))
        while self.region.contains(loop) and loop.depth > looked:
            step = terms.get(loop.index, 0)
            delta: Const = step
            if inner is not None and inner[1] != 0:
                before, advance = inner
                if walks or isinstance(before.count, Expr):
                    self.steps[before].after.append((number, name, -advance))
                else:
                    delta = step - before.count * advance
            if delta != 0:
                self.steps[loop].end.append((number, name, delta))
            inner = (loop, step)
            loop = loop.parent_loop
        if inner is not None and walks and inner[1] != 0:
            self.steps[inner[0]].after.append((number, name, -inner[1]))


def _fields(use: Use, op: Op) -> Fields:
    """What the instruction reads of this operand's descriptor."""
    buffer = use.view.buffer
    dims = use.dims or use.view.dims
    if len(dims) > 4:
        raise ProgramError(f"{op.line}: {buffer.name} has {len(dims)} axes; a descriptor has four")
    fmt = use.view.fmt
    space, base = ("hbm", buffer.address) if isinstance(buffer, Tensor) else (buffer.ring.space, buffer.ring.base)
    fields: Fields = {"space": _space(space), "base": base + use.view.offset, "fmt": _format(fmt), **use.more}
    if use.view.chip is not None:
        fields |= {"space": _space("far"), "core": use.view.chip}
    keep = op.mnemonic in ("mm", "dmag")  # strides of a single element too
    for extent, stride, dim in zip(EXTENTS, STRIDES, reversed(dims)):
        fields[extent] = dim.extent
        fields[stride] = step = dim.stride if keep or dim.extent != 1 else 0
        if stride == "s0":  # counts elements
            bits = format_bits(fmt)
            if step * 8 % bits or bits < 8 and step and not dim.bits:
                raise ProgramError(f"{op.line}: the innermost stride of {buffer.name} is not a whole number of elements")
            fields[stride] = 1 if dim.bits else step * 8 // bits
    fields.update(_MISSING[len(dims)])
    return fields


@cache
def _format(name: str) -> int:
    return load().formats[name].id


@cache
def _space(name: str) -> int:
    return load().spaces[name].id


__all__ = ["Access", "Desc", "PerCore", "Place", "Steps", "Table"]
