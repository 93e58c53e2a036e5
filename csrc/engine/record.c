/* Stations of a run: full copies of the machine's moving parts, and for each stream the words that led from one to the next. */
#include <stdlib.h>
#include <string.h>
#include "memo.h"

#define MOST_BYTES (INT64_C(48) << 20)
#define LONGEST_PATH 8192
#define STEPS_AT_FIRST 16

emu_memo *emu_memo_new(const emu_machine *m) {
  const emu_config *c = &m->c;
  emu_memo *memo = calloc(1, sizeof *memo);
  if (!memo) return NULL;
  const size_t streams = (size_t)emu_live_streams(m);
  memo->path = calloc(streams, sizeof *memo->path);
  memo->again = aligned_alloc(64, (streams + 2) * sizeof *memo->again);
  memo->broken = 1;
  memo->horizon_fs = c->hbm_latency_fs + c->shared_latency_fs + c->sram_latency * c->period_fs + (c->noc_x + c->noc_y) * c->noc_hop_fs;
  if (memo->path && memo->again) return memo;
  emu_memo_free(m, memo);
  return NULL;
}

static void free_paths(const emu_machine *m, emu_path *path) {
  for (int64_t j = 0; path && j < emu_live_streams(m); j++) free(path[j].steps);
  free(path);
}

static void free_station(const emu_machine *m, emu_station *t) {
  emu_free_state(&t->at);
  free_paths(m, t->path);
  free(t->sems);
  free(t->tokens);
  free(t->takes);
  free(t->old_entries);
  free(t->flows);
  free(t->active); /* and pending, and port_users, behind it */
  memset(t, 0, sizeof *t);
}

void emu_memo_free(const emu_machine *m, emu_memo *memo) {
  if (!memo) return;
  for (int j = 0; j < memo->count; j++) free_station(m, &memo->stations[j]);
  free_paths(m, memo->path);
  free(memo->again);
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

static int copy_semaphores(emu_machine *m, emu_station *t) {
  const int64_t n = m->c.cores * m->nsems;
  int64_t tokens = 0, takes = 0;
  for (int64_t j = 0; j < n; j++) tokens += m->sems[j].size, takes += m->sems[j].take_size;
  t->sems = malloc((size_t)(n + 1) * sizeof *t->sems);
  t->old_entries = malloc((size_t)(n + 1) * sizeof *t->old_entries);
  t->tokens = malloc((size_t)(tokens + 1) * sizeof *t->tokens);
  t->takes = malloc((size_t)(takes + 1) * sizeof *t->takes);
  if (!t->sems || !t->tokens || !t->takes || !t->old_entries) return -1;
  memcpy(t->sems, m->sems, (size_t)n * sizeof *t->sems);
  emu_token *to = t->tokens;
  emu_take *take = t->takes;
  for (int64_t j = 0; j < n; j++) {
    const emu_sem *q = &m->sems[j];
    t->old_entries[j] = emu_old_entries(m, q, emu_token_floor(m, j / m->nsems));
    for (uint32_t e = 0; e < q->size; e++) *to++ = q->ring[(q->head + e) & (q->capacity - 1)];
    for (uint32_t e = 0; e < q->take_size; e++) *take++ = q->takes[(q->take_head + e) & (q->take_capacity - 1)];
  }
  return 0;
}

static int copy_network(emu_machine *m, emu_station *t) {
  const size_t flows = (size_t)(m->nactive + m->npending), cores = (size_t)m->c.cores;
  t->flows = malloc((flows + 1) * sizeof *t->flows);
  t->active = malloc((flows + cores) * sizeof *t->active);
  if (!t->flows || !t->active) return -1;
  t->pending = t->active + m->nactive;
  t->port_users = t->pending + m->npending;
  memcpy(t->active, m->active, (size_t)m->nactive * sizeof *t->active);
  memcpy(t->pending, m->pending, (size_t)m->npending * sizeof *t->pending);
  memcpy(t->port_users, m->port_users, cores * sizeof *t->port_users);
  for (size_t j = 0; j < flows; j++) t->flows[j] = m->flows[t->active[j]];
  memcpy(t->users, m->users, sizeof t->users);
  memcpy(t->open, m->open, sizeof t->open);
  t->nactive = m->nactive;
  t->npending = m->npending;
  t->next_start = m->next_start;
  t->next_finish = m->next_finish;
  t->rates_stale = m->rates_stale;
  return 0;
}

/* The state just listed becomes a station. All are forgotten when there are too many. */
int emu_memo_record(emu_machine *m, emu_forward *f, emu_memo *memo, int64_t hash) {
  if (memo->count == EMU_STATIONS || memo->bytes > MOST_BYTES) {
    for (int j = 0; j < memo->count; j++) free_station(m, &memo->stations[j]);
    memo->count = 0;
    memo->bytes = 0;
    memo->broken = 1;
  }
  emu_station *t = &memo->stations[memo->count];
  memset(t, 0, sizeof *t);
  if (emu_keep_state(m, f, &t->at, hash) || copy_semaphores(m, t) || copy_network(m, t) || begin_paths(m, memo, t)) {
    free_station(m, t);
    return emu_fail(m, NULL, E_MEMORY, "out of memory for fast-forward", 0, 0);
  }
  memo->count++;
  memo->recorded_at = m->instructions;
  memo->bytes += emu_state_words(m, f) * (int64_t)sizeof(int64_t);
  return 0;
}
