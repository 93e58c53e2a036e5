/* The machine's state as a list of numbers relative to now, and copies of it to come back to. */
#include <stdlib.h>
#include <string.h>
#include "forward.h"

static int64_t rel(const emu_machine *m, int64_t t) { return t > m->now ? t - m->now : 0; } /* what lies in the past has no effect */

/* A stream that waits for a token or a barrier goes on at a time not before now. One whose transfer is under way has issued it in the past
   and goes on from there: its clock counts as it stands. */
static int64_t issue_time(const emu_machine *m, const emu_stream *s) { return s->state == ON_QUEUE ? s->t - m->now : rel(m, s->t); }

/* Tokens of a core that could be taken before this time explain nothing and delay nobody. */
int64_t emu_token_floor(const emu_machine *m, int64_t core) {
  int64_t t = m->now;
  for (int k = 0; k < EMU_STREAM_COUNT; k++) {
    const emu_stream *s = &m->streams[core * EMU_STREAM_COUNT + k];
    if (m->words[k] && s->state == ON_QUEUE && s->t < t) t = s->t;
  }
  return t;
}

static int push(emu_forward *f, int64_t v) {
  if ((f->nwords & (f->nwords - 1)) == 0) { /* full at powers of two */
    int64_t *w = realloc(f->words, (size_t)(f->nwords ? 2 * f->nwords : 1) * sizeof *w);
    if (!w) return -1;
    f->words = w;
  }
  f->words[f->nwords++] = v;
  return 0;
}

#define PUSH(v) do { if (push(f, (v))) return -1; } while (0)

/* Of a descriptor all that can matter to a time or a count; its shape by number, if it has one. */
static int list_descriptor(emu_machine *m, emu_forward *f, emu_desc *d) {
  const int32_t shape = emu_shape_of(m, d);
  PUSH(shape);
  for (int j = AT_SHAPE_FIRST; !shape && j < AT_COUNT; j++) PUSH(d->f[j]);
  PUSH(d->f[AT_RING_SIZE]);
  PUSH(d->f[AT_RING_STEP]);
  PUSH(d->f[AT_ACCUMULATE]);
  return 0;
}

static int list_stream(emu_machine *m, emu_forward *f, emu_stream *s) {
  PUSH(s->pc | (int64_t)s->sp << 32 | (int64_t)s->state << 40 | (int64_t)s->label << 44);
  PUSH(s->root | s->nature << 8 | s->started << 16 | s->last_cause << 24 | (int64_t)s->full << 32);
  PUSH(s->blocked_on);
  PUSH(issue_time(m, s));
  PUSH(rel(m, s->free_at));
  PUSH(rel(m, s->last_start));
  PUSH(rel(m, s->complete));
  PUSH(s->wait_done);
  for (int d = 0; d < EMU_DESCRIPTORS; d++)
    if (f->used[s->kind] >> d & 1 && list_descriptor(m, f, &s->d[d])) return -1;
  for (int64_t j = 1; j <= m->c.dma_queue && s->state == ON_QUEUE; j++) {
    const int64_t begun = s->begun[(s->begun_at - j) & (EMU_QUEUE_MAX - 1)];
    PUSH(begun > s->t ? begun - m->now : INT64_MIN);
  }
  for (int l = 0; l < s->sp; l++) PUSH(s->loop[l].start | (int64_t)s->loop[l].end << 32);
  return 0;
}

/* Tokens that could be taken before `floor` only count: how many there are may differ from period to period (forward.c). Who will take one
   after the last signal matters to an overflow at the next, if there is one. */
static int list_semaphore(emu_machine *m, emu_forward *f, const emu_sem *q, int64_t floor, int64_t *old) {
  PUSH(q->waiter | (int64_t)q->need << 32);
  PUSH(q->full | (q->producer >= 0 && m->streams[q->producer].state == HALTED ? 0 : (int64_t)q->take_size << 8));
  const int64_t late = m->c.sem_cycles * m->c.period_fs;
  uint32_t j = 0;
  *old = 0;
  for (; j < q->size; j++) {
    const emu_token *k = &q->ring[(q->head + j) & (q->capacity - 1)];
    if (k->stream >= 0 && k->time + late > floor) break;
    *old += k->count;
  }
  PUSH(q->size - j);
  for (; j < q->size; j++) {
    const emu_token *k = &q->ring[(q->head + j) & (q->capacity - 1)];
    PUSH(k->count);
    PUSH(k->time - m->now);
    PUSH(k->data_end - m->now);
    PUSH(k->start - m->now);
    PUSH(k->nature | k->before << 8);
  }
  return 0;
}

static int list_flow(emu_machine *m, emu_forward *f, const emu_flow *x, int active) {
  PUSH(x->stream | (int64_t)active << 32);
  PUSH(x->start - m->now);
  PUSH(active ? x->left : 0);
  PUSH(active ? x->squeezed : 0);
  PUSH(x->limit);
  PUSH(x->bytes);
  PUSH(x->latency_fs);
  PUSH(x->via | (int64_t)x->signal << 8 | (int64_t)x->pc << 32);
  PUSH(x->label);
  return 0;
}

static int by_number(const void *a, const void *b) { return *(const int32_t *)a - *(const int32_t *)b; }

/* The machine as a list of numbers, without what may differ from one period to the next. Rates follow from the active transfers. */
int emu_list_machine(emu_machine *m, emu_forward *f) {
  f->nwords = 0;
  PUSH(m->now % m->c.period_fs); /* streams act on clock edges */
  PUSH(m->forgotten);            /* shapes are numbered anew */
  for (int64_t j = 0; j < emu_live_streams(m); j++)
    if (m->words[m->streams[j].kind] && list_stream(m, f, &m->streams[j])) return -1;
  for (int64_t j = 0; j < m->c.cores * m->nsems; j++)
    if (list_semaphore(m, f, &m->sems[j], emu_token_floor(m, j / m->nsems), &f->old[j])) return -1;
  for (int id = 0; id < EMU_BARRIERS; id++)
    if (m->barriers[id].mask) PUSH(m->barriers[id].arrived);
  qsort(m->active, (size_t)m->nactive, sizeof *m->active, by_number); /* no result depends on their order */
  qsort(m->pending, (size_t)m->npending, sizeof *m->pending, by_number);
  for (int64_t j = 0; j < m->nactive; j++)
    if (list_flow(m, f, &m->flows[m->active[j]], 1)) return -1;
  for (int64_t j = 0; j < m->npending; j++)
    if (list_flow(m, f, &m->flows[m->pending[j]], 0)) return -1;
  return 0;
}

static uint64_t mix(uint64_t h, int64_t v) {
  h = (h ^ (uint64_t)v) * UINT64_C(0x9e3779b97f4a7c15);
  return h ^ h >> 29;
}

int64_t emu_list_hash(const emu_forward *f) {
  uint64_t h[4] = {UINT64_C(0xcbf29ce484222325), 1, 2, 3}; /* four chains that do not wait for each other */
  for (int64_t j = 0; j < f->nwords; j++) h[j & 3] = mix(h[j & 3], f->words[j]);
  return (int64_t)mix(mix(h[0], (int64_t)h[1]), (int64_t)mix(h[2], (int64_t)h[3]));
}

/* Without what no comparison and no step asks for: most descriptors, and all shapes. */
static void copy_stream(emu_stream *to, const emu_stream *from, uint32_t used) {
  memcpy(to, from, offsetof(emu_stream, d));
  for (int d = 0; d < EMU_DESCRIPTORS; d++)
    if (used >> d & 1) memcpy(&to->d[d], &from->d[d], offsetof(emu_desc, f) + AT_SHAPE_FIRST * sizeof(int64_t));
}

int emu_keep_state(emu_machine *m, emu_forward *f, emu_state *k, int64_t hash) {
  const int64_t sems = m->c.cores * m->nsems;
  const size_t streams = (size_t)emu_live_streams(m) * sizeof *k->streams;
  if (!k->streams) {
    k->streams = aligned_alloc(64, streams);
    k->counters = malloc((size_t)f->ncounters * sizeof *k->counters);
    k->label_stalls = malloc((size_t)f->nlabel_stalls * sizeof *k->label_stalls);
    k->old = malloc((size_t)sems * sizeof *k->old);
    k->taken = malloc((size_t)sems * sizeof *k->taken);
  }
  int64_t *words = realloc(k->words, (size_t)f->nwords * sizeof *words);
  if (words) k->words = words;
  if (!words || !k->streams || !k->counters || !k->label_stalls || (sems && (!k->old || !k->taken))) return emu_fail(m, NULL, E_MEMORY, "out of memory for fast-forward", 0, 0);
  memcpy(k->words, f->words, (size_t)f->nwords * sizeof *words);
  for (int64_t j = 0; j < emu_live_streams(m); j++)
    if (m->words[m->streams[j].kind]) copy_stream(&k->streams[j], &m->streams[j], f->used[m->streams[j].kind]);
  memcpy(k->counters, m->counters, (size_t)f->ncounters * sizeof *k->counters);
  memcpy(k->label_stalls, m->label_stalls, (size_t)f->nlabel_stalls * sizeof *k->label_stalls);
  for (int64_t j = 0; j < sems; j++) k->old[j] = f->old[j], k->taken[j] = m->sems[j].taken;
  memcpy(k->barriers, m->barriers, sizeof k->barriers);
  memcpy(k->total_bytes, m->total_bytes, sizeof k->total_bytes);
  k->now = m->now;
  k->hash = hash;
  k->nwords = f->nwords;
  k->releases = m->nreleases;
  k->instructions = m->instructions;
  k->skipped = m->skipped;
  k->syncs = m->syncs;
  k->valid = 1;
  return 0;
}
