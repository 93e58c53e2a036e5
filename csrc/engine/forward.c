/* Exact fast-forward (SOUNDNESS 15). Between two steps of the network every stream is blocked, and the whole machine is a list of numbers.
   If that list, taken relative to now, equals an earlier one, what happened in between must happen again: what may differ is addresses,
   which no time depends on in `fast` without a cache, and the counts of hardware loops, as long as none reaches its end. So whole periods
   are skipped: times move on, event counters and stalls grow by what one period added, loop counts shrink, addresses step. Registers that
   can reach a count, an extent or a branch (relevance.c) must be equal; tables and non-affine arithmetic in the loop forbid the skip.

   Looked for whenever the anchor, a busy DMA stream, has ended a transfer, and at every nest level: a state is compared with the last few
   that were seen when the same loop level of the anchor had just advanced. */
#include <stdlib.h>
#include <string.h>
#include "memo.h"

#define IMPATIENT 512   /* steps without a sign of the anchor before another stream becomes it */
#define MOST_RELEASES 1000000
#define ALLOWANCE 200000 /* words listed before anybody asks whether it was worth it */
#define RARE 16         /* listings that would be worth their cost since the last one: then a state is kept at once */
#define WORDS_PER_INSTRUCTION 256 /* at first a state is listed when so few instructions have run since the last that both cost about the same twice over */

#define LONG_RUN 128         /* engine instructions, hardly any skipped, after which it is worth while to remember what happened */
#define MOST_STREAMS 8
#define PATIENCE 32          /* stations in vain until they are set half as often */
#define MOST_DOUBLINGS 10
#define FEW_PERIODS 8        /* no watch for so few, if they can be walked again */

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
      const int format = emu_info(m, i->op)->format;
      if (format == EMU_WORD_E || format == EMU_WORD_F) f->used[k] |= UINT32_C(1) << i->d0;
      if (format == EMU_WORD_E) f->used[k] |= UINT32_C(1) << i->d1 | UINT32_C(1) << i->d2;
      if (i->op == EMU_OP_RSIGNAL || i->op == EMU_OP_CSIGNAL || i->op == EMU_OP_DMAM || i->op == EMU_OP_LDS || emu_is_net(i->op) || m->c.chips > 1 ||
          (i->op == EMU_OP_DSET && i->field == AT_SPACE && i->imm == EMU_SP_PEER))
        m->c.forward = 0;
    }
  }
  f->old = calloc((size_t)(m->c.cores * m->nsems + 1), sizeof *f->old);
  if (!f->old || !(f->watch = emu_watch_new(m))) return -1;
  f->ncounters = (m->folded ? m->c.cores : 1) * m->nlabels * COUNTERS;
  f->nlabel_stalls = m->nlabels * EMU_STREAM_COUNT * CAUSES;
  for (int k = 0; k < EMU_STREAM_COUNT; k++) f->nstreams += m->words[k] ? m->c.cores : 0;
  if (m->sram_level) m->c.forward = 0; /* an engine's end is then not known when it begins */
  if (!m->c.forward) emu_forward_free(m);
  return 0;
}

void emu_forward_free(emu_machine *m) {
  emu_forward *f = m->forward;
  if (!f) return;
  for (int k = 0; k < EMU_STREAM_COUNT; k++) free(f->live[k]);
  for (int l = 0; l <= EMU_MAX_LOOPS; l++)
    for (int j = 0; j < EMU_STATES_KEPT; j++) emu_free_state(&f->kept[l][j]);
  emu_free_state(&f->from);
  emu_watch_free(f->watch);
  emu_memo_free(m, f->memo);
  free(f->words);
  free(f->old);
  free(f);
  m->forward = NULL;
}

/* A transfer of stream s has ended. */
void emu_forward_note(emu_machine *m, const emu_stream *s) {
  emu_forward *f = m->forward;
  if (f->anchor != s->id && (m->watch || (f->anchor >= 0 && f->waited++ < IMPATIENT))) return;
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

/* Registers that can reach a time from where the stream stands; at the end of a body that is also its start. */
static uint32_t live_now(const emu_machine *m, const emu_stream *s) {
  const uint32_t *all = m->forward->live[s->kind];
  uint32_t live = s->state == HALTED ? 0 : all[s->pc];
  for (int l = 0; l < s->sp; l++)
    if (s->loop[l].end == s->pc) live |= all[s->loop[l].start];
  return live;
}

/* Registers that can reach a time are the same as a period ago, and addresses step evenly: what the words do needs no watching. */
static int plain(const emu_machine *m, const emu_stream *a, const emu_stream *b, int level) {
  const uint32_t live = live_now(m, b);
  for (int r = 1; r < EMU_REGISTERS; r++)
    if (live >> r & 1 && a->r[r] != b->r[r]) return 0;
  return !uneven(m->code[b->kind], m->forward->live[b->kind], b->loop[level].start, b->loop[level].end);
}

/* How many times the stream can repeat what it did between a and b: 0 if not at all. *level: the loop that counts the repetitions. */
static int64_t repeats(const emu_stream *a, const emu_stream *b, int *level) {
  *level = -1;
  for (int l = 0; l < b->sp; l++) {
    if (a->loop[l].left == b->loop[l].left) continue;
    if (*level >= 0) return 0;
    *level = l;
  }
  if (*level < 0 || a->loop[*level].left < b->loop[*level].left) return 0;
  return (b->loop[*level].left - 1) / (a->loop[*level].left - b->loop[*level].left);
}

/* Times that are not compared as they stand (they only explain waits) must have moved with the period. */
static int moved(const emu_stream *a, const emu_stream *b, int64_t period) {
  return b->acct - a->acct == period && b->op_start - a->op_start == period && b->op_data_end - a->op_data_end == period;
}

/* Who waits at a barrier came to it before the period and stays there, or came in it as in the period before. */
static int barriers_repeat(const emu_machine *m, const emu_state *k, int64_t period) {
  for (int id = 0; id < m->nbarriers; id++) {
    const emu_barrier *a = &k->barriers[id], *b = &m->barriers[id];
    if (!b->arrived || a->time == b->time) continue;
    if (b->time - a->time != period || b->data_end - a->data_end != period || b->start - a->start != period) return 0;
    if (a->nature != b->nature || a->before != b->before) return 0;
  }
  return 1;
}

/* Tokens that only count may become more or fewer with each period, as long as all that a period takes are such. */
static int64_t tokens_last(const emu_machine *m, const emu_forward *f, const emu_state *k) {
  int64_t n = INT64_MAX;
  for (int64_t j = 0; j < m->c.cores * m->nsems; j++) {
    const emu_sem *q = &m->sems[j];
    const int64_t more = f->old[j] - k->old[j], taken = q->taken - k->taken[j];
    if (!more) continue;
    if (q->waiter >= 0 || q->full || k->old[j] < taken || f->old[j] < taken) return 0;
    const int64_t mine = more < 0 ? (f->old[j] - taken) / -more + 1 : (EMU_MAX_TOKENS - q->count - q->later) / more;
    if (mine < n) n = mine;
  }
  return n;
}

/* How many more times what happened since k can happen; *watched: only if a watch of one of them says so. */
static int64_t possible(emu_machine *m, const emu_state *k, int *watched) {
  const int64_t period = m->now - k->now;
  int64_t n = INT64_MAX;
  *watched = 0;
  if (period <= 0) return 0;
  for (int64_t j = 0; j < emu_live_streams(m); j++) {
    const emu_stream *a = &k->streams[j], *b = &m->streams[j];
    int level;
    if (!m->words[b->kind] || frozen(a, b)) continue;
    if (!moved(a, b, period)) return 0;
    const int64_t mine = repeats(a, b, &level);
    if (mine < n) n = mine;
    if (!n) return 0;
    *watched |= !plain(m, a, b, level);
  }
  if (!barriers_repeat(m, k, period)) return 0;
  const int64_t tokens = n == INT64_MAX ? 0 : tokens_last(m, m->forward, k);
  if (tokens < n) n = tokens;
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

/* steps: what each register gains in a period, if it was watched. */
static void shift_stream(emu_machine *m, const emu_stream *a, emu_stream *b, int level, int64_t n, int64_t span, const int64_t *steps) {
  const emu_loop *loop = &b->loop[level];
  for (int r = 1; r < EMU_REGISTERS; r++) {
    const uint64_t step = steps ? (uint64_t)steps[r] : (uint64_t)b->r[r] - (uint64_t)a->r[r];
    b->r[r] = (int64_t)((uint64_t)b->r[r] + (uint64_t)n * step);
  }
  for (int d = 0; d < EMU_DESCRIPTORS; d++) {
    if (!(m->forward->used[b->kind] >> d & 1)) continue;
    emu_desc *x = &b->d[d];
    const emu_desc *y = &a->d[d];
    const int ring = walks_ring(m->code[b->kind], loop, d) && x->f[AT_RING_LO] == y->f[AT_RING_LO] && inside_ring(x) && inside_ring(y);
    if (ring) x->f[AT_BASE] = ring_step(y, x, n);
    else x->f[AT_BASE] += n * (x->f[AT_BASE] - y->f[AT_BASE]);
    x->f[AT_RING_LO] += n * (x->f[AT_RING_LO] - y->f[AT_RING_LO]);
    for (int j = AT_SCALAR; j <= AT_SCALE; j++) x->f[j] = (int64_t)((uint64_t)x->f[j] + (uint64_t)n * ((uint64_t)x->f[j] - (uint64_t)y->f[j]));
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
  for (int j = 0; j < EMU_QUEUE_MAX; j++) b->begun[j] += span;
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

/* n times as many tokens more (fewer) at the head of the ring, where those lie that only count. */
static void add_tokens(emu_sem *q, int64_t more, int64_t taken) {
  q->count += (int32_t)more;
  q->taken += taken;
  if (more > 0) q->ring[q->head].count += (int32_t)more;
  while (more < 0) {
    emu_token *k = &q->ring[q->head];
    const int64_t part = k->count < -more ? k->count : -more;
    k->count -= (int32_t)part;
    more += part;
    if (k->count) continue;
    q->head = (q->head + 1) & (q->capacity - 1);
    q->size--;
  }
}

/* Releases [from, to) happen n times more, each a period later. */
int emu_releases_again(emu_machine *m, int64_t from, int64_t to, int64_t n, int64_t period) {
  const int64_t each = to - from, need = m->nreleases + n * each;
  if (!each) return 0;
  if (need > m->creleases) {
    emu_release *r = realloc(m->releases, (size_t)(2 * need) * sizeof *r);
    if (!r) return emu_fail(m, NULL, E_MEMORY, "out of memory", 0, 0);
    m->releases = r;
    m->creleases = 2 * need;
  }
  for (int64_t j = 0; j < n; j++)
    for (int64_t e = 0; e < each; e++) {
      emu_release r = m->releases[from + e];
      r.time += (j + 1) * period;
      m->releases[m->nreleases++] = r;
    }
  return 0;
}

static int skip(emu_machine *m, emu_forward *f, const emu_state *k, int64_t n, const emu_watch *w) {
  const int64_t period = m->now - k->now, span = n * period;
  for (int64_t core = 0, j = 0; core < m->c.cores; core++) {
    const int64_t floor = emu_token_floor(m, core);
    for (int64_t e = 0; e < m->nsems; e++, j++) {
      emu_sem *q = &m->sems[j];
      shift_semaphore(m, q, floor, span, k->now);
      const int64_t more = n * (f->old[j] - k->old[j]);
      add_tokens(q, more, n * (q->taken - k->taken[j]));
      f->old[j] += more;
    }
  }
  for (int64_t j = 0; j < emu_live_streams(m); j++) {
    const emu_stream *a = &k->streams[j];
    emu_stream *b = &m->streams[j];
    int level;
    if (!m->words[b->kind] || frozen(a, b)) continue;
    repeats(a, b, &level);
    shift_stream(m, a, b, level, n, span, w ? emu_watch_steps(w, j) : NULL);
  }
  for (int id = 0; id < m->nbarriers; id++) {
    emu_barrier *b = &m->barriers[id];
    if (!b->arrived || b->time == k->barriers[id].time) continue;
    b->time += span;
    b->data_end += span;
    b->start += span;
  }
  for (int64_t j = 0; j < m->nactive; j++) m->flows[m->active[j]].start += span;
  for (int64_t j = 0; j < m->npending; j++) m->flows[m->pending[j]].start += span;
  for (int64_t j = 0; j < f->ncounters; j++) m->counters[j] += n * (m->counters[j] - k->counters[j]);
  for (int64_t j = 0; j < f->nlabel_stalls; j++) m->label_stalls[j] += n * (m->label_stalls[j] - k->label_stalls[j]);
  for (int v = 0; v < VIAS; v++) m->total_bytes[v] += n * (m->total_bytes[v] - k->total_bytes[v]);
  m->skipped += n * (m->instructions - k->instructions + m->skipped - k->skipped); /* what was skipped within it too */
  if (emu_releases_again(m, k->releases, m->nreleases, n, period)) return -1;
  m->now += span;
  m->next_start += m->npending ? span : 0;
  emu_fluid_restore(m);
  m->unchecked = 1;
  return 0;
}

static int no_memory(emu_machine *m) { return emu_fail(m, NULL, E_MEMORY, "out of memory for fast-forward", 0, 0); }

/* States listed since the last skip at this level of the operation: what is vain in one may find its period in the next. */
static int32_t *vain_of(const emu_machine *m, emu_forward *f, int level) {
  return &f->vain[level][m->streams[f->anchor].label & (EMU_LABELS_TOLD - 1)];
}

/* A loop that was entered before settles as it did then: its first iterations are not listed. Whether this one is to be. */
static int settled(const emu_machine *m, emu_forward *f, int level) {
  const int label = m->streams[f->anchor].label & (EMU_LABELS_TOLD - 1);
  for (int l = level + 1; l <= EMU_MAX_LOOPS; l++) {
    if (f->round[l] > 0) f->settles[l][label] /= 2;
    f->round[l] = 0;
  }
  return f->round[level] < 0 || ++f->round[level] > f->settles[level][label];
}

/* It has, in this round: two listings are needed to find that again. */
static void note_settled(const emu_machine *m, emu_forward *f, int level) {
  if (f->round[level] > 0) f->settles[level][m->streams[f->anchor].label & (EMU_LABELS_TOLD - 1)] = f->round[level] > 3 ? f->round[level] - 3 : 0;
  f->round[level] = INT32_MIN;
}

/* The watched period ends when as much time has passed as in the one before; if the state has returned as well, it repeats for as long as
   the watch allows. */
static int go_on_watching(emu_machine *m, emu_forward *f) {
  const int64_t passed = m->now - f->from.now;
  const int level = f->watched_level;
  if (passed < f->watched_fs) return 0;
  m->watch = NULL;
  *vain_of(m, f, level) += 4;
  f->listed[level] = m->instructions;
  if (passed > f->watched_fs) return 0;
  if (emu_list_machine(m, f)) return no_memory(m);
  int watched;
  int64_t n = emu_same_state(f, &f->from) ? possible(m, &f->from, &watched) : 0;
  const int64_t limit = n > 0 ? emu_watch_end(m, f->watch, f->from.streams) : 0;
  if (limit < n) n = limit;
  if (n <= 0) return 0;
  *vain_of(m, f, level) = 0;
  if (m->memo) m->memo->broken = 1;
  return skip(m, f, &f->from, n, f->watch);
}

/* Whether a state with this hash was listed lately at this level; now it was. */
static int seen_before(emu_forward *f, int level, int64_t hash) {
  for (int j = 0; j < EMU_STATES_SEEN; j++)
    if (f->seen[level][j] == hash) return 1;
  f->seen[level][f->next_seen[level]] = hash;
  f->next_seen[level] = (f->next_seen[level] + 1) % EMU_STATES_SEEN;
  return 0;
}

enum { NOTHING, SKIPPED, WATCHING };

/* One of the states kept at this level has returned: skip, or watch the next period first. To keep a state costs more than to list it: it
   is kept when it is `rare`, so much has happened since the last, or when it was seen before. */
static int returned(emu_machine *m, emu_forward *f, int level, int64_t hash, int rare) {
  for (int back = 1; back <= EMU_STATES_KEPT; back++) {
    const emu_state *k = &f->kept[level][(f->next[level] + EMU_STATES_KEPT - back) % EMU_STATES_KEPT];
    if (k->hash != hash || !emu_same_state(f, k)) continue;
    int watched;
    const int64_t n = possible(m, k, &watched);
    if (n <= 0 || (watched && n < (m->memo ? FEW_PERIODS : 2))) continue;
    if (!watched) {
      *vain_of(m, f, level) = 0;
      if (m->memo) m->memo->broken = 1;
      note_settled(m, f, level);
      return skip(m, f, k, n, NULL) ? -m->fail.code : SKIPPED;
    }
    if (emu_keep_state(m, f, &f->from, hash)) return no_memory(m);
    f->watched_fs = m->now - k->now;
    f->watched_level = level;
    emu_watch_begin(m, f->watch, k->streams);
    m->watch = f->watch;
    return WATCHING;
  }
  if (!seen_before(f, level, hash) && !rare) return NOTHING;
  emu_state *k = &f->kept[level][f->next[level]];
  f->next[level] = (f->next[level] + 1) % EMU_STATES_KEPT;
  return emu_keep_state(m, f, k, hash) ? no_memory(m) : NOTHING;
}

/* A long run remembers what happened, as long as that is of use now and then: surely where it leaves known ground and comes back to it. */
static int remember(emu_machine *m, emu_forward *f, int64_t hash, int sure) {
  emu_memo *memo = f->memo;
  if (!memo) {
    if (m->c.forward != EMU_EAGER && (m->instructions < LONG_RUN + m->skipped / 4 || f->nstreams > MOST_STREAMS)) return 0;
    if (!(memo = m->memo = f->memo = emu_memo_new(m))) return no_memory(m);
  }
  if (!m->memo) return 0;
  const int64_t worth = (m->instructions - memo->recorded_at) * WORDS_PER_INSTRUCTION;
  if (!(sure && memo->vain < PATIENCE) && worth < emu_state_words(m, f) << (memo->vain / PATIENCE)) return 0;
  if (++memo->vain > MOST_DOUBLINGS * PATIENCE) m->memo = NULL;
  return emu_memo_record(m, f, memo, hash);
}

/* The state that was listed, and those it leads to: periods are skipped, what happened once is walked again. */
static int go_on_from(emu_machine *m, emu_forward *f, int level, int64_t hash, int rare) {
  const int back = m->memo && !m->memo->broken && emu_memo_knows(m->memo, hash);
  int rc = back ? remember(m, f, hash, 1) : 0;
  if (rc < 0) return rc;
  for (int steps = 0;; steps++) {
    if ((rc = returned(m, f, level, hash, rare)) < 0) return rc;
    if (rc == WATCHING) return 0;
    const int walked = m->memo ? emu_memo_walk(m, f, m->memo, &hash) : 0;
    if (walked < 0) return walked;
    if (!walked) return back && !steps && rc != SKIPPED ? 0 : remember(m, f, hash, steps > 0);
    m->memo->vain = 0;
    *vain_of(m, f, level) = 0;
    level = advanced_level(f, &m->streams[f->anchor]);
    rare = 0;
  }
}

/* Between two steps, when the anchor has ended a transfer: has the machine been here before? The longer in vain, the rarer it is asked. */
int emu_forward_try(emu_machine *m) {
  emu_forward *f = m->forward;
  if (!f->hit) return 0;
  f->hit = 0;
  const int level = advanced_level(f, &m->streams[f->anchor]);
  if (m->watch) return go_on_watching(m, f);
  if (!settled(m, f, level)) return 0;
  const int vain = *vain_of(m, f, level) / 2, doublings = f->spent < ALLOWANCE ? 0 : vain < 9 ? 3 + vain : 12;
  const int64_t worth = (m->instructions - f->listed[level]) * WORDS_PER_INSTRUCTION;
  if (worth < f->nwords << doublings) return 0;
  f->listed[level] = m->instructions;
  ++*vain_of(m, f, level);
  f->spent += f->nwords;
  if (emu_list_machine(m, f)) return no_memory(m);
  return go_on_from(m, f, level, emu_list_hash(f), worth >= RARE * f->nwords);
}
