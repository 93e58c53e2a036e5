"""Arrays in and out of the machine's device memory."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np

from emu.chip.schema import Chip
from emu.errors import CapacityError, ProgramError, did_you_mean
from emu.num.casting import encode
from emu.num.formats import known, row_bytes, unpack
from isa import Buffer, Program

DTYPES: dict[str, Any] = {
    "fp32": np.float32,
    "bf16": ml_dtypes.bfloat16,
    "fp16": np.float16,
    "fp8_e4m3": ml_dtypes.float8_e4m3fn,
    "fp8_e5m2": ml_dtypes.float8_e5m2,
    "int8": np.int8,
    "int32": np.int32,
    "tf32": np.float32,
    "fp6_e2m3": ml_dtypes.float6_e2m3fn,
    "fp6_e3m2": ml_dtypes.float6_e3m2fn,
    "fp4_e2m1": ml_dtypes.float4_e2m1fn,
    "int4": ml_dtypes.int4,
    "e8m0": ml_dtypes.float8_e8m0fnu,
}
NUMBERS = {np.dtype(t) for t in DTYPES.values()}  # numpy calls some of them void
GIVEN = ("in", "weight", "index", "inout")


def total_ram_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def needed_bytes(program: Program, chip: Chip) -> int:
    """Host bytes that a valued run touches at most: the program's hbm buffers and every core's memories."""
    hbm = sum(b.bytes for b in program.buffers if b.space == "hbm")
    return program.chips * (hbm + program.cores * (chip.core.sram.capacity_bytes + chip.core.acc.capacity_bytes))


PAGE = 4096
WARM = 8
"""Buffers that may be warm in one run."""


def warm_ranges(program: Program, names: Sequence[str]) -> list[int]:
    """First byte and end of each buffer, then zeros, as the core takes them. Raises ProgramError for what is no buffer of device memory."""
    found = {b.name: b for b in program.buffers if b.space == "hbm"}
    for name in names:
        if name not in found:
            raise ProgramError(f"{program.name}: warm={name!r} is no buffer of device memory; {did_you_mean(name, found)}")
    if len(names) > WARM:
        raise ProgramError(f"{program.name}: {len(names)} buffers are to be warm; {WARM} at most")
    ranges = [edge for name in names for edge in (found[name].offset, found[name].offset + found[name].bytes)]
    return ranges + [0] * (2 * WARM - len(ranges))


def require(program: Program, chip: Chip, max_memory: int | None) -> None:
    """CapacityError when a valued run needs more than the limit (default: half of this machine's memory)."""
    limit = total_ram_bytes() // 2 if max_memory is None else max_memory
    need = needed_bytes(program, chip)
    if need > limit:
        raise CapacityError(
            f"{program.name}: a run with values needs {need / 2**30:.2f} GiB of this machine's memory, the limit is {limit / 2**30:.2f} "
            "GiB; raise max_memory (--max-memory), or run timing only (values=False)"
        )


def as_bytes(buffer: Buffer, value: Any) -> np.ndarray:
    """The array's bytes in the buffer's format; a wrong shape or a lossy kind is refused, floats are rounded to the buffer's format."""
    try:
        array = np.asarray(value)
    except ValueError:
        raise ProgramError(f"input {buffer.name!r}: not an array; its rows differ in length") from None
    if array.dtype.kind not in "iubf" and array.dtype not in NUMBERS:
        wanted = buffer.format or "bytes"
        raise ProgramError(f"input {buffer.name!r}: dtype {array.dtype}, the program expects {wanted}; convert it yourself")
    if buffer.format is None:
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    else:
        want, form = np.dtype(DTYPES[buffer.format]), known(buffer.format)
        if tuple(array.shape) != tuple(buffer.shape):
            raise ProgramError(f"input {buffer.name!r}: shape {tuple(array.shape)}, the program expects {tuple(buffer.shape)}")
        if form.kind == "int" and array.dtype.kind not in "iub" and array.dtype != want:
            raise ProgramError(f"input {buffer.name!r}: dtype {array.dtype}, the program expects {buffer.format}; convert it yourself")
        if form.kind == "int" and array.size and array.dtype != want:
            if array.min() < ml_dtypes.iinfo(want).min or array.max() > ml_dtypes.iinfo(want).max:
                raise ProgramError(f"input {buffer.name!r}: values outside {buffer.format}")
        if form.bits < 8 or buffer.format in ("tf32", "e8m0"):  # what numpy does not round as the machine does
            data = encode(array, buffer.format).reshape(-1)
        else:
            data = np.ascontiguousarray(array.astype(want)).reshape(-1).view(np.uint8)
    if data.size != buffer.bytes:
        raise ProgramError(f"input {buffer.name!r}: {data.size} bytes, the buffer holds {buffer.bytes}")
    return data


def chip_span(program: Program) -> int:
    """Bytes from one chip's device memory to the next one's, in a run of several."""
    return -(-max((b.offset + b.bytes for b in program.buffers if b.space == "hbm"), default=0) // PAGE) * PAGE


def gather_inputs(program: Program, inputs: Mapping[str, Any], values: bool) -> list[tuple[int, np.ndarray]]:
    """(offset, bytes) of every given input; a valued run needs them all, a timing-only run the index buffers."""
    if program.chips == 1:
        return _gather(program, inputs, values)
    for name, value in inputs.items():
        if len(value) != program.chips:
            raise ProgramError(f"input {name!r}: its first axis is the chip; it has {len(value)} of {program.chips}")
    span = chip_span(program)
    each = [_gather(program, {name: value[c] for name, value in inputs.items()}, values) for c in range(program.chips)]
    return [(c * span + at, data) for c, found in enumerate(each) for at, data in found]


def _gather(program: Program, inputs: Mapping[str, Any], values: bool) -> list[tuple[int, np.ndarray]]:
    by_name = {b.name: b for b in program.buffers if b.space == "hbm" and b.role in GIVEN}
    for name in inputs:
        if name not in by_name:
            raise ProgramError(f"{program.name}: no input {name!r}; {did_you_mean(name, by_name) if by_name else 'it takes none'}")
    missing = [n for n, b in by_name.items() if n not in inputs and (values or b.role == "index")]
    if missing:
        raise ProgramError(f"{program.name}: input {', '.join(map(repr, missing[:8]))} not given")
    return [(by_name[n].offset, as_bytes(by_name[n], v)) for n, v in inputs.items() if values or by_name[n].role == "index"]


def prepare_outputs(program: Program, values: bool) -> dict[str, tuple[int, np.ndarray]]:
    """Room for every output buffer."""
    if not values:
        return {}
    outputs = [b for b in program.buffers if b.space == "hbm" and b.role in ("out", "inout")]
    if program.chips == 1:
        return {b.name: (b.offset, np.zeros(b.bytes, np.uint8)) for b in outputs}
    span = chip_span(program)
    return {f"{b.name}@{c}": (c * span + b.offset, np.zeros(b.bytes, np.uint8)) for b in outputs for c in range(program.chips)}


def shaped(program: Program, raw: dict[str, tuple[int, np.ndarray]]) -> dict[str, np.ndarray]:
    """Outputs in their format and shape."""
    if program.chips > 1:
        names = dict.fromkeys(name.partition("@")[0] for name in raw)
        return {name: np.stack([_shaped(program, {name: raw[f"{name}@{c}"]})[name] for c in range(program.chips)]) for name in names}
    return _shaped(program, raw)


def _shaped(program: Program, raw: dict[str, tuple[int, np.ndarray]]) -> dict[str, np.ndarray]:
    by_name = {b.name: b for b in program.buffers}
    result = {}
    for name, (_, data) in raw.items():
        b = by_name[name]
        rows = data if b.format is None else data.reshape(*b.shape[:-1], row_bytes(b.format, b.shape[-1]))
        result[name] = data if b.format is None else unpack(rows, b.format, b.shape[-1])
    return result
