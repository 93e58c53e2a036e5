/* The queues of a channel: bursts by bank and direction, oldest first, and what each bank would do next for them (FR-FCFS). */
#include "state.h"

static void plan(const emu_dram *d, channel *c, int32_t b, int command, int class, int64_t sequence) {
  bank *k = &c->banks[b];
  const int32_t group = node_of(d, DRAM_GROUP, b);
  const uint32_t bit = (uint32_t)1 << (b & (d->device.count[DRAM_BANK] - 1));
  k->command = command;
  if (command == NONE) {
    c->active[group] &= ~bit;
    return;
  }
  c->active[group] |= bit;
  k->class = class;
  k->sequence = sequence;
  k->ready = aligned(d, command, c->ready[DRAM_BANK][(int64_t)b * STRIDE + command]);
}

/* Whether some burst besides `one` wants the row that is open. */
static int wanted(const channel *c, const bank *k, int32_t one) {
  for (int w = 0; w < 2; w++) {
    if (k->hit[w] == NONE) continue;
    if (k->hit[w] != one) return 1;
    for (int32_t j = c->bursts[one].next; j != NONE; j = c->bursts[j].next)
      if (c->bursts[j].row == k->open) return 1;
  }
  return 0;
}

static int column_command(const emu_dram *d, const channel *c, const bank *k, int32_t one) {
  const int last = d->policy.page == DRAM_CLOSED && !wanted(c, k, one);
  return c->mode == READS ? (last ? DRAM_RDA : DRAM_RD) : (last ? DRAM_WRA : DRAM_WR);
}

/* What bank `b` does next: for its oldest burst, unless younger ones for the open row may pass. */
void emu_dram_consider(const emu_dram *d, channel *c, int32_t b) {
  bank *k = &c->banks[b];
  const int w = c->mode;
  const int32_t head = k->head[w], hit = k->hit[w];
  if (k->blocked) {
    plan(d, c, b, NONE, 0, 0);
  } else if (head == NONE) {
    const int tidy = d->policy.page == DRAM_TIMEOUT && k->open != NONE && !k->count[!w];
    plan(d, c, b, tidy ? DRAM_PRE : NONE, TIDY, INT64_MAX);
    if (tidy) k->ready = aligned(d, DRAM_PRE, later(k->ready, k->used + d->policy.idle));
  } else {
    const int starved = k->bypassed[w] >= d->policy.cap, class = starved ? URGENT : ROW;
    const int64_t age = c->bursts[head].sequence;
    if (k->open == NONE)
      plan(d, c, b, DRAM_ACT, class, age);
    else if (hit != NONE && (hit == head || !starved))
      plan(d, c, b, column_command(d, c, k, hit), starved ? URGENT : COLUMN, c->bursts[hit].sequence);
    else
      plan(d, c, b, DRAM_PRE, class, age);
  }
}

static int32_t bank_of(const emu_dram *d, uint64_t place) {
  int32_t b = 0;
  for (int f = DRAM_PSEUDO; f < DRAM_LEVELS; f++) b = b << d->field[DRAM_LEVELS - f] | field(d, place, DRAM_LEVELS - f);
  return b;
}

static void enter(emu_dram *d, channel *c, int w, const arrival *a) {
  const int32_t j = c->free[w];
  burst *u = &c->bursts[j];
  c->free[w] = u->next;
  const int32_t b = bank_of(d, a->place);
  bank *k = &c->banks[b];
  *u = (burst){a->transaction, c->sequence++, b, field(d, a->place, 5), NONE, k->tail[w], 0};
  if (k->tail[w] == NONE)
    k->head[w] = j;
  else
    c->bursts[k->tail[w]].next = j;
  k->tail[w] = j;
  k->count[w]++;
  c->queued[w]++;
  if (k->hit[w] == NONE && u->row == k->open) k->hit[w] = j;
  transaction *t = &d->transactions[a->transaction];
  if (c->now < t->admitted) t->admitted = c->now; /* channels run one after the other */
  emu_dram_consider(d, c, b);
}

/* Lets in what has arrived, as far as there is room. */
void emu_dram_admit(emu_dram *d, channel *c) {
  for (int w = 0; w < 2; w++) {
    fifo *f = &c->inbound[w];
    while (f->count && c->free[w] != NONE && f->entries[f->first].tick <= c->now) {
      enter(d, c, w, &f->entries[f->first]);
      f->first++;
      if (!--f->count) f->first = 0;
    }
  }
}

/* Reads go first; writes are drained when many wait, when they have waited long, or when there is nothing else. What waits when its
   direction begins is served before the other one is looked at again, so that neither starves. */
void emu_dram_turn(const emu_dram *d, channel *c) {
  const int64_t reads = c->queued[READS], writes = c->queued[WRITES];
  const int many = writes >= d->policy.high, due = many || c->waited >= d->policy.patience;
  const int turn = c->mode == READS ? writes && (!reads || (due && c->left <= 0)) : reads && (!writes || c->left <= 0);
  if (!turn) return;
  c->mode = !c->mode;
  c->left = c->mode == READS ? reads : many ? later(1, writes - d->policy.low) : writes;
  c->waited = 0;
  c->counters[DRAM_TURNS]++;
  for (int32_t b = 0; b < d->nodes[DRAM_BANK]; b++) emu_dram_consider(d, c, b);
}

/* The last burst of a request has its command: its end is known. */
static void finish(emu_dram *d, transaction *t) {
  if (d->done_count == d->done_room) {
    emu_dram_done *more = emu_dram_grow(d->done, &d->done_room, sizeof *more);
    if (!more) {
      d->failed = 1;
      return;
    }
    d->done = more;
  }
  d->done[d->done_count++] = (emu_dram_done){t->id, t->arrived, t->admitted, t->done};
  t->left = d->free_transaction;
  d->free_transaction = t - d->transactions;
  d->open--;
}

/* Takes the burst that the RD or WR of bank `b` has served out of the queue. */
void emu_dram_serve(emu_dram *d, channel *c, int32_t b) {
  bank *k = &c->banks[b];
  const int w = c->mode;
  const int32_t j = k->hit[w];
  burst *u = &c->bursts[j];
  c->counters[DRAM_HITS + u->cost]++;
  transaction *t = &d->transactions[u->transaction];
  t->done = later(t->done, c->now + (w ? d->device.write_ticks : d->device.read_ticks));
  if (!--t->left) finish(d, t);
  k->bypassed[w] = j == k->head[w] ? 0 : k->bypassed[w] + 1;
  int32_t next = u->next;
  while (next != NONE && c->bursts[next].row != k->open) next = c->bursts[next].next;
  k->hit[w] = next;
  if (u->previous == NONE)
    k->head[w] = u->next;
  else
    c->bursts[u->previous].next = u->next;
  if (u->next == NONE)
    k->tail[w] = u->previous;
  else
    c->bursts[u->next].previous = u->previous;
  u->next = c->free[w];
  c->free[w] = j;
  k->count[w]--;
  c->queued[w]--;
  c->left--;
  c->waited = w == READS && c->queued[WRITES] ? c->waited + 1 : 0;
}

/* Bank `b` has opened a row: which bursts want it? */
void emu_dram_opened(const emu_dram *d, channel *c, int32_t b, int32_t row) {
  bank *k = &c->banks[b];
  rank *r = &c->ranks[node_of(d, DRAM_RANK, b)];
  k->open = row;
  for (int w = 0; w < 2; w++) {
    int32_t j = k->head[w];
    while (j != NONE && c->bursts[j].row != row) j = c->bursts[j].next;
    k->hit[w] = j;
  }
  if (!r->open++) r->since = c->now;
}

/* Bank `b` has closed its row. */
void emu_dram_shut(const emu_dram *d, channel *c, int32_t b) {
  bank *k = &c->banks[b];
  rank *r = &c->ranks[node_of(d, DRAM_RANK, b)];
  if (k->open == NONE) return;
  k->open = k->hit[READS] = k->hit[WRITES] = NONE;
  if (!--r->open) c->counters[DRAM_ACTIVE] += c->now - r->since;
}
