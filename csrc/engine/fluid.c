/* Shared memory and network as rate servers: the active transfers share each resource fairly (max-min), in integer units, so that equal
   requests issued together end together (SOUNDNESS 14). Time moves from one start or finish of a transfer to the next.

   The transfers of a resource lie side by side in a pool. One that nobody squeezes keeps its own rate and knows when it ends. The others all
   get the same: how much each of them has got since the beginning is one number of the pool, and each knows at which count it ends. So
   while time passes nothing is written for any of them. */
#include <stdlib.h>
#include "detailed.h"

#define SHARED INT64_C(-1) /* a slot's rate: that of the pool */
struct emu_slot { uint64_t end; int64_t limit, rate; int32_t stream, core, engine, unit; }; /* end: a time, or a count of the pool; engine: no transfer; unit: its sram_unit */

int emu_fluid_prepare(emu_machine *m) {
  const int64_t n = m->c.cores * EMU_STREAM_COUNT, alone = (int64_t)((__int128)m->c.dma_bytes_per_clk * EMU_UNITS / m->c.period_fs);
  for (int64_t users = 0; users <= EMU_STREAM_COUNT; users++) m->port_share[users] = users > 1 ? alone / users : alone;
  m->vias = VIA_LEVEL;
  for (int t = 0; t < m->c.tiers; t++) { /* of one chip: runs of several have no caches */
    const int64_t instances = emu_ceil_div(m->c.cores, m->c.tier_cores[t]);
    if (m->c.tier_loads[t]) continue; /* what scalar loads take is less than any level has */
    if (m->vias + instances > VIAS) return -1; /* config.py has refused such a chip */
    m->tier_via[t] = m->vias;
    for (int64_t j = 0; j < instances; j++) m->capacity[m->vias++] = emu_rate_of(m->c.tier_bytes_per_s[t], EMU_FS_PER_S);
  }
  const int64_t most = n / m->c.chips; /* transfers of a chip; those to other chips share one pool, the first chip's */
  if (!(m->pools = calloc((size_t)(m->c.chips * m->vias), sizeof *m->pools))) return -1;
  for (int64_t at = 0; at < m->c.chips * m->vias; at++)
    if ((at % m->vias != VIA_NET || at < m->vias) && !(m->pools[at].slots = malloc((size_t)(at == VIA_NET ? n : most) * sizeof *m->pools[at].slots))) return -1;
  return 0;
}

void emu_fluid_free(emu_machine *m) {
  for (int64_t at = 0; m->pools && at < m->c.chips * m->vias; at++) free(m->pools[at].slots);
  free(m->pools);
}

/* Of the transfers of a pool: whose it is, and what it can take by itself. */
int32_t emu_pool_stream(const emu_pool *p, int64_t at) { return p->slots[at].stream; }
int64_t emu_pool_limit(const emu_pool *p, int64_t at) { return p->slots[at].limit; }

/* A transfer whose data phase starts at flows[stream].start. */
void emu_fluid_submit(emu_machine *m, int stream) {
  const int64_t start = m->flows[stream].start;
  if (!m->npending || start < m->next_start) m->next_start = start;
  m->pending[m->npending++] = stream;
}

/* What it can take by itself: transfers of one core share its port. */
static inline int64_t at_port(const emu_machine *m, const emu_slot *x) {
  const int64_t share = m->port_share[m->port_users[x->core]];
  return x->limit < share || m->c.ideal || x->engine ? x->limit : share;
}

/* And what is on its scratchpad shares that. */
static inline int64_t own_rate(const emu_machine *m, const emu_slot *x) {
  const int64_t rate = at_port(m, x);
  if (!m->sram_level || !x->unit || m->c.ideal) return rate;
  const int64_t level = m->sram_level[x->core] / x->unit;
  return rate < level ? rate : level > 0 ? level : 1;
}

static int64_t want_of(const emu_machine *m, const emu_slot *x) {
  const int64_t rate = at_port(m, x);
  return rate > INT64_MAX / 4 / x->unit ? INT64_MAX / 4 : rate * x->unit;
}

/* A transfer that is in no pool, because `detailed` makes requests of it. */
static emu_slot slot_of(const emu_flow *f) {
  return (emu_slot){.limit = f->limit, .stream = f->stream, .core = f->stream / EMU_STREAM_COUNT, .unit = (int32_t)f->sram_unit};
}

static void share_scratchpad(emu_machine *m, int core) {
  int64_t wants[EMU_STREAM_COUNT];
  int n = 0;
  for (int64_t at = 0; at < m->c.chips * m->vias; at++)
    for (int64_t j = 0; j < m->pools[at].n; j++) {
      const emu_slot *x = &m->pools[at].slots[j];
      if (x->core == core && x->unit) wants[n++] = want_of(m, x);
    }
  for (int id = core * EMU_STREAM_COUNT; m->detailed && id < (core + 1) * EMU_STREAM_COUNT; id++) {
    const emu_slot x = slot_of(&m->flows[id]);
    if (x.unit && emu_detailed_sends(m->detailed, id)) wants[n++] = want_of(m, &x);
  }
  m->sram_level[core] = emu_sram_fill(m->sram_rate, wants, n);
}

int64_t emu_fluid_pace(emu_machine *m, const emu_flow *f) {
  const emu_slot x = slot_of(f);
  if (m->sram_level && m->rates_stale) share_scratchpad(m, x.core);
  return own_rate(m, &x);
}

/* Water-filling: whoever cannot use an equal share of what is left keeps its own rate; the others share the rest. Nobody: INT64_MAX. */
static int64_t level_of(const emu_machine *m, int64_t at) {
  const emu_pool *p = &m->pools[at];
  const int via = (int)(at % m->vias);
  if (via == VIA_NONE || m->c.ideal) return INT64_MAX;
  const int64_t capacity = m->capacity[via] - (via == VIA_HBM ? emu_net_on_memory(m, at / m->vias) : 0);
  int64_t equal = capacity / p->open, before = 0;
  for (;;) {
    int64_t taken = 0, by = 0;
    for (int64_t j = 0; j < p->n; j++) {
      const int64_t own = own_rate(m, &p->slots[j]), w = m->weight[p->slots[j].core]; /* as many equal transfers as cores it stands for */
      if (own <= equal) taken += own * w, by += w;
    }
    if (by == p->open) return INT64_MAX;
    if (by == before) return equal;
    before = by;
    equal = (capacity - taken) / (p->open - by);
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

static void set_pool(emu_machine *m, int64_t at) {
  emu_pool *p = &m->pools[at];
  const int net = at == VIA_NET;
  const int64_t level = net ? 0 : level_of(m, at);
  int64_t old_left = -1, old_rate = -1, old_end = 0;
  p->rate = level > 0 ? level : 1;
  for (int64_t j = 0; j < p->n; j++) {
    emu_slot *x = &p->slots[j];
    const int64_t own = net ? emu_net_rate(m, x->stream) : own_rate(m, x), rate = !net && own > level ? SHARED : own;
    if (x->rate == rate) continue;
    emu_flow *f = &m->flows[x->stream];
    settle(m, p, x);
    x->rate = rate;
    f->held = rate == SHARED || (net && rate < f->limit) || (m->c.ideal && f->alone < f->limit);
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
  if (m->net) emu_net_rates(m); /* links first: what they carry is taken from the memories at their ends */
  for (int core = 0; m->sram_level && core < m->c.cores; core++) share_scratchpad(m, core);
  for (int64_t at = 0; at < m->c.chips * m->vias; at++) {
    if (!m->pools[at].n) continue;
    set_pool(m, at);
    const int64_t next = next_of(m, &m->pools[at]);
    if (next < m->next_finish) m->next_finish = next;
  }
  m->rates_stale = 0;
}

static void enter(emu_machine *m, int32_t stream) {
  emu_flow *f = &m->flows[stream];
  const int32_t core = stream / EMU_STREAM_COUNT;
  const int32_t engine = f->cached == PASS_ENGINE;
  emu_pool *p = &m->pools[f->via == VIA_NET ? VIA_NET : emu_chip_of(m, core) * m->vias + f->via];
  p->slots[p->n++] = (emu_slot){0, m->c.ideal ? f->alone : f->limit, 0, stream, core, engine, (int32_t)f->sram_unit};
  p->open += m->weight[core];
  m->port_users[core] += !engine && f->via != VIA_NET; /* what goes to other chips has a port of its own */
  f->since = m->now;
  f->held = 0;
  m->nactive++;
  m->rates_stale = 1;
}

int emu_by_number(const void *a, const void *b) { return *(const int32_t *)a - *(const int32_t *)b; }

/* The active transfers in `active`, what is left of each at this moment in its flow. */
void emu_fluid_settle(emu_machine *m) {
  int64_t n = 0;
  for (int via = 0; via < m->vias; via++)
    for (int64_t j = 0; j < m->pools[via].n; j++) {
      settle(m, &m->pools[via], &m->pools[via].slots[j]);
      m->active[n++] = m->pools[via].slots[j].stream;
    }
  qsort(m->active, (size_t)n, sizeof *m->active, emu_by_number); /* no result depends on their order */
}

/* The transfers in `active` are the active ones, as their flows say; rates follow from them. */
void emu_fluid_restore(emu_machine *m) {
  const int64_t n = m->nactive;
  for (int via = 0; via < m->vias; via++) m->pools[via].n = m->pools[via].open = 0;
  for (int64_t core = 0; core < m->c.cores; core++) m->port_users[core] = 0;
  m->nactive = 0;
  for (int64_t j = 0; j < n; j++) enter(m, m->active[j]);
}

/* The stream of a scalar load has waited for it; its bytes move within the latency, unless others leave them too little. */
static int finish_load(emu_machine *m, emu_stream *s, const emu_flow *f) {
  const int64_t back = f->start + f->latency_fs;
  s->t = emu_align(m, back > m->now ? back : m->now);
  if (s->t > EMU_TIME_MAX) return emu_fail(m, s, E_TIME, "the run is longer than the machine's clock can count", 0, 0);
  s->started = 1;
  emu_charge(m, s, f->late, s->t, f->late);
  m->total_bytes[f->via] += f->bytes * m->weight[s->core];
  return emu_wake(m, s);
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
  if (f->cached == PASS_LOAD) return finish_load(m, s, f);
  if (f->cached == PASS_ENGINE) return emu_sram_finish(m, s, f);
  const int shared = f->via == VIA_NOC ? CAUSE_NOC : f->via == VIA_NET ? CAUSE_LINK : f->via == VIA_NONE ? CAUSE_PORT : f->via == VIA_HBM ? CAUSE_DRAM_BANDWIDTH : CAUSE_SHARED;
  /* What made it take so long: the resource that all share, or else its core's port or its own limit. */
  s->nature = f->squeezed > (end - f->start) / 2 ? shared : f->own;
  s->last_cause = s->root;
  const int before = f->via == VIA_NET ? CAUSE_LINK : f->late;
  emu_charge(m, s, before, f->start, before);
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
  for (int64_t at = 0; at < m->c.chips * m->vias; at++) {
    emu_pool *p = &m->pools[at];
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
      m->port_users[x->core] -= !x->engine && at != VIA_NET;
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

/* The pool of a tier's instance that serves a core. */
static int tier_via(const emu_machine *m, int tier, int core) {
  return m->tier_via[tier] ? m->tier_via[tier] + core / (int)m->c.tier_cores[tier] : VIA_NONE;
}

/* The bytes that come from (or stay in) each tier also cross those before it: conservation bounds a whole run in `ideal`. */
static void note_bytes(emu_machine *m, const emu_found *found, int core) {
  int64_t beyond = found->from[m->c.tiers];
  for (int t = (int)m->c.tiers - 1; t >= 0; t--) {
    beyond += found->from[t];
    const int via = tier_via(m, t, core);
    if (via) m->total_bytes[via] += beyond;
  }
}

static void count_found(emu_machine *m, const emu_flow *f, const emu_found *found, int64_t useful) {
  int64_t *c = m->counters + (int64_t)f->label * COUNTERS;
  const int64_t device = found->from[m->c.tiers], core_only = m->c.tier_cores[0] == 1 ? found->from[0] : 0;
  c[C_SHARED] += core_only < f->bytes ? f->bytes - core_only : 0;
  c[C_HBM_BURST] += found->written;
  c[C_HBM_WRITE] += found->written;
  if (f->cached == PASS_WRITE) {
    c[C_HBM_WRITE] += device ? useful : 0;
    c[C_HBM_BURST] += device ? f->bytes : 0;
  } else {
    c[C_HBM_READ] += device; /* whole sectors: what was fetched beside the bytes asked for is a hit later */
    c[C_HBM_BURST] += device;
  }
}

/* What moves at the farthest place `far`, in bytes as they were asked for where all of them do. */
static int64_t moved_there(const emu_flow *f, const emu_found *found, int far, int tiers) {
  int64_t nearer = 0;
  for (int t = 0; t < far; t++) nearer += found->from[t];
  if (f->cached == PASS_WRITE) return (far < tiers || found->from[tiers] ? f->bytes : 0) + found->written;
  return far == tiers ? found->from[tiers] + found->written : nearer ? found->from[far] : f->bytes;
}

/* A transfer takes the bandwidth and the latency of the farthest place that it reaches, for what moves there; the rest moves beside it. */
static int through_cache(emu_machine *m, emu_flow *f) {
  const int core = m->streams[f->stream].core, tiers = (int)m->c.tiers;
  const int64_t total = f->bytes;
  const emu_touch *at = &m->touches[f->stream];
  emu_found found = {.told = m->detailed};
  if (emu_cache_touch(m, core, &at->extent, at->base, f->cached, &found) < 0)
    return emu_fail(m, &m->streams[f->stream], E_MEMORY, "out of memory for the cache", 0, 0);
  count_found(m, f, &found, at->extent.bytes);
  note_bytes(m, &found, core);
  if (m->detailed && f->cached == PASS_WRITE && !found.from[tiers]) emu_detailed_note(m, &m->streams[f->stream], (emu_side[2]){{NULL}, {NULL}}); /* a tier keeps it */
  int far = tiers;
  while (far > 0 && !found.from[far] && !found.written) far--;
  if (far < tiers) {
    f->via = tier_via(m, far, core);
    f->latency_fs += m->c.tier_latency_fs[far] - m->c.hbm_latency_fs;
    f->late = CAUSE_SHARED;
    emu_bound_flow(m, f);
    if (f->via) m->total_bytes[f->via] -= moved_there(f, &found, far, tiers); /* counted again when it ends */
  }
  if (f->cached != PASS_LOAD) {
    f->bytes = moved_there(f, &found, far, tiers);
    if (f->bytes < total) f->limit = (int64_t)((__int128)f->limit * f->bytes / total);
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
  if (f->cached && f->cached != PASS_ENGINE && f->bytes && m->cache && (rc = through_cache(m, f)) < 0) return rc;
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
