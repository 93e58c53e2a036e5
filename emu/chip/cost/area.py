"""Die area by component, from the same description that runs.

Logic is transistors over the node's placed density, memory is bits over what an array is bits of, interfaces are areas that do not
shrink. Nothing is known of a floorplan: the parts are added, and a share for control goes on top. docs/area.md says how far that is off."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from emu.chip.cost.assume import Ground, ground
from emu.chip.load import load_chip
from emu.chip.schema import Chip
from emu.errors import UnsupportedError

CORE = ("matrix", "vector", "operands", "sram", "acc")
UNCORE = ("levels", "noc", "memory", "links", "host", "control")
RETICLE_MM2 = 26.0 * 33.0
"""Largest field that a scanner exposes: no die is larger."""


@dataclass(frozen=True)
class DieArea:
    """One kind of die: its parts in mm2, `stated` by the description, `mm2` what cost counts with."""

    name: str
    node_nm: float
    count: int
    parts: dict[str, float]
    stated: float
    mm2: float
    cores: int
    """Cores made on one such die."""
    ground: Ground = field(repr=False)

    @property
    def predicted(self) -> float:
        return sum(self.parts.values())

    @property
    def core_share(self) -> float:
        """Of the die, in cores: a defect there costs one core and not the die."""
        return sum(self.parts[name] for name in CORE if name in self.parts) / self.predicted


def dies(chip: Chip) -> list[DieArea]:
    """The compute die first, then the others of the package."""
    scale = _scale(chip)
    base = ground(chip)
    count, cores = chip.process.dies, cores_made(chip)
    if cores % count or chip.core_count % count:
        raise UnsupportedError(f"{chip.name}: area.cores_made: {cores} made and {chip.core_count} used do not divide into {count} dies")
    elsewhere: set[str] = {part for other in chip.area.dies for part in other.holds}
    parts = {**_cores(chip, base, cores // count), **_uncore(chip, base, elsewhere, count)}
    stated = chip.process.die_area_mm2
    found = [DieArea("compute", chip.process.node_nm, count, _with_control(parts, base), stated, stated * scale, cores // count, base)]
    for other in chip.area.dies:
        there = ground(chip, other.node_nm)
        held: dict[str, float] = {name: mm2 / other.count for name, mm2 in _elsewhere(chip, there).items() if name in other.holds}
        mm2 = other.die_area_mm2
        found.append(DieArea(other.name, other.node_nm, other.count, _with_control(held, there), mm2, mm2, 0, there))
    return found


def cores_made(chip: Chip) -> int:
    """Cores on all compute dies; those beyond core_count are spares."""
    return chip.area.cores_made or chip.core_count


def _scale(chip: Chip) -> float:
    """How much larger than stated the compute die of a varied chip is: its prediction over that of the chip it was varied from."""
    if not chip.varied or "process.die_area" in chip.varied:
        return 1.0
    base = load_chip(chip._file)
    try:
        before = _predicted(base)
    except UnsupportedError:  # no table knows its node or memory: only what was varied says how dense it is
        before = _predicted(base.vary({key: value for key, value in chip.varied.items() if key.startswith(("area.", "cost."))}))
    return _predicted(chip) / before


def _predicted(chip: Chip) -> float:
    """mm2 of one compute die."""
    base = ground(chip)
    elsewhere: set[str] = {part for other in chip.area.dies for part in other.holds}
    parts = {**_cores(chip, base, cores_made(chip)), **_uncore(chip, base, elsewhere, 1)}
    return sum(_with_control(parts, base).values()) / chip.process.dies


def _with_control(parts: dict[str, float], base: Ground) -> dict[str, float]:
    share = given(base.area.control)
    return {**parts, "control": sum(parts.values()) * share / (1 - share)}


def given(value: float | None) -> float:
    """A figure of a `Ground`, whose sections have no gaps."""
    assert value is not None
    return value


def logic_mm2(transistors: float, base: Ground) -> float:
    """Area of so much placed logic."""
    return transistors / (given(base.area.logic) * 1e6 * given(base.area.placed))


def memory_mm2(capacity_bytes: float, base: Ground) -> float:
    """Area of so much single-ported SRAM."""
    return 8 * capacity_bytes * given(base.area.bit) * 1e-6 / given(base.area.array)


def mac_equivalents(chip: Chip, base: Ground) -> float:
    """bf16 MACs that are as large as a core's matrix engine: those of the format that needs most."""
    rates = chip.core.matrix.macs_per_clk
    return max(macs * base.area.formats.get(fmt, 1.0) for fmt, macs in rates.items())


def port_bytes(chip: Chip) -> int:
    """Bytes per clock over all of a core's ports."""
    return sum(p.read_bytes_per_clk + p.write_bytes_per_clk for p in chip.core.ports)


def _cores(chip: Chip, base: Ground, cores: int) -> dict[str, float]:
    core, mac = chip.core, given(base.area.mac)
    lanes = max(core.vector.lanes, core.vector.per_clk["mul"])
    return {
        "matrix": cores * logic_mm2(mac * mac_equivalents(chip, base), base),
        "vector": cores * logic_mm2(mac * given(base.area.lane) * lanes, base),
        "operands": cores * logic_mm2(given(base.area.operand_byte) * port_bytes(chip), base),
        "sram": cores * memory_mm2(core.sram.capacity_bytes, base),
        "acc": cores * memory_mm2(core.acc.capacity_bytes, base) * given(base.area.ports),
    }


def _uncore(chip: Chip, base: Ground, elsewhere: Collection[str], count: int) -> dict[str, float]:
    """Parts outside the cores on each of `count` compute dies; levels of a die or smaller are always there."""
    parts = {name: mm2 / count for name, mm2 in _elsewhere(chip, base).items() if name not in elsewhere}
    instances = {str(scope.name): scope.count for scope in chip.scopes}
    # A core's own cache is small, and on many chips the same memory as its scratchpad: counted there.
    inner = sum(level.capacity_bytes * instances.get(level.scope, 1) for level in chip.levels if level.scope not in ("chip", "core"))
    if inner:
        parts["levels"] = parts.get("levels", 0.0) + memory_mm2(inner * (chip.area.level_made or 1), base) / count
    return parts


def _elsewhere(chip: Chip, base: Ground) -> dict[str, float]:
    """Parts of the whole chip that may lie on dies of their own."""
    whole = sum(level.capacity_bytes for level in chip.levels if level.scope == "chip") * (chip.area.level_made or 1)
    link = given(base.area.link) / 1e9
    parts = {
        "levels": memory_mm2(whole, base),
        "noc": logic_mm2(given(base.area.noc_byte) * cores_made(chip) * chip.noc.bytes_per_clk, base),
        "memory": (chip.area.memory_sites or chip.hbm.stacks) * given(base.area.memory_interface_mm2),
        "links": link * sum(joined.total_bytes_per_s for joined in chip.links),
        "host": link * chip.host_bytes_per_s,
    }
    return {name: mm2 for name, mm2 in parts.items() if mm2}
