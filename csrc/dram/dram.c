/* A DRAM system: its tables, its channels, the requests in it. */
#include <stdlib.h>
#include <string.h>

#include "state.h"

/* The entries with room for twice as many, or NULL; `entries` is then as it was. */
void *emu_dram_grow(void *entries, int64_t *room, int64_t size) {
  const int64_t more = *room ? 2 * *room : 1024;
  void *grown = realloc(entries, (size_t)(more * size));
  if (grown) *room = more;
  return grown;
}

uint64_t emu_dram_place(const emu_dram *d, uint64_t address) {
  uint64_t place = 0;
  for (int k = 0; k < 8; k++) place ^= d->table[k][address >> 8 * k & 255];
  return place;
}

static void tabulate(emu_dram *d, const emu_dram_map *map) {
  for (int k = 0; k < 8; k++)
    for (uint64_t byte = 0; byte < 256; byte++)
      for (int j = 0; j < map->bits; j++)
        d->table[k][byte] |= (uint64_t)__builtin_parityll(byte << 8 * k & map->mask[j]) << j;
  for (int f = 0, at = 0; f < 7; f++) {
    d->field[f] = map->field[f];
    d->shift[f] = at;
    at += map->field[f];
  }
}

static int by_command(const void *a, const void *b) { return ((const emu_dram_rule *)a)->before - ((const emu_dram_rule *)b)->before; }

static int take_rules(emu_dram *d, const emu_dram_rule *rules, int64_t count) {
  if (!(d->rules = malloc((size_t)(count + 1) * sizeof *rules))) return -1;
  memcpy(d->rules, rules, (size_t)count * sizeof *rules);
  qsort(d->rules, (size_t)count, sizeof *rules, by_command);
  for (int32_t j = 0; j < count; j++) {
    span *s = &d->of[d->rules[j].before];
    if (!s->count++) s->first = j;
    if (d->rules[j].window > 1) d->window[j] = d->windows++;
  }
  return d->windows > DRAM_MAX_WINDOWS ? -1 : 0;
}

static int new_history(const emu_dram *d, channel *c, int64_t count) {
  for (int level = 0; level < DRAM_LEVELS; level++)
    if (!(c->ready[level] = calloc((size_t)d->nodes[level] * STRIDE, sizeof(int64_t)))) return -1;
  for (int64_t j = 0; j < count; j++) {
    const emu_dram_rule *r = &d->rules[j];
    if (r->window < 2) continue;
    const int32_t k = d->window[j];
    c->past[k] = calloc((size_t)(d->nodes[r->level] * r->window), sizeof(int64_t));
    c->pasts[k] = calloc((size_t)d->nodes[r->level], sizeof(int64_t));
    if (!c->past[k] || !c->pasts[k]) return -1;
  }
  return 0;
}

static int new_channel(const emu_dram *d, channel *c, int64_t count) {
  const int64_t depth[2] = {d->policy.reads, d->policy.writes}, banks = d->nodes[DRAM_BANK];
  c->banks = malloc((size_t)banks * sizeof *c->banks);
  c->ranks = calloc((size_t)d->nodes[DRAM_RANK], sizeof *c->ranks);
  c->active = calloc((size_t)d->nodes[DRAM_GROUP], sizeof *c->active);
  c->bursts = malloc((size_t)(depth[0] + depth[1]) * sizeof *c->bursts);
  if (!c->banks || !c->ranks || !c->active || !c->bursts || new_history(d, c, count)) return -1;
  for (int64_t b = 0; b < banks; b++)
    c->banks[b] = (bank){.open = NONE, .head = {NONE, NONE}, .tail = {NONE, NONE}, .hit = {NONE, NONE}, .command = NONE};
  int32_t j = 0;
  for (int w = 0; w < 2; w++) {
    c->free[w] = j;
    for (int64_t k = 0; k < depth[w]; k++, j++) c->bursts[j].next = k + 1 < depth[w] ? j + 1 : NONE;
  }
  c->next_due = DRAM_NEVER;
  for (int64_t r = 0; r < d->nodes[DRAM_RANK] && d->device.refresh; r++) {
    /* Bank by bank, ranks take turns; of whole ranks at once: one rank alone would soon fill the queue with what waits for it. */
    c->ranks[r].due = d->device.refresh == DRAM_PER_BANK ? d->device.interval * (r + 1) / d->nodes[DRAM_RANK] : d->device.interval;
    if (c->ranks[r].due < c->next_due) c->next_due = c->ranks[r].due;
  }
  return 0;
}

emu_dram *emu_dram_new(const emu_dram_device *device, const emu_dram_rule *rules, int64_t count, const emu_dram_map *map,
                       const emu_dram_policy *policy, int trace) {
  emu_dram *d = calloc(1, sizeof *d);
  if (!d) return NULL;
  d->device = *device;
  d->policy = *policy;
  d->trace = trace;
  d->free_transaction = NONE;
  d->nodes[DRAM_CHANNEL] = 1;
  for (int level = DRAM_PSEUDO; level < DRAM_LEVELS; level++) d->nodes[level] = d->nodes[level - 1] * device->count[level];
  for (int level = 0; level < DRAM_LEVELS; level++) d->under[level] = __builtin_ctzll((uint64_t)(d->nodes[DRAM_BANK] / d->nodes[level]));
  tabulate(d, map);
  int failed = take_rules(d, rules, count) || !(d->channels = calloc((size_t)device->count[DRAM_CHANNEL], sizeof *d->channels));
  for (int64_t k = 0; k < device->count[DRAM_CHANNEL] && !failed; k++) failed = new_channel(d, &d->channels[k], count);
  if (!failed) return d;
  emu_dram_free(d);
  return NULL;
}

static void free_channel(channel *c) {
  for (int level = 0; level < DRAM_LEVELS; level++) free(c->ready[level]);
  for (int j = 0; j < DRAM_MAX_WINDOWS; j++) {
    free(c->past[j]);
    free(c->pasts[j]);
  }
  free(c->banks);
  free(c->ranks);
  free(c->active);
  free(c->bursts);
  free(c->inbound[READS].entries);
  free(c->inbound[WRITES].entries);
}

void emu_dram_free(emu_dram *d) {
  if (!d) return;
  for (int64_t k = 0; d->channels && k < d->device.count[DRAM_CHANNEL]; k++) free_channel(&d->channels[k]);
  free(d->channels);
  free(d->rules);
  free(d->transactions);
  free(d->done);
  free(d->issued);
  free(d);
}

static int push(fifo *f, const arrival *a) {
  if (f->first + f->count == f->room && f->first > f->room / 2) {
    memmove(f->entries, f->entries + f->first, (size_t)f->count * sizeof *a);
    f->first = 0;
  }
  if (f->first + f->count == f->room) {
    arrival *more = emu_dram_grow(f->entries, &f->room, sizeof *a);
    if (!more) return -1;
    f->entries = more;
  }
  f->entries[f->first + f->count++] = *a;
  return 0;
}

static int64_t new_transaction(emu_dram *d, int64_t tick, int64_t bursts) {
  int64_t t = d->free_transaction;
  if (t != NONE) {
    d->free_transaction = d->transactions[t].left;
  } else {
    t = d->open;
    if (t == d->transactions_room) {
      transaction *more = emu_dram_grow(d->transactions, &d->transactions_room, sizeof *more);
      if (!more) return -1;
      d->transactions = more;
    }
  }
  d->open++;
  d->transactions[t] = (transaction){d->ids++, tick, DRAM_NEVER, 0, bursts};
  return t;
}

int64_t emu_dram_submit(emu_dram *d, int64_t tick, uint64_t address, int64_t bytes, int write) {
  const uint64_t size = (uint64_t)d->device.burst_bytes;
  int64_t bits = 0;
  for (int f = 0; f < 7; f++) bits += d->field[f];
  const uint64_t capacity = size << bits;
  if (bytes < 1 || address >= capacity || (uint64_t)bytes > capacity - address) return -2;
  if (tick < d->last) return -3;
  const uint64_t first = address / size, last = (address + (uint64_t)bytes - 1) / size;
  const int64_t t = new_transaction(d, tick, (int64_t)(last - first + 1));
  if (t < 0) return -1;
  d->last = tick;
  for (uint64_t k = first; k <= last; k++) {
    const uint64_t place = emu_dram_place(d, k * size);
    channel *c = &d->channels[field(d, place, 6)];
    if (tick < c->next) c->next = tick;
    if (push(&c->inbound[write ? WRITES : READS], &(arrival){tick, t, place})) return -1;
  }
  return d->transactions[t].id;
}

static void run_all(emu_dram *d, int64_t until) {
  for (int64_t k = 0; k < d->device.count[DRAM_CHANNEL]; k++)
    if (d->channels[k].next < until) emu_dram_run(d, &d->channels[k], until);
}

int emu_dram_advance(emu_dram *d, int64_t until) {
  run_all(d, until);
  if (until == DRAM_NEVER) run_all(d, until = emu_dram_now(d) + 1); /* channels without requests are refreshed meanwhile */
  d->last = later(d->last, until);
  return -d->failed;
}

int64_t emu_dram_next(emu_dram *d) {
  int64_t t = DRAM_NEVER;
  for (int64_t k = 0; k < d->device.count[DRAM_CHANNEL]; k++)
    if (d->channels[k].next < t) t = d->channels[k].next;
  return t;
}

int64_t emu_dram_done_count(const emu_dram *d) { return d->done_count; }
const emu_dram_done *emu_dram_done_list(const emu_dram *d) { return d->done; }
void emu_dram_done_clear(emu_dram *d) { d->done_count = 0; }
int64_t emu_dram_issued_count(const emu_dram *d) { return d->issued_count; }
const emu_dram_issued *emu_dram_issued_list(const emu_dram *d) { return d->issued; }

void emu_dram_counters(const emu_dram *d, int64_t *commands, int64_t *counters) {
  memset(commands, 0, DRAM_COMMANDS * sizeof *commands);
  memset(counters, 0, DRAM_COUNTERS * sizeof *counters);
  for (int64_t k = 0; k < d->device.count[DRAM_CHANNEL]; k++) {
    const channel *c = &d->channels[k];
    for (int j = 0; j < DRAM_COMMANDS; j++) commands[j] += c->commands[j];
    for (int j = 0; j < DRAM_COUNTERS; j++) counters[j] += c->counters[j];
    for (int64_t r = 0; r < d->nodes[DRAM_RANK]; r++)
      if (c->ranks[r].open) counters[DRAM_ACTIVE] += c->now - c->ranks[r].since;
  }
}

int64_t emu_dram_now(const emu_dram *d) {
  int64_t t = 0;
  for (int64_t k = 0; k < d->device.count[DRAM_CHANNEL]; k++) t = later(t, d->channels[k].now);
  return t;
}
