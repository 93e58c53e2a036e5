"""From `devices/*.toml` to `Device`: all problems at once, each with file, key and the nearest valid name."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from emu.chip import document, explain
from emu.chip.dram import checks, energy
from emu.chip.dram.checks import Found
from emu.chip.dram.device import Device
from emu.chip.dram.formula import FormulaError, evaluate
from emu.chip.dram.rules import COMMANDS, Rule, in_ticks, parse
from emu.chip.dram.schema import Table
from emu.chip.provenance import Figure, leaves, lookup, strip, stripped
from emu.errors import ChipError, did_you_mean

DEVICES = Path(__file__).parent / "devices"
MAX_PROBLEMS = 100
MAX_CLOCKS = 1 << 30
FS = 10**15
UNTAGGED = ("schema_version", "name", "title", "standard", "note")


def devices() -> list[str]:
    """Names of the devices that come with emu."""
    return sorted(p.stem for p in DEVICES.glob("*.toml"))


@lru_cache(maxsize=64)
def device(name: str) -> Device:
    """A device that comes with emu, by name."""
    if name not in devices():
        raise ChipError(f"no DRAM device is named {str(name)[:60]!r}; {did_you_mean(str(name), devices())} (a file: load_device(path))")
    return load_device(DEVICES / f"{name}.toml")


def load_device(path: str | os.PathLike[str], changes: Mapping[str, Any] | None = None) -> Device:
    """A device from a file of yours. `changes` sets dotted keys first, such as {"timing.FAW": "30 ns"}."""
    merged, origin = document.resolve(Path(path))
    return build(merged, origin, str(path), changes or {})


def vary(base: Device, changes: Mapping[str, Any]) -> Device:
    """A changed copy: {"organisation.rows": 8192, "timing.FAW": "30 ns"}. An unknown key is an error with the nearest name."""
    return build(copy.deepcopy(dict(base.source)), {}, base.name, changes)


def build(source: dict[str, Any], origin: Mapping[str, str], file: str, changes: Mapping[str, Any]) -> Device:
    """A device from a merged document; ChipError carries every problem in it."""
    found: Found = []
    for key, value in changes.items():
        _assign(source, key, value, found)
    figures: dict[str, Figure] = {}
    values = stripped(source, found, figures)
    made: Device | None = None
    try:
        table = Table.model_validate(values)
        _untagged(values, figures, found)
        made = _work_out(table, figures, source, found)
    except ValidationError as error:
        found += explain.problems(error, Table, MAX_PROBLEMS)
    if made is None or found:
        raise explain.report(found, origin, file, "device", MAX_PROBLEMS)
    return made


def _assign(source: dict[str, Any], key: str, value: Any, found: Found) -> None:
    section, _, name = str(key).partition(".")
    node = source[section] = document.spread(source.get(section))
    node = node["value"] if isinstance(node, dict) and "value" in node else node
    if not isinstance(node, dict) or not name or (section == "timing" and name not in node):
        known = [k for k, _ in leaves(strip(source, {}, [], {})) if not k.startswith(("rules", "sources"))]
        found.append((str(key)[:100], f"unknown key; {did_you_mean(str(key)[:100], known)}"))
        return
    node[name] = {"value": value, "tag": "assumed", "source": "changed by the caller"}


def _untagged(values: dict[str, Any], figures: Mapping[str, Figure], found: Found) -> None:
    """Every figure says where it comes from."""
    for key, _ in leaves(values):
        if key.split(".")[0] in UNTAGGED:
            continue
        figure = lookup(figures, key)
        if figure is None or not figure.tag or not figure.source:
            found.append((key, "needs a `tag` and a `source`: {value = ..., tag = \"recalled\", source = \"...\"}"))


def _work_out(table: Table, figures: Mapping[str, Figure], source: dict[str, Any], found: Found) -> Device | None:
    ticks, o = table.clock.ticks, table.organisation
    tick_fs = -(-FS // (table.clock.rate_hz * ticks))
    period_ns = Fraction(tick_fs * ticks, 10**6)
    names = _timings(table, period_ns, ticks, found)
    if names is None:
        return None

    def worked(key: str, text: object, scale: int = ticks) -> int:
        return _try(found, key, in_ticks, text, names, period_ns, scale) or 0

    rules = [r for j, line in enumerate(table.rules)
             if (r := _try(found, f"rules.{j}", parse, line, names, period_ns, ticks))]
    rules += _wires(table, worked, found)
    checks.organised(table, found)
    intervals = {kind: worked(f"refresh.{kind}", text) for kind in ("all_bank", "per_bank") if (text := getattr(table.refresh, kind))}
    if "per_bank" in intervals:  # ranks take turns at even distances
        intervals["per_bank"] -= intervals["per_bank"] % (o.pseudo * o.ranks)
    checks.refreshed(table, rules, intervals, found)
    checks.priced(table, intervals, found)
    checks.bounded(rules, found)
    read, write = worked("data.read", table.data.read), worked("data.write", table.data.write)
    for key, value in (("data.read", read), ("data.write", write)):
        if value < names["BL"] * ticks:
            found.append((key, "shorter than the burst, timing.BL"))
    if found:
        return None
    half = set(table.bus.half)
    seconds = {name: float(value) * float(period_ns) * 1e-9 for name, value in names.items()}
    return Device(
        table.name, table.title, table.standard, tick_fs, ticks, o, {k: int(v * ticks) for k, v in names.items()}, tuple(rules),
        read, write,
        {c: 1 if c in half else ticks for c in COMMANDS}, intervals, table.refresh.default, _priced(table, seconds), figures, source,
    )


def _try(found: Found, key: str, work: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return work(*arguments)
    except FormulaError as error:
        found.append((key, str(error)))
        return None


def _timings(table: Table, period_ns: Fraction, ticks: int, found: Found) -> dict[str, Fraction] | None:
    """Named timings in clocks, each from those before it."""
    names: dict[str, Fraction] = {}
    before = len(found)
    for name, text in table.timing.items():
        value = _try(found, f"timing.{name}", evaluate, text, names, period_ns)
        if value is not None and (not 0 <= value < MAX_CLOCKS or (value * ticks).denominator != 1):
            found.append((f"timing.{name}", f"{text!r}: expected a whole number of 1/{ticks} clocks, at least 0 and below {MAX_CLOCKS}"))
        elif value is not None:
            names[name] = value
    if not names.get("BL", 0 if len(found) == before else 1):
        found.append(("timing.BL", "needed, and more than 0: clocks for which a burst occupies the data wires"))
    return names if len(found) == before else None


def _wires(table: Table, worked: Callable[..., int], found: Found) -> list[Rule]:
    """Rules that follow from shared command wires: the next command waits until the former has left them."""
    rules = []
    for name in ("row", "column"):
        wires: dict[str, str] = getattr(table.bus, name)
        for command, clocks in wires.items():
            if command not in COMMANDS:
                found.append((f"bus.{name}.{command}", f"no such command; {did_you_mean(command, COMMANDS)}"))
                continue
            after = tuple(c for c in wires if c in COMMANDS)
            rules.append(Rule("channel", (command,), after, clocks, 1, False, worked(f"bus.{name}.{command}", clocks)))
    on_wires = [*table.bus.row, *table.bus.column]
    for command in COMMANDS:
        if command not in ("REF", "REFB") and on_wires.count(command) != 1:
            found.append((f"bus.row.{command}", "every command stands once, in bus.row or bus.column"))
    for command in table.bus.half:
        if command not in COMMANDS:
            found.append(("bus.half", f"{command!r:.40} is no command; {did_you_mean(str(command), COMMANDS)}"))
    return rules


def _priced(table: Table, seconds: Mapping[str, float]) -> energy.CommandEnergy:
    if table.currents:
        return energy.from_currents(table.currents, seconds)
    assert table.energy is not None
    return energy.stated(table.energy)
