/* What a state led to once. States that return without a period (a loop inside a loop whose length changes) are stations: each stream's own
   words are walked again from where it stands, without time. If all of them come to the same words with the same plans as once, then all
   that happened between the two stations happens again, later: a Kahn network's streams do not depend on time (SOUNDNESS 3), and times
   depend on the state and on these words alone. What may differ is addresses, loop counts, and for how long a stream had waited already. */
#include <stdlib.h>
#include <string.h>
#include "memo.h"

static int64_t moved_to(int64_t mine, int64_t once, int64_t after, int64_t shift) { return after == once ? mine : after + shift; }

static int unchanged(const emu_stream *a, const emu_stream *b) {
  return a->scalars == b->scalars && a->instructions == b->instructions && a->t == b->t && a->acct == b->acct && a->pc == b->pc && a->state == b->state &&
         a->complete == b->complete && a->free_at == b->free_at && a->wait_done == b->wait_done && a->blocked_on == b->blocked_on;
}

/* A stream's own words from where it stands, as far as the path says: 1 if they are the same. */
static int same_words(emu_machine *m, const emu_stream *x, const emu_stream *a, const emu_stream *b, const emu_desc_seen *e, const emu_path *path, emu_stream *s) {
  const uint32_t used = m->forward->used[x->kind];
  memcpy(s, x, offsetof(emu_stream, d));
  for (uint32_t left = used; left; left &= left - 1) s->d[__builtin_ctz(left)] = x->d[__builtin_ctz(left)];
  int64_t since = s->scalars;
  for (int64_t j = 0; j < path->n; j++) {
    const emu_insn *i = emu_stream_next(m, s);
    if (!i) return -m->fail.code;
    if (i->op == EMU_OP_HALT) return 0;
    if (i->op < EMU_OP_WAIT || i->op > EMU_OP_BAR)
      if (!emu_shape_of(m, &s->d[i->d0]) || !emu_shape_of(m, &s->d[i->d1]) || !emu_shape_of(m, &s->d[i->d2])) return 0;
    const emu_step step = emu_step_of(s, i, s->scalars - since);
    if (memcmp(&step, &path->steps[j], sizeof step)) return 0;
    since = s->scalars;
    s->pc++;
  }
  if (b->state != ON_QUEUE && !emu_stream_next(m, s)) return -m->fail.code;
  if (s->pc != b->pc || s->sp != b->sp || s->label != b->label || s->scalars - x->scalars != b->scalars - a->scalars) return 0;
  for (int l = 0; l < s->sp; l++)
    if (s->loop[l].start != b->loop[l].start || s->loop[l].end != b->loop[l].end) return 0;
  for (uint32_t left = used; left; left &= left - 1, e++) {
    emu_desc *d = &s->d[__builtin_ctz(left)];
    if (!emu_shape_of(m, d) || d->shape != e->shape || d->f[AT_RING_SIZE] != e->ring_size || d->f[AT_RING_STEP] != e->ring_step || d->f[AT_ACCUMULATE] != e->accumulate) return 0;
  }
  return 1;
}

/* What the first charge adds to the stalls of a stream that was accounted for up to `acct`; the root it leaves. */
static int first_charge(emu_machine *m, const emu_stream *of, const emu_first *c, int64_t acct, emu_stream *s) {
  memset(s->stall, 0, sizeof s->stall);
  memset(s->root_stall, 0, sizeof s->root_stall);
  s->kind = of->kind, s->core = of->core, s->started = of->started, s->root = of->root, s->nature = c->nature;
  s->label = c->label, s->acct = acct;
  if (c->kind == CHARGE_PLAIN) emu_charge(m, s, c->cause, c->until, c->before);
  else if (c->kind == CHARGE_TOKEN) emu_charge_token(m, s, c->cause, c->until, c->data_end, c->start, c->nature, c->before);
  else emu_busy(m, s, c->until);
  return s->root;
}

/* Whoever had waited for another time than once is charged more or less for it: adds the difference if `apply`. 0: its cause would change. */
static int waited_otherwise(emu_machine *m, emu_stream *x, const emu_stream *a, const emu_first *c, int64_t shift, int apply) {
  emu_stream *once = &m->memo->again[emu_live_streams(m)], *now = once + 1;
  emu_memo *memo = m->memo;
  int64_t *labels = &m->label_stalls[((int64_t)c->label * EMU_STREAM_COUNT + x->kind) * CAUSES], before[CAUSES];
  memcpy(before, labels, sizeof before);
  m->memo = NULL;
  const int same = first_charge(m, a, c, a->acct, once) == first_charge(m, a, c, x->acct - shift, now);
  m->memo = memo;
  memcpy(labels, before, sizeof before);
  for (int j = 0; apply && j < CAUSES; j++) {
    x->stall[j] += now->stall[j] - once->stall[j];
    x->root_stall[j] += now->root_stall[j] - once->root_stall[j];
    labels[j] += (now->stall[j] - once->stall[j]) * m->weight[x->core];
  }
  return same;
}

/* Times in the past that explain what comes, beside what the list of the state holds. */
static int explains_the_same(emu_machine *m, emu_stream *x, const emu_stream *a, const emu_stream *b, const emu_path *path, int64_t shift, int64_t then) {
  const int64_t far = then - m->memo->horizon_fs;
  if (x->full || a->full || b->full) return 0;
  if (x->free_at - shift != a->free_at && (x->free_at - shift > far || a->free_at > far)) return 0;
  if (path->exposed && (x->op_start - shift != a->op_start || x->op_data_end - shift != a->op_data_end || x->complete - shift != a->complete)) return 0;
  return x->acct - shift == a->acct || path->first.kind == CHARGE_NONE || waited_otherwise(m, x, a, &path->first, shift, 0);
}

static int same_streams(emu_machine *m, emu_memo *memo, const emu_station *t, const emu_station *u, int64_t shift) {
  const emu_desc_seen *descs = u->descs;
  for (int64_t j = 0; j < emu_live_streams(m); j++) {
    emu_stream *x = &m->streams[j];
    if (memo->place[j] < 0) continue;
    const emu_stream *a = emu_seen(t, memo->place[j]), *b = emu_seen(u, memo->place[j]);
    const emu_desc_seen *mine = descs;
    descs += __builtin_popcount(m->forward->used[x->kind]);
    if (unchanged(a, b)) continue;
    if (!explains_the_same(m, x, a, b, &u->path[j], shift, t->now)) return 0;
    const int rc = same_words(m, x, a, b, mine, &u->path[j], &memo->again[j]);
    if (rc <= 0) return rc;
  }
  return 1;
}

static int stays(const emu_barrier *a, const emu_barrier *b) { return a->arrived == b->arrived && a->time == b->time; }

/* Who has come to a barrier explains the wait of those who come later only if he was the last. */
static int same_barriers(const emu_machine *m, const emu_station *t, const emu_station *u) {
  const int64_t shift = m->now - t->now;
  for (int id = 0; id < m->nbarriers; id++) {
    const emu_barrier *x = &m->barriers[id], *a = &t->barriers[id];
    if (!x->arrived || stays(a, &u->barriers[id]) || (x->time < m->now && a->time < t->now)) continue;
    if (x->time - shift != a->time || x->data_end - shift != a->data_end || x->start - shift != a->start || x->nature != a->nature || x->before != a->before) return 0;
  }
  return 1;
}

/* Tokens that only count may be more or fewer than once, if there were enough of them then and are now. */
static int enough_tokens(const emu_machine *m, const emu_forward *f, const emu_station *t, const emu_station *u) {
  for (int64_t j = 0; j < m->c.cores * m->nsems; j++) {
    const emu_sem *q = &m->sems[j];
    const int64_t taken = u->sems[j].taken - t->sems[j].taken, more = u->old[j] - t->old[j];
    if (q->full || q->count + q->later + taken + more > EMU_MAX_TOKENS / 2 || t->sems[j].count + t->sems[j].later + taken + more > EMU_MAX_TOKENS / 2) return 0;
    if (f->old[j] != t->old[j] && (taken > f->old[j] || taken > t->old[j])) return 0;
  }
  return 1;
}

static void move_stream(emu_machine *m, emu_stream *x, const emu_stream *s, const emu_stream *a, const emu_stream *b, int64_t shift) {
  memcpy(x->r, s->r, sizeof x->r);
  memcpy(x->loop, s->loop, sizeof x->loop);
  for (uint32_t left = m->forward->used[x->kind]; left; left &= left - 1) x->d[__builtin_ctz(left)] = s->d[__builtin_ctz(left)];
  x->pc = s->pc, x->sp = s->sp, x->loop_end = s->loop_end, x->label = s->label, x->scalars = s->scalars;
  x->state = b->state, x->blocked_on = b->blocked_on, x->root = b->root, x->nature = b->nature;
  x->started = b->started, x->last_cause = b->last_cause, x->wait_done = b->wait_done;
  x->instructions += b->instructions - a->instructions;
  x->t = moved_to(x->t, a->t, b->t, shift);
  x->acct = moved_to(x->acct, a->acct, b->acct, shift);
  x->free_at = moved_to(x->free_at, a->free_at, b->free_at, shift);
  x->last_start = moved_to(x->last_start, a->last_start, b->last_start, shift);
  x->complete = moved_to(x->complete, a->complete, b->complete, shift);
  x->op_start = moved_to(x->op_start, a->op_start, b->op_start, shift);
  x->op_data_end = moved_to(x->op_data_end, a->op_data_end, b->op_data_end, shift);
  const int32_t begun = b->begun_at - a->begun_at;
  for (int32_t j = begun < EMU_QUEUE_MAX ? begun : EMU_QUEUE_MAX; j > 0; j--)
    x->begun[(x->begun_at + begun - j) & (EMU_QUEUE_MAX - 1)] = b->begun[(b->begun_at - j) & (EMU_QUEUE_MAX - 1)] + shift;
  x->begun_at += begun;
  for (int c = 0; c < CAUSES; c++) {
    x->stall[c] += b->stall[c] - a->stall[c];
    x->root_stall[c] += b->root_stall[c] - a->root_stall[c];
  }
}

static int room_for(emu_sem *q, uint32_t tokens, uint32_t takes) {
  uint32_t cap = q->capacity ? q->capacity : 4, take_cap = q->take_capacity ? q->take_capacity : 8;
  while (cap < tokens) cap *= 2;
  while (take_cap < takes) take_cap *= 2;
  if (cap != q->capacity) {
    emu_token *ring = realloc(q->ring, (size_t)cap * sizeof *ring);
    if (!ring) return -1;
    q->ring = ring;
    q->capacity = cap;
  }
  if (take_cap != q->take_capacity) {
    emu_take *more = realloc(q->takes, (size_t)take_cap * sizeof *more);
    if (!more) return -1;
    q->takes = more;
    q->take_capacity = take_cap;
  }
  return 0;
}

/* Tokens that only count become one entry of no time; the others stand as at the second station. */
static int move_semaphore(emu_sem *q, const emu_sem *a, const emu_sem *b, const emu_token *tokens, const emu_take *takes, uint32_t skipped, int64_t old, int64_t shift) {
  const uint32_t fresh = b->size - skipped;
  if (room_for(q, fresh + 1, b->take_size)) return -1;
  q->head = q->size = q->take_head = 0;
  if (old) q->ring[q->size++] = (emu_token){0, 0, 0, (int32_t)old, -1, 0, 0};
  for (uint32_t j = skipped; j < b->size; j++) {
    emu_token k = tokens[j];
    k.time += shift, k.data_end += shift, k.start += shift;
    q->ring[q->size++] = k;
  }
  for (uint32_t j = 0; j < b->take_size; j++) q->takes[j] = (emu_take){takes[j].time + shift, takes[j].count};
  q->take_size = b->take_size;
  q->later = b->later;
  q->count += b->count - a->count;
  q->taken += b->taken - a->taken;
  q->last_signal = moved_to(q->last_signal, a->last_signal, b->last_signal, shift);
  q->producer = b->producer, q->waiter = b->waiter, q->need = b->need, q->full = b->full;
  return 0;
}

static int move_semaphores(emu_machine *m, emu_forward *f, const emu_station *t, const emu_station *u, int64_t shift) {
  const emu_token *tokens = u->tokens;
  const emu_take *takes = u->takes;
  for (int64_t j = 0; j < m->c.cores * m->nsems; j++) {
    const emu_sem *b = &u->sems[j];
    f->old[j] += u->old[j] - t->old[j];
    if (move_semaphore(&m->sems[j], &t->sems[j], b, tokens, takes, u->old_entries[j], f->old[j], shift)) return -1;
    tokens += b->size;
    takes += b->take_size;
  }
  return 0;
}

static void move_network(emu_machine *m, const emu_station *u, int64_t shift) {
  m->nactive = u->nactive;
  m->npending = u->npending;
  memcpy(m->active, u->active, (size_t)u->nactive * sizeof *m->active);
  memcpy(m->pending, u->pending, (size_t)u->npending * sizeof *m->pending);
  for (int64_t j = 0; j < u->nactive + u->npending; j++) {
    emu_flow *x = &m->flows[u->active[j]];
    *x = u->flows[j];
    x->start += shift;
  }
  m->next_start = m->npending ? u->next_start + shift : INT64_MAX;
  emu_fluid_restore(m);
}

/* Everything that was counted between the stations is counted once more. */
static int count_again(emu_machine *m, const emu_station *a, const emu_station *b, int64_t shift) {
  for (int64_t j = 0; j < b->nadded; j++) *b->added[j].where += b->added[j].by;
  for (int v = 0; v < VIAS; v++) m->total_bytes[v] += b->total_bytes[v] - a->total_bytes[v];
  m->skipped += b->instructions - a->instructions + b->skipped - a->skipped;
  return emu_releases_again(m, a->releases, b->releases, 1, shift);
}

static int go(emu_machine *m, emu_forward *f, emu_memo *memo, const emu_station *t, const emu_station *u) {
  const int64_t shift = m->now - t->now;
  for (int64_t j = 0; j < emu_live_streams(m); j++) {
    emu_stream *x = &m->streams[j];
    if (memo->place[j] < 0) continue;
    const emu_stream *a = emu_seen(t, memo->place[j]), *b = emu_seen(u, memo->place[j]);
    if (unchanged(a, b)) continue;
    if (x->acct - shift != a->acct && u->path[j].first.kind != CHARGE_NONE) waited_otherwise(m, x, a, &u->path[j].first, shift, 1);
    move_stream(m, x, &memo->again[j], a, b, shift);
  }
  for (int id = 0; id < m->nbarriers; id++) {
    emu_barrier *x = &m->barriers[id];
    const emu_barrier *a = &t->barriers[id], *b = &u->barriers[id];
    if (!x->mask || stays(a, b)) continue;
    x->arrived = b->arrived, x->nature = b->nature, x->before = b->before, x->last = b->last;
    x->time = b->time ? b->time + shift : 0;
    x->data_end = b->data_end + shift;
    x->start = b->start + shift;
  }
  if (move_semaphores(m, f, t, u, shift) || count_again(m, t, u, shift) || emu_set_words(f, u->words, u->nwords))
    return emu_fail(m, NULL, E_MEMORY, "out of memory for fast-forward", 0, 0);
  m->now = u->now + shift;
  move_network(m, u, shift);
  m->unchecked = 1;
  return 1;
}

/* The state just listed: if it is a station's, and each stream goes on as then, the machine is at the next station. */
int emu_memo_walk(emu_machine *m, emu_forward *f, emu_memo *memo, int64_t *hash) {
  for (int j = memo->count - 2; j >= 0; j--) {
    const emu_station *t = &memo->stations[j], *u = t + 1;
    if (t->hash != *hash || !u->linked || !emu_same_words(f, t->words, t->nwords)) continue;
    if (u->now + (m->now - t->now) > EMU_TIME_MAX || !same_barriers(m, t, u) || !enough_tokens(m, f, t, u)) continue;
    const int rc = same_streams(m, memo, t, u, m->now - t->now);
    if (rc < 0) return rc;
    if (!rc) continue;
    *hash = u->hash;
    memo->broken = 1;
    return go(m, f, memo, t, u);
  }
  return 0;
}
