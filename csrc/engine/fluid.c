/* Shared memory and network as rate servers: the active transfers share each resource fairly (max-min), in integer units, so that equal
   requests issued together end together (SOUNDNESS 14). Time moves from one start or finish of a transfer to the next. */
#include "machine.h"

/* A transfer whose data phase starts at flows[stream].start. */
void emu_fluid_submit(emu_machine *m, int stream) {
  const int64_t start = m->flows[stream].start;
  if (!m->npending || start < m->next_start) m->next_start = start;
  m->pending[m->npending++] = stream;
}

static int64_t local_limit(const emu_machine *m, const emu_flow *f) {
  const int64_t users = m->port_users[f->stream / EMU_STREAM_COUNT], share = users > 1 ? m->port_rate / users : m->port_rate;
  return f->limit < share ? f->limit : share;
}

/* While its rate stays, so does the time at which a transfer ends. */
static inline void give(emu_flow *f, int64_t rate, int held) {
  f->held = held;
  if (f->rate == rate) return;
  f->rate = rate;
  f->finish = EMU_UNKNOWN;
}

/* Water-filling: whoever cannot use an equal share of what is left keeps its own limit; the others share the rest. */
static void fill(emu_machine *m, int via, int64_t left, int64_t open) {
  for (int64_t j = 0; j < m->nactive; j++) m->flows[m->active[j]].filled = 0;
  for (int changed = 1; open && changed;) {
    const int64_t equal = left / open;
    changed = 0;
    for (int64_t j = 0; j < m->nactive; j++) {
      emu_flow *f = &m->flows[m->active[j]];
      if (f->via != via || f->filled) continue;
      const int64_t own = local_limit(m, f), w = m->weight[f->stream / EMU_STREAM_COUNT]; /* as many equal transfers as cores it stands for */
      if (own > equal) continue;
      give(f, own, 0);
      f->filled = 1;
      left -= own * w;
      open -= w;
      changed = 1;
    }
  }
  if (!open) return;
  const int64_t equal = left / open > 0 ? left / open : 1;
  for (int64_t j = 0; j < m->nactive; j++) {
    emu_flow *f = &m->flows[m->active[j]];
    if (f->via == via && !f->filled) give(f, equal, 1);
  }
}

/* Mostly nobody is below an equal share. */
static void share(emu_machine *m, int via) {
  const int64_t open = m->open[via], equal = m->capacity[via] / open;
  for (int64_t j = 0; j < m->nactive; j++) {
    const emu_flow *f = &m->flows[m->active[j]];
    if (f->via != via || local_limit(m, f) > equal) continue;
    fill(m, via, m->capacity[via], open);
    return;
  }
  for (int64_t j = 0; j < m->nactive; j++) {
    emu_flow *f = &m->flows[m->active[j]];
    if (f->via == via) give(f, equal > 0 ? equal : 1, 1);
  }
}

static void set_rates(emu_machine *m) {
  int64_t old_left = -1, old_rate = -1, old_finish = 0, next = INT64_MAX;
  for (int via = VIA_HBM; via < VIAS; via++)
    if (m->users[via] && !m->c.ideal) share(m, via);
  for (int64_t j = 0; j < m->nactive; j++) {
    emu_flow *f = &m->flows[m->active[j]];
    if (m->c.ideal) give(f, f->alone, f->alone < f->limit);
    else if (f->via == VIA_NONE) give(f, local_limit(m, f), 0);
    if (f->finish == EMU_UNKNOWN) {
      if (f->left != old_left || f->rate != old_rate) { /* equal transfers are common: divide once */
        old_left = f->left;
        old_rate = f->rate;
        old_finish = emu_align(m, m->now + (old_left + old_rate - 1) / old_rate); /* every engine acts on clock edges, DMA too */
      }
      f->finish = old_finish;
    }
    if (f->finish < next) next = f->finish;
  }
  m->next_finish = next;
  m->rates_stale = 0;
}

static int finish(emu_machine *m, emu_flow *f) {
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
  if (end + f->latency_fs > s->complete) s->complete = end + f->latency_fs;
  if (s->complete > EMU_TIME_MAX) return emu_fail(m, s, E_TIME, "the run is longer than the machine's clock can count", 0, 0);
  m->total_bytes[f->via] += f->bytes * m->weight[s->core];
  if (m->forward) emu_forward_note(m, s);
  int rc;
  if (m->c.trace_max && (rc = emu_record_op(m, s, f->start, end, f->pc, f->label)) < 0) return rc;
  for (int j = 0; f->signal && j < f->signal_count; j++)
    if ((rc = emu_sem_signal(m, f->signal_first + j * f->signal_step, f->signal, 1, s, s->complete, emu_clock_of(m, s->id))) < 0) return rc;
  if (!s->full) return emu_wake(m, s);
  s->state = ON_FULL;
  return 0;
}

/* Time passes from m->now to `next`: what is done leaves the active ones, in order. */
static int advance(emu_machine *m, int64_t next) {
  const int64_t dt = next - m->now;
  int32_t *done = m->work + m->c.cores * EMU_STREAM_COUNT;
  int64_t keep = 0, n = 0;
  m->now = next;
  for (int64_t j = 0; j < m->nactive; j++) {
    emu_flow *f = &m->flows[m->active[j]];
    if (f->held) f->squeezed += dt;
    if (f->finish > next) {
      f->left -= f->rate * dt;
      m->active[keep++] = m->active[j];
    } else done[n++] = m->active[j];
  }
  m->nactive = keep;
  for (int64_t j = 0; j < n; j++) {
    emu_flow *f = &m->flows[done[j]];
    m->port_users[f->stream / EMU_STREAM_COUNT]--;
    m->users[f->via]--;
    m->open[f->via] -= m->weight[f->stream / EMU_STREAM_COUNT];
    m->rates_stale = 1;
    int rc = finish(m, f);
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

static int start_one(emu_machine *m, int32_t stream) {
  emu_flow *f = &m->flows[stream];
  int rc;
  if (f->cached && f->bytes && (rc = through_cache(m, f)) < 0) return rc;
  f->left = f->bytes * EMU_UNITS;
  f->squeezed = 0;
  f->rate = 0; /* none yet: its end is worked out with its first rate */
  m->active[m->nactive++] = stream;
  m->users[f->via]++;
  m->open[f->via] += m->weight[f->stream / EMU_STREAM_COUNT];
  m->port_users[f->stream / EMU_STREAM_COUNT]++;
  m->rates_stale = 1;
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

int emu_fluid_step(emu_machine *m) {
  if (!m->nactive && !m->npending) return 0;
  int rc;
  if (m->npending && m->next_start <= m->now && (rc = start_due(m)) < 0) return rc; /* what follows what has just ended: shares are worked out once */
  if (m->rates_stale) set_rates(m);
  int64_t next = m->nactive && m->next_finish < m->next_start ? m->next_finish : m->next_start;
  if (next < m->now) next = m->now;
  if ((rc = advance(m, next)) < 0) return rc;
  if (m->npending && m->next_start <= m->now && (rc = start_due(m)) < 0) return rc;
  return 1;
}
