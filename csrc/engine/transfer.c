/* DMA: what a transfer moves, on which path, at which rate at most, and when its effect is complete. */
#include <string.h>
#include "detailed.h"
#include "num/toggle.h"

typedef struct { const emu_plan *p; emu_operand d, s, index; int multicast; int64_t first, count, step; } transfer;

static int multicast_cores(emu_machine *m, emu_stream *s, const emu_desc *list, transfer *x) {
  const int64_t cores = m->chip_cores, own = s->core % cores;
  x->first = list->f[AT_CORE] == -1 ? own : list->f[AT_CORE];
  x->count = list->f[AT_N0];
  x->step = list->f[AT_S1];
  if (x->count < 0 || x->count > cores) return emu_fail(m, s, E_BOUNDS, "a multicast names more cores than there are", x->count, cores);
  if (!x->count) return 0;
  if (x->count == 1) x->step = 0;
  const int sane = x->step <= cores && x->step >= -cores && (x->step || x->count == 1);
  const int64_t last = x->first + (x->count - 1) * (sane ? x->step : 0);
  if (!sane || x->first < 0 || x->first >= cores || last < 0 || last >= cores)
    return emu_fail(m, s, E_BOUNDS, "a multicast names a core that does not exist", x->first, last);
  x->first += s->core - own;
  return 0;
}

static int resolve(emu_machine *m, emu_stream *s, emu_insn *i, transfer *x) {
  const emu_plan *p = x->p = emu_plan_of(m, s, i);
  if (!p) return -m->fail.code;
  int rc;
  if ((rc = emu_operand_at(m, s, i, 0, &p->x[0], s->d[i->d0].f[AT_BASE], &x->d)) < 0 ||
      (rc = emu_operand_at(m, s, i, 1, &p->x[1], s->d[i->d1].f[AT_BASE], &x->s)) < 0)
    return rc;
  x->multicast = i->op == EMU_OP_DMAM;
  x->first = s->core;
  x->count = 1;
  x->step = 0;
  if (x->multicast) return multicast_cores(m, s, &s->d[i->d2], x);
  if (!p->indexed) return 0;
  if ((rc = emu_operand_at(m, s, i, 2, &p->x[2], s->d[i->d2].f[AT_BASE], &x->index)) < 0) return rc;
  return emu_access(m, s, &x->index, 0);
}

/* Toggles of moved bytes, counted for the space they leave and the one they reach: along a row on a bus, across rows no longer than a beat. */
static void tally(const emu_extent *x, const uint8_t *from, int to_space, int dense) {
  static const int read[EMU_SP_COUNT] = {EMU_TALLY_HBM_READ, EMU_TALLY_SRAM, EMU_TALLY_ACC, EMU_TALLY_SRAM, EMU_TALLY_SHARED};
  const int64_t size = emu_fmt_bytes[x->fmt], row = x->n[0] * size;
  emu_view v = {(uint8_t *)(uintptr_t)from, emu_fmt_bits[x->fmt] < 8 ? EMU_FMT_INT8 : x->fmt, 0, {0}, {0}};
  emu_tally t = {0, 0};
  memcpy(v.n, x->n, sizeof v.n);
  memcpy(v.s, x->s, sizeof v.s);
  if (!dense || row <= EMU_BUS_BYTES) emu_toggles_along(&v, dense && v.n[1] > 1 ? 1 : 0, &t);
  else
    for (int64_t a = 0; a < v.n[3]; a++)
      for (int64_t b = 0; b < v.n[2]; b++)
        for (int64_t c = 0; c < v.n[1]; c++)
          emu_toggles_bus(from + a * v.s[3] + b * v.s[2] + c * v.s[1], (size_t)row, EMU_BUS_BYTES, &t);
  const int ends[2] = {read[x->space], to_space == EMU_SP_HBM ? EMU_TALLY_HBM_WRITE : read[to_space]};
  for (int j = 0; j < 2; j++) {
    emu_num_tallies[ends[j]].toggles += t.toggles;
    emu_num_tallies[ends[j]].bits += t.bits;
  }
}

static void copy(emu_machine *m, const emu_operand *d, const emu_operand *s) {
  const emu_extent *dx = d->x, *sx = s->x;
  const int64_t size = emu_fmt_bytes[dx->fmt];
  uint8_t *to = emu_operand_data(m, d) + d->base, *from = emu_operand_data(m, s) + s->base;
  const int dense = dx->s[0] == size && sx->s[0] == size;
  m->polled += dx->bytes >> 12;
  for (int64_t a = 0; a < dx->n[3]; a++)
    for (int64_t b = 0; b < dx->n[2]; b++)
      for (int64_t c = 0; c < dx->n[1]; c++) {
        uint8_t *t = to + a * dx->s[3] + b * dx->s[2] + c * dx->s[1], *f = from + a * sx->s[3] + b * sx->s[2] + c * sx->s[1];
        if (dense) memmove(t, f, (size_t)(dx->n[0] * size));
        else
          for (int64_t e = 0; e < dx->n[0]; e++) memcpy(t + e * dx->s[0], f + e * sx->s[0], (size_t)size);
      }
  if (emu_num_tallies) tally(sx, from, dx->space, dense);
}

/* Rows chosen by an index: each is an operand of its own, so that a wild index is an error and not a stray read. In timing-only runs an
   index is known only where it has real data (role index). */
static int indexed(emu_machine *m, emu_stream *s, emu_insn *i, transfer *x) {
  const emu_plan *p = x->p;
  const int gather = i->op == EMU_OP_DMAG, slot = gather ? 1 : 0;
  const int backed = m->c.values || (p->x[2].space == EMU_SP_HBM && x->index.buffer >= 0 && m->buffers[x->index.buffer].role == ROLE_INDEX);
  const emu_operand *rows = gather ? &x->s : &x->d;
  if (!p->rows || !rows->x->elements || !backed) return 0;
  emu_extent one = gather ? p->x[0] : p->x[1]; /* a row of the operand that is not indexed */
  one.n[1] = one.n[2] = one.n[3] = 1;
  for (int64_t r = 0; r < p->rows; r++) {
    int32_t index;
    memcpy(&index, emu_operand_data(m, &x->index) + x->index.base + r * p->x[2].s[0], 4);
    int64_t far, base;
    if (__builtin_mul_overflow((int64_t)index, p->pitch, &far) || __builtin_add_overflow(rows->base, far, &base)) base = -1;
    emu_operand at, other = gather ? x->d : x->s;
    int rc = emu_operand_at(m, s, i, slot, rows->x, base, &at);
    if (rc < 0 || (rc = emu_access(m, s, &at, !gather)) < 0) return rc;
    if (!m->c.values) continue;
    other.base += r * one.s[1];
    other.x = &one;
    if (gather) copy(m, &other, &at);
    else copy(m, &at, &other);
  }
  return 0;
}

static int effect(emu_machine *m, emu_stream *s, emu_insn *i, transfer *x) {
  const int gather = i->op == EMU_OP_DMAG, scatter = i->op == EMU_OP_DMAS;
  int rc;
  if (!gather && (rc = emu_access(m, s, &x->s, 0)) < 0) return rc;
  if (x->p->indexed && (rc = indexed(m, s, i, x)) < 0) return rc;
  if (scatter) return 0;
  for (int64_t j = 0; j < x->count; j++) {
    emu_operand d = x->d;
    if (x->multicast) d.core = (int)(x->first + j * x->step);
    if ((rc = emu_access(m, s, &d, 1)) < 0) return rc;
    if (m->c.values && !gather && d.x->elements) copy(m, &d, &x->s);
  }
  return 0;
}

static int64_t along(int64_t a, int64_t b, int64_t size, int64_t wraps) {
  const int64_t d = a < b ? b - a : a - b;
  return wraps && size - d < d ? size - d : d;
}

static int64_t hops(const emu_machine *m, int64_t a, int64_t b) { /* cores of one chip */
  if (m->c.noc_crossbar) return a != b;
  a %= m->chip_cores, b %= m->chip_cores;
  const int64_t w = m->c.noc_x > 0 ? m->c.noc_x : 1;
  return along(a % w, b % w, w, m->c.noc_wraps) + along(a / w, b / w, m->c.noc_y, m->c.noc_wraps);
}

static void count_bytes(emu_machine *m, emu_stream *s, const emu_operand *o, int write, int64_t bytes, int64_t burst) {
  int64_t *c = emu_counters(m, s);
  switch (o->x->space) {
    case EMU_SP_HBM: c[write ? C_HBM_WRITE : C_HBM_READ] += bytes; c[C_HBM_BURST] += burst; break;
    case EMU_SP_SRAM: c[write ? C_SRAM_WRITE : C_SRAM_READ] += bytes; break;
    case EMU_SP_ACC: c[write ? C_ACC_WRITE : C_ACC_READ] += bytes; break;
    default: c[C_SHARED] += bytes;
  }
}

/* Units per femtosecond of `bytes` in `fs`. */
int64_t emu_rate_of(int64_t bytes, int64_t fs) {
  __int128 r = (__int128)bytes * EMU_UNITS / (fs > 0 ? fs : 1);
  return r > INT64_MAX / 4 ? INT64_MAX / 4 : r < 1 ? 1 : (int64_t)r;
}

/* Whose network the bytes cross, and how far: hops x bytes are counted for every core that gets them. */
static int64_t distance(emu_machine *m, emu_stream *s, const transfer *x) {
  const int64_t bytes = x->p->bytes;
  if (!x->multicast) {
    if (x->s.core == x->d.core) return 0;
    const int64_t far = hops(m, x->s.core, x->d.core);
    emu_counters(m, s)[C_NOC_BYTE_HOPS] += far * bytes;
    return far;
  }
  int64_t far = 0;
  for (int64_t j = 0; j < x->count; j++) {
    int64_t h = hops(m, s->core, x->first + j * x->step);
    if (h > far) far = h;
    emu_counters(m, s)[C_NOC_BYTE_HOPS] += h * bytes;
  }
  return far;
}

/* Where the bytes lie in device memory. The rows of an index that has no real data in timing-only runs are taken one after the other, in
   runs with values too: a time must not depend on whether values were computed. */
static void note_requests(emu_machine *m, const emu_stream *s, const transfer *x) {
  const emu_plan *p = x->p;
  const emu_operand *sides[2] = {&x->s, &x->d};
  const int known = p->indexed && x->index.buffer >= 0 && p->x[2].space == EMU_SP_HBM && m->buffers[x->index.buffer].role == ROLE_INDEX;
  const emu_rows rows = {p->rows, p->pitch, known ? p->x[2].s[0] : 0, known ? m->hbm + x->index.base : NULL}, one = {1, 0, 0, NULL};
  emu_side at[2];
  for (int w = 0; w < 2; w++)
    at[w] = (emu_side){sides[w]->x->space == EMU_SP_HBM ? sides[w] : NULL, p->op == (w ? EMU_OP_DMAS : EMU_OP_DMAG) ? rows : one};
  emu_detailed_note(m, s, at);
}

/* What a byte of device memory costs in runs as long as these; between two places of it, what it costs on the way in and out. */
static int32_t cost_of(const emu_machine *m, const emu_plan *p) {
  int64_t cost = 0;
  if (!m->c.hbm_cost[0]) return 0;
  for (int w = 0; w < 2; w++) {
    const emu_extent *x = &p->x[!w];
    const int64_t run = x->dense ? x->bytes : x->run;
    int reached = 0;
    if (x->space != EMU_SP_HBM) continue;
    while (reached < EMU_RUNS && run >= m->c.hbm_runs[reached]) reached++;
    cost = cost ? (cost + m->c.hbm_cost[w * (EMU_RUNS + 1) + reached]) / 2 : m->c.hbm_cost[w * (EMU_RUNS + 1) + reached];
  }
  return (int32_t)cost;
}

static void path(emu_machine *m, emu_stream *s, const transfer *x, emu_flow *f) {
  const emu_config *c = &m->c;
  const emu_plan *p = x->p;
  const int64_t far = distance(m, s, x);
  f->via = p->via == VIA_NONE && far ? VIA_NOC : p->via;
  f->latency_fs = p->latency_fs + far * c->noc_hop_fs;
  f->bytes = p->moved;
  f->cached = p->cached;
  f->cost = f->via == VIA_HBM ? cost_of(m, p) : 0;
  if (f->cached) {
    const emu_operand *o = f->cached == PASS_READ ? &x->s : &x->d;
    m->touches[s->id] = (emu_touch){o->base, *o->x}; /* a copy: the plan may be gone when the transfer starts */
  }
  if (m->detailed && p->via == VIA_HBM) note_requests(m, s, x);
  if (f->cached != PASS_READ) count_bytes(m, s, &x->s, 0, p->bytes, p->read);
  if (f->cached != PASS_WRITE)
    for (int64_t j = 0; j < x->count; j++) count_bytes(m, s, &x->d, 1, p->bytes, p->write);
  f->late = p->via == VIA_SHARED ? CAUSE_SHARED : CAUSE_DRAM_LATENCY;
  f->most = p->most;
  f->sram_unit = m->sram_level && ((p->x[0].space == EMU_SP_SRAM && x->d.core == s->core) || (p->x[1].space == EMU_SP_SRAM && x->s.core == s->core));
  emu_bound_flow(m, f);
}

/* What a transfer can take at most, and why: the port, its bytes in flight over the latency, its descriptors. */
void emu_bound_flow(emu_machine *m, emu_flow *f) {
  f->limit = m->dma_rate;
  f->own = CAUSE_PORT;
  if (m->c.dma_inflight > 0 && f->latency_fs > 0) {
    if (f->latency_fs != m->little_latency) { /* a few paths, each with one latency: divide once */
      m->little_latency = f->latency_fs;
      m->little_rate = emu_rate_of(m->c.dma_inflight, f->latency_fs);
    }
    if (m->little_rate < f->limit) {
      f->limit = m->little_rate;
      f->own = f->late;
    }
  }
  if (f->most < f->limit) {
    f->limit = f->most;
    f->own = CAUSE_DESCRIPTOR;
  }
  f->alone = f->limit < m->capacity[f->via] ? f->limit : m->capacity[f->via];
}

/* A scalar load waits for its place in the memory: behind the data of transfers that its stream has begun, then for the way there and back. */
void emu_issue_load(emu_machine *m, emu_stream *s, const emu_insn *i) {
  emu_flow *f = &m->flows[s->id];
  const int64_t at = s->t > m->now ? s->t : m->now, bytes = m->c.access_bytes, where = (int64_t)((uint64_t)s->r[i->ra] + (uint64_t)i->imm);
  const emu_extent word = {.n = {4, 1, 1, 1}, .hi = 4, .bytes = 4, .elements = 1, .dense = 1};
  *f = (emu_flow){.start = emu_align(m, at), .via = VIA_HBM, .stream = s->id, .bytes = bytes, .latency_fs = m->c.hbm_latency_fs,
                  .cached = PASS_LOAD, .late = CAUSE_DRAM_LATENCY, .most = INT64_MAX, .pc = s->pc, .label = s->label};
  emu_bound_flow(m, f);
  if (m->detailed) emu_detailed_note(m, s, (emu_side[2]){{&(emu_operand){.x = &word, .base = where}, {1, 0, 0, NULL}}, {NULL, {0, 0, 0, NULL}}});
  if (m->cache) m->touches[s->id] = (emu_touch){where, word};
  else {
    int64_t *c = emu_counters(m, s);
    c[C_HBM_READ] += bytes;
    c[C_HBM_BURST] += bytes;
  }
  s->state = ON_QUEUE;
  emu_fluid_submit(m, s->id);
}

int emu_issue_dma(emu_machine *m, emu_stream *s, emu_insn *i) {
  transfer x;
  int rc = resolve(m, s, i, &x);
  if (rc < 0 || (rc = effect(m, s, i, &x)) < 0) return rc;
  emu_flow *f = &m->flows[s->id];
  emu_counters(m, s)[C_DMA]++;
  path(m, s, &x, f);
  const int64_t room = s->begun[(s->begun_at - m->c.dma_queue) & (EMU_QUEUE_MAX - 1)]; /* a descriptor left the queue */
  int64_t issue = emu_align(m, room > s->t ? room : s->t), ready = issue + m->c.dma_start * m->c.period_fs;
  f->start = ready > s->free_at ? ready : s->free_at;
  s->begun[s->begun_at++ & (EMU_QUEUE_MAX - 1)] = f->start;
  f->stream = s->id;
  f->pc = s->pc;
  f->label = s->label;
  f->signal = i->signal;
  f->signal_first = (int32_t)x.first;
  f->signal_count = (int32_t)x.count;
  f->signal_step = (int32_t)x.step;
  s->t = issue;
  if (m->c.dma_issue > m->c.issue_cycles) s->t += (m->c.dma_issue - m->c.issue_cycles) * m->c.period_fs; /* the sequencer adds issue_cycles */
  s->state = ON_QUEUE;
  emu_fluid_submit(m, s->id);
  return 0;
}
