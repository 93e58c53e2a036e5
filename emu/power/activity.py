"""How much the data toggles: the bits that change between one operand and the next on the same wires, by the core's own counter.

A run with values can count them (`Machine.run(..., toggles=True)`). Where no values run, each tensor has a declared class: `zeros`,
`normal` (standard normal numbers), `random` (uniform bits, as far as they are finite numbers); a small sample of the class in the tensor's
format, the same on every machine, goes through the same counter. An event's price goes with its toggles relative to `normal` data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np

from emu import _num
from emu.chip.vocabulary import CLASSES, EVENTS, FORMATS
from emu.errors import UnsupportedError, did_you_mean
from emu.machine.config import FORMATS as NUMBERED
from emu.machine.memory import DTYPES
from emu.num.formats import known, pack, row_bytes, unpack
from isa import Program

DATA = ("zeros", "normal", "random")
SIDE = 256
"""Rows and columns of a sample; on a matrix engine, and k."""
SCALES = {"int8": 127 / 4, "int32": 127 / 4, "int4": 7 / 4}
"""Integers hold normal data of four standard deviations, as symmetric quantisation of a tensor leaves it."""
_MANTISSA = {"fp32": 23, "tf32": 23, "bf16": 7, "fp16": 10, "fp8_e4m3": 3, "fp8_e5m2": 2}
_BLOCK = (1, SIDE, 0)  # block rule of the sample's products: one block

Rates = dict[str, Fraction]
"""Kind of toggles (emu._core.TALLY_NAMES) -> bits that toggle of those that could."""


@dataclass(frozen=True)
class Data:
    """The declared class of each kind of tensor. What operations compute from them follows."""

    activations: str = "normal"
    weights: str = "normal"
    kv: str = "normal"

    @classmethod
    def of(cls, data: str | Mapping[str, str] | Data) -> Data:
        """From one class for all tensors, or a class by kind. UnsupportedError names what is unknown."""
        if isinstance(data, Data):
            return data
        by_kind = dict.fromkeys(cls.__annotations__, data) if isinstance(data, str) else dict(data)
        for kind, name in by_kind.items():
            if kind not in cls.__annotations__:
                raise UnsupportedError(f"data: no kind of tensor is called {kind!r}; {did_you_mean(str(kind), cls.__annotations__)}")
            if name not in DATA:
                raise UnsupportedError(f"data: {name!r} is no class of data; {did_you_mean(str(name), DATA)}")
        return cls(**by_kind)

    def text(self) -> str:
        """As results print it."""
        kinds = vars(self)
        return self.weights if len(set(kinds.values())) == 1 else ", ".join(f"{kind} {name}" for kind, name in kinds.items())


NORMAL = Data()


@lru_cache(256)
def sample(name: str, fmt: str, seed: int = 0) -> np.ndarray:
    """SIDE x SIDE elements of a class in a format."""
    dtype = np.dtype(DTYPES[fmt])
    if name == "zeros":
        return np.zeros((SIDE, SIDE), dtype)
    draw = np.random.RandomState(seed)  # a stream that numpy has promised not to change
    if name == "normal":
        numbers = draw.standard_normal((SIDE, SIDE))
        if fmt in SCALES:
            largest = 7 if fmt == "int4" else 127
            numbers = np.clip(np.rint(numbers * SCALES[fmt]), -1 - largest, largest)
        return numbers.astype(dtype)
    if known(fmt).bits < 8:
        codes = np.frombuffer(draw.bytes(SIDE * SIDE), np.uint8).reshape(SIDE, SIDE)
        return unpack(codes[:, : row_bytes(fmt, SIDE)], fmt, SIDE)
    bits = np.frombuffer(draw.bytes(SIDE * SIDE * dtype.itemsize), f"<u{dtype.itemsize}").reshape(SIDE, SIDE).copy()
    if fmt in _MANTISSA:
        with np.errstate(invalid="ignore"):  # of signalling NaNs, which are what is looked for
            wild = ~np.isfinite(bits.view(dtype).astype(np.float64))
        bits[wild] &= np.array(~(1 << _MANTISSA[fmt]) & (256**dtype.itemsize - 1), bits.dtype)
    return bits.view(dtype)


def _view(array: np.ndarray, fmt: str) -> tuple[Any, ...]:
    raw = pack(array, fmt)
    return raw.reshape(-1), 0, NUMBERED.index(fmt), (array.shape[1], array.shape[0], 1, 1), (array.dtype.itemsize, raw.shape[1], 0, 0)


def _rate(tally: tuple[int, int]) -> Fraction:
    toggles, bits = tally
    return Fraction(toggles, bits) if bits else Fraction(0)


@lru_cache(256)
def bus(name: str, fmt: str) -> Fraction:
    """Bits of a class in a format that toggle from beat to beat of a bus."""
    return _rate(_num.bus_toggles(pack(sample(name, fmt), fmt).reshape(-1)))


def result_class(a: str, b: str) -> str:
    """What a product of the two is: zeros absorb, and what has uniform bits leaves no distribution."""
    return "zeros" if "zeros" in (a, b) else "random" if "random" in (a, b) else "normal"


@lru_cache(256)
def products(a: str, b: str, fmt: str) -> tuple[Fraction, Fraction, Fraction]:
    """Rates of both operands and of the accumulators of a matrix product. Uniform bits overflow: their results count as uniform too."""
    wide = "int32" if known(fmt).kind == "int" else "fp32"
    acc = np.zeros((SIDE, SIDE), DTYPES[wide])
    view = _view(acc, wide)
    tallies = _num.mm_toggles(view, _view(sample(a, fmt), fmt), _view(sample(b, fmt, 1), fmt), 0, 0, *_BLOCK)
    rates = tuple(_rate(t) for t in tallies)
    if result_class(a, b) == "random":
        rates = (*rates[:2], _rate(_num.view_toggles(_view(sample("random", wide), wide), 1)))
    return rates  # type: ignore[return-value]


def declared(program: Program, data: Data, fmt: str) -> Rates:
    """Rates of a program whose matrix operands have format `fmt` when its tensors are of the declared classes.

    Bytes on the way count by the sizes of the buffers: what is `in` or `temp` are activations, `inout` is a cache."""
    held: dict[bool, list[tuple[int, Fraction]]] = {False: [], True: []}
    attends = not any(b.role == "weight" for b in program.buffers)
    other = data.kv if attends else data.weights
    made = result_class(data.activations, other)
    of_role = {"in": data.activations, "temp": made, "weight": data.weights, "inout": data.kv, "out": made}
    for b in program.buffers:
        if b.space == "hbm" and b.role in of_role and b.format in DTYPES:
            rate = bus(of_role[b.role], b.format)
            held[False] += [(b.bytes, rate)] if b.role != "out" else []
            held[True] += [(b.bytes, rate)] if b.role in ("out", "temp", "inout") else []
    plain = bus(data.activations, fmt)
    a, other_rate, acc = products(data.activations, other, fmt)
    read, write = _mean(held[False], plain), _mean(held[True], plain)
    return {"mm_a": a, "mm_b": other_rate, "mm_acc": acc, "vec": acc, "hbm_read": read, "hbm_write": write, "sram": read}


def _mean(weighted: list[tuple[int, Fraction]], otherwise: Fraction) -> Fraction:
    whole = sum(weight for weight, _ in weighted)
    return sum((weight * rate for weight, rate in weighted), Fraction(0)) / whole if whole else otherwise


def measured(tallies: Mapping[str, tuple[int, int]]) -> Rates:
    """Rates that a run with values counted; kinds of which nothing was seen are left out. Matrix operands come from the scratchpad, so
    their toggles are those of its reads."""
    rates = {kind: _rate(t) for kind, t in tallies.items() if t[1]}
    seen = [tallies[kind] for kind in ("mm_a", "mm_b", "sram") if tallies.get(kind, (0, 0))[1]]
    if seen:
        rates["sram"] = _rate((sum(t for t, _ in seen), sum(n for _, n in seen)))
    return rates


def relative(rates: Rates, reference: Rates, counters: Mapping[str, int]) -> dict[str, Fraction]:
    """Event -> toggles relative to the reference. Events of which nothing is known are left out, which stands for 1."""
    mine, theirs = _of_events(rates, counters), _of_events(reference, counters)
    return {event: mine[event] / theirs[event] for event in mine if theirs.get(event)}


def _of_events(rates: Rates, counters: Mapping[str, int]) -> Rates:
    table = {"stationary_bytes": "mm_b", "hbm_read_bytes": "hbm_read", "hbm_write_bytes": "hbm_write"}
    table |= {f"vec_{c}": "vec" for c in CLASSES}
    table |= {event: "sram" for event in (*EVENTS["sram"], *EVENTS["noc"])} | {event: "mm_acc" for event in EVENTS["acc"]}
    found = {event: rates[kind] for event, kind in table.items() if kind in rates}
    if {"mm_a", "mm_b", "mm_acc"} <= rates.keys():
        for fmt in FORMATS:
            bits = known(fmt).bits
            found[f"array_macs_{fmt}"] = (bits * (rates["mm_a"] + rates["mm_b"]) + 32 * rates["mm_acc"]) / (2 * bits + 32)
    moved = [(counters.get(f"hbm_{way}_bytes", 0), rates[f"hbm_{way}"]) for way in ("read", "write") if f"hbm_{way}" in rates]
    if moved and any(n for n, _ in moved):
        found["hbm_burst_bytes"] = found["shared_bytes"] = _mean(moved, Fraction(0))
    return found


def matrix_format(counters: Mapping[str, int]) -> str:
    """The format in which most multiplications were; bf16 where there were none."""
    most = max(FORMATS, key=lambda fmt: counters.get(f"array_macs_{fmt}", 0))
    return most if counters.get(f"array_macs_{most}") else "bf16"


def activity_of(
    program: Program, counters: Mapping[str, int], data: Data, tallies: Mapping[str, tuple[int, int]] | None = None
) -> dict[str, Fraction]:
    """Event -> toggles relative to normal data: as counted (`tallies`), or as declared."""
    if tallies is None and data == NORMAL:
        return {}
    fmt = matrix_format(counters)
    found = declared(program, data, fmt) if tallies is None else measured(tallies)
    return relative(found, declared(program, NORMAL, fmt), counters)
