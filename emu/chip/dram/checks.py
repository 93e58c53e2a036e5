"""What a device table must fulfil beyond its schema, so that the core can run it and comes to an end."""

from __future__ import annotations

from collections.abc import Mapping

from emu.chip.dram.rules import MAX_PAIRS, MAX_WINDOWS, Rule
from emu.chip.dram.schema import Table

MAX_BANKS = 1024
MAX_BITS = 36  # of the bytes of a channel
Found = list[tuple[str, str]]


def organised(table: Table, found: Found) -> None:
    """Counts that address maps and the core can take."""
    o = table.organisation
    for name in ("pseudo", "ranks", "groups", "banks", "rows", "burst"):
        if getattr(o, name) & (getattr(o, name) - 1):
            found.append((f"organisation.{name}", f"{getattr(o, name)} is not a power of two, which address maps need"))
    burst_bytes = o.width_bits * o.burst // 8
    if o.width_bits * o.burst % 8 or burst_bytes & (burst_bytes - 1):
        found.append(("organisation.width", f"{o.width_bits} wires times {o.burst} transfers must be a power of two in bytes"))
    elif o.row_bytes % burst_bytes or (o.row_bytes & (o.row_bytes - 1)):
        found.append(("organisation.row", f"{o.row_bytes} bytes must be a power of two and hold bursts of {burst_bytes} bytes"))
    if o.pseudo * o.ranks * o.groups * o.banks > MAX_BANKS:
        found.append(("organisation.banks", f"a channel may have {MAX_BANKS} banks"))
    bits = (o.pseudo * o.ranks * o.groups * o.banks * o.rows * o.row_bytes).bit_length() - 1
    if bits > MAX_BITS:
        found.append(("organisation.rows", f"a channel may have 2**{MAX_BITS} bytes, not 2**{bits}"))
    if table.clock.ticks == 3:
        found.append(("clock.ticks", "expected 1, 2 or 4"))


def bounded(rules: list[Rule], found: Found) -> None:
    """As many rules as the core has room for."""
    if sum(len(r.before) * len(r.after) for r in rules) > MAX_PAIRS:
        found.append(("rules", f"more than {MAX_PAIRS} pairs of commands"))
    if sum(len(r.before) * len(r.after) for r in rules if r.window > 1) > MAX_WINDOWS:
        found.append(("rules", f"more than {MAX_WINDOWS} pairs of commands with a window"))


def refreshed(table: Table, rules: list[Rule], intervals: Mapping[str, int], found: Found) -> None:
    """A kind of refresh needs its command, a rule that says how long it takes, and time left to open, read and close a row."""
    in_rank = table.organisation.groups * table.organisation.banks
    for kind, command in (("all_bank", "REF"), ("per_bank", "REFB")):
        if kind not in intervals:
            continue
        if command not in table.bus.row:
            found.append((f"bus.row.{command}", f"missing; refresh.{kind} issues it"))
        if not any(command in r.before and "ACT" in r.after for r in rules):
            found.append(("rules", f"no rule says when an ACT may follow {command}, which refresh.{kind} issues"))
        takes = longest(rules, (command,), ("ACT", command)) + longest(rules, ("ACT", "RD", "WR"), ("PRE", "PREA", command))
        takes += longest(rules, ("PRE", "PREA"), ("ACT", command)) + longest(rules, ("ACT",), ("RD", "WR", "ACT"))
        between = intervals[kind] * (1 if kind == "all_bank" else in_rank)
        if between <= takes:
            found.append((f"refresh.{kind}", f"{between} ticks between two of a bank leave no time for anything else; they take {takes}"))
    if table.refresh.default not in intervals:
        found.append(("refresh.default", f"{table.refresh.default!r} has no interval in [refresh]"))


def longest(rules: list[Rule], before: tuple[str, ...], after: tuple[str, ...]) -> int:
    """Most ticks that any rule puts between such commands."""
    return max((r.ticks for r in rules if set(before) & set(r.before) and set(after) & set(r.after)), default=0)


def priced(table: Table, intervals: Mapping[str, int], found: Found) -> None:
    """One way of pricing commands, with what it needs."""
    if (table.energy is None) == (table.currents is None):
        found.append(("energy", "expected either [energy] or [currents]"))
    if table.currents:
        for name in ("RC", "RAS", "RP", "RFC"):
            if name not in table.timing:
                found.append((f"timing.{name}", "missing; [currents] prices commands by it"))
        if "per_bank" in intervals:
            found.append(("currents", "per-bank refresh has no current here; state [energy] instead"))
