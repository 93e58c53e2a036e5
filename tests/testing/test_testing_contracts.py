"""Can every contract be broken, does it say so, and do emu's own chips and kernels keep them all?"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emu
import isa
from emu.testing import CONTRACTS, Case, ContractError, check_chip, check_kernel, check_program, checked, chips, inputs_for, kernels
from emu.testing import contracts as contracts_of
from emu.testing.kernels import RowKernel, Step

TINY = emu.chip("tiny")
SAMPLE = RowKernel(19, 8, 4, 2, ("bf16", "fp32"), "bf16", (Step("mul", 1), Step("sub", None)))
PROGRAM = SAMPLE.kernel.trace(TINY)
INPUTS = inputs_for(PROGRAM)


class Lying(emu.Machine):
    """A machine that changes its answer where `when` says so."""

    def __init__(self, when: Any, change: Any) -> None:
        super().__init__(TINY)
        self.when, self.change = when, change

    def run(self, *args: Any, **how: Any) -> Any:
        run = super().run(*args, **how)
        if self.when(how):
            self.change(run)
        return run


@dataclass(frozen=True)
class Planted(Case):
    """A case on a machine that lies."""

    liar: emu.Machine | None = None

    @property
    def machine(self) -> emu.Machine:  # type: ignore[override]
        return self.liar or emu.Machine(self.chip)


def later(run: Any) -> None:
    run.raw["end_fs"] += 1


def other_bit(run: Any) -> None:
    run.outputs["y"].view(np.uint8)[0, 0] ^= 1


def faster(run: Any) -> None:
    run.seconds = 1e-12


def less_stalled(run: Any) -> None:
    key, row = next(iter(run.raw["stalls"].items()))
    run.raw["stalls"][key] = (row[0] + 1, *row[1:])


LIES: dict[str, tuple[Any, Any, str]] = {
    "bits": (lambda how: how.get("check"), other_bit, "y of the machine is not bit for bit"),
    "order": (lambda how: how.get("order_seed"), other_bit, "order_seed=1 changes y"),
    "timing only": (lambda how: how.get("values") is False, later, "end_fs differ"),
    "short-cuts": (lambda how: how.get("folding"), later, "folding=True, fast_forward=False: end_fs differ"),
    "conservation": (lambda how: how.get("check"), less_stalled, "stalls of core 0"),
    "bounds": (lambda how: how.get("check"), faster, "beat the bound of device memory"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_machine_that_lies_is_found_out(name: str) -> None:
    when, change, part = LIES[name]
    honest = Case(TINY, PROGRAM, INPUTS)
    CONTRACTS[name](honest)
    with pytest.raises(ContractError, match=f"contract '{name}': ") as caught:
        CONTRACTS[name](Planted(TINY, PROGRAM, INPUTS, liar=Lying(when, change)))
    assert part in str(caught.value)


def test_time_that_does_not_scale_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = contracts_of._Halved.__init__

    def with_a_constant(self: Any, chip: Any, times: int) -> None:
        plain(self, chip, times)
        self._config["hbm_latency_fs"] = 10**8  # whatever else doubles

    monkeypatch.setattr(contracts_of._Halved, "__init__", with_a_constant)
    with pytest.raises(ContractError, match="contract 'doubled': .* when everything takes twice as long"):
        CONTRACTS["doubled"](Case(TINY, PROGRAM, INPUTS))


def test_other_values_than_wanted() -> None:
    want = SAMPLE.oracle(INPUTS)
    CONTRACTS["values"](Case(TINY, PROGRAM, INPUTS, {"y": want}))
    wrong = want.astype(np.float32)
    wrong[3, 5] += 1
    with pytest.raises(ContractError, match=r"1 of 152 elements of y differ, the first at \[3, 5\]"):
        CONTRACTS["values"](Case(TINY, PROGRAM, INPUTS, {"y": wrong}))
    CONTRACTS["values"](Case(TINY, PROGRAM, INPUTS, {"y": wrong}, tolerance=1.0))
    with pytest.raises(ContractError, match=r"y is \(19, 8\), the oracle says \(19, 7\)"):
        CONTRACTS["values"](Case(TINY, PROGRAM, INPUTS, {"y": want[:, :7]}))
    with pytest.raises(ContractError, match="no output 'z'; expected one of: y"):
        CONTRACTS["values"](Case(TINY, PROGRAM, INPUTS, {"z": want}))


def test_a_race_is_a_broken_contract() -> None:
    racy = next(m.program for m in emu.testing.mutants(PROGRAM, ("semaphore",)) if "out_full" in m.name)
    with pytest.raises(ContractError, match="contract 'checks': .*(race on|nobody wrote)"):
        check_program(racy, only=("checks",))


def test_a_synchronisation_that_does_nothing_is_found() -> None:
    text = isa.assemble(PROGRAM.to_text().replace(".stream ld1\n", ".stream ld1\n        fence\n"))
    with pytest.raises(ContractError, match="contract 'mutants': nothing is noticed without ld1, word 0: fence"):
        check_program(text, only=("mutants",))


def test_text_that_is_another_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isa, "assemble", lambda text: isa.Program("other"))
    with pytest.raises(ContractError, match="contract 'round trip': .*: assembling its text gives another program"):
        CONTRACTS["round trip"](Case(TINY, PROGRAM, INPUTS))


def test_contracts_are_chosen_by_name() -> None:
    with pytest.raises(emu.UnsupportedError, match="no contract is named 'mutant'; did you mean 'mutants'"):
        check_program(PROGRAM, without=("mutant",))
    assert [*CONTRACTS] == ["round trip", "checks", "values", "bits", *(n for n in LIES if n != "bits"), "doubled", "mutants"]


@checked(60)
@given(kernels(), chips())
def test_any_kernel_on_any_chip_keeps_every_contract(sample: RowKernel, chip: Any) -> None:
    """The compiler and the machine at once: kernels of the language on chips that do not exist."""
    program = sample.kernel.trace(chip)
    arrays = inputs_for(program)
    emu.testing.check_case(Case(chip, program, arrays, {"y": sample.oracle(arrays)}))


def test_check_chip_takes_a_file_a_name_and_a_chip(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text('extends = "tiny"\nname = "mine"\n[core.vector]\nlanes = 8\nstartup = "9 clk"\n[hbm]\nbandwidth = "10 GB/s"\n')
    check_chip(path, examples=3)
    check_chip("jalapeno", examples=2)
    check_chip(TINY.vary({"core.dma.queue": 1}), examples=2)
    path.write_text('extends = "tiny"\nname = "mine"\nspeed = 3\n')
    with pytest.raises(emu.ChipError, match="speed"):
        check_chip(path)


def test_a_chip_that_beats_its_bound_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emu.study.op.OpResult.bound_s", 1.0)
    with pytest.raises(ContractError, match="tiny: gemm: .* s beat the lower bound, 1.0 s"):
        check_chip("tiny", examples=1)


def test_check_kernel_shrinks_what_it_finds() -> None:
    """The product of two inputs, of which the oracle thinks otherwise in more than four rows."""

    def product(k: Any, rows: int) -> None:
        a, b, y = (k.hbm(name, (rows, 4), "fp32", role) for name, role in (("a", "in"), ("b", "in"), ("y", "out")))
        with_a, with_b = k.fetch(a), k.fetch(b)
        out = k.tile((rows, 4), "fp32", "sram")
        k.mul(out, with_a, with_b)
        k.store(y, out)

    made = emu.kernel(product)
    sizes, one = {"rows": st.integers(1, 7)}, TINY.vary({"core_count": 1, "noc.x": 1})  # all cores would do the same and race
    with pytest.raises(ContractError) as caught:
        check_kernel(made, lambda given, rows: given["a"] * given["b"] + (rows > 4), sizes, one)
    assert str(caught.value).startswith("product(rows=5) on tiny: contract 'values': ")
    assert any("inputs" in note for note in caught.value.__notes__)
    check_kernel(made, lambda given, rows: {"y": given["a"] * given["b"]}, sizes, one, tolerance=0.0, examples=5)
    with pytest.raises(ContractError, match=r"product\(rows=1\) on tiny: contract 'checks': product: race on hbm"):
        check_kernel(made, lambda given, rows: given["a"] * given["b"], sizes, examples=1)
    with pytest.raises(ContractError, match="the oracle gives one array, the kernel has the outputs y, z: give a dict"):
        check_kernel(emu.kernel(_two_outputs), lambda given: given["x"], examples=1)


def _two_outputs(k: Any) -> None:
    x, y, z = k.hbm("x", (2, 2), "fp32", "in"), k.hbm("y", (2, 2), "fp32", "out"), k.hbm("z", (2, 2), "fp32", "out")
    t = k.fetch(x)
    k.store(y, t)
    k.store(z, t)


def test_nothing_else_of_emu_needs_hypothesis() -> None:
    code = "import sys; sys.modules['hypothesis'] = None\nimport emu\nfor n in emu.__all__:\n    if n != 'testing': getattr(emu, n)\n"
    code += "try:\n    emu.testing\nexcept emu.UnsupportedError as e:\n    print(e)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "emu.testing needs hypothesis: pip install 'emu[testing]'\n", done.stderr
