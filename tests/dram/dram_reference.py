"""The controller as docs/dram.md describes it, tick by tick and in the simplest way: every tick it looks at every queued burst.

It is an oracle for the core, which goes from event to event: both must issue the same commands at the same ticks."""

from __future__ import annotations

from dataclasses import dataclass, field

from dram_checker import nodes, related

READ, WRITE = 0, 1
URGENT, COLUMN, ROW, TIDY = range(4)


@dataclass
class Burst:
    age: int
    bank: int
    row: int
    write: int
    request: int


@dataclass
class Rank:
    due: int
    pending: bool = False
    target: int = 0
    done: set[int] = field(default_factory=set)


class Reference:
    """One channel. `arrivals`: (tick, bank, row, write, request) in order."""

    def __init__(self, device, queue, page, idle_ticks, refresh, arrivals):
        self.d, self.q, self.page, self.idle, self.refresh = device, queue, page, idle_ticks, refresh
        self.arrivals = [[a for a in arrivals if a[3] == w] for w in (READ, WRITE)]
        o = device.organisation
        self.in_rank = o.groups * o.banks
        ranks = o.pseudo * o.ranks
        interval = device.intervals.get(refresh, 0)
        self.interval = interval
        self.ranks = [Rank(interval * (r + 1) // ranks if refresh == "per_bank" else interval) for r in range(ranks)] if interval else []
        self.queued: list[Burst] = []
        self.open: dict[int, int] = {}
        self.used = [0] * device.banks
        self.bypassed = [[0, 0] for _ in range(device.banks)]
        self.blocked: set[int] = set()
        self.mode, self.left, self.waited, self.age = READ, 0, 0, 0
        self.past: list[tuple[int, str, int]] = []
        self.trace: list[tuple[int, str, int, int]] = []
        self.done: dict[int, int] = {}

    def run(self, limit=10**6):
        t = 0
        while self.queued or self.arrivals[0] or self.arrivals[1]:
            self._instant(t)
            t += 1
            assert t < limit, "the reference does not come to an end"
        return self.trace

    def _instant(self, t):
        while True:
            self._admit(t)
            self._refresh_due(t)
            self._turn()
            legal = [c for c in self._candidates(t) if self._legal(c[2], c[3], t)]
            if not legal:
                return
            self._issue(min(legal, key=lambda c: c[:2]), t)

    def _waiting(self, write, bank=None):
        return [b for b in self.queued if b.write == write and (bank is None or b.bank == bank)]

    def _admit(self, t):
        for w, depth in ((READ, self.q.reads), (WRITE, self.q.writes)):
            while self.arrivals[w] and self.arrivals[w][0][0] <= t and len(self._waiting(w)) < depth:
                _, bank, row, _, request = self.arrivals[w].pop(0)
                self.queued.append(Burst(self.age, bank, row, w, request))
                self.age += 1

    def _turn(self):
        reads, writes = len(self._waiting(READ)), len(self._waiting(WRITE))
        many = writes >= self.q.high
        if self.mode == READ:
            turn = writes and (not reads or (self.left <= 0 and (many or self.waited >= self.q.patience)))
        else:
            turn = reads and (not writes or self.left <= 0)
        if turn:
            self.mode = 1 - self.mode
            self.left = reads if self.mode == READ else max(1, writes - self.q.low) if many else writes
            self.waited = 0

    def _refresh_due(self, t):
        for j, r in enumerate(self.ranks):
            if r.pending or r.due > t:
                continue
            r.pending, first = True, j * self.in_rank
            banks = range(first, first + self.in_rank)
            if self.refresh == "all_bank":
                r.target = first
                self.blocked.update(banks)
            else:
                left = [b for b in banks if b not in r.done]
                r.target = min(left, key=lambda b: 2 * sum(x.bank == b for x in self.queued) + (b in self.open))
                self.blocked.add(r.target)

    def _candidates(self, t):
        """(class, age, command, bank, burst) that the banks and refreshes would issue."""
        for r in self.ranks:
            if r.pending and self.refresh == "all_bank":
                opened = any(b in self.open for b in range(r.target, r.target + self.in_rank))
                yield URGENT, (-1, r.target), "PREA" if opened else "REF", r.target, None
            elif r.pending:
                yield URGENT, (-1, r.target), "PRE" if r.target in self.open else "REFB", r.target, None
        for bank in range(self.d.banks):
            if bank not in self.blocked:
                yield from self._of_bank(bank, t)

    def _of_bank(self, bank, t):
        w, waiting, row = self.mode, self._waiting(self.mode, bank), self.open.get(bank)
        if not waiting:
            if self.page == "timeout" and row is not None and not self._waiting(1 - w, bank) and t >= self.used[bank] + self.idle:
                yield TIDY, (2**62, bank), "PRE", bank, None
            return
        head, hits = waiting[0], [b for b in waiting if b.row == row]
        starved = self.bypassed[bank][w] >= self.q.cap
        if row is None:
            yield URGENT if starved else ROW, (head.age, bank), "ACT", bank, head
        elif hits and (hits[0] is head or not starved):
            others = [b for b in self._waiting(1 - w, bank) if b.row == row] + hits[1:]
            name = ("RD", "WR")[w] + ("A" if self.page == "closed" and not others else "")
            yield URGENT if starved else COLUMN, (hits[0].age, bank), name, bank, hits[0]
        else:
            yield URGENT if starved else ROW, (head.age, bank), "PRE", bank, head

    def _legal(self, command, bank, t):
        if t % self.d.align[command]:
            return False
        for rule in self.d.rules:
            if command not in rule.after:
                continue
            seen = 0
            for then, before, where in reversed(self.past):
                if then + rule.ticks <= t:
                    break
                if before in rule.before and related(self.d, rule, where, bank):
                    seen += 1
                    if seen == rule.window:
                        return False
        return True

    def _issue(self, candidate, t):
        _, _, command, bank, burst = candidate
        first = bank // self.in_rank * self.in_rank
        row = self.open.get(bank, -1)
        self.past.append((t, command, bank))
        if command == "ACT":
            self.open[bank] = row = burst.row
        elif command == "PRE":
            del self.open[bank]
        elif command == "PREA":
            row = -1
            for b in range(first, first + self.in_rank):
                self.open.pop(b, None)
        elif command in ("REF", "REFB"):
            self._refreshed(command, bank, first)
            row = -1
        else:
            self._serve(command, bank, burst, t)
        self.trace.append((t, command, bank, row))

    def _refreshed(self, command, bank, first):
        r = self.ranks[nodes(self.d, bank)[2]]
        r.pending = False
        r.due += self.interval
        if command == "REF":
            self.blocked -= set(range(first, first + self.in_rank))
            return
        self.blocked.discard(bank)
        r.done.add(bank)
        if len(r.done) == self.in_rank:
            r.done.clear()

    def _serve(self, command, bank, burst, t):
        w = self.mode
        head = self._waiting(w, bank)[0]
        self.bypassed[bank][w] = 0 if burst is head else self.bypassed[bank][w] + 1
        self.queued.remove(burst)
        self.left -= 1
        self.waited = self.waited + 1 if w == READ and self._waiting(WRITE) else 0
        self.used[bank] = t
        end = t + (self.d.write_ticks if w else self.d.read_ticks)
        self.done[burst.request] = max(end, self.done.get(burst.request, 0))
        if command in ("RDA", "WRA"):
            del self.open[bank]
