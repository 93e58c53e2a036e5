/* Stations of a run: full copies of the machine's moving parts, and for each stream the words that led from one to the next. */
#include <stdlib.h>
#include <string.h>
#include "memo.h"

#define MOST_BYTES (INT64_C(48) << 20)
#define LONGEST_PATH 8192
#define STEPS_AT_FIRST 16

emu_memo *emu_memo_new(const emu_machine *m) {
  const emu_config *c = &m->c;
  const emu_forward *f = m->forward;
  emu_memo *memo = calloc(1, sizeof *memo);
  if (!memo) return NULL;
  const size_t streams = (size_t)emu_live_streams(m);
  memo->path = calloc(streams, sizeof *memo->path);
  memo->again = aligned_alloc(64, (streams + 2) * sizeof *memo->again);
  memo->counted = malloc((size_t)(f->ncounters + f->nlabel_stalls) * sizeof *memo->counted);
  memo->place = malloc(streams * sizeof *memo->place);
  memo->broken = 1;
  int64_t late = 0;
  for (int k = 0; k < EMU_SIZES; k++) late = c->hbm_late_fs[k] > late ? c->hbm_late_fs[k] : late;
  memo->horizon_fs = c->hbm_latency_fs + late + c->shared_latency_fs + c->sram_latency * c->period_fs + (c->noc_x + c->noc_y) * c->noc_hop_fs;
  if (!memo->path || !memo->again || !memo->counted || !memo->place) {
    emu_memo_free(m, memo);
    return NULL;
  }
  for (size_t j = 0; j < streams; j++) {
    const int kind = m->streams[j].kind;
    memo->place[j] = m->words[kind] ? (int32_t)memo->nlive++ : -1;
    memo->ndescs += m->words[kind] ? __builtin_popcount(f->used[kind]) : 0;
  }
  return memo;
}

static void free_paths(const emu_machine *m, emu_path *path) {
  for (int64_t j = 0; path && j < emu_live_streams(m); j++) free(path[j].steps);
  free(path);
}

static void free_station(const emu_machine *m, emu_station *t) {
  free_paths(m, t->path);
  free(t->added);
  free(t->piece);
  memset(t, 0, sizeof *t);
}

void emu_memo_free(const emu_machine *m, emu_memo *memo) {
  if (!memo) return;
  for (int j = 0; j < memo->count; j++) free_station(m, &memo->stations[j]);
  free_paths(m, memo->path);
  free(memo->again);
  free(memo->counted);
  free(memo->place);
  free(memo);
}

/* A word that is not scalar has been done. Without memory the path is merely not known. */
void emu_memo_step(emu_machine *m, emu_stream *s, const emu_insn *i) {
  emu_memo *memo = m->memo;
  if (memo->broken) return;
  emu_path *p = &memo->path[s->id];
  const int sync = i->op >= EMU_OP_WAIT && i->op <= EMU_OP_BAR;
  if (p->n == p->room) {
    const int64_t room = p->room ? 2 * p->room : STEPS_AT_FIRST;
    emu_step *steps = room > LONGEST_PATH ? NULL : realloc(p->steps, (size_t)room * sizeof *steps);
    if (!steps) {
      memo->broken = 1;
      return;
    }
    p->steps = steps;
    p->room = room;
  }
  if (!sync) p->issued = 1;
  else if (i->op != EMU_OP_WAIT && !p->issued) p->exposed = 1;
  p->steps[p->n++] = emu_step_of(s, i, s->scalars - p->scalars);
  p->scalars = s->scalars;
}

void emu_memo_charge(emu_machine *m, const emu_stream *s, emu_first first) {
  emu_path *p = &m->memo->path[s->id];
  if (p->first.kind != CHARGE_NONE) return;
  p->first = first;
  p->first.label = s->label;
}

/* From here a new path begins; what was recorded, if it is whole, belongs to the station. */
static int begin_paths(emu_machine *m, emu_memo *memo, emu_station *t) {
  const int64_t n = emu_live_streams(m);
  t->linked = !memo->broken && memo->count > 0;
  if (t->linked) {
    t->path = memo->path;
    if (!(memo->path = calloc((size_t)n, sizeof *memo->path))) {
      memo->path = t->path;
      t->path = NULL;
      t->linked = 0;
      return -1;
    }
  }
  for (int64_t j = 0; j < n; j++) {
    emu_path *p = &memo->path[j];
    if (t->linked) memo->bytes += t->path[j].room * (int64_t)sizeof(emu_step);
    p->n = p->exposed = 0;
    p->first.kind = CHARGE_NONE;
    p->scalars = m->streams[j].scalars;
    p->issued = m->streams[j].state == ON_QUEUE; /* what it moves ends before its next word */
  }
  memo->broken = 0;
  return 0;
}

static void *carve(uint8_t **from, int64_t bytes) {
  void *p = *from;
  *from += (bytes + 63) & ~INT64_C(63);
  return p;
}

/* One piece of memory for all that a station copies. */
static int64_t lay_out(emu_machine *m, const emu_forward *f, const emu_memo *memo, emu_station *t, uint8_t *at) {
  const uint8_t *begin = at;
  const int64_t sems = m->c.cores * m->nsems, flows = m->nactive + m->npending;
  int64_t tokens = 0, takes = 0;
  for (int64_t j = 0; j < sems; j++) tokens += m->sems[j].size, takes += m->sems[j].take_size;
  t->words = carve(&at, f->nwords * (int64_t)sizeof *t->words);
  t->old = carve(&at, sems * (int64_t)sizeof *t->old);
  t->streams = carve(&at, memo->nlive * (int64_t)EMU_HEAD_BYTES);
  t->descs = carve(&at, memo->ndescs * (int64_t)sizeof *t->descs);
  t->barriers = carve(&at, m->nbarriers * (int64_t)sizeof *t->barriers);
  t->sems = carve(&at, sems * (int64_t)sizeof *t->sems);
  t->tokens = carve(&at, tokens * (int64_t)sizeof *t->tokens);
  t->takes = carve(&at, takes * (int64_t)sizeof *t->takes);
  t->old_entries = carve(&at, sems * (int64_t)sizeof *t->old_entries);
  t->flows = carve(&at, flows * (int64_t)sizeof *t->flows);
  t->active = carve(&at, flows * (int64_t)sizeof *t->active);
  t->pending = t->active + m->nactive;
  return at - begin;
}

static void copy_streams(const emu_machine *m, const emu_forward *f, const emu_memo *memo, emu_station *t) {
  emu_desc_seen *to = t->descs;
  for (int64_t j = 0; j < emu_live_streams(m); j++) {
    const emu_stream *s = &m->streams[j];
    if (memo->place[j] < 0) continue;
    memcpy(t->streams + (size_t)memo->place[j] * EMU_HEAD_BYTES, s, offsetof(emu_stream, d));
    for (uint32_t used = f->used[s->kind]; used; used &= used - 1) {
      const emu_desc *d = &s->d[__builtin_ctz(used)];
      *to++ = (emu_desc_seen){d->shape, d->f[AT_ACCUMULATE] != 0, d->f[AT_RING_SIZE], d->f[AT_RING_STEP]};
    }
  }
}

static void copy_semaphores(emu_machine *m, const emu_forward *f, emu_station *t) {
  const int64_t n = m->c.cores * m->nsems;
  memcpy(t->sems, m->sems, (size_t)n * sizeof *t->sems);
  memcpy(t->old, f->old, (size_t)n * sizeof *t->old);
  emu_token *to = t->tokens;
  emu_take *take = t->takes;
  for (int64_t core = 0, j = 0; core < m->c.cores; core++) {
    const int64_t floor = emu_token_floor(m, core);
    for (int64_t s = 0; s < m->nsems; s++, j++) {
      const emu_sem *q = &m->sems[j];
      t->old_entries[j] = emu_old_entries(m, q, floor);
      for (uint32_t e = 0; e < q->size; e++) *to++ = q->ring[(q->head + e) & (q->capacity - 1)];
      for (uint32_t e = 0; e < q->take_size; e++) *take++ = q->takes[(q->take_head + e) & (q->take_capacity - 1)];
    }
  }
}

static void copy_network(const emu_machine *m, emu_station *t) {
  memcpy(t->active, m->active, (size_t)m->nactive * sizeof *t->active);
  memcpy(t->pending, m->pending, (size_t)m->npending * sizeof *t->pending);
  for (int64_t j = 0; j < m->nactive + m->npending; j++) t->flows[j] = m->flows[t->active[j]];
  t->nactive = m->nactive;
  t->npending = m->npending;
  t->next_start = m->next_start;
}

static int64_t gather(emu_added *to, int64_t *where, const int64_t *before, int64_t n) {
  int64_t found = 0;
  for (int64_t j = 0; j < n; j++) {
    if (where[j] == before[j]) continue;
    if (to) to[found] = (emu_added){where + j, where[j] - before[j]};
    found++;
  }
  return found;
}

/* What was counted since the station before: few of the counters there are. */
static int list_added(emu_machine *m, const emu_forward *f, const emu_memo *memo, emu_station *t) {
  const int64_t *counters = memo->counted, *stalls = counters + f->ncounters;
  const int64_t n = gather(NULL, m->counters, counters, f->ncounters) + gather(NULL, m->label_stalls, stalls, f->nlabel_stalls);
  if (!(t->added = malloc((size_t)(n + 1) * sizeof *t->added))) return -1;
  t->nadded = gather(t->added, m->counters, counters, f->ncounters);
  t->nadded += gather(t->added + t->nadded, m->label_stalls, stalls, f->nlabel_stalls);
  return 0;
}

static void forget_all(const emu_machine *m, emu_memo *memo) {
  for (int j = 0; j < memo->count; j++) free_station(m, &memo->stations[j]);
  memo->count = 0;
  memo->bytes = 0;
  memo->broken = 1;
}

/* The state just listed becomes a station. All are forgotten when there are too many. */
int emu_memo_record(emu_machine *m, emu_forward *f, emu_memo *memo, int64_t hash) {
  if (memo->count == EMU_STATIONS || memo->bytes > MOST_BYTES) forget_all(m, memo);
  emu_station *t = &memo->stations[memo->count];
  *t = (emu_station){.hash = hash, .nwords = f->nwords, .now = m->now, .instructions = m->instructions, .skipped = m->skipped, .releases = m->nreleases};
  const int64_t bytes = lay_out(m, f, memo, t, NULL);
  t->piece = aligned_alloc(64, (size_t)bytes);
  if (!t->piece || begin_paths(m, memo, t) || (t->linked && list_added(m, f, memo, t))) {
    free_station(m, t);
    return emu_fail(m, NULL, E_MEMORY, "out of memory for fast-forward", 0, 0);
  }
  lay_out(m, f, memo, t, t->piece);
  memcpy(t->words, f->words, (size_t)f->nwords * sizeof *t->words);
  memcpy(t->barriers, m->barriers, (size_t)m->nbarriers * sizeof *t->barriers);
  memcpy(t->total_bytes, m->total_bytes, sizeof t->total_bytes);
  copy_streams(m, f, memo, t);
  copy_semaphores(m, f, t);
  copy_network(m, t);
  memcpy(memo->counted, m->counters, (size_t)f->ncounters * sizeof *memo->counted);
  memcpy(memo->counted + f->ncounters, m->label_stalls, (size_t)f->nlabel_stalls * sizeof *memo->counted);
  memo->count++;
  memo->recorded_at = m->instructions;
  memo->bytes += bytes;
  return 0;
}

/* Whether a state with this hash is a station. */
int emu_memo_knows(const emu_memo *memo, int64_t hash) {
  for (int j = memo->count - 1; j >= 0; j--)
    if (memo->stations[j].hash == hash) return 1;
  return 0;
}
