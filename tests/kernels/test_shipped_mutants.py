"""Does the machine's check accept every kernel that emu ships, and notice everything that is taken out of its synchronisation?"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from zlib import crc32

import pytest
from shipped_kernels import KERNELS, NAMES, index_of, shipped

import emu
import emu.kernels
from emu.kernels import Kernel
from emu.testing import Mutant, deep, mutants, races
from isa.oracle import OracleError

SAMPLED, SAMPLED_LAYERS = 8, 80
"""Of the mutants whose answer is held against the model, which takes 0.07 s each (a layer 1 s), CI looks at one in so many; at all of them
with EMU_HYPOTHESIS=deep."""
WAYS = ("race on", "deadlock", "against its initial count", "reads bytes that nobody wrote")


@pytest.mark.parametrize("name", NAMES)
def test_no_false_alarm(name: str) -> None:
    program, chip, inputs = shipped(name)
    machine = emu.Machine(chip, check=True)
    machine.run(program, inputs)
    for seed in (0, 3):
        machine.run(program, index_of(program, inputs), values=False, order_seed=seed)


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_of_every_semaphore_is_needed(name: str) -> None:
    """Each wait, signal and barrier taken out in turn, all of them; the loader's proofs are off, so it is the run that tells."""
    program, chip, inputs = shipped(name)
    machine, given = emu.Machine(chip, check=True), index_of(program, inputs)
    count = 0
    for mutant in mutants(program, ("operation",)):
        with pytest.raises(emu.ProgramError) as caught:
            machine.run(mutant.program, given, values=False, verify=False)
            pytest.fail(f"nothing is noticed without {mutant.name}")
        assert any(way in str(caught.value) for way in WAYS), f"{mutant.name}: {caught.value}"
        count += 1
    assert count >= 6


def test_the_loader_refuses_most_of_them_before_they_run() -> None:
    """Here a semaphore mostly has one wait and one signal, and without one of them nobody would meet."""
    program, _, _ = shipped("gemm")
    refused = 0
    for mutant in mutants(program, ("operation",)):
        try:
            mutant.program.check()
        except ValueError:
            refused += 1
    assert refused >= 16


def _one_in(name: str) -> int:
    return SAMPLED if name in KERNELS else SAMPLED_LAYERS


def _looked_at(name: str) -> Iterator[Mutant]:
    """A share of the mutants without a whole semaphore, or with a token too many: the same share on every machine."""
    for mutant in mutants(shipped(name)[0], ("semaphore", "token")):
        if deep() or crc32(f"{name}: {mutant.kind} {mutant.name}".encode()) % _one_in(name) == 0:
            yield mutant


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_semaphore_less_is_noticed_exactly_where_the_rest_does_not_imply_it(name: str) -> None:
    """Tokens then balance and only a race can tell. Whether there is one, the model decides by looking at every pair of bytes."""
    program, chip, inputs = shipped(name)
    machine, given = emu.Machine(chip, check=True), index_of(program, inputs)
    looked = list(_looked_at(name))
    if not deep():
        why = "because the model takes 0.07 to 1 s each; EMU_HYPOTHESIS=deep looks at all"
        print(f"{name}: {len(looked)} mutants, one in {_one_in(name)}, {why}")
    for mutant in looked:
        try:
            wrong = bool(races(mutant.program, inputs))
        except OracleError:
            wrong = True
        try:
            machine.run(mutant.program, given, values=False, verify=False)
            noticed = False
        except emu.ProgramError:
            noticed = True
        assert noticed == wrong, f"{mutant.name}: {'a race that is missed' if wrong else 'a false alarm'}"


def test_the_sample_holds_races_and_implied_semaphores() -> None:
    """Neither answer is given away: about two thirds of all such mutants race."""
    racing = implied = 0
    for name in NAMES:
        program, chip, inputs = shipped(name)
        for mutant in _looked_at(name):
            try:
                emu.Machine(chip, check=True).run(mutant.program, index_of(program, inputs), values=False, verify=False)
                implied += 1
            except emu.ProgramError:
                racing += 1
    assert racing > 20 and implied > 10


def test_all_kernels_are_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that is added to emu.kernels is added to shipped_kernels.KERNELS too."""
    modules = [importlib.import_module(f"emu.kernels.{m.name}") for m in pkgutil.iter_modules(emu.kernels.__path__) if not m.ispkg]
    there = {value.__name__: value for module in modules for value in vars(module).values() if isinstance(value, Kernel)}
    traced = set()
    plain = Kernel.__call__

    def noted(self: Kernel, *args: object, **kwargs: object) -> object:
        traced.add(self.__name__)
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(Kernel, "__call__", noted)
    shipped.cache_clear()
    for name in KERNELS:
        shipped(name)
    assert not set(there) - traced, f"not among the shipped kernels of tests/kernels/shipped_kernels.py: {sorted(set(there) - traced)}"
