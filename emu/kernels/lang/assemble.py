"""Puts a traced program together: memory, semaphores and streams into one isa.Program."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from emu.errors import CapacityError, ProgramError
from emu.kernels.lang.descriptors import DESCRIPTORS
from emu.kernels.lang.emit import Emitter
from emu.kernels.lang.memory import Ring
from emu.kernels.lang.percore import Const, column, uniform
from emu.kernels.lang.place import place
from emu.kernels.lang.streams import StreamWriter, tables_of
from emu.kernels.lang.sync import Plan, Token, plan_region
from emu.kernels.lang.tree import BARRIER_STREAMS, STREAMS, Region, tensor_of
from isa import Barrier, Buffer, Program, Semaphore

if TYPE_CHECKING:
    from emu.kernels.lang.tracer import Tracer

MAX_SEMAPHORES = 255
BARRIER = 0


def assemble(tracer: Tracer) -> Program:
    """The program of everything that was traced."""
    return _Assembler(tracer).run()


def unique_names(names: Iterable[str]) -> list[str]:
    """The names, a repeated one with its number appended."""
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return out


class _Assembler:
    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        self.params: dict[object, int] = {}
        self.columns: list[Const] = []
        self.numbers: dict[Token, int] = {}
        self.plans: dict[Region, Plan] = {}
        self.labels = dict(zip(tracer.regions, range(len(tracer.regions))))
        self.busy = {op.stream for region in tracer.regions for op in region.ops}
        self.many = len(tracer.regions) > 1
        self.names = unique_names(region.name for region in tracer.regions)
        self.cursors = {ring: DESCRIPTORS - 1 - i for i, ring in enumerate(tracer.persistent)}

    def run(self) -> Program:
        tracer = self.tracer
        self._check_prefetch()
        semaphores = self._semaphores()
        place(tracer.persistent, tracer.regions, tracer.limits)
        barrier_streams = tuple(s for s in self.joining if s in self.busy) if self.has_barrier else ()
        program = Program(
            tracer.name, tracer.cores, self._buffers(), semaphores,
            [Barrier(BARRIER, barrier_streams)] if barrier_streams else [], list(self.names), chips=tracer.chips,
            instructions=tracer.instructions,
        )
        beside = uniform(c ^ 1 for _ in range(tracer.chips) for c in range(tracer.cores))  # the other core of a cluster of two
        for stream in STREAMS:
            if stream in self.busy:
                emitter = Emitter(stream, self._param, self.numbers.__getitem__, self._rows, beside, tracer.instructions)
                tables = tables_of(stream, tracer.regions, self.plans, self.cursors)
                writer = StreamWriter(emitter, tables, self.plans, self.labels, self.has_barrier and stream in self.joining)
                code = writer.write(tracer.top, self.cursors)
                program.streams[stream] = code.words
                program.lines[stream] = code.lines
        program.params = [column(value, tracer.cores * tracer.chips) for value in self.columns]
        return program

    @property
    def has_barrier(self) -> bool:
        return not self.tracer.implicit

    @property
    def joining(self) -> tuple[str, ...]:
        """The streams that meet at barriers."""
        return BARRIER_STREAMS if self.tracer.runs_ahead else STREAMS

    def _check_prefetch(self) -> None:
        """ld0 does not wait at barriers, so what it loads must be there from the start."""
        if not self.tracer.runs_ahead:
            return
        for region in self.tracer.regions:
            for op in region.ops:
                tensor = tensor_of(op.uses[1].view) if op.stream == "ld0" else None
                if tensor is not None and tensor.role not in ("weight", "in") and self.many:
                    raise ProgramError(f"{op.line}: ld0 runs ahead of barriers; {tensor.name} (role {tensor.role}) may not be ready")

    def _param(self, value: Const) -> int:
        return self._rows((value,))

    def _rows(self, values: tuple[Const, ...]) -> int:
        """The first of consecutive parameters with these values."""
        if values not in self.params:
            self.params[values] = len(self.columns)
            self.columns += values
        return self.params[values]

    # --- memory and semaphores

    def _buffers(self) -> list[Buffer]:
        buffers = [Buffer(t.name, "hbm", t.address, t.bytes, t.role, t.fmt, t.shape) for t in self.tracer.tensors]
        rings = [(r.name, r) for r in self.tracer.persistent]
        rings += [(self._local(name, r.name), r) for name, g in zip(self.names, self.tracer.regions) for r in g.rings if r.generations]
        taken = [b.name for b in buffers]
        for name, (_, ring) in zip(unique_names([*taken, *(n for n, _ in rings)])[len(taken):], rings):
            buffers.append(Buffer(name, ring.space, ring.base, ring.bytes, "temp"))
        return buffers

    def _local(self, region: str, name: str) -> str:
        return f"{region}.{name}" if self.many else name

    def _semaphores(self) -> list[Semaphore]:
        shared: dict[tuple[Ring, str], tuple[Token, Token | None]] = {}
        tokens: list[Token] = []
        names: list[str] = []
        for name, region in zip(self.names, self.tracer.regions):
            plan = self.plans[region] = plan_region(region, self.tracer.persistent, shared)
            tokens += plan.tokens
            names += [token.name if token.name.startswith("weights_") else self._local(name, token.name) for token in plan.tokens]
        if len(tokens) > MAX_SEMAPHORES:
            return self._pooled()
        self.numbers = {token: i for i, token in enumerate(tokens, 1)}
        return [Semaphore(i, name, token.initial) for i, (token, name) in enumerate(zip(tokens, unique_names(names)), 1)]

    def _pooled(self) -> list[Semaphore]:
        """Operations share semaphores between the same streams with the same initial count; at a barrier all are back at it."""
        pool: dict[tuple[str, str, int, int], Semaphore] = {}
        for region, plan in self.plans.items():
            used: dict[tuple[str, str, int], int] = {}
            for token in plan.tokens:
                kind = (token.producer, token.consumer, token.initial)
                nth = used[kind] = used.get(kind, 0) + 1
                key = (*kind, -1 if token.name.startswith("weights_") else nth)
                if key not in pool:
                    pool[key] = Semaphore(len(pool) + 1, f"{token.producer}_{token.consumer}_{token.initial}_{nth}", token.initial)
                    if len(pool) > MAX_SEMAPHORES:
                        raise CapacityError(f"{region.name}: more than {MAX_SEMAPHORES} semaphores; use fewer tiles per operation")
                self.numbers[token] = pool[key].id
        return list(pool.values())
