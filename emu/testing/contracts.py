"""What holds for every program on every chip. Each contract is a function of a `Case`; it says what is wrong in a ContractError."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

import isa
from emu.chip.schema import Chip
from emu.errors import EmuError, UnsupportedError, did_you_mean
from emu.machine import Machine, Run
from emu.testing.mutants import mutants
from isa import Program
from isa.oracle import OracleError
from isa.oracle import run as interpret

Array = NDArray[Any]
WAYS = ((True, False), (False, True), (True, True))


class ContractError(AssertionError):
    """A contract that does not hold: which, and where it is broken. An AssertionError, so that test runners show it as a failure."""


def holds(truth: object, name: str, what: str) -> None:
    """Raises ContractError unless `truth`."""
    if not truth:
        raise ContractError(f"contract {name!r}: {what}")


@dataclass(frozen=True)
class Case:
    """A program on a chip with its inputs; `wanted` are outputs it should have, each within `tolerance` of its largest element."""

    chip: Chip
    program: Program
    inputs: Mapping[str, Array]
    wanted: Mapping[str, Array] = field(default_factory=dict)
    tolerance: float = 0.0
    bits: bool = True
    """Whether values are also held against the bit-exact interpreter, which takes its time."""

    @cached_property
    def machine(self) -> Machine:
        return Machine(self.chip)

    @cached_property
    def index(self) -> dict[str, Array]:
        """The inputs that decide addresses: timing-only runs need them too."""
        names = {b.name for b in self.program.buffers if b.role == "index"}
        return {name: array for name, array in self.inputs.items() if name in names}

    @cached_property
    def run(self) -> Run:
        """With values and all checks."""
        return self.machine.run(self.program, self.inputs, check=True)

    def timed(self, chip_run: Machine | None = None, **how: Any) -> Run:
        """A timing-only run."""
        return (chip_run or self.machine).run(self.program, self.index, values=False, **how)


def _same(case: Case, name: str, other: Run, what: str) -> None:
    for part in ("end_fs", "counters", "stalls", "root_stalls", "releases"):
        holds(other.raw[part] == case.run.raw[part], name, f"{what}: {part} differ")


def text_and_bytes_round_trip(case: Case) -> None:
    """Text and binary of a program give the same program back."""
    p = case.program
    holds(isa.assemble(p.to_text()) == p, "round trip", f"{p.name}: assembling its text gives another program")
    holds(Program.from_bytes(p.to_bytes()) == p, "round trip", f"{p.name}: reading its bytes gives another program")


def no_check_complains(case: Case) -> None:
    """No race, no unwritten byte read, nothing out of bounds, no deadlock, no token left over."""
    try:
        _ = case.run
    except EmuError as error:
        raise ContractError(f"contract 'checks': {error}") from None


def values_are_as_wanted(case: Case) -> None:
    """Outputs are what the oracle says, within the tolerance."""
    for name, want in case.wanted.items():
        holds(name in case.run.outputs, "values", f"there is no output {name!r}; {did_you_mean(name, case.run.outputs)}")
        got, expected = np.asarray(case.run.outputs[name]).astype(np.float64), np.asarray(want).astype(np.float64)
        holds(got.shape == expected.shape, "values", f"{name} is {got.shape}, the oracle says {expected.shape}")
        scale = float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0))
        near = (np.abs(got - expected) <= case.tolerance * scale) | (got == expected) | (np.isnan(got) & np.isnan(expected))
        if not near.all():
            at = tuple(int(i) for i in np.argwhere(~near)[0])
            what = f"{int((~near).sum())} of {near.size} elements of {name} differ, the first at {list(at)}"
            raise ContractError(f"contract 'values': {what}: {got[at]:g}, the oracle says {expected[at]:g}")


def values_are_the_interpreters(case: Case) -> None:
    """Every bit of every output is that of isa.oracle, which shares no code with the machine."""
    rule = case.chip.core.matrix.accumulate
    how: dict[str, Any] = {"order": rule.order, "block_k": rule.block_k, "join": rule.join, "width": rule.width_bits}
    how |= {"inner_fraction_bits": rule.inner_fraction_bits, "inner_rounding": rule.inner_rounding}
    try:
        want = interpret(case.program, case.inputs, accumulate=how, partial_outputs=True)
    except OracleError as error:
        raise ContractError(f"contract 'bits': the interpreter stops: {error}") from None
    for name, array in want.items():
        same = np.asarray(array).tobytes() == np.asarray(case.run.outputs[name]).tobytes()
        holds(same, "bits", f"{name} of the machine is not bit for bit that of isa.oracle")


def order_does_not_matter(case: Case) -> None:
    """Any legal order of the streams gives the same values and times."""
    for seed in (1, 2):
        again = case.machine.run(case.program, case.inputs, order_seed=seed)
        for name, array in case.run.outputs.items():
            holds(np.asarray(array).tobytes() == np.asarray(again.outputs[name]).tobytes(), "order", f"order_seed={seed} changes {name}")
        _same(case, "order", again, f"order_seed={seed}")


def time_does_not_depend_on_values(case: Case) -> None:
    """A timing-only run takes the same time for the same events."""
    _same(case, "timing only", case.timed(), "values=False")


def short_cuts_change_nothing(case: Case) -> None:
    """Equal cores folded, periods of loops skipped: the same to the femtosecond and the event."""
    for folding, forward in WAYS:
        _same(case, "short-cuts", case.timed(folding=folding, fast_forward=forward), f"folding={folding}, fast_forward={forward}")


def time_is_accounted_for(case: Case) -> None:
    """Causes of every engine sum to the run's time, operations to the whole, components to its joules; bursts cover the useful bytes."""
    run = case.run
    for which in ("stalls", "root_stalls"):
        for (core, stream), row in run.stalls_fs(which).items():
            fair = sum(row.values()) == run.end_fs and min(row.values()) >= 0
            holds(fair, "conservation", f"{which} of core {core}, {stream} sum to {sum(row.values())} fs of {run.end_fs}")
    holds(sum(run.advance_fs().values()) == run.end_fs, "conservation", "operations do not sum to the run")
    holds(run.joules == sum(run.energy.values()) == math.fsum(run.energy.values()), "conservation", "components do not sum to the joules")
    c = run.counters
    useful, matrix = c["hbm_read_bytes"] + c["hbm_write_bytes"], [name for name in c if name.startswith("useful_macs_")]
    covered = c["hbm_burst_bytes"] >= useful or case.chip.levels  # what a cache holds needs no burst
    holds(covered, "conservation", f"{c['hbm_burst_bytes']} bytes of bursts for {useful} useful ones")
    holds(all(c[n] <= c[n.replace("useful", "array")] for n in matrix), "conservation", "more useful products than the array made")


def no_bound_is_beaten(case: Case) -> None:
    """Never faster than its bytes at peak bandwidth, its products at peak rate, its transfers at the queues' width, or no contention."""
    run, chip = case.run, case.chip
    cores, clock, c = case.program.cores, chip.core.clock_hz, run.counters
    queues = sum(name[:2] in ("ld", "st") for name, words in case.program.streams.items() if words)
    bounds = {"device memory": 0.0 if chip.levels else c["hbm_burst_bytes"] / chip.hbm.bandwidth_bytes_per_s}
    bounds["DMA"] = (c["hbm_read_bytes"] + c["hbm_write_bytes"]) / (chip.core.dma.bytes_per_clk * max(1, queues) * cores * clock)
    rates: dict[str, Any] = {str(fmt): rate for fmt, rate in chip.core.matrix.macs_per_clk.items()}
    bounds["products"] = sum(c[f"array_macs_{fmt}"] / float(rate) for fmt, rate in rates.items() if rate) / (cores * clock)
    bounds["no contention"] = case.timed(Machine(chip, "ideal")).seconds
    for name, seconds in bounds.items():
        holds(run.seconds >= seconds * (1 - 1e-12), "bounds", f"{run.seconds} s beat the bound of {name}, {seconds} s")


class _Halved(Machine):
    """The machine with its period and rates rounded to what can be halved in whole numbers, and all of them `times` as slow.

    The core counts rates in 360360000000ths of a byte per femtosecond (csrc/engine/machine.h), so periods are divisors of half of that, and
    bandwidths are multiples of 0.2 GB/s. Bytes in flight over latency make a rate too: they are unbounded here."""

    UNITS, STEP = 360360000000, 200_000_000

    def __init__(self, chip: Chip, times: int) -> None:
        super().__init__(chip)
        config = self._config
        clk = min(_divisors(self.UNITS // 2), key=lambda p: abs(p - config["period_fs"]))
        hops = config["noc_hop_fs"] // config["period_fs"]
        config["dma_inflight"] = 0
        config["period_fs"] = clk * times
        config["noc_hop_fs"] = hops * clk * times
        for name in ("hbm_latency_fs", "shared_latency_fs"):
            config[name] = config[name] // 2 * 2 * times
        config["tier_latency_fs"] = [latency // 2 * 2 * times for latency in config["tier_latency_fs"]]
        for name in ("hbm_bytes_per_s", "shared_bytes_per_s", "noc_bytes_per_s"):
            config[name] = self._halved(config[name]) // times
        config["tier_bytes_per_s"] = [self._halved(rate) // times for rate in config["tier_bytes_per_s"]]

    def _halved(self, rate: int) -> int:
        return max(self.STEP, rate // self.STEP * self.STEP)


@cache
def _divisors(n: int) -> list[int]:
    small = [d for d in range(1, 1 << 20) if n % d == 0]
    return sorted({*small, *(n // d for d in small)})


def twice_as_slow_takes_twice_as_long(case: Case) -> None:
    """With every period, latency and time per byte doubled, the run takes exactly twice as long."""
    fast, slow = (case.timed(_Halved(case.chip, times)).end_fs for times in (1, 2))
    holds(slow == 2 * fast, "doubled", f"{fast} fs become {slow} fs when everything takes twice as long")


def every_mutant_is_caught(case: Case) -> None:
    """Without any one of its waits, signals and barriers the program is refused, whatever the loader could prove (emu.testing.mutants)."""
    for mutant in mutants(case.program, ("operation",)):
        try:
            case.machine.run(mutant.program, case.index, values=False, check=True, verify=False)
        except EmuError:
            continue
        raise ContractError(f"contract 'mutants': nothing is noticed without {mutant.name}")


CONTRACTS: dict[str, Callable[[Case], None]] = {
    "round trip": text_and_bytes_round_trip,
    "checks": no_check_complains,
    "values": values_are_as_wanted,
    "bits": values_are_the_interpreters,
    "order": order_does_not_matter,
    "timing only": time_does_not_depend_on_values,
    "short-cuts": short_cuts_change_nothing,
    "conservation": time_is_accounted_for,
    "bounds": no_bound_is_beaten,
    "doubled": twice_as_slow_takes_twice_as_long,
    "mutants": every_mutant_is_caught,
}
"""Name -> contract, in the order in which they are looked at."""


def chosen(only: tuple[str, ...], without: tuple[str, ...]) -> list[str]:
    """The contracts to look at. Raises UnsupportedError for a name that is none."""
    for name in (*only, *without):
        if name not in CONTRACTS:
            raise UnsupportedError(f"no contract is named {name!r}; {did_you_mean(name, CONTRACTS)}")
    return [name for name in CONTRACTS if (not only or name in only) and name not in without]


def check_case(case: Case, only: tuple[str, ...] = (), without: tuple[str, ...] = ()) -> None:
    """Every contract, or `only` those named, or all `without` those named. Raises ContractError at the first that does not hold."""
    for name in chosen(only, without):
        if name != "bits" or case.bits:
            CONTRACTS[name](case)
