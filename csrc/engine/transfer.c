/* DMA: what a transfer moves, on which path, at which rate at most, and when its effect is complete. */
#include <string.h>
#include "machine.h"

typedef struct { emu_operand d, s, index; int64_t rows, pitch; int gather, scatter, multicast; int64_t first, count, step; } transfer;

static int multicast_cores(emu_machine *m, emu_stream *s, const emu_desc *list, transfer *x) {
  x->first = list->f[EMU_F_CORE];
  x->count = list->f[EMU_F_N0];
  x->step = list->f[EMU_F_S1];
  if (x->count < 1 || x->count > m->c.cores) return emu_fail(m, s, E_BOUNDS, "a multicast names no core, or more cores than there are", x->count, m->c.cores);
  int64_t last = x->first + (x->count - 1) * x->step;
  if (x->first < 0 || x->first >= m->c.cores || last < 0 || last >= m->c.cores || (x->count > 1 && x->step == 0))
    return emu_fail(m, s, E_BOUNDS, "a multicast names a core that does not exist", x->first, last);
  return 0;
}

static int resolve(emu_machine *m, emu_stream *s, emu_insn *i, transfer *x) {
  const emu_desc *d = &s->d[i->d0], *src = &s->d[i->d1], *third = &s->d[i->d2];
  int64_t n[4] = {d->f[EMU_F_N0], d->f[EMU_F_N1], d->f[EMU_F_N2], d->f[EMU_F_N3]}, row[4] = {n[0], 1, 1, 1}, list[4] = {n[1], 1, 1, 1};
  int rc;
  memset(x, 0, sizeof *x);
  x->gather = i->op == EMU_OP_DMAG;
  x->scatter = i->op == EMU_OP_DMAS;
  x->multicast = i->op == EMU_OP_DMAM;
  if (x->gather || x->scatter) n[2] = n[3] = 1;
  if ((rc = emu_operand_resolve(m, s, i, 0, d, x->scatter ? row : n, &x->d)) < 0) return rc;
  if ((rc = emu_operand_resolve(m, s, i, 1, src, x->gather ? row : n, &x->s)) < 0) return rc;
  if (emu_fmt_bytes[x->d.fmt] != emu_fmt_bytes[x->s.fmt]) return emu_fail(m, s, E_FORMAT, "DMA moves bytes: both formats must be equally wide", x->d.fmt, x->s.fmt);
  if (x->multicast) {
    if (x->d.space != EMU_SP_SRAM) return emu_fail(m, s, E_PORT, "a multicast writes sram", x->d.space, 1);
    return multicast_cores(m, s, third, x);
  }
  if (!x->gather && !x->scatter) return 0;
  x->rows = n[1];
  x->pitch = (x->gather ? src : d)->f[EMU_F_S1];
  if ((rc = emu_operand_resolve(m, s, i, 2, third, list, &x->index)) < 0) return rc;
  if (x->index.fmt != EMU_FMT_INT32) return emu_fail(m, s, E_FORMAT, "indices are int32", x->index.fmt, 0);
  return emu_access(m, s, &x->index, 0);
}

static void copy(emu_machine *m, const emu_operand *d, const emu_operand *s) {
  const int64_t size = emu_fmt_bytes[d->fmt];
  uint8_t *to = emu_operand_data(m, d) + d->base, *from = emu_operand_data(m, s) + s->base;
  const int dense = d->s[0] == size && s->s[0] == size;
  for (int64_t a = 0; a < d->n[3]; a++)
    for (int64_t b = 0; b < d->n[2]; b++)
      for (int64_t c = 0; c < d->n[1]; c++) {
        uint8_t *t = to + a * d->s[3] + b * d->s[2] + c * d->s[1], *f = from + a * s->s[3] + b * s->s[2] + c * s->s[1];
        if (dense) memmove(t, f, (size_t)(d->n[0] * size));
        else
          for (int64_t e = 0; e < d->n[0]; e++) memcpy(t + e * d->s[0], f + e * s->s[0], (size_t)size);
      }
}

/* Rows chosen by an index: each is an operand of its own, so that a wild index is an error and not a stray read. In timing-only runs an
   index is known only where it has real data (role index). */
static int indexed(emu_machine *m, emu_stream *s, emu_insn *i, transfer *x) {
  const int slot = x->gather ? 1 : 0;
  const int backed = m->c.values || (x->index.space == EMU_SP_HBM && x->index.buffer >= 0 && m->buffers[x->index.buffer].role == ROLE_INDEX);
  emu_desc row = s->d[slot ? i->d1 : i->d0];
  const int64_t base = row.f[EMU_F_BASE], n[4] = {s->d[i->d0].f[EMU_F_N0], 1, 1, 1};
  if (!x->rows || !n[0]) return 0;
  for (int64_t r = 0; r < x->rows && backed; r++) {
    int32_t index;
    memcpy(&index, emu_operand_data(m, &x->index) + x->index.base + r * x->index.s[0], 4);
    row.f[EMU_F_BASE] = base + index * x->pitch;
    emu_operand at, other = x->gather ? x->d : x->s;
    int rc = emu_operand_resolve(m, s, i, slot, &row, n, &at);
    if (rc < 0 || (rc = emu_access(m, s, &at, x->scatter)) < 0) return rc;
    if (!m->c.values) continue;
    other.base += r * other.s[1];
    other.n[1] = other.n[2] = other.n[3] = 1;
    if (x->gather) copy(m, &other, &at);
    else copy(m, &at, &other);
  }
  return 0;
}

static int effect(emu_machine *m, emu_stream *s, emu_insn *i, transfer *x) {
  int rc;
  if (!x->gather && (rc = emu_access(m, s, &x->s, 0)) < 0) return rc;
  if ((x->gather || x->scatter) && (rc = indexed(m, s, i, x)) < 0) return rc;
  for (int64_t j = 0; j < (x->multicast ? x->count : 1); j++) {
    emu_operand d = x->d;
    if (x->multicast) d.core = (int)(x->first + j * x->step);
    if (!x->scatter && (rc = emu_access(m, s, &d, 1)) < 0) return rc;
    if (m->c.values && !x->gather && !x->scatter && d.elements) copy(m, &d, &x->s);
  }
  return 0;
}

static int64_t hops(const emu_machine *m, int64_t a, int64_t b) {
  int64_t w = m->c.noc_x > 0 ? m->c.noc_x : 1, dx = a % w - b % w, dy = a / w - b / w;
  return (dx < 0 ? -dx : dx) + (dy < 0 ? -dy : dy);
}

static int64_t rounded(const emu_machine *m, const emu_operand *o) {
  return o->runs * (emu_ceil_div(o->run, m->c.access_bytes) * m->c.access_bytes);
}

static void count_bytes(emu_machine *m, emu_stream *s, const emu_operand *o, int write, int64_t bytes, int64_t burst) {
  int64_t *c = emu_counters(m, s);
  switch (o->space) {
    case EMU_SP_HBM: c[write ? C_HBM_WRITE : C_HBM_READ] += bytes; c[C_HBM_BURST] += burst; break;
    case EMU_SP_SRAM: c[write ? C_SRAM_WRITE : C_SRAM_READ] += bytes; break;
    case EMU_SP_ACC: c[write ? C_ACC_WRITE : C_ACC_READ] += bytes; break;
    default: c[C_SHARED] += bytes;
  }
}

/* Units per femtosecond of `bytes` in `fs`. */
static int64_t rate_of(int64_t bytes, int64_t fs) {
  __int128 r = (__int128)bytes * EMU_UNITS / (fs > 0 ? fs : 1);
  return r > INT64_MAX / 4 ? INT64_MAX / 4 : r < 1 ? 1 : (int64_t)r;
}

static void path(emu_machine *m, emu_stream *s, transfer *x, emu_flow *f) {
  const emu_config *c = &m->c;
  const int hbm = x->d.space == EMU_SP_HBM || x->s.space == EMU_SP_HBM, shared = x->d.space == EMU_SP_SHARED || x->s.space == EMU_SP_SHARED;
  int64_t far = hops(m, x->s.core, x->d.core), bytes = x->gather ? x->rows * x->s.bytes : x->d.bytes * (x->scatter ? x->rows : 1);
  if (x->multicast) {
    far = 0;
    for (int64_t j = 0; j < x->count; j++) {
      int64_t h = hops(m, s->core, x->first + j * x->step);
      if (h > far) far = h;
      emu_counters(m, s)[C_NOC_BYTE_HOPS] += h * bytes;
    }
  } else emu_counters(m, s)[C_NOC_BYTE_HOPS] += far * bytes;
  int64_t read = x->gather ? x->rows * rounded(m, &x->s) : rounded(m, &x->s), write = x->scatter ? x->rows * rounded(m, &x->d) : rounded(m, &x->d);
  f->via = hbm ? VIA_HBM : shared ? VIA_SHARED : far ? VIA_NOC : VIA_NONE;
  f->latency_fs = (hbm ? c->hbm_latency_fs : shared ? c->shared_latency_fs : c->sram_latency * c->period_fs) + far * c->noc_hop_fs;
  f->bytes = bytes;
  if (x->s.space == EMU_SP_HBM) f->bytes = read;
  if (x->d.space == EMU_SP_HBM && write > f->bytes) f->bytes = write;
  f->cached = !m->cache || x->gather || x->scatter || (x->s.space == EMU_SP_HBM && x->d.space == EMU_SP_HBM) ? 0 : x->s.space == EMU_SP_HBM ? 1 : x->d.space == EMU_SP_HBM ? 2 : 0;
  if (f->cached) f->memory = f->cached == 1 ? x->s : x->d;
  if (f->cached != 1) count_bytes(m, s, &x->s, 0, bytes, read);
  for (int64_t j = 0; j < (x->multicast ? x->count : 1); j++) count_bytes(m, s, &x->d, 1, bytes, write);
  f->limit = rate_of(c->dma_bytes_per_clk, c->period_fs);
  int64_t little = c->dma_inflight > 0 && f->latency_fs > 0 ? rate_of(c->dma_inflight, f->latency_fs) : f->limit;
  if (little < f->limit) f->limit = little;
  f->alone = f->limit < m->capacity[f->via] ? f->limit : m->capacity[f->via];
}

int emu_issue_dma(emu_machine *m, emu_stream *s, emu_insn *i) {
  transfer x;
  int rc = resolve(m, s, i, &x);
  if (rc < 0 || (rc = effect(m, s, i, &x)) < 0) return rc;
  emu_flow *f = &m->flows[s->id];
  emu_counters(m, s)[C_DMA]++;
  path(m, s, &x, f);
  if (f->bytes > EMU_TRANSFER_MAX) return emu_fail(m, s, E_TRANSFER, "one DMA instruction moves at most 16 MiB: split it", f->bytes, EMU_TRANSFER_MAX);
  int64_t issue = emu_align(m, s->t), ready = issue + m->c.dma_start * m->c.period_fs;
  f->start = ready > s->free_at ? ready : s->free_at;
  f->stream = s->id;
  f->pc = s->pc;
  f->label = s->label;
  f->signal = i->signal;
  f->signal_first = (int32_t)(x.multicast ? x.first : s->core);
  f->signal_count = (int32_t)(x.multicast ? x.count : 1);
  f->signal_step = (int32_t)x.step;
  s->t = issue + (m->c.dma_issue > 0 ? m->c.dma_issue - m->c.issue_cycles : 0) * m->c.period_fs;
  s->state = ON_QUEUE;
  emu_fluid_submit(m, s->id);
  return 0;
}
