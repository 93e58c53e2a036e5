/* Semaphores and barriers. A token carries the time at which it can be taken, so streams may run ahead of each other: the network is a
   Kahn network (SOUNDNESS 3) and the times are the same in whatever order the streams are run. */
#include <stdlib.h>
#include <string.h>
#include "machine.h"

static int grow(emu_machine *m, emu_sem *q) {
  const uint32_t cap = q->capacity ? 2 * q->capacity : 4; /* powers of two, so that an index wraps by a mask */
  emu_token *ring = malloc((size_t)cap * sizeof *ring);
  uint32_t **clocks = m->c.check ? malloc((size_t)cap * sizeof *clocks) : NULL;
  if (!ring || (m->c.check && !clocks)) {
    free(ring);
    free(clocks);
    return -1;
  }
  for (uint32_t j = 0; j < q->size; j++) {
    ring[j] = q->ring[(q->head + j) & (q->capacity - 1)];
    if (clocks) clocks[j] = q->clocks[(q->head + j) & (q->capacity - 1)];
  }
  free(q->ring);
  free(q->clocks);
  q->ring = ring;
  q->clocks = clocks;
  q->head = 0;
  q->capacity = cap;
  return 0;
}

/* Tokens taken at `time`, after the last signal: the next signals must still count them. */
static int note_take(emu_sem *q, int64_t time, int n) {
  if (q->take_size == q->take_capacity) {
    const uint32_t cap = q->take_capacity ? 2 * q->take_capacity : 8;
    emu_take *takes = malloc((size_t)cap * sizeof *takes);
    if (!takes) return -1;
    for (uint32_t j = 0; j < q->take_size; j++) takes[j] = q->takes[(q->take_head + j) & (q->take_capacity - 1)];
    free(q->takes);
    q->takes = takes;
    q->take_head = 0;
    q->take_capacity = cap;
  }
  q->takes[(q->take_head + q->take_size++) & (q->take_capacity - 1)] = (emu_take){time, n};
  q->later += n;
  return 0;
}

static inline void forget_takes(emu_sem *q, int64_t time) {
  while (q->take_size && q->takes[q->take_head].time <= time) {
    q->later -= q->takes[q->take_head].count;
    q->take_head = (q->take_head + 1) & (q->take_capacity - 1);
    q->take_size--;
  }
  if (!q->take_size) q->take_head = 0; /* the same cache line again */
}

int emu_overflows(emu_machine *m, const emu_stream *from, int sem) {
  const int rc = emu_fail(m, from, E_OVERFLOW, OVERFLOW, sem, EMU_MAX_TOKENS + 1);
  m->fail.pc = from->full_pc; /* it may have gone on to the word that stands behind it */
  return rc;
}

/* More than 65535 tokens in the order of processing. If they were taken later than now it is an overflow; if their consumer just was not
   processed yet the producer stops until it has been. */
static int too_many(emu_machine *m, emu_sem *q, emu_stream *from, int sem) {
  if (q->later) return emu_fail(m, from, E_OVERFLOW, OVERFLOW, sem, q->count + q->later);
  q->full = 1;
  from->full++;
  from->full_pc = from->pc;
  from->blocked_on = sem;
  return 0;
}

int emu_sem_signal(emu_machine *m, int core, int sem, int count, emu_stream *from, int64_t time, const uint32_t *clock) {
  emu_sem *q = emu_sem_at(m, core, sem);
  if (q->producer >= 0 && q->producer != from->id)
    return emu_fail(m, from, E_PRODUCER, "two streams signal one semaphore", sem, q->producer);
  q->producer = from->id;
  if (q->size == q->capacity && grow(m, q)) return emu_fail(m, from, E_MEMORY, "out of memory for tokens", 0, 0);
  const uint32_t at = (q->head + q->size) & (q->capacity - 1);
  q->ring[at] = (emu_token){time, from->op_data_end, from->op_start, count, (int16_t)from->kind, from->nature, from->last_cause};
  if (m->c.check) {
    q->clocks[at] = clock ? emu_clock_copy(m, clock) : NULL;
    if (clock && !q->clocks[at]) return emu_fail(m, from, E_MEMORY, "out of memory for vector clocks", 0, 0);
  }
  q->size++;
  q->count += count;
  q->last_signal = time;
  forget_takes(q, time);
  if (q->count + q->later > EMU_MAX_TOKENS && too_many(m, q, from, sem) < 0) return -m->fail.code;
  if (q->waiter >= 0 && q->count >= q->need) {
    emu_stream *w = &m->streams[q->waiter];
    q->waiter = -1;
    return emu_wake(m, w);
  }
  return 0;
}

/* After a take at `time`: it must not be later than the signal that was one too many; its producer goes on when all fit. */
static int let_producer_go(emu_machine *m, emu_stream *s, emu_sem *q, int sem) {
  emu_stream *from = &m->streams[q->producer];
  if (s->t > q->last_signal) return emu_overflows(m, from, sem);
  if (q->count > EMU_MAX_TOKENS) return 0;
  q->full = 0;
  return --from->full || from->state != ON_FULL ? 0 : emu_wake(m, from);
}

int emu_sem_wait(emu_machine *m, emu_stream *s, int sem, int n) {
  emu_sem *q = emu_sem_at(m, s->core, sem);
  if (q->count < n) {
    if (q->waiter >= 0 && q->waiter != s->id) return emu_fail(m, s, E_PRODUCER, "two streams wait on one semaphore", sem, q->waiter);
    q->waiter = s->id;
    q->need = n;
    s->state = ON_SEM;
    s->blocked_on = sem;
    return 0;
  }
  q->count -= n;
  q->taken += n;
  emu_token last = {0};
  for (int left = n; left > 0;) {
    emu_token *k = &q->ring[q->head];
    last = *k;
    if (m->c.check && q->clocks[q->head]) emu_clock_join(m, s, q->clocks[q->head]);
    if (k->count > left) {
      k->count -= left;
      break;
    }
    left -= k->count;
    if (m->c.check) free(q->clocks[q->head]);
    q->head = (q->head + 1) & (q->capacity - 1);
    q->size--;
  }
  if (last.stream >= 0) { /* a priming token was there from the start */
    int64_t t = emu_align(m, last.time + m->c.sem_cycles * m->c.period_fs);
    if (t > s->t) {
      s->t = t;
      emu_charge_token(m, s, CAUSE_OPERAND, t, last.data_end, last.start, last.nature, last.before);
    }
  }
  if (q->full) return let_producer_go(m, s, q, sem);
  return s->t > q->last_signal && note_take(q, s->t, n) ? emu_fail(m, s, E_MEMORY, "out of memory for tokens", 0, 0) : 0;
}

static int note_release(emu_machine *m, const emu_stream *s, int id, int64_t time) {
  if (m->nreleases == m->creleases) {
    int64_t cap = m->creleases ? 2 * m->creleases : 256;
    emu_release *r = realloc(m->releases, (size_t)cap * sizeof *r);
    if (!r) return emu_fail(m, s, E_MEMORY, "out of memory", 0, 0);
    m->releases = r;
    m->creleases = cap;
  }
  m->releases[m->nreleases++] = (emu_release){time, s->label, id};
  return 0;
}

static int release(emu_machine *m, emu_stream *s, emu_barrier *b, int id) {
  int64_t t = emu_align(m, b->time + m->c.barrier_cycles * m->c.period_fs);
  b->arrived = 0;
  const int64_t first = s->core / m->chip_cores * m->chip_cores;
  for (int64_t core = first; core < first + m->chip_cores; core++)
    for (int kind = 0; kind < EMU_STREAM_COUNT; kind++) {
      if (!(b->mask >> kind & 1)) continue;
      emu_stream *w = &m->streams[core * EMU_STREAM_COUNT + kind];
      w->t = t;
      w->wait_done = 1;
      emu_charge_token(m, w, CAUSE_BARRIER, t, b->data_end, b->start, b->nature, b->before);
      if (m->c.check) {
        emu_clock_join(m, w, b->clock);
        w->fenced = w->clock;
      }
      if (w != s && w->state == ON_BARRIER) {
        int rc = emu_wake(m, w);
        if (rc < 0) return rc;
      }
    }
  if (m->c.check) memset(b->clock, 0, (size_t)m->c.cores * EMU_STREAM_COUNT * sizeof(uint32_t));
  b->time = 0;
  return first ? 0 : note_release(m, s, id, t); /* the critical path is told of the first chip */
}

int emu_barrier_arrive(emu_machine *m, emu_stream *s, int id) {
  emu_barrier *b = emu_barrier_at(m, s->core, id);
  if (s->wait_done) { /* woken by the release */
    s->wait_done = 0;
    return 0;
  }
  if (!(b->mask >> s->kind & 1)) return emu_fail(m, s, E_ILLEGAL, "this stream takes no part in the barrier", id, 0);
  if (s->complete > s->t) s->t = emu_align(m, s->complete);
  if (b->arrived == 0 || s->t > b->time) { /* the last to arrive is the reason of everybody's wait */
    b->time = s->t;
    b->data_end = s->op_data_end;
    b->start = s->op_start;
    b->nature = s->nature;
    b->before = s->last_cause;
  }
  if (m->c.check) {
    uint32_t *own = emu_clock_of(m, s->id);
    for (int64_t j = 0; j < m->c.cores * EMU_STREAM_COUNT; j++)
      if (own[j] > b->clock[j]) b->clock[j] = own[j];
  }
  if (++b->arrived < b->participants) {
    s->state = ON_BARRIER;
    s->blocked_on = id;
    return 0;
  }
  int rc = release(m, s, b, id);
  s->wait_done = 0;
  return rc;
}
