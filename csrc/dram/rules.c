/* The table of rules at work: what a command that was issued forbids, and until when. */
#include "state.h"

static void forbid(channel *c, const emu_dram_rule *r, int32_t node, int64_t tick) {
  int64_t *at = &c->ready[r->level][(int64_t)node * STRIDE + r->after];
  *at = later(*at, tick);
}

/* The tick of the `window`-th last command, this one included, or a tick that forbids nothing. */
static int64_t remember(channel *c, const emu_dram_rule *r, int32_t j, int32_t node, int64_t tick) {
  int64_t *ring = c->past[j] + (int64_t)node * r->window, *seen = &c->pasts[j][node];
  ring[*seen % r->window] = tick;
  ++*seen;
  return *seen < r->window ? INT64_MIN : ring[*seen % r->window];
}

/* Notes that `command` was issued at `tick` to bank `b`, or to the rank of `b`. */
void emu_dram_learn(const emu_dram *d, channel *c, int command, int32_t b, int64_t tick) {
  const span s = d->of[command];
  int32_t node[DRAM_LEVELS];
  for (int level = 0; level < DRAM_LEVELS; level++) node[level] = node_of(d, level, b);
  for (int32_t j = s.first; j < s.first + s.count; j++) {
    const emu_dram_rule *r = &d->rules[j];
    const int32_t mine = node[r->level];
    int64_t from = tick;
    if (r->window > 1 && (from = remember(c, r, d->window[j], mine, tick)) == INT64_MIN) continue;
    if (!r->other) {
      forbid(c, r, mine, from + r->latency);
      continue;
    }
    const int32_t siblings = (int32_t)d->device.count[r->level], first = mine / siblings * siblings;
    for (int32_t node_ = first; node_ < first + siblings; node_++)
      if (node_ != mine) forbid(c, r, node_, from + r->latency);
  }
}

/* Earliest tick of a command that goes to the whole rank of bank `b`. */
int64_t emu_dram_rank_ready(const emu_dram *d, const channel *c, int command, int32_t b) {
  int64_t t = c->now;
  for (int level = 0; level <= DRAM_RANK; level++) t = later(t, c->ready[level][(int64_t)node_of(d, level, b) * STRIDE + command]);
  return aligned(d, command, t);
}

/* Earliest tick of a command to bank `b`. */
int64_t emu_dram_bank_ready(const emu_dram *d, const channel *c, int command, int32_t b) {
  int64_t t = emu_dram_rank_ready(d, c, command, b);
  for (int level = DRAM_GROUP; level <= DRAM_BANK; level++) t = later(t, c->ready[level][(int64_t)node_of(d, level, b) * STRIDE + command]);
  return aligned(d, command, t);
}

void emu_dram_force(emu_dram *d, int command, int32_t b, int64_t tick) { emu_dram_learn(d, d->channels, command, b, tick); }

int64_t emu_dram_earliest(const emu_dram *d, int command, int32_t b) {
  const int whole = command == DRAM_PREA || command == DRAM_REF;
  return (whole ? emu_dram_rank_ready : emu_dram_bank_ready)(d, d->channels, command, b);
}
