"""Semaphores of one operation: a ready and a free one for every (ring, consumer stream), placed around the first and last use.

The order in which the kernel was written is one legal schedule of all streams, and every stream keeps that order; so with at least one
slot per ring nothing can deadlock. A ring with a single generation needs no free tokens: the barrier at the end gives the slot back."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from emu.errors import ProgramError
from emu.kernels.lang.memory import Ring, Tile
from emu.kernels.lang.tree import QUEUES, STREAMS, Block, Loop, Op, Region, child_in, tile_of

Node = Op | Loop


@dataclass(eq=False)
class Token:
    """A semaphore before it has a number."""

    name: str
    producer: str
    consumer: str
    initial: int
    beside: Token | None = None
    """The same of the other core of a cluster, which signals it here."""
    away: bool = False
    """Signalled to the other core of a cluster."""


@dataclass
class Plan:
    """What to add to the streams of an operation, by (stream, node)."""

    waits: dict[tuple[str, Node], list[Token]] = field(default_factory=lambda: defaultdict(list))
    signals: dict[tuple[str, Node], list[Token]] = field(default_factory=lambda: defaultdict(list))
    advance: dict[tuple[str, Node], list[Ring]] = field(default_factory=lambda: defaultdict(list))
    clear: dict[Node, list[Tile]] = field(default_factory=lambda: defaultdict(list))
    tokens: list[Token] = field(default_factory=list)
    first_mm: dict[Op, bool] = field(default_factory=dict)  # True: overwrites, and executes once per generation
    last_mm: dict[Op, Tile] = field(default_factory=dict)  # of a generation of a sum: from then on, products add everywhere


@dataclass
class Spans:
    """Where one stream uses one generation: positions in the tile's block, and the nodes there."""

    reads: list[int] = field(default_factory=list)
    writes: list[int] = field(default_factory=list)
    nodes: dict[int, Node] = field(default_factory=dict)

    @property
    def all(self) -> list[int]:
        return self.reads + self.writes


def plan_region(region: Region, persistent: list[Ring], tokens: dict[tuple[Ring, str], tuple[Token, Token | None]]) -> Plan:
    """The semaphores of an operation; those of the weight ring are shared by all operations through `tokens`."""
    plan = Plan()
    spans = _collect(region)
    for ring in (*region.rings, *persistent):
        used = [tile for tile in ring.generations if tile in spans]
        if not ring.persistent:
            ring.generations = used  # a tile that nothing touches takes no memory
        if used:
            _plan_ring(ring, used, spans, region, plan, tokens)
    _plan_clusters(region, plan, tokens)
    _plan_accumulators(region, plan, spans)
    _plan_residents(region, plan)
    _plan_channels(region, plan)
    return plan


def _collect(region: Region) -> dict[Tile, dict[str, Spans]]:
    spans: dict[Tile, dict[str, Spans]] = defaultdict(lambda: defaultdict(Spans))
    order: dict[int, dict[Node, int]] = {}
    for op in region.ops:
        for use in op.uses:
            tile = tile_of(use.view)
            if tile is None:
                continue
            node = child_in(op, tile.block, tile.name)
            block = order.get(id(tile.block))
            if block is None:
                block = order[id(tile.block)] = {n: i for i, n in enumerate(tile.block.nodes) if not isinstance(n, Region)}
            at = block[node]
            span = spans[tile][op.stream]
            span.nodes[at] = node
            if "w" in use.mode:
                span.writes.append(at)
            if use.mode != "w":
                span.reads.append(at)
    return spans


def _plan_ring(
    ring: Ring, used: list[Tile], spans: dict[Tile, dict[str, Spans]], region: Region, plan: Plan,
    tokens: dict[tuple[Ring, str], tuple[Token, Token | None]],
) -> None:
    producers = {stream for tile in used for stream, span in spans[tile].items() if span.writes}
    if producers == {"mm", "vec"}:  # the vector engine may work in place on what products left
        producers = {"mm"}
    if len(producers) != 1:
        who = " and ".join(sorted(producers)) or "no stream"
        raise ProgramError(f"{ring.line}: {ring.name} is written by {who}; each on-chip tile is written by exactly one stream")
    producer = producers.pop()
    consumers = sorted({stream for tile in used for stream in spans[tile]} - {producer})
    if producer in QUEUES and any(spans[tile][producer].reads for tile in used if producer in spans[tile]):
        consumers.append(producer)  # transfers of one queue overlap: it waits for what it moved itself
    once = not ring.persistent and len(used) == 1 and used[0].block is region.body and not used[0].part
    ring.depth = 1 if once else ring.depth
    for consumer in consumers:
        if (ring, consumer) not in tokens:
            free = None if once else Token(f"{ring.name}_free", consumer, producer, ring.depth)
            tokens[ring, consumer] = (Token(f"{ring.name}_full", producer, consumer, 0), free)
            plan.tokens += [token for token in tokens[ring, consumer] if token is not None]
    for tile in used:
        _plan_tile(tile, spans[tile], producer, consumers, plan, tokens)
        if ring.depth > 1 and not once:
            for stream, span in spans[tile].items():
                plan.advance[stream, span.nodes[max(span.all)]].append(ring)
    _check_order(used, spans, ring)


def _plan_tile(
    tile: Tile, spans: dict[str, Spans], producer: str, consumers: list[str], plan: Plan,
    tokens: dict[tuple[Ring, str], tuple[Token, Token | None]],
) -> None:
    where = tile.ring.line
    if tile.part != "get":
        mine = spans[producer]
        if not mine.writes or (mine.reads and min(mine.reads) < min(mine.writes)):
            raise ProgramError(f"{where}: {tile.name} is read before it is written")
    elif producer in spans:
        raise ProgramError(f"{where}: {producer} writes {tile.name} and cannot take its own tiles out")
    for consumer in consumers:
        full, free = tokens[tile.ring, consumer]
        if tile.part != "get":
            plan.signals[producer, mine.nodes[max(mine.writes)]].append(full)
            if free is not None:
                plan.waits[producer, mine.nodes[min(mine.all)]].append(free)
        if tile.part == "put":
            continue
        if consumer not in spans:
            raise ProgramError(f"{where}: a generation of {tile.name} is not read by {consumer}, but others are; use two rings")
        theirs = spans[consumer]
        if consumer != producer and theirs.writes and (len(consumers) > 1 or min(theirs.all) not in theirs.reads):
            raise ProgramError(f"{where}: {consumer} overwrites {tile.name} before it or another stream has read it; use two tiles")
        if not tile.part and min(theirs.reads) <= max(mine.writes):
            raise ProgramError(
                f"{where}: {tile.name} is read by {consumer} before {producer} has written all of it; "
                "declare the tile in the inner loop, or use another tile",
            )
        plan.waits[consumer, theirs.nodes[min(theirs.reads)]].append(full)
        if free is not None:
            last = max(theirs.reads if consumer == producer else theirs.all)
            plan.signals[consumer, theirs.nodes[last]].append(free)


def _check_order(used: list[Tile], spans: dict[Tile, dict[str, Spans]], ring: Ring) -> None:
    """Generations of one block must be used one after the other, because a stream knows only the current slot."""
    for before, after in zip(used, used[1:]):
        if before.block is after.block and ring.depth > 1:
            for stream in spans[before].keys() & spans[after].keys():
                if max(spans[before][stream].all) >= min(spans[after][stream].all):
                    raise ProgramError(f"{ring.line}: two generations of {ring.name} are in use at once on {stream}; use two rings")


def _plan_clusters(region: Region, plan: Plan, tokens: dict[tuple[Ring, str], tuple[Token, Token | None]]) -> None:
    """A multicast signals both cores that their slots are full, itself; before it, both must have freed them."""
    for op in region.ops:
        if op.mnemonic != "dmam":
            continue
        tile, loop = tile_of(op.uses[0].view), op.block.loop
        if tile is None or loop is None:
            continue
        for (ring, consumer), (full, free) in tokens.items():
            if ring is not tile.ring or free is None:
                continue
            if free.beside is None:
                free.beside = Token(f"{ring.name}_free_beside", consumer, op.stream, ring.depth, away=True)
                plan.tokens.append(free.beside)
            plan.signals[op.stream, loop].remove(full)
            plan.signals[op.stream, op].append(full)
            plan.waits[op.stream, loop].append(free.beside)
            for (stream, _), signals in plan.signals.items():
                if stream == consumer and free in signals and free.beside not in signals:
                    signals.append(free.beside)


def _plan_residents(region: Region, plan: Plan) -> None:
    """A block of a loop that limits how many are on the core: its loads wait until an earlier one has stored its last."""
    loops: list[Loop] = []
    for op in region.ops:
        at = op.block.loop
        while at is not None and region.contains(at):
            if at.resident and at not in loops:
                loops.append(at)
            at = at.parent_loop
    for loop in loops:
        nodes = {s: [child_in(op, loop.body, "a block") for op in region.ops if op.stream == s and _within(op, loop)] for s in STREAMS}
        if not nodes["st0"]:
            raise ProgramError(f"{loop.line}: blocks that store nothing have no end")
        for stream in ("ld0", "ld1"):
            if nodes[stream]:
                token = Token(f"block_{stream}", "st0", stream, loop.resident)
                plan.tokens.append(token)
                plan.waits[stream, nodes[stream][0]].insert(0, token)
                plan.signals["st0", nodes["st0"][-1]].append(token)


def _plan_channels(region: Region, plan: Plan) -> None:
    """Tokens between chips stand where the kernel put them."""
    plan.tokens += region.channels
    for op in region.ops:
        if op.takes is not None:
            plan.waits[op.stream, op].append(op.takes)
        if op.gives is not None:
            plan.signals[op.stream, op].append(op.gives)


def _within(op: Op, loop: Loop) -> bool:
    at = op.block.loop
    while at is not None and at is not loop:
        at = at.parent_loop
    return at is loop


def _plan_accumulators(region: Region, plan: Plan, spans: dict[Tile, dict[str, Spans]]) -> None:
    """The first product into each part of a generation overwrites it; of a sum over generations, the first since the sum began."""
    seen: set[object] = set()
    cleared: set[Tile] = set()
    sums: dict[Ring, list[Block]] = {}
    ends: dict[Tile, Op] = {}
    for op in region.ops:
        if op.mnemonic != "mm":
            continue
        view = op.uses[0].view
        tile = tile_of(view)
        if tile is None:
            raise ProgramError(f"{op.line}: mm writes accumulator tiles only")
        if tile.since is not None:
            ends[tile] = op
        key = (tile, view.offset, op.uses[0].dims[1:])
        if key in seen:
            continue
        seen.add(key)
        plan.first_mm[op] = op.block is tile.block and tile.since is None
        if tile.since is not None:
            node = child_in(op, tile.since, f"the sum {tile.name}")
            if tile.since not in sums.setdefault(tile.ring, []):
                sums[tile.ring].append(tile.since)
                plan.clear[node].append(tile)
        elif tile not in cleared:
            cleared.add(tile)
            mm = spans[tile]["mm"]
            plan.clear[mm.nodes[min(mm.all)]].append(tile)
    plan.last_mm.update((op, tile) for tile, op in ends.items())
