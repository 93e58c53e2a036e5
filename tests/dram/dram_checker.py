"""A slow second opinion: does a trace of commands obey a device's table? It shares nothing with the core but the table."""

from __future__ import annotations

from collections import defaultdict, deque

from emu.chip.dram.rules import LEVELS


class Illegal(AssertionError):
    """The first command that breaks a rule."""


def nodes(device, bank: int) -> tuple[int, ...]:
    """Numbers of the bank's channel, pseudo-channel, rank, group and itself, each within its channel."""
    o = device.organisation
    group, rank = bank // o.banks, bank // (o.banks * o.groups)
    return 0, rank // o.ranks, rank, group, bank


def related(device, rule, a: int, b: int) -> bool:
    """Whether a rule about a command at bank `a` is about one at bank `b`."""
    level = LEVELS.index(rule.level)
    one, two = nodes(device, a), nodes(device, b)
    return one[level - 1] == two[level - 1] and one[level] != two[level] if rule.other else one[level] == two[level]


def check(device, trace, refresh_kind=None) -> None:
    """Every rule, the state of every bank, the data wires and the refreshes of a trace of one channel: (tick, command, bank, row)."""
    check_rules(device, trace)
    rows: dict[int, int] = {}
    in_rank = device.organisation.groups * device.organisation.banks
    data: dict[int, int] = defaultdict(int)
    for tick, command, bank, row in trace:
        _state(command, bank, row, rows, bank // in_rank * in_rank, in_rank)
        if command in ("RD", "RDA", "WR", "WRA"):
            end = tick + (device.read_ticks if command[0] == "R" else device.write_ticks)
            pseudo = nodes(device, bank)[1]
            if end - device.burst_ticks < data[pseudo]:
                raise Illegal(f"data of {command} at {tick} meets other data on the wires of pseudo-channel {pseudo}")
            data[pseudo] = end
    if refresh_kind:
        _refreshed(device, trace, refresh_kind)


def check_rules(device, trace) -> None:
    """That commands are in order, begin at clock edges and break no line of the table."""
    past = defaultdict(lambda: deque(maxlen=64))
    last = 0
    for tick, command, bank, _ in trace:
        if tick < last:
            raise Illegal(f"{command} at {tick} comes before {last}")
        if tick % device.align[command]:
            raise Illegal(f"{command} at {tick} does not begin at a clock")
        last = tick
        for rule in device.rules:
            if command not in rule.after:
                continue
            earlier = sorted((t for b in rule.before for (where, t) in past[b] if related(device, rule, where, bank)), reverse=True)
            if len(earlier) >= rule.window and tick < earlier[rule.window - 1] + rule.ticks:
                raise Illegal(f"{command} at {tick} on bank {bank}: {rule} wants {rule.ticks} behind {earlier[rule.window - 1]}")
        past[command].append((bank, tick))


def _state(command, bank, row, rows, first, count):
    if command == "ACT":
        if bank in rows:
            raise Illegal(f"ACT of bank {bank}, whose row {rows[bank]} is open")
        rows[bank] = row
    elif command in ("RD", "WR", "RDA", "WRA"):
        if rows.get(bank) != row:
            raise Illegal(f"{command} for row {row} of bank {bank}, open is {rows.get(bank)}")
        if command in ("RDA", "WRA"):
            del rows[bank]
    elif command == "PRE":
        if rows.pop(bank, None) is None:
            raise Illegal(f"PRE of bank {bank}, which is closed")
    elif command == "PREA":
        for b in range(first, first + count):
            rows.pop(b, None)
    elif any(b in rows for b in (range(first, first + count) if command == "REF" else (bank,))):
        raise Illegal(f"{command} of bank {bank} with a row open")


def _refreshed(device, trace, kind):
    """No rank falls behind by more than eight intervals (what standards allow to be postponed), and rounds reach every bank."""
    o = device.organisation
    command, interval, in_rank = ("REF" if kind == "all_bank" else "REFB"), device.intervals[kind], o.groups * o.banks
    for rank in range(o.pseudo * o.ranks):
        times = [(t, b) for t, c, b, _ in trace if c == command and b // in_rank == rank]
        for n, (t, _) in enumerate(times):
            if not n * interval <= t <= (n + 9) * interval:
                raise Illegal(f"refresh {n} of rank {rank} at {t}: due every {interval}")
        end = trace[-1][0] if trace else 0
        if end > (len(times) + 9) * interval:
            raise Illegal(f"rank {rank} had {len(times)} refreshes in {end} ticks: due every {interval}")
        if kind == "per_bank":
            for start in range(0, len(times), in_rank):
                group = [b for _, b in times[start:start + in_rank]]
                if len(set(group)) != len(group):
                    raise Illegal(f"rank {rank} refreshed a bank twice in a round: {group}")
