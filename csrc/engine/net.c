/* The net engine: transfers between chips, by themselves, added to what lies here, or copied and added by the switch. */
#include <stdlib.h>
#include <string.h>
#include "machine.h"

typedef struct { const emu_plan *p; emu_operand d, s[2]; int64_t first, count, step, own; } remote;

static int is_sum(int op) { return op == EMU_OP_PUTA || op == EMU_OP_PUTK; }
static int is_float(int fmt) { return emu_fmt_is_float[fmt] && emu_fmt_bits[fmt] >= 8; }

int emu_plan_net(emu_machine *m, emu_stream *s, const emu_insn *i, emu_plan *p) {
  const emu_desc *d[3] = {&s->d[i->d0], &s->d[i->d1], &s->d[i->d2]};
  const int adds = is_sum(i->op), sums = adds || i->op == EMU_OP_GETR, operands = adds ? 3 : 2;
  int rc;
  for (int j = 0; j < operands; j++) {
    if ((rc = emu_extent_of(m, s, j, d[j], &d[0]->f[AT_N0], &p->x[j])) < 0) return rc;
    if (p->x[j].space != EMU_SP_HBM) return emu_fail(m, s, E_PORT, "the net engine moves device memory", j, p->x[j].space);
    if (emu_fmt_bits[p->x[j].fmt] != emu_fmt_bits[p->x[0].fmt]) return emu_fail(m, s, E_FORMAT, "a transfer moves bytes: formats must be equally wide", p->x[0].fmt, p->x[j].fmt);
    if (sums && (!is_float(p->x[j].fmt) || p->x[j].fmt != p->x[0].fmt)) return emu_fail(m, s, E_FORMAT, "sums on the way are of one float format", p->x[0].fmt, p->x[j].fmt);
    if (j && p->x[j].chip >= 0) return emu_fail(m, s, E_PORT, "a source lies on this chip: the net engine sends", j, EMU_SP_FAR);
  }
  if ((i->op == EMU_OP_PUTM || i->op == EMU_OP_GETR) && (!m->c.net_in_switch || p->x[0].chip >= 0))
    return emu_fail(m, s, E_LINK, m->c.net_in_switch ? "d0 names no chip here: the list does" : "these links have no switch that copies and adds", i->op, 0);
  if ((i->flags & EMU_FLAG_LL) && (i->flags & EMU_FLAG_LL128)) return emu_fail(m, s, E_ILLEGAL, "one protocol: ll or ll128", i->flags, 0);
  p->protocol = i->op == EMU_OP_PUTM || i->op == EMU_OP_GETR ? 3 : i->flags & EMU_FLAG_LL ? 1 : i->flags & EMU_FLAG_LL128 ? 2 : 0;
  p->bytes = p->x[0].bytes;
  p->read = p->x[1].bytes * (1 + adds);
  p->write = p->x[0].bytes;
  const int64_t line = m->c.net_line[p->protocol], flag = m->c.net_flag[p->protocol];
  p->moved = flag > 0 ? emu_ceil_div(p->bytes, line - flag) * line : p->bytes; /* on the wire, flags too */
  p->elements = sums ? p->x[0].elements : 0;
  p->via = VIA_NET;
  return p->moved > EMU_TRANSFER_MAX * 2 || p->bytes > EMU_TRANSFER_MAX
             ? emu_fail(m, s, E_TRANSFER, "one net instruction moves at most 16 MiB: split it", p->bytes, EMU_TRANSFER_MAX) : 0;
}

static int chips_of(emu_machine *m, emu_stream *s, const emu_desc *list, remote *x) {
  const int64_t chips = m->c.net_chips;
  x->first = list->f[AT_CORE] == -1 ? x->own : list->f[AT_CORE];
  x->count = list->f[AT_N0];
  x->step = x->count == 1 ? 0 : list->f[AT_S1];
  if (x->count < 1 || x->count > chips || x->step > chips || x->step < -chips) return emu_fail(m, s, E_BOUNDS, "a list names no or too many chips", x->count, chips);
  const int64_t last = x->first + (x->count - 1) * x->step;
  if (x->first < 0 || x->first >= chips || last < 0 || last >= chips) return emu_fail(m, s, E_BOUNDS, "a list names a chip that does not exist", x->first, last);
  return 0;
}

/* The same operand on another chip. */
static emu_operand on_chip(const emu_machine *m, const emu_stream *s, emu_operand o, int64_t chip) {
  o.core = (int)(m->c.chips > 1 ? chip * m->chip_cores + s->core % m->chip_cores : s->core);
  return o;
}

static emu_view view(emu_machine *m, const emu_operand *o) {
  emu_view v = {emu_operand_data(m, o) + o->base, o->x->fmt, 0, {0}, {0}};
  memcpy(v.n, o->x->n, sizeof v.n);
  memcpy(v.s, o->x->s, sizeof v.s);
  return v;
}

static int add(emu_machine *m, emu_stream *s, const emu_view *d, const emu_view *a, const emu_view *b) {
  return emu_num_vec(b ? EMU_OP_VADD : EMU_OP_VMOV, d, a, b, 0, 0, 0, 0, 0) < 0 ? emu_fail(m, s, E_FORMAT, "no sum in this format", d->fmt, a->fmt) : 0;
}

/* Chip after chip in fp32, rounded once. */
static int sum_chips(emu_machine *m, emu_stream *s, const remote *x) {
  const emu_extent *e = x->d.x;
  float *sums = malloc((size_t)e->elements * sizeof *sums);
  if (!sums) return emu_fail(m, s, E_MEMORY, "out of memory for a sum", e->elements, 0);
  emu_view t = {(uint8_t *)sums, EMU_FMT_FP32, 0, {e->n[0], e->n[1], e->n[2], e->n[3]}, {4, 4 * e->n[0], 4 * e->n[0] * e->n[1], 4 * e->n[0] * e->n[1] * e->n[2]}};
  int rc = 0;
  for (int64_t j = 0; j < x->count && rc >= 0; j++) {
    const emu_operand o = on_chip(m, s, x->s[0], x->first + j * x->step);
    const emu_view v = view(m, &o);
    rc = j ? add(m, s, &t, &t, &v) : add(m, s, &t, &v, NULL);
  }
  const emu_view d = view(m, &x->d);
  if (rc >= 0) rc = add(m, s, &d, &t, NULL);
  free(sums);
  return rc;
}

static int values(emu_machine *m, emu_stream *s, int op, const remote *x, const emu_operand *d) {
  const emu_view to = view(m, d), from = view(m, &x->s[0]);
  m->polled += x->p->bytes >> 12;
  if (op == EMU_OP_GETR) return sum_chips(m, s, x);
  if (is_sum(op)) {
    const emu_view other = view(m, &x->s[1]);
    const int rc = op == EMU_OP_PUTK ? add(m, s, &from, &from, &other) : add(m, s, &to, &from, &other);
    if (rc < 0 || op == EMU_OP_PUTA) return rc;
  }
  const size_t size = (size_t)emu_fmt_bytes[to.fmt];
  for (int64_t a = 0; a < to.n[3]; a++)
    for (int64_t b = 0; b < to.n[2]; b++)
      for (int64_t c = 0; c < to.n[1]; c++) {
        uint8_t *t = to.base + a * to.s[3] + b * to.s[2] + c * to.s[1], *f = from.base + a * from.s[3] + b * from.s[2] + c * from.s[1];
        if (to.s[0] == (int64_t)size && from.s[0] == (int64_t)size) memmove(t, f, size * (size_t)to.n[0]);
        else
          for (int64_t e = 0; e < to.n[0]; e++) memcpy(t + e * to.s[0], f + e * from.s[0], size);
      }
  return 0;
}

static int resolve(emu_machine *m, emu_stream *s, emu_insn *i, remote *x) {
  const emu_plan *p = x->p = emu_plan_of(m, s, i);
  int rc;
  if (!p) return -m->fail.code;
  x->own = emu_chip_of(m, s->core);
  x->first = p->x[0].chip < 0 ? x->own : p->x[0].chip;
  x->count = 1;
  x->step = 0;
  if ((rc = emu_operand_at(m, s, i, 0, &p->x[0], s->d[i->d0].f[AT_BASE], &x->d)) < 0 ||
      (rc = emu_operand_at(m, s, i, 1, &p->x[1], s->d[i->d1].f[AT_BASE], &x->s[0])) < 0)
    return rc;
  if (is_sum(i->op)) return emu_operand_at(m, s, i, 2, &p->x[2], s->d[i->d2].f[AT_BASE], &x->s[1]);
  return i->op == EMU_OP_PUTM || i->op == EMU_OP_GETR ? chips_of(m, s, &s->d[i->d2], x) : 0;
}

/* Reads, then writes, on whichever chips. */
static int effect(emu_machine *m, emu_stream *s, int op, remote *x) {
  const int many = op == EMU_OP_PUTM, sums = op == EMU_OP_GETR;
  int rc;
  for (int64_t j = 0; j < (sums ? x->count : 1); j++) {
    const emu_operand o = sums ? on_chip(m, s, x->s[0], x->first + j * x->step) : x->s[0];
    if ((rc = emu_access(m, s, &o, 0)) < 0) return rc;
  }
  if (is_sum(op) && (rc = emu_access(m, s, &x->s[1], 0)) < 0) return rc;
  if (op == EMU_OP_PUTK && (rc = emu_access(m, s, &x->s[0], 1)) < 0) return rc;
  for (int64_t j = 0; j < (many ? x->count : 1); j++) {
    const emu_operand d = many ? on_chip(m, s, x->d, x->first + j * x->step) : x->d;
    if ((rc = emu_access(m, s, &d, 1)) < 0) return rc;
    if (m->c.values && d.x->elements && (rc = values(m, s, op, x, &d)) < 0) return rc;
  }
  return 0;
}

/* The links and memories on the way; the latency to the farthest end. */
static int way(emu_machine *m, emu_stream *s, int op, int reverse, const remote *x, int64_t *latency) {
  const int put = op != EMU_OP_PUTM && op != EMU_OP_GETR;
  int rc;
  *latency = 0;
  emu_net_begin(m, s);
  if ((rc = emu_net_memory(m, s, x->own)) < 0) return rc;
  if (put && (rc = emu_net_over(m, s, x->own, x->first, reverse)) < 0) return rc;
  if (!put && (rc = emu_net_switch(m, s, x->own, op == EMU_OP_GETR)) < 0) return rc;
  for (int64_t j = 0; j < x->count; j++) {
    const int64_t chip = x->first + j * x->step, far = emu_net_latency(m, x->own, chip);
    if (far > *latency) *latency = far;
    if (!put && (rc = emu_net_switch(m, s, chip, op == EMU_OP_PUTM)) < 0) return rc;
    if ((chip != x->own || op == EMU_OP_GETR) && (rc = emu_net_memory(m, s, chip)) < 0) return rc;
  }
  if (!*latency) *latency = m->c.hbm_latency_fs;
  else *latency += m->c.net_late_fs[x->p->protocol];
  return 0;
}

static void count(emu_machine *m, emu_stream *s, int op, const remote *x) {
  const emu_plan *p = x->p;
  int64_t *c = emu_counters(m, s);
  const int64_t reads = op == EMU_OP_GETR ? p->read * x->count : p->read, writes = op == EMU_OP_PUTM ? p->write * x->count : op == EMU_OP_PUTK ? 2 * p->write : p->write;
  c[C_DMA]++;
  c[C_HBM_READ] += reads;
  c[C_HBM_WRITE] += writes;
  c[C_HBM_BURST] += reads + writes;
  c[C_VEC + EMU_CLASS_ADD] += op == EMU_OP_GETR ? p->elements * (x->count - 1) : p->elements;
  emu_net_count(m, s, p->moved);
}

/* A core sends as fast as the protocol lets it; a sum no faster than its vector lanes add. */
static int64_t own_limit(const emu_machine *m, int op, const emu_plan *p, int here) {
  const emu_config *c = &m->c;
  const int64_t rate = here ? c->net_copy[p->protocol] : c->net_rate[p->protocol];
  int64_t limit = m->dma_rate;
  if (rate > 0) limit = emu_rate_of(rate, INT64_C(1000000000000000));
  if (p->bytes > 0 && p->moved != p->bytes) limit = (int64_t)((__int128)limit * p->moved / p->bytes); /* the rate is that of data, the links carry flags too */
  if (is_sum(op) && p->elements) {
    const int64_t adding = emu_rate_of(p->moved * c->vec_milli_per_clk[EMU_CLASS_ADD], p->elements * 1000 * c->period_fs);
    if (adding < limit) limit = adding;
  }
  return limit > 0 ? limit : 1;
}

int emu_issue_net(emu_machine *m, emu_stream *s, emu_insn *i) {
  remote x;
  int64_t latency;
  int rc = resolve(m, s, i, &x);
  if (rc < 0 || (rc = effect(m, s, i->op, &x)) < 0 || (rc = way(m, s, i->op, (i->flags & EMU_FLAG_REV) != 0, &x, &latency)) < 0) return rc;
  count(m, s, i->op, &x);
  emu_flow *f = &m->flows[s->id];
  const int64_t room = s->begun[(s->begun_at - m->c.dma_queue) & (EMU_QUEUE_MAX - 1)];
  const int64_t issue = emu_align(m, room > s->t ? room : s->t), ready = issue + m->c.dma_start * m->c.period_fs;
  f->start = ready > s->free_at ? ready : s->free_at;
  s->begun[s->begun_at++ & (EMU_QUEUE_MAX - 1)] = f->start;
  f->stream = s->id;
  f->pc = s->pc;
  f->label = s->label;
  f->via = VIA_NET;
  f->cached = 0;
  f->bytes = x.p->moved;
  f->latency_fs = latency;
  f->limit = own_limit(m, i->op, x.p, x.p->x[0].chip < 0 && x.count == 1 && x.first == x.own);
  f->alone = emu_net_alone(m, s->id, f->limit);
  f->own = CAUSE_LINK;
  f->signal = i->signal;
  const int many = i->op == EMU_OP_PUTM, far = i->op == EMU_OP_GETR ? 0 : 1; /* getr ends here */
  f->signal_first = (int32_t)(m->c.chips > 1 && far ? x.first * m->chip_cores + s->core % m->chip_cores : s->core);
  f->signal_count = many && m->c.chips > 1 ? (int32_t)x.count : 1;
  f->signal_step = many && m->c.chips > 1 ? (int32_t)(x.step * m->chip_cores) : 0;
  s->t = issue;
  if (m->c.dma_issue > m->c.issue_cycles) s->t += (m->c.dma_issue - m->c.issue_cycles) * m->c.period_fs; /* the sequencer adds issue_cycles */
  s->state = ON_QUEUE;
  emu_fluid_submit(m, s->id);
  return 0;
}
