/* One channel's controller. It goes from decision to decision, never clock by clock: the earliest legal command is found, and until then
   only an arrival or a refresh that falls due can change what it is. */
#include "state.h"

static inline int better(const choice *a, int64_t tick, int32_t class, int64_t sequence) {
  if (tick != a->tick) return tick < a->tick;
  return class != a->class ? class < a->class : sequence < a->sequence;
}

/* The four commands that banks may want in a direction; only the one that closes with the data where rows are closed early. */
static const uint8_t USED[2][4] = {{DRAM_ACT, DRAM_PRE, DRAM_RD, DRAM_RDA}, {DRAM_ACT, DRAM_PRE, DRAM_WR, DRAM_WRA}};

static inline void raise_to(int64_t *base, const int64_t *above, const int64_t *ready, const uint8_t *used, int count) {
  for (int k = 0; k < count; k++) base[used[k]] = later(above[used[k]], ready[used[k]]);
}

static void scan_group(const emu_dram *d, const channel *c, int32_t g, const int64_t *base, choice *best) {
  const int32_t first = g << d->under[DRAM_GROUP];
  for (uint32_t left = c->active[g]; left; left &= left - 1) {
    const int32_t b = first + __builtin_ctz(left);
    const bank *k = &c->banks[b];
    const int64_t t = later(k->ready, base[k->command]); /* both are clock edges */
    if (better(best, t, k->class, k->sequence)) *best = (choice){t, k->sequence, k->class, k->command, b};
  }
}

/* The earliest command that is legal; of those at one tick the first by class, then by age. */
static choice scan(const emu_dram *d, const channel *c) {
  choice best = {DRAM_NEVER, INT64_MAX, TIDY + 1, NONE, 0};
  int64_t at_channel[BANK_COMMANDS], at_pseudo[BANK_COMMANDS] = {0}, at_rank[BANK_COMMANDS], at_group[BANK_COMMANDS];
  const int64_t groups = d->device.count[DRAM_GROUP];
  const uint8_t *used = USED[c->mode];
  const int count = d->policy.page == DRAM_CLOSED ? 4 : 3;
  for (int k = 0; k < BANK_COMMANDS; k++) at_channel[k] = later(c->now, c->ready[DRAM_CHANNEL][k]);
  for (int32_t r = 0, p = 0; r < d->nodes[DRAM_RANK]; r++) {
    if ((r & (d->device.count[DRAM_RANK] - 1)) == 0)
      raise_to(at_pseudo, at_channel, c->ready[DRAM_PSEUDO] + (int64_t)p++ * STRIDE, used, count);
    int touched = 0;
    for (int32_t g = (int32_t)(r * groups); g < (r + 1) * groups; g++) {
      if (!c->active[g]) continue;
      if (!touched++) raise_to(at_rank, at_pseudo, c->ready[DRAM_RANK] + (int64_t)r * STRIDE, used, count);
      raise_to(at_group, at_rank, c->ready[DRAM_GROUP] + (int64_t)g * STRIDE, used, count);
      for (int k = 0; k < count; k++) at_group[used[k]] = aligned(d, used[k], at_group[used[k]]);
      scan_group(d, c, g, at_group, &best);
    }
  }
  emu_dram_refreshes(d, c, &best);
  return best;
}

static void record(emu_dram *d, const channel *c, const choice *e, int32_t row) {
  if (d->issued_count == d->issued_room) {
    emu_dram_issued *more = emu_dram_grow(d->issued, &d->issued_room, sizeof *more);
    if (!more) {
      d->failed = 1;
      return;
    }
    d->issued = more;
  }
  d->issued[d->issued_count++] = (emu_dram_issued){c->now, e->command, e->bank, (int32_t)(c - d->channels), row};
}

static void open_row(emu_dram *d, channel *c, int32_t b) {
  const int32_t j = c->banks[b].head[c->mode];
  burst *u = &c->bursts[j];
  if (!u->cost) u->cost = 1;
  emu_dram_opened(d, c, b, u->row);
}

static void close_row(const emu_dram *d, channel *c, int32_t b) {
  const bank *k = &c->banks[b];
  if (!k->blocked && k->head[c->mode] != NONE) c->bursts[k->head[c->mode]].cost = 2;
  emu_dram_shut(d, c, b);
}

/* Carries a command out. */
static void issue(emu_dram *d, channel *c, const choice *e) {
  const int32_t b = e->bank;
  int32_t row = c->banks[b].open;
  c->commands[e->command]++;
  emu_dram_learn(d, c, e->command, b, c->now);
  switch (e->command) {
    case DRAM_ACT: open_row(d, c, b); row = c->banks[b].open; break;
    case DRAM_PRE: close_row(d, c, b); break;
    case DRAM_RD: case DRAM_WR: case DRAM_RDA: case DRAM_WRA:
      emu_dram_serve(d, c, b);
      c->banks[b].used = c->now;
      if (e->command == DRAM_RDA || e->command == DRAM_WRA) emu_dram_shut(d, c, b);
      break;
    case DRAM_PREA: {
      const int32_t count = (int32_t)(d->device.count[DRAM_GROUP] * d->device.count[DRAM_BANK]);
      for (int32_t j = b; j < b + count; j++) emu_dram_shut(d, c, j);
      row = NONE;
      break;
    }
    default: emu_dram_refreshed(d, c, e->command, b); row = NONE;
  }
  emu_dram_consider(d, c, b);
  if (d->trace) record(d, c, e, row);
}

/* The next arrival that there is room for. */
static int64_t arriving(const channel *c) {
  int64_t t = DRAM_NEVER;
  for (int w = 0; w < 2; w++) {
    const fifo *f = &c->inbound[w];
    if (f->count && c->free[w] != NONE && f->entries[f->first].tick < t) t = f->entries[f->first].tick;
  }
  return t;
}

static int idle(const channel *c) {
  return !(c->queued[READS] || c->queued[WRITES] || c->inbound[READS].count || c->inbound[WRITES].count);
}

/* Decides and issues everything before `until`; with DRAM_NEVER it stops when nothing is asked any more. */
void emu_dram_run(emu_dram *d, channel *c, int64_t until) {
  while (!d->failed && (until != DRAM_NEVER || !idle(c))) {
    emu_dram_admit(d, c);
    emu_dram_due(d, c);
    emu_dram_turn(d, c);
    const choice best = scan(d, c);
    const int64_t arrival = arriving(c), event = arrival < c->next_due ? arrival : c->next_due;
    const int64_t t = event <= best.tick ? event : best.tick;
    c->next = t;
    if (t >= until) return;
    if (t > DRAM_LATEST) {
      d->failed = 2;
      return;
    }
    c->now = t;
    if (event > best.tick) issue(d, c, &best);
  }
  c->next = c->now;
}
