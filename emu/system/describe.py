"""A system: how many chips of which kind, over which of their links, in which shape, and what joins such domains.

One TOML file each, with the units and the provenance of chip files; the links themselves are figures of the chip."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from emu.chip import Chip, document, explain
from emu.chip import chip as preset_chip
from emu.chip.fields import Count, Fraction, Rate, Seconds, Section
from emu.chip.provenance import Figure, stripped
from emu.chip.surroundings import Link
from emu.errors import ChipError, UnsupportedError, did_you_mean
from emu.machine.config import to_fs
from emu.machine.fabric import Fabric, Wire

PRESETS = Path(__file__).parent / "presets"
MOST_CHIPS = 1024
TOPOLOGY = {"switch": "switch", "mesh": "mesh", "ring": "torus", "torus": "torus"}
"""How a link's topology is wired: a ring is a torus of one dimension."""


class Outer(Section):
    """The slower second level that joins domains."""

    name: str
    bandwidth_bytes_per_s: Rate = Field(gt=0)
    """Of one chip in one direction."""
    latency_s: Seconds = Field(lt=1)
    achieved_fraction: Fraction = 1.0


class System(Section):
    """A system description."""

    schema_version: Literal[1]
    name: str = Field(min_length=1, max_length=64)
    title: str = ""
    note: str = ""
    chip: str
    """A preset."""
    link: str
    """The one of the chip's links that joins a domain."""
    chips: Count = Field(ge=2, le=MOST_CHIPS)
    """Of all domains."""
    domain: Count = Field(ge=2, le=MOST_CHIPS)
    dims: list[Count] = Field(default=[], max_length=3)
    """Sizes of a torus or ring."""
    wraps: list[bool] = Field(default=[], max_length=3)
    """Which dimensions close to a ring; all, unless said."""
    outer: Outer | None = None

    @model_validator(mode="after")
    def _consistent(self) -> System:
        if self.dims and prod(self.dims) != self.domain:
            raise ValueError(f"dims: {'x'.join(map(str, self.dims))} is {prod(self.dims)} chips, domain says {self.domain}")
        if self.chips > self.domain and self.outer is None:
            raise ValueError(f"chips: {self.chips} in domains of {self.domain} need [outer], the links between domains")
        if self.chips % self.domain:
            raise ValueError(f"chips: {self.chips} do not divide into domains of {self.domain}")
        if self.wraps and len(self.wraps) != len(self.dims):
            raise ValueError("wraps: one for each of dims")
        return self

    def fabric(self, chip: Chip, chips: int | None = None, stack: str = "bare", fidelity: str = "fast") -> Fabric:
        """The links as the machine takes them, for `chips` of the system's chips (all, unless said)."""
        link = link_of(chip, self.link)
        count = self.chips if chips is None else chips
        if not 2 <= count <= self.chips:
            raise UnsupportedError(f"{self.name} has {self.chips} chips; {count} were asked for")
        kind = TOPOLOGY[link.topology]
        if kind == "torus" and count != self.chips and not (count < self.domain and len(self.dims) == 1):
            raise UnsupportedError(f"{self.name} is a torus of {self.chips} chips; {count} of them are no torus: take another system")
        dims, wraps = tuple(self.dims), tuple(self.wraps or [True] * len(self.dims))
        if kind == "torus" and count < self.domain:
            dims, wraps = (count,), (False,)  # part of a ring is a line
        outer = {}
        if self.outer is not None:
            share = self.outer.achieved_fraction if fidelity == "fast" else 1.0
            outer = {"outer_bytes_per_s": int(self.outer.bandwidth_bytes_per_s * share), "outer_hop_fs": to_fs(self.outer.latency_s)}
        return made(chip, link, count, kind, dims, wraps, min(self.domain, count), stack, fidelity, **outer)


def made(
    chip: Chip, link: Link, chips: int, kind: str, dims: tuple[int, ...], wraps: tuple[bool, ...], domain: int, stack: str, fidelity: str,
    **outer: int,
) -> Fabric:
    """A fabric of a chip's links."""
    share = link.achieved_fraction if fidelity == "fast" else 1.0
    whole = link.total_bytes_per_s if kind == "switch" else link.bandwidth_bytes_per_s
    return Fabric(
        chips, kind, int(whole * share), to_fs(link.latency_s), dims, wraps, domain, in_switch=link.in_switch_reduction,
        wires=wires(chip, stack), **outer,
    )


def wires(chip: Chip, stack: str, exchanges: bool = False) -> dict[str, Wire]:
    """The protocols of a stack's library, where it `exchanges` messages those of that; `bare` sends as the machine does."""
    if stack not in chip.stack:
        raise UnsupportedError(f"{chip.name} has no stack {stack!r}; {did_you_mean(stack, chip.stack)}")
    library = chip.stack[stack].collectives
    if library is None:
        return {}
    found = {p.name: Wire(p.line_bytes, p.flag_bytes, p.core_bytes_per_s, p.copy_bytes_per_s, to_fs(p.late_s)) for p in library.protocols}
    if exchanges:
        found["simple"] = replace(found["simple"], core_bytes_per_s=library.exchange.core_bytes_per_s)
    if library.in_switch is not None:
        s = library.in_switch
        found["switch"] = Wire(s.line_bytes, s.flag_bytes, s.core_bytes_per_s)
    return found


def link_of(chip: Chip, name: str | None = None) -> Link:
    """A link of a chip, the first unless named."""
    if not chip.links:
        raise UnsupportedError(f"{chip.name} has no links to other chips; give its file a [[links]] table")
    names = {link.name: link for link in chip.links}
    if name is not None and name not in names:
        raise UnsupportedError(f"{chip.name} has no link {name!r}; {did_you_mean(name, names)}")
    return names[name] if name is not None else chip.links[0]


def of_chip(chip: Chip, chips: int, stack: str = "bare", fidelity: str = "fast") -> Fabric:
    """So many chips joined by the chip's own first link: one domain; a torus as square as it can be, closed in every dimension."""
    link = link_of(chip)
    if not 2 <= chips <= min(link.domain, MOST_CHIPS):
        raise UnsupportedError(
            f"{chips} chips: {link.name} of {chip.name} joins 2 to {min(link.domain, MOST_CHIPS)}; for more give a system (emu.systems())"
        )
    kind = TOPOLOGY[link.topology]
    dims = _square(chips, 1 if link.topology == "ring" else link.dims or 2) if kind == "torus" else ()
    return made(chip, link, chips, kind, dims, (True,) * len(dims), chips, stack, fidelity)


def _square(chips: int, dims: int) -> tuple[int, ...]:
    """Sizes as equal as possible, the largest last."""
    if dims == 1:
        return (chips,)
    first = max(d for d in range(1, round(chips ** (1 / dims)) + 1) if chips % d == 0)
    return (first, *_square(chips // first, dims - 1))


def systems() -> list[str]:
    """Names of the systems that come with emu."""
    return sorted(p.stem for p in PRESETS.glob("*.toml"))


def system(name: str) -> System:
    """A system that comes with emu, by name. Raises ChipError."""
    if name not in systems():
        raise ChipError(f"no system is named {str(name)[:80]!r}; {did_you_mean(str(name), systems())} (a file: load_system)")
    return _preset(name)


@lru_cache(maxsize=64)
def _preset(name: str) -> System:
    return load_system(PRESETS / f"{name}.toml")


def load_system(path: str | os.PathLike[str]) -> System:
    """A system from a TOML file; ChipError carries every problem in it."""
    source, found, figures = document.read(Path(path)), [], {}  # type: ignore[var-annotated]
    values = stripped(source, found, figures)
    try:
        made_system = System.model_validate(values)
    except ValidationError as error:
        found += explain.problems(error, System, 100)
        raise explain.report(found, {}, str(path), "system", 100) from None
    if found:
        raise explain.report(found, {}, str(path), "system", 100)
    return made_system


def figures_of(path: Path) -> dict[str, Figure]:
    """Where the figures of a system's file come from."""
    figures: dict[str, Figure] = {}
    stripped(document.read(path), [], figures)
    return figures


def resolved(system_of: System | str | None, chip: Chip | str, chips: int, stack: str, fidelity: str) -> tuple[Chip, Fabric, str]:
    """The chip, its links and the system's name, of what a user named."""
    made_chip = preset_chip(chip) if isinstance(chip, str) else chip
    if system_of is None:
        return made_chip, of_chip(made_chip, chips, stack, fidelity), ""
    found = system(system_of) if isinstance(system_of, str) else system_of
    return made_chip, found.fabric(made_chip, chips, stack, fidelity), found.name


__all__ = ["System", "figures_of", "link_of", "load_system", "of_chip", "resolved", "system", "systems"]
