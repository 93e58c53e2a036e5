/* Exact fast-forward (SOUNDNESS 15). Between two steps of the network every stream is blocked, and the whole machine is a list of numbers.
   If that list, taken relative to now, equals an earlier one, what happened in between must happen again: what may differ is addresses,
   which no time depends on in `fast` without a cache, and the counts of hardware loops, as long as none reaches its end. So whole periods
   are skipped: times move on, event counters and stalls grow by what one period added, loop counts shrink, addresses step. Registers that
   can reach a count, an extent or a branch (relevance.c) must be equal; tables and non-affine arithmetic in the loop forbid the skip.

   Looked for whenever the anchor, a busy DMA stream, has ended a transfer, and at every nest level: a state is compared with the last few
   that were seen when the same loop level of the anchor had just advanced. */
#include <stdlib.h>
#include <string.h>
#include "machine.h"

#define KEPT 4          /* states kept for each nest level */
#define SEEN 16         /* brief hashes remembered for each nest level: a state is only listed in full when its brief hash returns */
#define IMPATIENT 512   /* steps without a sign of the anchor before another stream becomes it */
#define MOST_RELEASES 1000000

typedef struct { int64_t nwords, hash, releases, instructions, syncs, total_bytes[VIAS]; int64_t now; int valid; int64_t *counters, *label_stalls; emu_stream *streams; int64_t *words; } state;
struct emu_forward {
  uint32_t *live[EMU_STREAM_COUNT], used[EMU_STREAM_COUNT]; /* used: descriptors a stream's code names */
  state kept[EMU_MAX_LOOPS + 1][KEPT];
  int next[EMU_MAX_LOOPS + 1], next_seen[EMU_MAX_LOOPS + 1];
  int64_t seen[EMU_MAX_LOOPS + 1][SEEN];
  int32_t vain[EMU_MAX_LOOPS + 1], turn[EMU_MAX_LOOPS + 1]; /* full lists since the last skip at this level; chances passed over */
  int64_t nwords, *words, ncounters, nlabel_stalls;
  int32_t anchor, hit, waited, last_sp;
  emu_loop last[EMU_MAX_LOOPS];
};

static int64_t live_streams(const emu_machine *m) { return m->c.cores * EMU_STREAM_COUNT; }

int emu_forward_prepare(emu_machine *m) {
  emu_forward *f = calloc(1, sizeof *f);
  if (!f) return -1;
  m->forward = f;
  f->anchor = -1;
  for (int k = 0; k < EMU_STREAM_COUNT; k++) {
    if (!m->words[k]) continue;
    if (!(f->live[k] = calloc((size_t)m->words[k] + 1, sizeof **f->live))) return -1;
    const int identity = emu_relevance(m->code[k], m->words[k], f->live[k], NULL, 0);
    if (identity < 0) return -1;
    for (int32_t at = 0; at < m->words[k]; at++) {
      const emu_insn *i = &m->code[k][at];
      const int format = emu_op_info[i->op].format;
      if (format == EMU_WORD_E || format == EMU_WORD_F) f->used[k] |= UINT32_C(1) << i->d0;
      if (format == EMU_WORD_E) f->used[k] |= UINT32_C(1) << i->d1 | UINT32_C(1) << i->d2;
      if (i->op == EMU_OP_RSIGNAL || i->op == EMU_OP_DMAM || (i->op == EMU_OP_DSET && i->field == AT_SPACE && i->imm == EMU_SP_PEER)) m->c.forward = 0;
    }
  }
  f->ncounters = (m->folded ? m->c.cores : 1) * m->nlabels * COUNTERS;
  f->nlabel_stalls = m->nlabels * EMU_STREAM_COUNT * CAUSES;
  if (!m->c.forward) emu_forward_free(m);
  return 0;
}

void emu_forward_free(emu_machine *m) {
  emu_forward *f = m->forward;
  if (!f) return;
  for (int k = 0; k < EMU_STREAM_COUNT; k++) free(f->live[k]);
  for (int l = 0; l <= EMU_MAX_LOOPS; l++)
    for (int j = 0; j < KEPT; j++) {
      free(f->kept[l][j].counters);
      free(f->kept[l][j].label_stalls);
      free(f->kept[l][j].streams);
      free(f->kept[l][j].words);
    }
  free(f->words);
  free(f);
  m->forward = NULL;
}

/* A transfer of stream s has ended. */
void emu_forward_note(emu_machine *m, const emu_stream *s) {
  emu_forward *f = m->forward;
  if (f->anchor != s->id && (f->anchor >= 0 && f->waited++ < IMPATIENT)) return;
  if (!s->sp) return;
  if (f->anchor != s->id) f->last_sp = 0;
  f->anchor = s->id;
  f->waited = 0;
  f->hit = 1;
}

/* Which loop level of the anchor advanced since it was looked at last: the outermost one whose count changed. */
static int advanced_level(emu_forward *f, const emu_stream *s) {
  int level = EMU_MAX_LOOPS;
  for (int j = 0; j < s->sp && j < f->last_sp; j++) {
    if (s->loop[j].start != f->last[j].start) break;
    if (s->loop[j].left != f->last[j].left) {
      level = j;
      break;
    }
  }
  memcpy(f->last, s->loop, sizeof f->last);
  f->last_sp = s->sp;
  return level;
}

static int64_t rel(const emu_machine *m, int64_t t) { return t > m->now ? t - m->now : 0; } /* what lies in the past has no effect */

/* A stream that waits for a token or a barrier goes on at a time not before now. One whose transfer is under way has issued it in the past
   and goes on from there: its clock counts as it stands. */
static int64_t issue_time(const emu_machine *m, const emu_stream *s) { return s->state == ON_QUEUE ? s->t - m->now : rel(m, s->t); }

/* Tokens of a core that could be taken before this time explain nothing and delay nobody. */
static int64_t floor_of(const emu_machine *m, int64_t core) {
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

static int list_stream(emu_machine *m, emu_forward *f, const emu_stream *s) {
  PUSH(s->pc | (int64_t)s->sp << 32 | (int64_t)s->state << 40 | (int64_t)s->label << 44);
  PUSH(s->root | s->nature << 8 | s->started << 16 | s->last_cause << 24 | (int64_t)s->full << 32);
  PUSH(s->blocked_on);
  PUSH(issue_time(m, s));
  PUSH(rel(m, s->free_at));
  PUSH(rel(m, s->last_start));
  PUSH(rel(m, s->complete));
  PUSH(s->wait_done);
  const uint32_t live = s->state == HALTED ? 0 : f->live[s->kind][s->pc];
  for (int r = 1; r < EMU_REGISTERS; r++)
    if (live >> r & 1) PUSH(s->r[r]);
  for (int d = 0; d < EMU_DESCRIPTORS; d++) {
    if (!(f->used[s->kind] >> d & 1)) continue;
    for (int j = 0; j < AT_COUNT; j++)
      if (j != AT_BASE && j != AT_RING_LO) PUSH(s->d[d].f[j]);
  }
  for (int l = 0; l < s->sp; l++) PUSH(s->loop[l].start | (int64_t)s->loop[l].end << 32);
  return 0;
}

static int list_semaphore(emu_machine *m, emu_forward *f, const emu_sem *q, int64_t floor) {
  PUSH(q->size | (int64_t)q->count << 32);
  PUSH(q->waiter | (int64_t)q->need << 32);
  PUSH(q->full | (int64_t)q->take_size << 8);
  const int64_t late = m->c.sem_cycles * m->c.period_fs;
  for (uint32_t j = 0; j < q->size; j++) {
    const emu_token *k = &q->ring[(q->head + j) & (q->capacity - 1)];
    const int matters = k->stream >= 0 && k->time + late > floor;
    PUSH(k->count | (int64_t)matters << 32);
    if (!matters) continue;
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
static int list_machine(emu_machine *m, emu_forward *f) {
  f->nwords = 0;
  PUSH(m->now % m->c.period_fs); /* streams act on clock edges */
  for (int64_t j = 0; j < live_streams(m); j++)
    if (m->words[m->streams[j].kind] && list_stream(m, f, &m->streams[j])) return -1;
  for (int64_t j = 0; j < m->c.cores * m->nsems; j++)
    if (list_semaphore(m, f, &m->sems[j], floor_of(m, j / m->nsems))) return -1;
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

/* Where the streams stand and how far the transfers are: enough to tell most states apart. */
static int64_t brief(const emu_machine *m) {
  uint64_t h = mix(UINT64_C(0xcbf29ce484222325), m->now % m->c.period_fs), flows = 0;
  for (int64_t j = 0; j < live_streams(m); j++) {
    const emu_stream *s = &m->streams[j];
    if (!m->words[s->kind]) continue;
    h = mix(h, s->pc | (int64_t)s->sp << 32 | (int64_t)s->state << 40);
    h = mix(h, issue_time(m, s));
    h = mix(h, rel(m, s->complete));
  }
  for (int64_t j = 0; j < m->nactive; j++) flows += mix(1, m->flows[m->active[j]].left ^ m->active[j]);
  for (int64_t j = 0; j < m->npending; j++) flows += mix(2, (m->flows[m->pending[j]].start - m->now) ^ m->pending[j]);
  return (int64_t)mix(h, (int64_t)flows);
}

/* Whether a state with this brief hash was seen lately at this level; now it was. */
static int seen_before(emu_forward *f, int level, int64_t h) {
  for (int j = 0; j < SEEN; j++)
    if (f->seen[level][j] == h) return 1;
  f->seen[level][f->next_seen[level]] = h;
  f->next_seen[level] = (f->next_seen[level] + 1) % SEEN;
  return 0;
}

static int64_t hash_of(const emu_forward *f) {
  uint64_t h = UINT64_C(0xcbf29ce484222325);
  for (int64_t j = 0; j < f->nwords; j++) h = mix(h, f->words[j]);
  return (int64_t)h;
}

static int keep(emu_machine *m, emu_forward *f, state *k, int64_t hash) {
  const size_t streams = (size_t)live_streams(m) * sizeof *k->streams;
  if (!k->streams) {
    k->streams = aligned_alloc(64, streams);
    k->counters = malloc((size_t)f->ncounters * sizeof *k->counters);
    k->label_stalls = malloc((size_t)f->nlabel_stalls * sizeof *k->label_stalls);
  }
  int64_t *words = realloc(k->words, (size_t)f->nwords * sizeof *words);
  if (words) k->words = words;
  if (!words || !k->streams || !k->counters || !k->label_stalls) return emu_fail(m, NULL, E_MEMORY, "out of memory for fast-forward", 0, 0);
  memcpy(k->words, f->words, (size_t)f->nwords * sizeof *words);
  for (int64_t j = 0; j < live_streams(m); j++)
    if (m->words[m->streams[j].kind]) k->streams[j] = m->streams[j];
  memcpy(k->counters, m->counters, (size_t)f->ncounters * sizeof *k->counters);
  memcpy(k->label_stalls, m->label_stalls, (size_t)f->nlabel_stalls * sizeof *k->label_stalls);
  memcpy(k->total_bytes, m->total_bytes, sizeof k->total_bytes);
  k->now = m->now;
  k->hash = hash;
  k->nwords = f->nwords;
  k->releases = m->nreleases;
  k->instructions = m->instructions;
  k->syncs = m->syncs;
  k->valid = 1;
  return 0;
}

/* A stream that did nothing at all in between: it stays as it is, in absolute time. */
static int frozen(const emu_stream *a, const emu_stream *b) {
  return a->scalars == b->scalars && a->instructions == b->instructions && a->t == b->t && a->acct == b->acct && a->pc == b->pc &&
         a->complete == b->complete && a->wait_done == b->wait_done && !memcmp(a->loop, b->loop, sizeof a->loop);
}

/* An address in the words of a loop that does not step evenly, because it comes from a table or from more than sums and multiples. (Where
   such a value can reach a time, its sources are compared.) */
static int uneven(const emu_insn *code, const uint32_t *live, int32_t from, int32_t to) {
  for (int32_t at = from; at < to; at++)
    switch (code[at].op) {
      case EMU_OP_LDPX: case EMU_OP_LDS: case EMU_OP_LIH: case EMU_OP_MUL: case EMU_OP_MIN: case EMU_OP_MAX: case EMU_OP_MINI: case EMU_OP_MAXI:
      case EMU_OP_AND: case EMU_OP_OR: case EMU_OP_XOR: case EMU_OP_SHRI:
        if (!(live[at + 1] >> code[at].rd & 1)) return 1;
        break;
      default: break;
    }
  return 0;
}

/* How many times the stream can repeat what it did between a and b: 0 if not at all. *level: the loop that counts the repetitions. */
static int64_t repeats(const emu_machine *m, const emu_stream *a, const emu_stream *b, int *level) {
  *level = -1;
  for (int l = 0; l < b->sp; l++) {
    if (a->loop[l].left == b->loop[l].left) continue;
    if (*level >= 0) return 0;
    *level = l;
  }
  if (*level < 0 || a->loop[*level].left < b->loop[*level].left) return 0;
  const emu_loop *loop = &b->loop[*level];
  return uneven(m->code[b->kind], m->forward->live[b->kind], loop->start, loop->end) ? 0 : (loop->left - 1) / (a->loop[*level].left - loop->left);
}

/* Times that are not compared as they stand (they only explain waits) must have moved with the period. */
static int moved(const emu_stream *a, const emu_stream *b, int64_t period) {
  return b->acct - a->acct == period && b->op_start - a->op_start == period && b->op_data_end - a->op_data_end == period;
}

static int64_t possible(emu_machine *m, const state *k) {
  const int64_t period = m->now - k->now;
  int64_t n = INT64_MAX;
  if (period <= 0) return 0;
  for (int64_t j = 0; j < live_streams(m); j++) {
    const emu_stream *a = &k->streams[j], *b = &m->streams[j];
    int level;
    if (!m->words[b->kind] || frozen(a, b)) continue;
    if (!moved(a, b, period)) return 0;
    const int64_t mine = repeats(m, a, b, &level);
    if (mine < n) n = mine;
    if (!n) return 0;
  }
  for (int id = 0; id < EMU_BARRIERS; id++) /* who waits at a barrier froze there; a barrier that is half reached in the period is not handled */
    if (m->barriers[id].arrived && m->barriers[id].time > k->now) return 0;
  const int64_t releases = m->nreleases - k->releases;
  if (releases && n > MOST_RELEASES / releases) n = MOST_RELEASES / releases;
  return n == INT64_MAX ? 0 : n > (EMU_TIME_MAX - m->now) / period ? 0 : n;
}

static int64_t ring_step(const emu_desc *a, const emu_desc *b, int64_t n) {
  const int64_t lo = b->f[AT_RING_LO], size = b->f[AT_RING_SIZE], step = ((b->f[AT_BASE] - a->f[AT_BASE]) % size + size) % size;
  return lo + (int64_t)((unsigned __int128)(b->f[AT_BASE] - lo) + (unsigned __int128)step * (unsigned __int128)n) % size;
}

static int walks_ring(const emu_insn *code, const emu_loop *loop, int d) {
  for (int32_t at = loop->start; at < loop->end; at++)
    if (code[at].op == EMU_OP_DNEXT && code[at].d0 == d) return 1;
  return 0;
}

/* Another operation of the loop may use the descriptor for a ring, and leave the ring's bounds behind. */
static int inside_ring(const emu_desc *x) {
  return x->f[AT_BASE] >= x->f[AT_RING_LO] && x->f[AT_BASE] - x->f[AT_RING_LO] < x->f[AT_RING_SIZE];
}

static void shift_stream(emu_machine *m, const emu_stream *a, emu_stream *b, int level, int64_t n, int64_t span) {
  const emu_loop *loop = &b->loop[level];
  for (int r = 1; r < EMU_REGISTERS; r++) b->r[r] = (int64_t)((uint64_t)b->r[r] + (uint64_t)n * ((uint64_t)b->r[r] - (uint64_t)a->r[r]));
  for (int d = 0; d < EMU_DESCRIPTORS; d++) {
    emu_desc *x = &b->d[d];
    const emu_desc *y = &a->d[d];
    const int ring = walks_ring(m->code[b->kind], loop, d) && x->f[AT_RING_LO] == y->f[AT_RING_LO] && inside_ring(x) && inside_ring(y);
    if (ring) x->f[AT_BASE] = ring_step(y, x, n);
    else x->f[AT_BASE] += n * (x->f[AT_BASE] - y->f[AT_BASE]);
    x->f[AT_RING_LO] += n * (x->f[AT_RING_LO] - y->f[AT_RING_LO]);
  }
  b->loop[level].left -= n * (a->loop[level].left - b->loop[level].left);
  b->scalars += n * (b->scalars - a->scalars);
  b->instructions += n * (b->instructions - a->instructions);
  for (int c = 0; c < CAUSES; c++) {
    b->stall[c] += n * (b->stall[c] - a->stall[c]);
    b->root_stall[c] += n * (b->root_stall[c] - a->root_stall[c]);
  }
  b->t += span;
  b->acct += span;
  b->free_at += span;
  b->last_start += span;
  b->complete += span;
  b->op_start += span;
  b->op_data_end += span;
}

static void shift_semaphore(emu_machine *m, emu_sem *q, int64_t floor, int64_t span, int64_t since) {
  const int64_t late = m->c.sem_cycles * m->c.period_fs;
  for (uint32_t j = 0; j < q->size; j++) {
    emu_token *k = &q->ring[(q->head + j) & (q->capacity - 1)];
    if (k->stream < 0 || k->time + late <= floor) continue;
    k->time += span;
    k->data_end += span;
    k->start += span;
  }
  for (uint32_t j = 0; j < q->take_size; j++) q->takes[(q->take_head + j) & (q->take_capacity - 1)].time += span;
  if (q->last_signal > since) q->last_signal += span;
}

static int shift_releases(emu_machine *m, const state *k, int64_t n, int64_t period) {
  const int64_t from = k->releases, each = m->nreleases - from, need = m->nreleases + n * each;
  if (!each) return 0;
  if (need > m->creleases) {
    emu_release *r = realloc(m->releases, (size_t)need * sizeof *r);
    if (!r) return emu_fail(m, NULL, E_MEMORY, "out of memory", 0, 0);
    m->releases = r;
    m->creleases = need;
  }
  for (int64_t j = 0; j < n; j++)
    for (int64_t e = 0; e < each; e++) {
      emu_release r = m->releases[from + e];
      r.time += (j + 1) * period;
      m->releases[m->nreleases++] = r;
    }
  return 0;
}

static int skip(emu_machine *m, emu_forward *f, const state *k, int64_t n) {
  const int64_t period = m->now - k->now, span = n * period;
  for (int64_t j = 0; j < m->c.cores * m->nsems; j++) shift_semaphore(m, &m->sems[j], floor_of(m, j / m->nsems), span, k->now);
  for (int64_t j = 0; j < live_streams(m); j++) {
    const emu_stream *a = &k->streams[j];
    emu_stream *b = &m->streams[j];
    int level;
    if (!m->words[b->kind] || frozen(a, b)) continue;
    repeats(m, a, b, &level);
    shift_stream(m, a, b, level, n, span);
  }
  for (int64_t j = 0; j < m->nactive; j++) m->flows[m->active[j]].start += span, m->flows[m->active[j]].finish += span;
  for (int64_t j = 0; j < m->npending; j++) m->flows[m->pending[j]].start += span;
  for (int64_t j = 0; j < f->ncounters; j++) m->counters[j] += n * (m->counters[j] - k->counters[j]);
  for (int64_t j = 0; j < f->nlabel_stalls; j++) m->label_stalls[j] += n * (m->label_stalls[j] - k->label_stalls[j]);
  for (int v = 0; v < VIAS; v++) m->total_bytes[v] += n * (m->total_bytes[v] - k->total_bytes[v]);
  m->skipped += n * (m->instructions - k->instructions);
  if (shift_releases(m, k, n, period)) return -1;
  m->now += span;
  m->next_start += m->npending ? span : 0;
  m->next_finish += m->nactive ? span : 0;
  m->unchecked = 1;
  return 0;
}

/* Between two steps, when the anchor has ended a transfer: has the machine been here before? */
int emu_forward_try(emu_machine *m) {
  emu_forward *f = m->forward;
  if (!f->hit) return 0;
  f->hit = 0;
  const int level = advanced_level(f, &m->streams[f->anchor]);
  const int doublings = f->vain[level] / 16 < 10 ? f->vain[level] / 16 : 10; /* the longer in vain, the rarer: what is skipped stays exact */
  if ((f->turn[level]++ & ((1 << doublings) - 1)) || !seen_before(f, level, brief(m))) return 0;
  f->vain[level]++;
  if (list_machine(m, f)) return emu_fail(m, NULL, E_MEMORY, "out of memory for fast-forward", 0, 0);
  const int64_t hash = hash_of(f);
  for (int back = 1; back <= KEPT; back++) {
    const state *k = &f->kept[level][(f->next[level] + KEPT - back) % KEPT];
    if (!k->valid || k->hash != hash || k->nwords != f->nwords || memcmp(k->words, f->words, (size_t)f->nwords * sizeof *f->words)) continue;
    const int64_t n = possible(m, k);
    if (n > 0) {
      f->vain[level] = 0;
      return skip(m, f, k, n);
    }
  }
  state *k = &f->kept[level][f->next[level]];
  f->next[level] = (f->next[level] + 1) % KEPT;
  return keep(m, f, k, hash);
}
