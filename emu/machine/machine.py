"""A chip brought to life: load a program, run it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emu import _core
from emu.chip.schema import Chip
from emu.errors import ProgramError, UnsupportedError
from emu.extension.table import costed
from emu.machine import kept
from emu.machine.chipfold import chip_folding, unfolded
from emu.machine.config import core_config, streams_of
from emu.machine.detailed import memory
from emu.machine.fabric import Fabric
from emu.machine.failure import explain
from emu.machine.fold import Folding, addresses_are_free, fold
from emu.machine.image import Image
from emu.machine.memory import chip_span, gather_inputs, prepare_outputs, require, shaped, warm_ranges
from emu.machine.result import Run
from isa import IsaError, Program

TRACE_LIMIT = 500_000
MAX_INSTRUCTIONS = 10**10


class Machine:
    """A machine that runs programs for one chip, or for several at once over a `fabric` of links.

    `check=True` also looks for races, and for products added to what is no sum of theirs, in every run (docs/testing.md).
    Fidelity: `fast` (fair-share memory and network), `ideal` (no contention) or `detailed` (every request to a DRAM controller; every core
    and every turn of every loop is simulated).
    """

    def __init__(self, chip: Chip | str, fidelity: str = "fast", check: bool = False, fabric: Fabric | None = None) -> None:
        if isinstance(chip, str):
            from emu.chip import chip as preset

            chip = preset(chip)
        self._chip, self._fidelity, self.check, self.fabric = chip, fidelity, check, fabric
        self._config = core_config(chip, 1, fidelity)  # refuses an unknown fidelity before any program is written
        self._dram = memory(chip).arguments() if fidelity == "detailed" else None

    @property
    def chip(self) -> Chip:
        return self._chip

    @property
    def fidelity(self) -> str:
        return self._fidelity

    def run(
        self,
        program: Program | Image,
        inputs: Mapping[str, Any] | None = None,
        *,
        values: bool = True,
        check: bool | None = None,
        trace: bool = False,
        max_memory: int | None = None,
        max_instructions: int = MAX_INSTRUCTIONS,
        order_seed: int = 0,
        verify: bool = True,
        folding: bool = False,
        fast_forward: bool = False,
        reuse: bool = False,
        toggles: bool = False,
        warm: Sequence[str] = (),
    ) -> Run:
        """Run a program once; an `Image` of it has been packed already, and its program has not changed since.

        `inputs` maps buffer names to arrays in the buffer's shape. `values=False` runs timing only: same cycles, no arrays (index buffers
        are needed either way). `order_seed` runs the streams in another legal order, which must change nothing. `verify=False` skips the
        static proofs for a program the compiler has just made. `folding` simulates equal cores once and `fast_forward` skips whole
        periods of loops: both give the same times and counts to the femtosecond and the event (timing-only runs without check or trace;
        elsewhere they do nothing), but bytes that were never written are then no longer looked for. `reuse` allows the answer of an equal
        timing-only run to be taken from the user's cache (emu.caching), and puts it there. `toggles` counts the bits
        that toggle in a run with values, which changes its joules and nothing else. `warm` names buffers of device memory that lie in the
        last-level cache when the run begins, as a run before left them that went through all of them side by side.
        A program of several chips takes and gives arrays with one more axis in front, the chip. Its last-level caches are not modelled.
        Raises ProgramError, CapacityError, UnsupportedError.
        """
        given_image, program = (program, program.program) if isinstance(program, Image) else (None, program)
        self._suits(program, verify)
        image = given_image or Image.of(program)
        if toggles and not values:
            raise UnsupportedError(f"{program.name}: toggles are counted where values run; declare a class of data instead (data=...)")
        if values:
            require(program, self.chip, max_memory)
        given = gather_inputs(program, inputs or {}, values)
        outputs = prepare_outputs(program, values)
        config = self._config | {
            "cores": program.cores * program.chips,
            "values": int(values),
            "check": int(self.check if check is None else check),
            "trace_max": TRACE_LIMIT if trace else 0,
            "order_seed": order_seed,
            "max_instructions": max_instructions,
            "warm": warm_ranges(program, warm),
            **(costed(image.packed.extensions, self.chip, values) if image.packed.extensions else {}),
            **self._links(program),
        }
        plain = not (values or config["check"] or trace)
        shorter = plain and self._dram is None  # refreshes fall due whatever the program does: no period, no equal cores (SOUNDNESS 14, 15)
        short = shorter and folding, shorter and fast_forward
        raw, classes = self._run(image, config, given, list(outputs.values()), *short, plain and reuse, toggles)
        links = self.fabric.link_names() if self.fabric is not None and program.chips > 1 else []
        return Run(program, self.chip, raw, shaped(program, outputs), self.fidelity, values, classes, links)

    def _run(
        self, image: Image, config: dict[str, Any], given: list[Any], outputs: list[Any], folding: bool, forward: bool, reuse: bool,
        toggles: bool = False,
    ) -> tuple[dict[str, Any], Folding | None]:
        config["forward"] = int(forward and addresses_are_free(self.chip))
        classes: Folding | None = None
        try:
            classes = fold(image.packed, self.chip) if folding else None
            if classes is not None:
                config["cores"] = len(classes.cores)
            if reuse:
                return kept.run(image.packed, config, given, classes, self._dram), classes
            return image.packed.run(config, given, outputs, classes, toggles, self._dram), classes
        except _core.CoreFailure as failure:
            if config["forward"] or classes is not None:  # the long way says where and why, of the core and the iteration it really was
                return self._run(image, config | {"cores": image.packed.cores}, given, outputs, False, False, False, toggles)
            raise explain(image.program, failure.info) from None

    def _one_chip(self, image: Image, config: dict[str, Any], given: list[Any], fabric: Fabric) -> dict[str, Any]:
        """A timing-only run of chips that are all alike, of one of them; the long way where they are not, or something is wrong."""
        alike = chip_folding(image.packed, fabric)
        if alike is not None:
            single = {"cores": alike.cores, "chips": 1, "chip_span": 0, "forward": 0}
            try:
                return unfolded(image.packed.run(config | single, [], [], alike), alike, fabric)
            except _core.CoreFailure:
                pass
        return self._run(image, config, given, [], False, False, False)[0]

    def _links(self, program: Program) -> dict[str, Any]:
        """How the chips that run it are joined; a program of one chip reaches no other."""
        if self.fabric is None or program.chips == 1:
            return {}
        if self._dram is not None:
            raise UnsupportedError(f"{program.name}: several chips run in fast or ideal; detailed has the memory of one")
        return self.fabric.config() | {"chips": program.chips, "chip_span": chip_span(program), "tiers": 0}

    def _suits(self, program: Program, verify: bool) -> None:
        if verify:
            try:
                program.check()
            except IsaError as error:
                raise ProgramError(str(error)) from None
        chips = 1 if self.fabric is None else self.fabric.chips
        if program.chips not in (1, chips):
            fix = "give Machine(..., fabric=) that many chips" if self.fabric is None else f"the fabric joins {chips}"
            raise ProgramError(f"{program.name} is for {program.chips} chips; {fix}")
        if program.cores > self.chip.core_count:
            raise ProgramError(f"{program.name} needs {program.cores} cores, {self.chip.name} has {self.chip.core_count}")
        streams = streams_of(self.chip)
        absent = [s for s in program.streams if program.streams[s] and s not in streams]
        if absent:
            there = ", ".join(streams)
            raise UnsupportedError(f"{program.name} uses stream {absent[0]}, which {self.chip.name} does not have: {there}")
        limits = {
            "hbm": self.chip.hbm.capacity_bytes,
            "sram": self.chip.core.sram.capacity_bytes,
            "acc": self.chip.core.acc.capacity_bytes,
        }
        for b in program.buffers:
            if b.space in limits and b.offset + b.bytes > limits[b.space]:
                where = f"{program.name}: buffer {b.name!r} ends at byte {b.offset + b.bytes} of {b.space}"
                raise ProgramError(f"{where}, {self.chip.name} has {limits[b.space]}")

