/* Matrix and vector engines: what an instruction reads, writes, counts and how long it takes. The geometry is data (emu_config). */
#include <string.h>
#include "machine.h"

static emu_view view(emu_machine *m, const emu_operand *o) {
  emu_view v = {emu_operand_data(m, o) + o->base, o->fmt, 0, {0}, {0}};
  memcpy(v.n, o->n, sizeof v.n);
  memcpy(v.s, o->s, sizeof v.s);
  return v;
}

static int port_of(emu_machine *m, emu_stream *s, const emu_operand *o, int write, int64_t *bytes_per_clk) {
  *bytes_per_clk = m->c.port[(s->engine * EMU_SP_COUNT + o->space) * 2 + write];
  if (*bytes_per_clk <= 0) return emu_fail(m, s, E_PORT, "this engine has no port to the operand's space", o->space, write);
  return 0;
}

static void count_space(int64_t *c, int space, int write, int64_t bytes) {
  if (space == EMU_SP_SRAM) c[write ? C_SRAM_WRITE : C_SRAM_READ] += bytes;
  else if (space == EMU_SP_ACC) c[write ? C_ACC_WRITE : C_ACC_READ] += bytes;
}

typedef struct { int64_t m, n, k, rep; int accumulate, bt; emu_operand acc, a, b; } mm_shape;

static int mm_resolve(emu_machine *m, emu_stream *s, emu_insn *i, mm_shape *x) {
  const emu_config *c = &m->c;
  const emu_desc *d = &s->d[i->d0], *da = &s->d[i->d1], *db = &s->d[i->d2];
  x->m = d->f[EMU_F_N1];
  x->n = d->f[EMU_F_N0];
  x->k = da->f[EMU_F_N0];
  x->rep = d->f[EMU_F_N2];
  x->accumulate = d->f[EMU_F_ACCUMULATE] != 0;
  x->bt = (i->flags & EMU_FLAG_BT) != 0;
  const int64_t nd[4] = {x->n, x->m, x->rep, 1}, na[4] = {x->k, x->m, x->rep, 1}, nb[4] = {x->bt ? x->k : x->n, x->bt ? x->n : x->k, x->rep, 1};
  int rc;
  if ((rc = emu_operand_resolve(m, s, i, 0, d, nd, &x->acc)) < 0 || (rc = emu_operand_resolve(m, s, i, 1, da, na, &x->a)) < 0 ||
      (rc = emu_operand_resolve(m, s, i, 2, db, nb, &x->b)) < 0)
    return rc;
  if (x->m > c->max_m || x->n > c->max_n || x->k > c->max_k)
    return emu_fail(m, s, E_EXTENT, "mm is larger than the engine takes in one instruction (m, n or k)", x->m, x->m > c->max_m ? x->m : x->n > c->max_n ? x->n : x->k);
  if (x->acc.space != EMU_SP_ACC) return emu_fail(m, s, E_PORT, "mm accumulates in space acc only", x->acc.space, 1);
  if (x->acc.fmt != (x->a.fmt == EMU_FMT_INT8 ? EMU_FMT_INT32 : EMU_FMT_FP32))
    return emu_fail(m, s, E_FORMAT, "accumulator format: int32 for int8 operands, fp32 otherwise", x->acc.fmt, x->a.fmt);
  if (x->a.fmt >= EMU_FMT_COUNT || c->macs_per_clk[x->a.fmt] <= 0) return emu_fail(m, s, E_FORMAT, "this chip's matrix engine has no such format", x->a.fmt, 0);
  if ((x->a.fmt == EMU_FMT_INT8) != (x->b.fmt == EMU_FMT_INT8) || c->macs_per_clk[x->b.fmt] <= 0)
    return emu_fail(m, s, E_FORMAT, "the formats of a and b cannot be multiplied on this chip", x->a.fmt, x->b.fmt);
  return 0;
}

static int mm_values(emu_machine *m, emu_stream *s, const mm_shape *x) {
  emu_view acc = view(m, &x->acc), a = view(m, &x->a), b = view(m, &x->b);
  const int64_t step[3] = {x->acc.s[2], x->a.s[2], x->b.s[2]};
  acc.n[2] = a.n[2] = b.n[2] = 1;
  for (int64_t r = 0; r < x->rep; r++) {
    int rc = emu_num_mm(&acc, &a, &b, x->bt, x->accumulate || (r > 0 && step[0] == 0), &m->rule);
    if (rc < 0) return emu_fail(m, s, E_FORMAT, "mm does not support these formats", x->a.fmt, x->b.fmt);
    acc.base += step[0];
    a.base += step[1];
    b.base += step[2];
  }
  return 0;
}

/* Cycles of one repeat: streaming, loading the stationary operand, and the scratchpad port. */
static int mm_cycles(emu_machine *m, emu_stream *s, const mm_shape *x, int64_t *stream, int64_t *load, int64_t *port, int64_t *padded) {
  const emu_config *c = &m->c;
  *padded = emu_ceil_div(x->m, c->quantum_m) * c->quantum_m * (emu_ceil_div(x->n, c->quantum_n) * c->quantum_n) *
            (emu_ceil_div(x->k, c->quantum_k) * c->quantum_k);
  *stream = emu_ceil_div(*padded, c->macs_per_clk[x->a.fmt]);
  if (*stream < c->min_interval) *stream = c->min_interval;
  *load = c->load_rows_per_clk > 0 ? emu_ceil_div(x->k, c->load_rows_per_clk) : 0;
  int64_t wide_a, wide_b;
  int rc;
  if ((rc = port_of(m, s, &x->a, 0, &wide_a)) < 0 || (rc = port_of(m, s, &x->b, 0, &wide_b)) < 0) return rc;
  int64_t again_a = c->fragment_n > 0 ? emu_ceil_div(x->n, c->fragment_n) : 1, again_b = c->fragment_m > 0 ? emu_ceil_div(x->m, c->fragment_m) : 1;
  int64_t bytes_a = x->m * x->k * emu_fmt_bytes[x->a.fmt] * again_a, bytes_b = x->k * x->n * emu_fmt_bytes[x->b.fmt] * again_b;
  if (x->a.space == x->b.space) *port = emu_ceil_div(bytes_a + bytes_b, wide_a);
  else {
    int64_t pa = emu_ceil_div(bytes_a, wide_a), pb = emu_ceil_div(bytes_b, wide_b);
    *port = pa > pb ? pa : pb;
  }
  int64_t *n = emu_counters(m, s);
  count_space(n, x->a.space, 0, bytes_a * x->rep);
  count_space(n, x->b.space, 0, bytes_b * x->rep);
  return 0;
}

static void mm_count(emu_machine *m, emu_stream *s, const mm_shape *x, int64_t padded) {
  int64_t *n = emu_counters(m, s), out = x->m * x->n * 4 * x->rep;
  n[C_USEFUL_MACS + x->a.fmt] += x->m * x->n * x->k * x->rep;
  n[C_ARRAY_MACS + x->a.fmt] += padded * x->rep;
  n[C_ACC_WRITE] += out;
  n[C_ACC_READ] += x->accumulate ? out : x->acc.s[2] == 0 ? out - x->m * x->n * 4 * (x->rep > 0) : 0;
  if (m->c.load_rows_per_clk > 0) n[C_STATIONARY_BYTES] += x->k * x->n * emu_fmt_bytes[x->b.fmt] * x->rep;
}

int emu_issue_mm(emu_machine *m, emu_stream *s, emu_insn *i) {
  mm_shape x;
  int64_t stream = 0, load = 0, port = 0, padded = 0;
  int rc = mm_resolve(m, s, i, &x);
  if (rc < 0) return rc;
  if ((rc = emu_access(m, s, &x.a, 0)) < 0 || (rc = emu_access(m, s, &x.b, 0)) < 0) return rc;
  if (x.accumulate && (rc = emu_access(m, s, &x.acc, 0)) < 0) return rc;
  if ((rc = emu_access(m, s, &x.acc, 1)) < 0) return rc;
  if (x.m && x.n && x.k && x.rep) {
    if ((rc = mm_cycles(m, s, &x, &stream, &load, &port, &padded)) < 0) return rc;
  }
  mm_count(m, s, &x, padded);
  const int64_t p = m->c.period_fs, issue = emu_align(m, s->t);
  int64_t start, end, interval, busy = stream > port ? stream : port;
  if (m->c.shadow || load == 0) { /* the next stationary tile loads while this one streams */
    int64_t loaded = (issue > s->last_start ? issue : s->last_start) + load * p;
    start = loaded > s->free_at ? loaded : s->free_at;
    interval = busy > load ? busy : load;
  } else {
    start = (issue > s->free_at ? issue : s->free_at) + load * p;
    interval = busy + load;
  }
  if (start < issue) start = issue;
  int64_t reps = x.rep > 0 ? x.rep : 0;
  end = reps ? start + (reps - 1) * interval * p + busy * p : start;
  s->nature = CAUSE_MATRIX;
  emu_charge(m, s, CAUSE_LOAD, start, CAUSE_LOAD);
  s->last_cause = s->root;
  emu_busy(m, s, start + reps * stream * p);
  if (port > stream) emu_charge(m, s, CAUSE_PORT, s->acct + reps * (port - stream) * p, CAUSE_PORT);
  emu_charge(m, s, CAUSE_LOAD, end, CAUSE_LOAD);
  s->op_start = start;
  s->op_data_end = end;
  s->last_start = reps ? start + (reps - 1) * interval * p : start;
  s->free_at = end;
  s->t = start > s->t ? start : s->t;
  int64_t done = end + m->c.fill_cycles * p;
  if (done > s->complete) s->complete = done;
  if (s->complete > EMU_TIME_MAX) return emu_fail(m, s, E_TIME, "the run is longer than the machine's clock can count", 0, 0);
  if (m->c.values && x.m && x.n && x.rep && (rc = mm_values(m, s, &x)) < 0) return rc;
  if (m->c.trace_max && (rc = emu_record_op(m, s, start, end, s->pc, s->label)) < 0) return rc;
  return i->signal ? emu_sem_signal(m, s->core, i->signal, 1, s, s->complete, emu_clock_of(m, s->id)) : 0;
}

typedef struct { emu_operand d, s1, s2; int has1, has2, reads_d; int64_t elements; int64_t scalar, diag, window; } vec_shape;

static int vec_resolve(emu_machine *m, emu_stream *s, emu_insn *i, vec_shape *x) {
  const emu_op_info_t *info = &emu_op_info[i->op];
  const int64_t *f0 = s->d[i->d0].f, *f1 = s->d[i->d1].f, *f2 = s->d[i->d2].f;
  int64_t nd[4] = {f0[EMU_F_N0], f0[EMU_F_N1], f0[EMU_F_N2], f0[EMU_F_N3]}, n1[4], n2[4];
  memcpy(n1, nd, sizeof nd);
  memcpy(n2, nd, sizeof nd);
  x->scalar = f2[EMU_F_SCALAR];
  x->diag = f2[EMU_F_DIAG];
  x->window = f2[EMU_F_WINDOW];
  x->has1 = info->kind[1] != EMU_KIND_NONE;
  x->has2 = info->kind[2] == EMU_KIND_R && !(i->flags & EMU_FLAG_IMM);
  x->reads_d = info->kind[0] == EMU_KIND_RW;
  if (i->op == EMU_OP_VRSUM || i->op == EMU_OP_VRMAX || i->op == EMU_OP_VTRANS)
    for (int j = 0; j < 4; j++) n1[j] = nd[j] = f1[EMU_F_N0 + j];
  if (i->op == EMU_OP_VRSUM || i->op == EMU_OP_VRMAX) nd[0] = 1;
  if (i->op == EMU_OP_VTRANS) nd[0] = n1[1], nd[1] = n1[0], nd[2] = nd[3] = n1[2] = n1[3] = 1;
  if (i->op == EMU_OP_VGATHER) n1[0] = nd[1], n1[1] = n1[2] = n1[3] = 1, nd[2] = nd[3] = 1, n2[0] = nd[0], n2[1] = n2[2] = n2[3] = 1;
  int rc = emu_operand_resolve(m, s, i, 0, &s->d[i->d0], nd, &x->d);
  if (rc >= 0 && x->has1) rc = emu_operand_resolve(m, s, i, 1, &s->d[i->d1], n1, &x->s1);
  if (rc >= 0 && x->has2) rc = emu_operand_resolve(m, s, i, 2, &s->d[i->d2], n2, &x->s2);
  if (rc < 0) return rc;
  x->elements = i->op == EMU_OP_VRSUM || i->op == EMU_OP_VRMAX ? x->s1.elements : x->d.elements;
  if (i->op == EMU_OP_VGATHER && x->s1.fmt != EMU_FMT_INT32) return emu_fail(m, s, E_FORMAT, "indices are int32", x->s1.fmt, 0);
  if ((i->op == EMU_OP_VGATHER && x->d.fmt != x->s2.fmt) || (i->op == EMU_OP_VTRANS && x->d.fmt != x->s1.fmt))
    return emu_fail(m, s, E_FORMAT, "gather and transpose do not convert formats", x->d.fmt, 0);
  return 0;
}

/* Bytes an engine really fetches: dimensions with stride 0 are broadcast, not read again. */
static int64_t fetched(const emu_operand *o) {
  int64_t n = o->elements ? emu_fmt_bytes[o->fmt] : 0;
  for (int j = 0; j < 4 && n; j++)
    if (o->s[j]) n *= o->n[j];
  return n;
}

static int vec_port(emu_machine *m, emu_stream *s, const emu_operand *o, int write, int64_t bytes, int64_t *by_space) {
  int64_t wide;
  int rc = port_of(m, s, o, write, &wide);
  if (rc < 0) return rc;
  count_space(emu_counters(m, s), o->space, write, bytes);
  by_space[o->space * 2 + write] += bytes;
  return 0;
}

static int vec_gather(emu_machine *m, emu_stream *s, emu_insn *i, vec_shape *x) {
  const int64_t pitch = s->d[i->d2].f[EMU_F_S1], size = emu_fmt_bytes[x->d.fmt];
  if (!m->c.values) return 0;
  for (int64_t r = 0; r < x->d.n[1]; r++) {
    int32_t index;
    memcpy(&index, emu_operand_data(m, &x->s1) + x->s1.base + r * x->s1.s[0], 4);
    emu_desc row = s->d[i->d2];
    row.f[EMU_F_BASE] += index * pitch;
    const int64_t n[4] = {x->d.n[0], 1, 1, 1};
    emu_operand from;
    int rc = emu_operand_resolve(m, s, i, 2, &row, n, &from);
    if (rc < 0 || (rc = emu_access(m, s, &from, 0)) < 0) return rc;
    uint8_t *to = emu_operand_data(m, &x->d) + x->d.base + r * x->d.s[1], *src = emu_operand_data(m, &from) + from.base;
    for (int64_t j = 0; j < x->d.n[0]; j++) memcpy(to + j * x->d.s[0], src + j * from.s[0], (size_t)size);
  }
  return 0;
}

static int vec_values(emu_machine *m, emu_stream *s, emu_insn *i, vec_shape *x) {
  if (i->op == EMU_OP_VGATHER) return vec_gather(m, s, i, x);
  emu_view d = view(m, &x->d), a = {0}, b = {0};
  if (x->has1) a = view(m, &x->s1);
  if (x->has2) b = view(m, &x->s2);
  if (!x->d.elements && !x->elements) return 0;
  int rc = emu_num_vec(i->op, &d, &a, &b, i->flags, (uint32_t)x->scalar, x->diag, x->window);
  return rc < 0 ? emu_fail(m, s, E_FORMAT, "the vector engine does not support this combination of formats", x->d.fmt, rc) : 0;
}

int emu_issue_vec(emu_machine *m, emu_stream *s, emu_insn *i) {
  vec_shape x;
  int64_t by_space[2 * EMU_SP_COUNT] = {0};
  const int cls = emu_op_info[i->op].cls;
  int rc = vec_resolve(m, s, i, &x);
  if (rc < 0) return rc;
  if (m->c.vec_milli_per_clk[cls] <= 0) return emu_fail(m, s, E_FORMAT, "this chip's vector engine lacks this class of operation", cls, 0);
  if (x.has1 && ((rc = emu_access(m, s, &x.s1, 0)) < 0 || (rc = vec_port(m, s, &x.s1, 0, fetched(&x.s1), by_space)) < 0)) return rc;
  if (x.has2 && i->op != EMU_OP_VGATHER && ((rc = emu_access(m, s, &x.s2, 0)) < 0 || (rc = vec_port(m, s, &x.s2, 0, fetched(&x.s2), by_space)) < 0)) return rc;
  if (x.reads_d && ((rc = emu_access(m, s, &x.d, 0)) < 0 || (rc = vec_port(m, s, &x.d, 0, fetched(&x.d), by_space)) < 0)) return rc;
  if ((rc = emu_access(m, s, &x.d, 1)) < 0 || (rc = vec_port(m, s, &x.d, 1, x.d.bytes, by_space)) < 0) return rc;
  int64_t work = emu_ceil_div(x.elements * 1000, m->c.vec_milli_per_clk[cls]), port = 0;
  for (int j = 0; j < 2 * EMU_SP_COUNT; j++) {
    int64_t wide = m->c.port[ENGINE_VEC * EMU_SP_COUNT * 2 + j], t = by_space[j] ? emu_ceil_div(by_space[j], wide) : 0;
    if (t > port) port = t;
  }
  emu_counters(m, s)[C_VEC + cls] += x.elements;
  const int64_t p = m->c.period_fs;
  int64_t issue = emu_align(m, s->t), start = issue > s->free_at ? issue : s->free_at;
  s->nature = CAUSE_VECTOR;
  emu_charge(m, s, CAUSE_ISSUE, start, CAUSE_ISSUE);
  s->last_cause = s->root;
  emu_busy(m, s, start + (m->c.vec_startup + work) * p);
  if (port > work) emu_charge(m, s, CAUSE_PORT, s->acct + (port - work) * p, CAUSE_PORT);
  s->op_start = start;
  s->op_data_end = s->free_at = s->complete = start + (m->c.vec_startup + (port > work ? port : work)) * p;
  s->t = start > s->t ? start : s->t;
  if (s->complete > EMU_TIME_MAX) return emu_fail(m, s, E_TIME, "the run is longer than the machine's clock can count", 0, 0);
  if (m->c.values && (rc = vec_values(m, s, i, &x)) < 0) return rc;
  if (m->c.trace_max && (rc = emu_record_op(m, s, start, s->complete, s->pc, s->label)) < 0) return rc;
  return i->signal ? emu_sem_signal(m, s->core, i->signal, 1, s, s->complete, emu_clock_of(m, s->id)) : 0;
}
