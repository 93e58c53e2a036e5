"""The chip itself: the sections joined, what follows from all of them together, and where each figure comes from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PrivateAttr, model_validator

from emu.chip.core import Core
from emu.chip.economy import Area, Cost, Server
from emu.chip.fields import Count, Flops, Nanometres, Number, Picojoules, Rate, Section, Share, SquareMillimetres
from emu.chip.matrix import Format
from emu.chip.provenance import Figure, leaves, lookup
from emu.chip.supply import Component, Power
from emu.chip.surroundings import Hbm, Level, Link, Noc, Scope, Stack, Sync
from emu.chip.vocabulary import PRICED_EVENTS, UNPRICED_EVENTS
from emu.errors import UnsupportedError, did_you_mean

SCHEMA_VERSION = 1


def _event(name: str) -> str:
    if name in UNPRICED_EVENTS:
        raise ValueError(f"part of array_macs_{name.removeprefix('useful_macs_')}; a price here would count it twice")
    if name not in PRICED_EVENTS:
        raise ValueError(f"no event has this name; {did_you_mean(name, PRICED_EVENTS)}")
    return name


def _whole_attojoules(pj: float) -> float:
    if abs(round(pj * 10**6) - pj * 10**6) > 1e-3:
        raise ValueError(f"{pj} pJ is finer than an attojoule, the grain of energies")
    return pj


Event = Annotated[str, AfterValidator(_event)]
EventEnergy = Annotated[Picojoules, AfterValidator(_whole_attojoules)]


class Process(Section):
    """How and how large the chip is made."""

    name: str = ""
    node_nm: Nanometres
    die_area_mm2: SquareMillimetres = Field(gt=0)
    """Of one compute die."""
    dies: Count = 1
    transistors_billion: Number | None = None


class Conflict(Section):
    """Published figures that disagree with the computed peak; printed beside it, never smoothed over."""

    figures: list[Flops]
    note: str


class Chip(Section):
    """A chip description, in SI units. `vary` gives changed copies; `provenance` says where a figure comes from."""

    schema_version: Literal[1]
    name: str = Field(min_length=1, max_length=64)
    title: str = ""
    vendor: str = ""
    status: str = ""
    note: str = ""
    hypothetical: bool = False
    core_count: Count = Field(le=1 << 16)
    core: Core
    hbm: Hbm
    noc: Noc
    sync: Sync
    process: Process
    power: Power
    energy: dict[Event, EventEnergy]
    """Picojoules per event, on normally distributed data, at the nominal voltage."""
    toggling: dict[Component, Share] = {}
    """Share of a component's energy that is switching of data: it goes with the bits that toggle, the rest does not. 0 unless given."""
    scopes: list[Scope] = []
    levels: list[Level] = []
    links: list[Link] = []
    host_bytes_per_s: Rate = Field(default=0, alias="host_bandwidth")
    """To the host, one direction."""
    server: Server | None = None
    area: Area = Area()
    cost: Cost = Cost()
    stack: dict[str, Stack] = {}
    published: dict[Format, Flops] = {}
    """Dense peak as published, which the computed one is checked against."""
    published_conflict: dict[Format, Conflict] = {}
    _figures: dict[str, Figure] = PrivateAttr(default_factory=dict)
    _source: dict[str, Any] = PrivateAttr(default_factory=dict)  # the merged document, which vary starts from
    _stated: dict[str, Any] = PrivateAttr(default_factory=dict)  # the same without provenance
    _origin: dict[str, str] = PrivateAttr(default_factory=dict)
    _file: str = PrivateAttr(default="")
    _varied: dict[str, Any] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Chip:
        if self.noc.x * self.noc.y != self.core_count:
            raise ValueError(f"noc: x * y is {self.noc.x * self.noc.y}, but core_count is {self.core_count}; make them equal")
        if not self.noc.bisection_bytes_per_s:
            self.noc._derive(bisection_bytes_per_s=self.noc.links_across() * self.noc.bytes_per_clk * self.core.clock_hz)
        for fmt in self.published:
            if fmt not in self.core.matrix.macs_per_clk:
                raise ValueError(f"published.{fmt}: the matrix engine has no rate for {fmt}")
        for scope in self.scopes:
            if self.core_count % scope.count:
                raise ValueError(f"scopes: {self.core_count} cores do not divide into {scope.count} of {scope.name}")
        if self.power.idle_w > self.power.tdp_w or self.power.static_w > self.power.tdp_w:
            raise ValueError("power: idle and static cannot exceed tdp")
        for level in self.levels:
            sharers = self.sharers(level)
            if not level.bandwidth_bytes_per_s:
                level._derive(bandwidth_bytes_per_s=int(level.busy_slices(sharers) * level.slice_bytes_per_clk * self.core.clock_hz))
        joined = [link.name for link in self.links]
        for name in self.server.links if self.server else []:
            if name not in joined:
                raise ValueError(f"server.links: {name!r} is no link of this chip; {did_you_mean(name, joined)}")
        if self.area.cores_made is not None and self.area.cores_made < self.core_count:
            raise ValueError(f"area.cores_made: {self.area.cores_made} is below core_count, {self.core_count}")
        follows = [] if self.power.dvfs is None else self.power.dvfs.with_core
        there = [*(level.name for level in self.levels), "noc"]
        for name in follows:
            if name not in there:
                raise ValueError(f"power.dvfs.with_core: {name!r} is no level of this chip; {did_you_mean(name, there)}")
        self._derive(stack={"bare": Stack(mode="whole-layer"), **self.stack})
        return self

    def sharers(self, level: Level) -> int:
        """Cores that share an instance of a level."""
        counts: dict[str, int] = {"core": self.core_count, "chip": 1, **{scope.name: scope.count for scope in self.scopes}}
        if level.scope not in counts:
            raise ValueError(f"levels.{level.name}: scope {level.scope!r} is not there; declare it in `scopes` with its count")
        return self.core_count // counts[level.scope]

    def peak_flops(self, fmt: str) -> float:
        """Dense peak in FLOP/s: 2 x MACs per clock and core x cores x the matrix clock, as the engine's whole femtoseconds have it."""
        rates: dict[str, int | float] = {str(f): macs for f, macs in self.core.matrix.macs_per_clk.items()}
        if fmt not in rates:
            raise UnsupportedError(f"{self.name}: the matrix engine has no rate for {fmt!r}; {did_you_mean(fmt, rates)}")
        return 2 * rates[fmt] * self.core_count * 10**15 / self.core.period_fs

    def vary(self, changes: Mapping[str, Any]) -> Chip:
        """A copy with dotted keys set to new values, written as in the file: `chip.vary({"hbm.bandwidth": "4.8 TB/s"})`.

        An entry of a list goes by its name or number (`levels.l2.capacity`); a table as value replaces the whole table."""
        from emu.chip.load import vary

        return vary(self, changes)

    @property
    def varied(self) -> dict[str, Any]:
        """What `vary` changed on the way to this chip."""
        return dict(self._varied)

    def provenance(self, key: str) -> Figure:
        """Where the figure under this TOML key comes from; its tag is None where the file does not say."""
        from emu.chip.load import provenance

        return provenance(self, key)

    def figures(self) -> list[Figure]:
        """Every figure the description states, with its provenance."""
        figures, origin, file = self._figures, self._origin, self._file  # looked up once: pydantic is slow at private attributes
        return [_figure(key, value, lookup(figures, key), lookup(origin, key) or file) for key, value in leaves(self._stated)]

    def _figure(self, key: str, value: Any) -> Figure:
        return _figure(key, value, lookup(self._figures, key), self._origin_of(key))

    def _origin_of(self, key: str) -> str:
        return lookup(self._origin, key) or self._file

    def assumed(self) -> list[Figure]:
        """The figures that are assumptions; reports print them."""
        return [f for f in self.figures() if f.tag == "assumed"]

    def unlabelled(self) -> list[Figure]:
        """The figures without a tag."""
        return [f for f in self.figures() if f.tag is None]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over every resolved value that a run can depend on; names, provenance, trade and published peaks do not count."""
        apart = {"title", "vendor", "status", "note", "name", "server", "area", "cost", "published", "published_conflict"}
        words = self.model_dump(exclude=apart)
        return hashlib.sha256(json.dumps(words, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Everything in SI units under the attribute names, with computed peaks, the assumptions and the digest."""
        peaks = {fmt: self.peak_flops(fmt) for fmt in self.core.matrix.macs_per_clk}
        assumed = [f.key for f in self.assumed()]
        return {**self.model_dump(), "peak_flops": peaks, "digest": self.digest, "assumed": assumed, "varied": self.varied}

    def __repr__(self) -> str:
        label = f"{self.name} (hypothetical)" if self.hypothetical else self.name
        return f"<Chip {label}: {self.core_count} cores at {self.core.clock_hz / 1e9:g} GHz>"

    __str__ = __repr__

    def __hash__(self) -> int:
        return hash(self.digest)

    def _repr_html_(self) -> str:
        from emu.chip.show import html

        return html(self)


def _figure(key: str, value: Any, found: Figure | None, file: str) -> Figure:
    return Figure(key, value, found.tag if found else None, found.source if found else None, file)
