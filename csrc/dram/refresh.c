/* Refresh: of all banks of a rank at once, or bank by bank in rounds. */
#include "state.h"

static int32_t banks_of_rank(const emu_dram *d) { return (int32_t)(d->device.count[DRAM_GROUP] * d->device.count[DRAM_BANK]); }

static int in_round(const rank *r, int32_t j) { return (int)(r->refreshed[j / 64] >> (j % 64) & 1); }

/* The bank of this round that the fewest bursts wait for; of equal ones a closed one, then the first. */
static int32_t target(const emu_dram *d, const channel *c, const rank *r, int32_t first) {
  int32_t found = NONE, least = INT32_MAX;
  for (int32_t j = 0; j < banks_of_rank(d); j++) {
    const bank *k = &c->banks[first + j];
    const int32_t cost = 2 * (k->count[READS] + k->count[WRITES]) + (k->open != NONE);
    if (in_round(r, j) || cost >= least) continue;
    least = cost;
    found = first + j;
  }
  return found;
}

static void block(const emu_dram *d, channel *c, int32_t first, int32_t count, int blocked) {
  for (int32_t b = first; b < first + count; b++) {
    c->banks[b].blocked = blocked;
    emu_dram_consider(d, c, b);
  }
}

static void soonest(const emu_dram *d, channel *c) {
  c->next_due = DRAM_NEVER;
  for (int64_t j = 0; j < d->nodes[DRAM_RANK]; j++)
    if (!c->ranks[j].pending && c->ranks[j].due < c->next_due) c->next_due = c->ranks[j].due;
}

/* Ranks whose refresh is due give nothing else to the banks concerned until it is done. */
void emu_dram_due(const emu_dram *d, channel *c) {
  if (c->next_due > c->now) return;
  for (int32_t j = 0; j < d->nodes[DRAM_RANK]; j++) {
    rank *r = &c->ranks[j];
    const int32_t first = j * banks_of_rank(d), all = d->device.refresh == DRAM_ALL_BANK;
    if (r->pending || r->due > c->now) continue;
    r->pending = 1;
    r->target = all ? first : target(d, c, r, first);
    block(d, c, r->target, all ? banks_of_rank(d) : 1, 1);
  }
  soonest(d, c);
}

/* What the refreshes that are due need next: rows closed, then the refresh itself. */
void emu_dram_refreshes(const emu_dram *d, const channel *c, choice *best) {
  if (d->device.refresh == DRAM_NO_REFRESH) return;
  for (int32_t j = 0; j < d->nodes[DRAM_RANK]; j++) {
    const rank *r = &c->ranks[j];
    if (!r->pending) continue;
    const int all = d->device.refresh == DRAM_ALL_BANK, open = all ? r->open : c->banks[r->target].open != NONE;
    const int command = all ? (open ? DRAM_PREA : DRAM_REF) : open ? DRAM_PRE : DRAM_REFB;
    const int64_t t = all ? emu_dram_rank_ready(d, c, command, r->target) : emu_dram_bank_ready(d, c, command, r->target);
    if (t < best->tick || (t == best->tick && best->sequence >= 0)) *best = (choice){t, -1, URGENT, command, r->target};
  }
}

/* A refresh was issued: on with the banks. */
void emu_dram_refreshed(const emu_dram *d, channel *c, int command, int32_t b) {
  const int32_t j = node_of(d, DRAM_RANK, b), first = j * banks_of_rank(d);
  rank *r = &c->ranks[j];
  r->pending = 0;
  r->due += d->device.interval;
  if (command == DRAM_REF) {
    block(d, c, first, banks_of_rank(d), 0);
  } else {
    r->refreshed[(b - first) / 64] |= UINT64_C(1) << ((b - first) % 64);
    if (++r->done == banks_of_rank(d)) {
      r->done = 0;
      for (int k = 0; k < DRAM_MAX_BANKS / 64; k++) r->refreshed[k] = 0;
    }
    block(d, c, b, 1, 0);
  }
  soonest(d, c);
}
