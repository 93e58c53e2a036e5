"""Is each command illegal one tick before its rule allows it, and legal at that tick? One test for each line of each device's table."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dram_checker import Illegal, check_rules, related

from emu.chip.dram import device, devices
from emu.chip.dram.rules import COMMANDS, LEVELS
from emu.machine.dram import Dram

LINES = [(name, j) for name in devices() for j in range(len(device(name).rules))]
START = 1000


def only(d, rules):
    """The device with these rules and commands that may begin at any tick: what is left to forbid something is the rules."""
    return replace(d, rules=tuple(rules), align=dict.fromkeys(COMMANDS, 1))


def other_banks(d, rule):
    """Banks whose commands the rule relates to those of bank 0, the nearest and the farthest; and banks that it does not."""
    banks = range(d.banks)
    inside = [b for b in banks if related(d, rule, 0, b)]
    return sorted({*inside[:2], *inside[-2:]}), [b for b in banks if b not in inside][:2] + [b for b in banks if b not in inside][-2:]


@pytest.mark.parametrize(("name", "line"), LINES, ids=[f"{n}-{device(n).rules[j]}".replace(" ", "_") for n, j in LINES])
def test_illegal_one_tick_before_and_legal_at_it(name, line):
    full = device(name)
    rule = full.rules[line]
    inside, outside = other_banks(full, rule)
    if not inside:
        assert rule.other and full.organisation.ranks == 1
    for before in rule.before:
        for after in rule.after:
            for bank in inside:
                _at_the_edge(full, rule, before, after, bank)
            for bank in outside:
                core = _forced(only(full, [rule]), before, rule.window, START)
                assert core.earliest(COMMANDS.index(after), bank) == 0, f"{rule} is not about bank {bank}"


def _forced(d, before, times, last):
    """A core that was told of `times` commands to bank 0, a tick apart, the first of them at `last`."""
    core = Dram(d, refresh="none")._core
    for k in range(times):
        core.force(COMMANDS.index(before), 0, last + k)
    return core


def _at_the_edge(full, rule, before, after, bank):
    """The core, told of nothing but this rule, sets the edge where the rule says; the checker, told of the whole table, wants no less."""
    edge = START + rule.ticks
    core = _forced(only(full, [rule]), before, rule.window, START)
    assert core.earliest(COMMANDS.index(after), bank) == edge
    history = [(START + k, before, 0, 0) for k in range(rule.window)]
    one = only(full, [rule])
    if edge > history[-1][0]:
        check_rules(one, [*history, (edge, after, bank, 0)])
        if edge - 1 >= history[-1][0]:
            with pytest.raises(Illegal):
                check_rules(one, [*history, (edge - 1, after, bank, 0)])
    whole = _forced(full, before, rule.window, START)
    assert whole.earliest(COMMANDS.index(after), bank) >= edge


@pytest.mark.parametrize("name", devices())
def test_every_pair_of_commands_has_its_edge(name):
    """All rules at once: the core's earliest tick of any command after any other, anywhere, is the latest that a rule of the table asks."""
    d = device(name)
    banks = sorted({0, 1, d.organisation.banks, d.organisation.banks * d.organisation.groups, d.banks // 2, d.banks - 1})
    in_rank = d.organisation.banks * d.organisation.groups
    for before in COMMANDS:
        core = _forced(d, before, 1, START * 4)
        for after in COMMANDS:
            for bank in banks:
                if bank >= d.banks or (after in ("PREA", "REF") and bank % in_rank):
                    continue
                expected = max((START * 4 + r.ticks for r in d.rules
                                if before in r.before and after in r.after and r.window == 1 and related(d, r, 0, bank)), default=0)
                step = d.align[after]
                assert core.earliest(COMMANDS.index(after), bank) == -(-expected // step) * step


@pytest.mark.parametrize("name", devices())
def test_the_tables_forbid_what_physics_forbids(name):
    """Rules that every standard has, of whatever name: a bank's row cycle; data of one pseudo-channel never closer than a burst."""
    d = device(name)

    def least(before, after, level):
        return max((r.ticks for r in d.rules if before in r.before and after in r.after and r.window == 1 and not r.other
                    and LEVELS.index(r.level) <= LEVELS.index(level)), default=0)

    t = d.timing
    assert least("ACT", "ACT", "bank") == t["RC"] >= t["RAS"] + t["RP"] - d.ticks_per_clock
    for one, two in (("RD", "RD"), ("WR", "WR"), ("RDA", "RD"), ("WRA", "WR")):
        assert least(one, two, "pseudo") >= d.burst_ticks
    assert least("RD", "WR", "pseudo") + d.write_ticks - d.burst_ticks > d.read_ticks, "write data would meet read data"
    assert least("WR", "RD", "pseudo") + d.read_ticks - d.burst_ticks > d.write_ticks
    assert least("REF", "ACT", "rank") == t["RFC"]
    assert any(r.window == 4 and r.before == ("ACT",) for r in d.rules)
