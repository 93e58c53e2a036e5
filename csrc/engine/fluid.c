/* Shared memory and network as rate servers: the active transfers share each resource fairly (max-min), in integer units, so that equal
   requests issued together end together (SOUNDNESS 14). Time moves from one start or finish of a transfer to the next.

   The transfers of a resource lie side by side in a pool. One that nobody squeezes keeps its own rate and knows when it ends. The others all
   get the same: how much each of them has got since the beginning is one number of the pool, and each knows at which count it ends. So
   while time passes nothing is written for any of them. */
#include <stdlib.h>
#include "detailed.h"

#define SHARED INT64_C(-1) /* a slot's rate: that of the pool */
struct emu_slot { uint64_t end; int64_t limit, rate; int32_t stream, core; }; /* end: a time, or a count of the pool */

int emu_fluid_prepare(emu_machine *m) {
  const int64_t n = m->c.cores * EMU_STREAM_COUNT, alone = (int64_t)((__int128)m->c.dma_bytes_per_clk * EMU_UNITS / m->c.period_fs);
  for (int64_t users = 0; users <= EMU_STREAM_COUNT; users++) m->port_share[users] = users > 1 ? alone / users : alone;
  for (int via = 0; via < VIAS; via++)
    if (!(m->pools[via].slots = malloc((size_t)n * sizeof *m->pools[via].slots))) return -1;
  return 0;
}

void emu_fluid_free(emu_machine *m) {
  for (int via = 0; via < VIAS; via++) free(m->pools[via].slots);
}

/* A transfer whose data phase starts at flows[stream].start. */
void emu_fluid_submit(emu_machine *m, int stream) {
  const int64_t start = m->flows[stream].start;
  if (!m->npending || start < m->next_start) m->next_start = start;
  m->pending[m->npending++] = stream;
}

/* What it can take by itself: transfers of one core share its port. */
static inline int64_t own_rate(const emu_machine *m, const emu_slot *x) {
  const int64_t share = m->port_share[m->port_users[x->core]];
  return x->limit < share || m->c.ideal ? x->limit : share;
}

/* Water-filling: whoever cannot use an equal share of what is left keeps its own rate; the others share the rest. Nobody: INT64_MAX. */
static int64_t level_of(const emu_machine *m, int via) {
  const emu_pool *p = &m->pools[via];
  if (via == VIA_NONE || m->c.ideal) return INT64_MAX;
  int64_t equal = m->capacity[via] / p->open, before = 0;
  for (;;) {
    int64_t taken = 0, by = 0;
    for (int64_t j = 0; j < p->n; j++) {
      const int64_t own = own_rate(m, &p->slots[j]), w = m->weight[p->slots[j].core]; /* as many equal transfers as cores it stands for */
      if (own <= equal) taken += own * w, by += w;
    }
    if (by == p->open) return INT64_MAX;
    if (by == before) return equal;
    before = by;
    equal = (m->capacity[via] - taken) / (p->open - by);
  }
}

/* What is left of a transfer now, and for how long it has been squeezed. */
static void settle(const emu_machine *m, const emu_pool *p, const emu_slot *x) {
  emu_flow *f = &m->flows[x->stream];
  if (x->rate == SHARED) f->left = (int64_t)(x->end - p->given);
  else f->left -= x->rate * (m->now - f->since);
  if (f->held) f->squeezed += m->now - f->since;
  f->since = m->now;
}

static void set_pool(emu_machine *m, int via) {
  emu_pool *p = &m->pools[via];
  const int64_t level = level_of(m, via);
  int64_t old_left = -1, old_rate = -1, old_end = 0;
  p->rate = level > 0 ? level : 1;
  for (int64_t j = 0; j < p->n; j++) {
    emu_slot *x = &p->slots[j];
    const int64_t own = own_rate(m, x), rate = own > level ? SHARED : own;
    if (x->rate == rate) continue;
    emu_flow *f = &m->flows[x->stream];
    settle(m, p, x);
    x->rate = rate;
    f->held = rate == SHARED || (m->c.ideal && f->alone < f->limit);
    if (rate == SHARED) x->end = p->given + (uint64_t)f->left;
    else {
      if (f->left != old_left || rate != old_rate) { /* equal transfers are common: divide once */
        old_left = f->left;
        old_rate = rate;
        old_end = emu_align(m, m->now + (old_left + old_rate - 1) / old_rate); /* every engine acts on clock edges, DMA too */
      }
      x->end = (uint64_t)old_end;
    }
  }
}

static int64_t next_of(const emu_machine *m, const emu_pool *p) {
  int64_t next = INT64_MAX, least = INT64_MAX;
  for (int64_t j = 0; j < p->n; j++) {
    const emu_slot *x = &p->slots[j];
    const int64_t left = x->rate == SHARED ? (int64_t)(x->end - p->given) : INT64_MAX, end = x->rate == SHARED ? INT64_MAX : (int64_t)x->end;
    least = left < least ? left : least;
    next = end < next ? end : next;
  }
  if (least == INT64_MAX) return next;
  const int64_t end = emu_align(m, m->now + (least + p->rate - 1) / p->rate);
  return end < next ? end : next;
}

static void set_rates(emu_machine *m) {
  m->next_finish = INT64_MAX;
  for (int via = 0; via < VIAS; via++) {
    if (!m->pools[via].n) continue;
    set_pool(m, via);
    const int64_t next = next_of(m, &m->pools[via]);
    if (next < m->next_finish) m->next_finish = next;
  }
  m->rates_stale = 0;
}

static void enter(emu_machine *m, int32_t stream) {
  emu_flow *f = &m->flows[stream];
  emu_pool *p = &m->pools[f->via];
  const int32_t core = stream / EMU_STREAM_COUNT;
  p->slots[p->n++] = (emu_slot){0, m->c.ideal ? f->alone : f->limit, 0, stream, core};
  p->open += m->weight[core];
  m->port_users[core]++;
  f->since = m->now;
  f->held = 0;
  m->nactive++;
  m->rates_stale = 1;
}

int emu_by_number(const void *a, const void *b) { return *(const int32_t *)a - *(const int32_t *)b; }

/* The active transfers in `active`, what is left of each at this moment in its flow. */
void emu_fluid_settle(emu_machine *m) {
  int64_t n = 0;
  for (int via = 0; via < VIAS; via++)
    for (int64_t j = 0; j < m->pools[via].n; j++) {
      settle(m, &m->pools[via], &m->pools[via].slots[j]);
      m->active[n++] = m->pools[via].slots[j].stream;
    }
  qsort(m->active, (size_t)n, sizeof *m->active, emu_by_number); /* no result depends on their order */
}

/* The transfers in `active` are the active ones, as their flows say; rates follow from them. */
void emu_fluid_restore(emu_machine *m) {
  const int64_t n = m->nactive;
  for (int via = 0; via < VIAS; via++) m->pools[via].n = m->pools[via].open = 0;
  for (int64_t core = 0; core < m->c.cores; core++) m->port_users[core] = 0;
  m->nactive = 0;
  for (int64_t j = 0; j < n; j++) enter(m, m->active[j]);
}

/* A transfer is complete its latency after its data phase, and signals. */
static int completed(emu_machine *m, emu_stream *s, const emu_flow *f) {
  if (m->now + f->latency_fs > s->complete) s->complete = m->now + f->latency_fs;
  if (s->complete > EMU_TIME_MAX) return emu_fail(m, s, E_TIME, "the run is longer than the machine's clock can count", 0, 0);
  m->total_bytes[f->via] += f->bytes * m->weight[s->core];
  if (m->forward) emu_forward_note(m, s);
  for (int j = 0; f->signal && j < f->signal_count; j++) {
    const int rc = emu_sem_signal(m, f->signal_first + j * f->signal_step, f->signal, 1, s, s->complete, emu_clock_of(m, s->id));
    if (rc < 0) return rc;
  }
  return 0;
}

/* The data phase of a transfer ends now: what its stream did meanwhile, and what follows from it. */
int emu_flow_ended(emu_machine *m, emu_flow *f) {
  emu_stream *s = &m->streams[f->stream];
  const int64_t end = m->now;
  int64_t alone = f->bytes ? (int64_t)(((__int128)f->bytes * EMU_UNITS + f->alone - 1) / f->alone) : 0;
  const int shared = f->via == VIA_NOC ? CAUSE_NOC : f->via == VIA_NONE ? CAUSE_PORT : CAUSE_DRAM_BANDWIDTH;
  /* What made it take so long: the resource that all share, or else its core's port or its own limit. */
  s->nature = f->squeezed > (end - f->start) / 2 ? shared : f->own;
  s->last_cause = s->root;
  emu_charge(m, s, CAUSE_DRAM_LATENCY, f->start, CAUSE_DRAM_LATENCY);
  emu_busy(m, s, f->start + alone < end ? f->start + alone : end);
  emu_charge(m, s, f->squeezed ? shared : CAUSE_PORT, end, s->nature);
  s->root = s->nature;
  /* Without its latency the transfer could have come at most as much earlier as the queue was idle before it: that much of the latency
     is a cause, the rest is hidden behind other transfers. */
  const int64_t idle = f->start - s->free_at, latency = f->latency_fs < idle ? f->latency_fs : idle, taken = f->start - m->c.dma_start * m->c.period_fs;
  s->op_start = taken > s->free_at ? taken : s->free_at;
  s->op_data_end = end + f->latency_fs - latency;
  s->free_at = end;
  int rc;
  if (m->c.trace_max && (rc = emu_record_op(m, s, f->start, end, f->pc, f->label)) < 0) return rc;
  if ((rc = m->detailed ? emu_detailed_ended(m, s, f, latency) : completed(m, s, f)) < 0) return rc;
  if (!s->full) return emu_wake(m, s);
  s->state = ON_FULL;
  return 0;
}

/* Time passes from m->now to `next`: what is done leaves the pools. */
static int advance(emu_machine *m, int64_t next) {
  const uint64_t dt = (uint64_t)(next - m->now);
  int32_t *done = m->work + m->c.cores * EMU_STREAM_COUNT;
  int64_t n = 0;
  m->now = next;
  for (int via = 0; via < VIAS; via++) {
    emu_pool *p = &m->pools[via];
    int64_t keep = 0;
    p->given += (uint64_t)p->rate * dt;
    for (int64_t j = 0; next >= m->next_finish && j < p->n; j++) {
      const emu_slot *x = &p->slots[j];
      if (x->rate == SHARED ? (int64_t)(x->end - p->given) > 0 : (int64_t)x->end > next) {
        p->slots[keep++] = *x;
        continue;
      }
      settle(m, p, x);
      p->open -= m->weight[x->core];
      m->port_users[x->core]--;
      done[n++] = x->stream;
    }
    if (next >= m->next_finish) p->n = keep;
  }
  if (!n) return 0;
  m->nactive -= n;
  m->rates_stale = 1;
  qsort(done, (size_t)n, sizeof *done, emu_by_number);
  for (int64_t j = 0; j < n; j++) {
    const int rc = emu_flow_ended(m, &m->flows[done[j]]);
    if (rc < 0) return rc;
  }
  return 0;
}

/* A read takes from device memory what the cache lacks; the rest comes from the cache, beside it. */
static int through_cache(emu_machine *m, emu_flow *f) {
  int64_t *c = m->counters + (int64_t)f->label * COUNTERS, total = f->bytes;
  const emu_touch *at = &m->touches[f->stream];
  const int64_t absent = emu_cache_touch(m, &at->extent, at->base);
  if (absent < 0) return emu_fail(m, &m->streams[f->stream], E_MEMORY, "out of memory for the cache", 0, 0);
  c[C_SHARED] += total;
  m->total_bytes[VIA_SHARED] += total;
  if (f->cached == 2) return 0;
  c[C_HBM_READ] += absent; /* whole sectors: what was fetched beside the bytes asked for is a hit later */
  c[C_HBM_BURST] += absent;
  if (!absent) {
    f->via = VIA_SHARED;
    f->latency_fs += m->c.cache_latency_fs - m->c.hbm_latency_fs;
    m->total_bytes[VIA_SHARED] -= total; /* counted again when it ends */
  } else {
    f->bytes = absent;
    if (absent < total) f->limit = (int64_t)((__int128)f->limit * absent / total);
    if (f->limit < 1) f->limit = 1;
  }
  f->alone = f->limit < m->capacity[f->via] ? f->limit : m->capacity[f->via];
  return 0;
}

/* A byte that costs more is more of them, at as much a higher rate where the memory is not what limits it. */
static void weigh(const emu_machine *m, emu_flow *f) {
  int size = EMU_SIZES - 1;
  while (size && f->bytes < m->c.hbm_sizes[size]) size--;
  f->latency_fs += m->c.hbm_late_fs[size];
  f->bytes = (f->bytes * f->cost + 65535) / 65536;
  f->limit = (int64_t)((__int128)f->limit * f->cost / 65536);
  f->alone = f->limit < m->capacity[f->via] ? f->limit : m->capacity[f->via];
}

static int start_one(emu_machine *m, int32_t stream) {
  emu_flow *f = &m->flows[stream];
  int rc;
  if (f->cached && f->bytes && (rc = through_cache(m, f)) < 0) return rc;
  if (f->cost && f->via == VIA_HBM) weigh(m, f);
  f->left = f->bytes * EMU_UNITS;
  f->squeezed = 0;
  if (m->detailed && f->via == VIA_HBM && f->bytes) return emu_detailed_start(m, f);
  enter(m, stream);
  return 0;
}

/* All that are due start; where there is a cache, in the order of cores, so that it sees one order however the streams were run. */
static int start_due(emu_machine *m) {
  int32_t *due = m->work + m->c.cores * EMU_STREAM_COUNT;
  int64_t n = 0, keep = 0, next = INT64_MAX;
  for (int64_t j = 0; j < m->npending; j++) {
    const int32_t id = m->pending[j];
    const int64_t start = m->flows[id].start;
    if (start > m->now) {
      m->pending[keep++] = id;
      if (start < next) next = start;
    } else due[n++] = id;
  }
  m->npending = keep;
  m->next_start = next;
  for (int64_t j = 1; m->cache && j < n; j++) {
    const int32_t id = due[j];
    int64_t at = j;
    while (at > 0 && due[at - 1] > id) due[at] = due[at - 1], at--;
    due[at] = id;
  }
  for (int64_t j = 0; j < n; j++) {
    const int rc = start_one(m, due[j]);
    if (rc < 0) return rc;
  }
  return 0;
}

int64_t emu_fluid_next(emu_machine *m) {
  int rc;
  if (m->npending && m->next_start <= m->now && (rc = start_due(m)) < 0) return rc; /* what follows what has just ended: shares are worked out once */
  if (!m->nactive && !m->npending) return INT64_MAX;
  if (m->rates_stale) set_rates(m);
  const int64_t next = m->nactive && m->next_finish < m->next_start ? m->next_finish : m->next_start;
  return next < m->now ? m->now : next;
}

int emu_fluid_pass(emu_machine *m, int64_t until) {
  const int rc = advance(m, until);
  return rc < 0 || !m->npending || m->next_start > m->now ? rc : start_due(m);
}

int emu_fluid_step(emu_machine *m) {
  const int64_t next = emu_fluid_next(m);
  if (next < 0 || next == INT64_MAX) return next < 0 ? (int)next : 0;
  const int rc = emu_fluid_pass(m, next);
  return rc < 0 ? rc : 1;
}
