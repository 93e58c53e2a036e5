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

/* Room for so many words behind those written; each part of the list then writes through a pointer. */
static int64_t *room(emu_forward *f, int64_t more) {
  if (f->nwords + more > f->room) {
    const int64_t room = 2 * (f->nwords + more);
    int64_t *w = realloc(f->words, (size_t)room * sizeof *w);
    if (!w) return NULL;
    f->words = w;
    f->room = room;
  }
  return f->words + f->nwords;
}

/* Of a descriptor all that can matter to a time or a count; its shape by number, if it has one. */
static int64_t *list_descriptor(emu_machine *m, int64_t *w, emu_desc *d) {
  const int32_t shape = d->shape ? d->shape : emu_shape_of(m, d);
  *w++ = shape;
  for (int j = AT_SHAPE_FIRST; !shape && j < AT_COUNT; j++) *w++ = d->f[j];
  *w++ = d->f[AT_RING_SIZE];
  *w++ = d->f[AT_RING_STEP];
  *w++ = d->f[AT_ACCUMULATE];
  return w;
}

#define STREAM_WORDS (8 + EMU_DESCRIPTORS * (4 + AT_COUNT) + EMU_QUEUE_MAX + EMU_MAX_LOOPS)
static int64_t *list_stream(emu_machine *m, const emu_forward *f, int64_t *w, emu_stream *s) {
  *w++ = s->pc | (int64_t)s->sp << 32 | (int64_t)s->state << 40 | (int64_t)s->label << 44;
  *w++ = s->root | s->nature << 8 | s->started << 16 | s->last_cause << 24 | (int64_t)s->full << 32;
  *w++ = s->blocked_on;
  *w++ = issue_time(m, s);
  *w++ = rel(m, s->free_at);
  *w++ = rel(m, s->last_start);
  *w++ = rel(m, s->complete);
  *w++ = s->wait_done;
  for (uint32_t used = f->used[s->kind]; used; used &= used - 1) w = list_descriptor(m, w, &s->d[__builtin_ctz(used)]);
  for (int64_t j = 1; j <= m->c.dma_queue && s->state == ON_QUEUE; j++) {
    const int64_t begun = s->begun[(s->begun_at - j) & (EMU_QUEUE_MAX - 1)];
    *w++ = begun > s->t ? begun - m->now : INT64_MIN;
  }
  for (int l = 0; l < s->sp; l++) *w++ = s->loop[l].start | (int64_t)s->loop[l].end << 32;
  return w;
}

/* Tokens that could be taken before `floor` only count: how many there are may differ from period to period (forward.c). Who will take one
   after the last signal matters to an overflow at the next, if there is one. */
uint32_t emu_old_entries(const emu_machine *m, const emu_sem *q, int64_t floor) {
  const int64_t late = m->c.sem_cycles * m->c.period_fs;
  uint32_t j = 0;
  for (; j < q->size; j++) {
    const emu_token *k = &q->ring[(q->head + j) & (q->capacity - 1)];
    if (k->stream >= 0 && k->time + late > floor) break;
  }
  return j;
}

#define SEMAPHORE_WORDS(q) (3 + 5 * (int64_t)(q)->size)
static int64_t *list_semaphore(const emu_machine *m, int64_t *w, const emu_sem *q, int64_t floor, int64_t *old) {
  *w++ = q->waiter | (int64_t)q->need << 32;
  *w++ = q->full | (q->producer >= 0 && m->streams[q->producer].state == HALTED ? 0 : (int64_t)q->take_size << 8);
  const uint32_t first = emu_old_entries(m, q, floor);
  uint32_t j = 0;
  for (*old = 0; j < first; j++) *old += q->ring[(q->head + j) & (q->capacity - 1)].count;
  *w++ = q->size - j;
  for (; j < q->size; j++) {
    const emu_token *k = &q->ring[(q->head + j) & (q->capacity - 1)];
    *w++ = k->count;
    *w++ = k->time - m->now;
    *w++ = k->data_end - m->now;
    *w++ = k->start - m->now;
    *w++ = k->nature | k->before << 8;
  }
  return w;
}

#define FLOW_WORDS 9
static int64_t *list_flow(const emu_machine *m, int64_t *w, const emu_flow *x, int active) {
  *w++ = x->stream | (int64_t)active << 32;
  *w++ = x->start - m->now;
  *w++ = active ? x->left : 0;
  *w++ = active ? x->squeezed : 0;
  *w++ = x->limit;
  *w++ = x->bytes;
  *w++ = x->latency_fs;
  *w++ = x->via | (int64_t)x->signal << 8 | (int64_t)x->pc << 32;
  *w++ = x->label | (int64_t)x->cost << 32;
  return w;
}

/* The machine as a list of numbers, without what may differ from one period to the next. Rates follow from the active transfers. */
int emu_list_machine(emu_machine *m, emu_forward *f) {
  int64_t *w;
  f->nwords = 0;
  if (!(w = room(f, 2 + m->nbarriers))) return -1;
  *w++ = m->now % m->c.period_fs; /* streams act on clock edges */
  *w++ = m->forgotten;            /* shapes are numbered anew */
  for (int id = 0; id < m->nbarriers; id++)
    if (m->barriers[id].mask) *w++ = m->barriers[id].arrived;
  f->nwords = w - f->words;
  for (int64_t j = 0; j < emu_live_streams(m); j++) {
    if (!m->words[m->streams[j].kind]) continue;
    if (!(w = room(f, STREAM_WORDS))) return -1;
    f->nwords = list_stream(m, f, w, &m->streams[j]) - f->words;
  }
  for (int64_t core = 0, j = 0; core < m->c.cores; core++) {
    const int64_t floor = emu_token_floor(m, core);
    for (int64_t e = 0; e < m->nsems; e++, j++) {
      if (!(w = room(f, SEMAPHORE_WORDS(&m->sems[j])))) return -1;
      f->nwords = list_semaphore(m, w, &m->sems[j], floor, &f->old[j]) - f->words;
    }
  }
  emu_fluid_settle(m);
  qsort(m->pending, (size_t)m->npending, sizeof *m->pending, emu_by_number);
  if (!(w = room(f, FLOW_WORDS * (m->nactive + m->npending)))) return -1;
  for (int64_t j = 0; j < m->nactive; j++) w = list_flow(m, w, &m->flows[m->active[j]], 1);
  for (int64_t j = 0; j < m->npending; j++) w = list_flow(m, w, &m->flows[m->pending[j]], 0);
  f->nwords = w - f->words;
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

int emu_same_words(const emu_forward *f, const int64_t *words, int64_t n) { return n == f->nwords && !memcmp(words, f->words, (size_t)n * sizeof *words); }

int emu_same_state(const emu_forward *f, const emu_state *k) { return k->valid && emu_same_words(f, k->words, k->nwords); }

/* The machine has come to a state that was listed before. */
int emu_set_words(emu_forward *f, const int64_t *words, int64_t n) {
  f->nwords = 0;
  if (!room(f, n)) return -1;
  memcpy(f->words, words, (size_t)n * sizeof *f->words);
  f->nwords = n;
  return 0;
}

/* What it takes to keep a state, in words. */
int64_t emu_state_words(const emu_machine *m, const emu_forward *f) {
  return f->nwords + f->ncounters + f->nlabel_stalls + f->nstreams * (int64_t)(sizeof(emu_stream) / sizeof(int64_t)) / 4 + m->c.cores * m->nsems * (int64_t)(sizeof(emu_sem) / sizeof(int64_t));
}

void emu_free_state(emu_state *k) {
  free(k->counters);
  free(k->label_stalls);
  free(k->streams);
  free(k->words);
  free(k->old);
  free(k->taken);
  free(k->barriers);
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
    k->barriers = malloc((size_t)(m->nbarriers + 1) * sizeof *k->barriers);
  }
  int64_t *words = realloc(k->words, (size_t)f->nwords * sizeof *words);
  if (words) k->words = words;
  if (!words || !k->streams || !k->counters || !k->label_stalls || !k->barriers || (sems && (!k->old || !k->taken))) return emu_fail(m, NULL, E_MEMORY, "out of memory for fast-forward", 0, 0);
  memcpy(k->words, f->words, (size_t)f->nwords * sizeof *words);
  for (int64_t j = 0; j < emu_live_streams(m); j++)
    if (m->words[m->streams[j].kind]) copy_stream(&k->streams[j], &m->streams[j], f->used[m->streams[j].kind]);
  memcpy(k->counters, m->counters, (size_t)f->ncounters * sizeof *k->counters);
  memcpy(k->label_stalls, m->label_stalls, (size_t)f->nlabel_stalls * sizeof *k->label_stalls);
  for (int64_t j = 0; j < sems; j++) k->old[j] = f->old[j], k->taken[j] = m->sems[j].taken;
  memcpy(k->barriers, m->barriers, (size_t)m->nbarriers * sizeof *k->barriers);
  memcpy(k->total_bytes, m->total_bytes, sizeof k->total_bytes);
  k->now = m->now;
  k->hash = hash;
  k->nwords = f->nwords;
  k->releases = m->nreleases;
  k->instructions = m->instructions;
  k->skipped = m->skipped;
  k->valid = 1;
  return 0;
}
