"""A program as the compiled core takes it, packed once however often it is run."""

from __future__ import annotations

import hashlib
import json
from array import array
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from emu import _core
from emu.extension.table import declared
from emu.machine.chipfold import ChipFolding
from emu.machine.config import ROLES, SPACES, STREAMS
from emu.machine.fold import Folding, classes_of
from isa import Program


class Packed:
    """What the core reads of a program: its state when it was packed, whatever becomes of the program. Nothing of it may be changed."""

    def __init__(self, program: Program) -> None:
        self.chips = program.chips
        self.cores = program.cores * program.chips  # of all chips
        self.buffers = [(SPACES.index(b.space), b.offset, b.bytes, ROLES.index(b.role)) for b in program.buffers]
        self.code = {STREAMS.index(name): array("Q", words) for name, words in program.streams.items() if words}
        self.semaphores = {s.id: s.initial for s in program.semaphores}
        self.barriers = {b.id: sum(1 << STREAMS.index(s) for s in b.streams) for b in program.barriers}
        self.params = [tuple(p) for p in program.params]
        self.labels = max(len(program.labels), 1)
        self.extensions = program.instructions.used(program.streams)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all of it; streams, semaphores and barriers in the order in which the core is given them."""
        tables = [self.cores, self.buffers, list(self.semaphores.items()), list(self.barriers.items()), self.params, self.labels]
        tables += [{name: extension.digest for name, extension in self.extensions.items()}] if self.extensions else []
        streams = [(kind, len(words)) for kind, words in self.code.items()]
        hashed = hashlib.sha256(json.dumps([tables, streams], separators=(",", ":")).encode())
        for words in self.code.values():
            hashed.update(words.tobytes())
        return hashed.hexdigest()

    @cached_property
    def classes(self) -> Folding | None:
        """Equal cores, where no time depends on an address (emu.machine.fold). Cores that reach other chips are not folded."""
        relevant = _core.relevant_params(self.code, len(self.params), self.labels, declared(self.extensions))
        return classes_of(self.params, self.cores, relevant)

    def run(
        self, config: dict[str, Any], given: Any, outputs: Any, folding: Folding | ChipFolding | None, toggles: bool = False,
        dram: Any = None,
    ) -> dict[str, Any]:
        """The core's answer: one core of each class, one chip of all, or all of them. Raises CoreFailure."""
        params, weights = self.params, None
        if folding is not None:
            params, weights = list(folding.params), list(folding.weights) if isinstance(folding, Folding) else None
        tables = self.buffers, self.code, self.semaphores, self.barriers, params, self.labels
        return _core.run(config, *tables, given, outputs, weights, toggles, dram)


@dataclass(frozen=True)
class Image:
    """A program and its packed form."""

    program: Program
    packed: Packed

    @classmethod
    def of(cls, program: Program) -> Image:
        return cls(program, Packed(program))

    def copy(self) -> Image:
        """With a program that its owner may change, over the same packed form."""
        p = self.program
        program = replace(
            p, buffers=list(p.buffers), semaphores=list(p.semaphores), barriers=list(p.barriers), labels=list(p.labels),
            params=list(p.params), streams={s: list(w) for s, w in p.streams.items()}, lines={s: list(t) for s, t in p.lines.items()},
        )  # fmt: skip
        return Image(program, self.packed)
