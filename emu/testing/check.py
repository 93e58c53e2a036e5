"""`check_chip`, `check_kernel`, `check_program`: in one line, all that holds for emu's own chips and kernels is asked of yours."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from emu.chip import chip as preset
from emu.chip import load_chip
from emu.chip.provenance import leaves
from emu.chip.schema import Chip
from emu.kernels import Kernel
from emu.mapper import choose_gemm, gemm_program
from emu.mapper.area import divide
from emu.mapper.gemm import GemmShape
from emu.study import attention, gemm
from emu.testing.contracts import Array, Case, ContractError, check_case, chosen, holds
from emu.testing.kernels import RowKernel, kernels
from emu.testing.profile import checked
from emu.testing.tensors import extents, inputs, inputs_for
from isa import Program

FEW = 4
"""Cores that kernels are tried on, at most: the interpreter takes them one after another."""
Oracle = Callable[..., Mapping[str, Array] | Array]


def chip_of(chip: Chip | str | os.PathLike[str]) -> Chip:
    """A chip, a preset by its name, or a chip file by its path."""
    if isinstance(chip, Chip):
        return chip
    return load_chip(chip) if os.fspath(chip).endswith(".toml") or Path(chip).exists() else preset(os.fspath(chip))


def check_program(
    program: Program, chip: Chip | str | os.PathLike[str] = "tiny", given: Mapping[str, Array] | None = None,
    only: tuple[str, ...] = (), without: tuple[str, ...] = (),
) -> None:
    """Every contract (emu.testing.contracts.CONTRACTS) of one program on a chip, with the inputs `given`, or normal numbers.

    Raises ContractError, which says which contract does not hold and where."""
    check_case(Case(chip_of(chip), program, inputs_for(program) if given is None else given), only, without)


def check_kernel(
    kernel: Kernel, oracle: Oracle, arguments: Mapping[str, Any] | None = None, chip: Chip | str | os.PathLike[str] = "tiny",
    tolerance: float = 1e-2, examples: int = 25, wild: bool = False, only: tuple[str, ...] = (), without: tuple[str, ...] = (),
) -> None:
    """Every contract of a kernel on random sizes and data, its values against `oracle`.

    `arguments`: what the kernel is traced with; hypothesis strategies among them are drawn from (`emu.testing.extents` for sizes).
    `oracle(inputs, **arguments)` gets the inputs as arrays by name and gives the outputs: a dict, or the array of the only output.
    `tolerance` is of the largest element of each output. `wild` inputs hold NaNs, infinities and subnormals too.
    Raises ContractError with the smallest example that hypothesis finds: arguments in the message, inputs in the notes."""
    on = chip_of(chip)
    cores = min(on.core_count, FEW)
    chosen(only, without)
    drawn = st.fixed_dictionaries({name: v if isinstance(v, st.SearchStrategy) else st.just(v) for name, v in (arguments or {}).items()})

    @checked(examples)
    @given(drawn, st.data())
    def keeps_every_contract(arguments: dict[str, Any], data: st.DataObject) -> None:
        with _naming(f"{kernel.__name__}({', '.join(f'{name}={value!r}' for name, value in arguments.items())})", on):
            program = kernel.trace(on, cores=cores, **arguments)
            arrays = data.draw(inputs(program, wild), label="inputs")
            check_case(Case(on, program, arrays, _named(oracle(arrays, **arguments), program), tolerance), only, without)

    keeps_every_contract()


@contextmanager
def _naming(what: str, chip: Chip) -> Iterator[None]:
    """Says of a broken contract for what it was broken: of the last example that hypothesis tries, which is the smallest."""
    try:
        yield
    except ContractError as error:
        raise ContractError(f"{what} on {chip.name}: {error}") from None


def _named(outputs: Mapping[str, Array] | Array, program: Program) -> dict[str, Array]:
    """Outputs by name; the only one of the program where the oracle gives an array."""
    if isinstance(outputs, Mapping):
        return dict(outputs)
    names = [b.name for b in program.buffers if b.role in ("out", "inout")]
    holds(len(names) == 1, "values", f"the oracle gives one array, the kernel has the outputs {', '.join(names)}: give a dict")
    return {names[0]: outputs}


def check_chip(
    chip: Chip | str | os.PathLike[str], examples: int = 10, only: tuple[str, ...] = (), without: tuple[str, ...] = (),
) -> None:
    """Every contract on a chip: random kernels, mapped gemms, and no operation faster than its lower bound.

    `chip` is a Chip, a preset's name or the path of a chip file. Raises ChipError for a file that is no chip, ContractError for one that
    breaks a contract, CapacityError or UnsupportedError for one on which these small operations do not fit or have no engine."""
    on = chip_of(chip)
    cores, formats = min(on.core_count, FEW), [fmt for fmt in ("bf16", "fp16", "fp8_e4m3", "int8") if on.core.matrix.macs_per_clk.get(fmt)]
    _figures_can_be_set_to_what_they_are(on)

    @checked(examples)
    @given(kernels())
    def kernels_keep_every_contract(sample: RowKernel) -> None:
        with _naming(str(sample), on):
            program = sample.kernel.trace(on, cores=cores)
            arrays = inputs_for(program)
            check_case(Case(on, program, arrays, {"y": sample.oracle(arrays)}), only, without)

    @checked(examples)
    @given(extents(8, 40), extents(8, 40), extents(8, 40), st.sampled_from(formats))
    def gemms_keep_every_contract(m: int, n: int, k: int, fmt: str) -> None:
        area, shape = divide(on, fmt), GemmShape(m, n, k, fmt, "bf16", scale=fmt == "int8")
        with _naming(f"gemm {m}x{n}x{k} {fmt}", on):
            program = gemm_program(on, shape, area, choose_gemm(on, shape, area)[0])
            check_case(Case(on, program, inputs_for(program), bits=on.core_count <= FEW), only, without)

    kernels_keep_every_contract()
    if formats:
        gemms_keep_every_contract()
        _operations_keep_their_bounds(on, "fp8" if formats[0] == "fp8_e4m3" else formats[0])


def _figures_can_be_set_to_what_they_are(chip: Chip) -> None:
    """Units and keys round-trip: setting any figure to what the file says gives the same chip."""
    for key, value in leaves(chip._stated):
        if key.split(".")[0] in ("published", "published_conflict", "schema_version"):
            continue
        same = chip.vary({key: value}).digest == chip.digest
        holds(same, "figures", f"{chip.name}: setting {key} to {value!r}, which it is, gives another chip")


def _operations_keep_their_bounds(chip: Chip, dtype: str) -> None:
    """As they are mapped and run by `emu.gemm` and `emu.attention`."""
    found = [gemm(chip, m, n, k, dtype=dtype) for m, n, k in ((1, 256, 256), (128, 128, 128), (200, 333, 77))]
    found += [attention(chip, "decode", batch=2, q_heads=4, kv_heads=2, head_dim=32, kv_len=300, dtype=dtype)]
    for result in found:
        beaten = f"{result.op}: {result.seconds} s beat the lower bound, {result.bound_s} s"
        holds(result.seconds >= result.bound_s, "bounds", f"{chip.name}: {beaten}")
