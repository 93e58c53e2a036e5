/* Matrix and vector engines: what an instruction reads, writes, counts and how long it takes. The geometry is data (emu_config). */
#include <string.h>
#include "array.h"

static emu_view view(emu_machine *m, const emu_operand *o) {
  emu_view v = {emu_operand_data(m, o) + o->base, o->x->fmt, 0, {0}, {0}};
  memcpy(v.n, o->x->n, sizeof v.n);
  memcpy(v.s, o->x->s, sizeof v.s);
  v.n[0] = o->x->row;
  return v;
}

static inline void count_space(int64_t *c, int space, int write, int64_t bytes) {
  if (space == EMU_SP_SRAM) c[write ? C_SRAM_WRITE : C_SRAM_READ] += bytes;
  else if (space == EMU_SP_ACC) c[write ? C_ACC_WRITE : C_ACC_READ] += bytes;
}

/* `bytes`: what it moved of the scratchpad's, which others may want too. */
static int complete(emu_machine *m, emu_stream *s, const emu_insn *i, int64_t start, int64_t end, int64_t bytes) {
  if (s->complete > EMU_TIME_MAX) return emu_fail(m, s, E_TIME, "the run is longer than the machine's clock can count", 0, 0);
  if (emu_sram_submit(m, s, i, start, end, bytes)) return 0;
  int rc;
  if (m->c.trace_max && (rc = emu_record_op(m, s, start, end, s->pc, s->label)) < 0) return rc;
  return i->signal ? emu_sem_signal(m, s->core, i->signal, 1, s, s->complete, emu_clock_of(m, s->id)) : 0;
}

/* Bytes of an operand that come out of the scratchpad. */
static inline int64_t in_sram(const emu_plan *x, int which) { return x->x[which].space == EMU_SP_SRAM ? x->fetched[which] : 0; }

static int mm_values(emu_machine *m, emu_stream *s, const emu_plan *p, const emu_operand *o, int bt, int accumulate) {
  emu_view v[5] = {view(m, &o[0]), view(m, &o[1]), view(m, &o[2]), {0}, {0}};
  emu_scales scales = {NULL, NULL, p->block};
  if (p->scale[0].elements) v[3] = view(m, &o[3]), scales.a = &v[3];
  if (p->scale[1].elements) v[4] = view(m, &o[4]), scales.b = &v[4];
  for (int j = 0; j < 5; j++) v[j].n[2] = 1;
  for (int64_t r = 0; r < p->rep; r++) {
    int rc = emu_num_mm_scaled(&v[0], &v[1], &v[2], scales.a || scales.b ? &scales : NULL, bt, accumulate || (r > 0 && v[0].s[2] == 0), &m->rule);
    if (rc < 0) return emu_fail(m, s, E_FORMAT, "mm does not support these formats", v[1].fmt, v[2].fmt);
    for (int j = 0; j < 5; j++)
      if (v[j].base) v[j].base += v[j].s[2];
  }
  m->polled += p->macs >> 12;
  return 0;
}

static void mm_count(emu_machine *m, emu_stream *s, const emu_plan *p, int accumulate) {
  int64_t *n = emu_counters(m, s);
  const emu_extent *a = &p->x[1], *b = &p->x[2];
  count_space(n, a->space, 0, p->fetched[1]);
  count_space(n, b->space, 0, p->fetched[2]);
  n[C_USEFUL_MACS + a->fmt] += p->macs;
  n[C_ARRAY_MACS + a->fmt] += p->array_macs;
  n[C_ACC_WRITE] += p->sum_bytes;
  n[C_ACC_READ] += accumulate ? p->sum_bytes : p->added_bytes;
  if (m->c.load_rows_per_clk <= 0) return;
  const int held = m->c.streamed != 1; /* the operand that stays: b, or a where b streams past it */
  const emu_extent *x = held ? b : a;
  n[C_STATIONARY_BYTES] += x->n[0] * x->n[1] * emu_fmt_bytes[x->fmt] * p->rep + p->scale[held].elements * emu_fmt_bytes[p->scale[held].fmt];
}

/* Scales lie `scale` bytes behind their operand's base. */
static int mm_scales(emu_machine *m, emu_stream *s, emu_insn *i, const emu_plan *x, emu_operand *o) {
  const uint8_t which[2] = {i->d1, i->d2};
  for (int j = 0; j < 2; j++) {
    if (!x->scale[j].elements) continue;
    int64_t base;
    if (__builtin_add_overflow(s->d[which[j]].f[AT_BASE], s->d[which[j]].f[AT_SCALE], &base)) base = -1;
    int rc = emu_operand_at(m, s, i, 3 + j, &x->scale[j], base, &o[3 + j]);
    if (rc < 0 || (rc = emu_access(m, s, &o[3 + j], 0)) < 0) return rc;
  }
  return 0;
}

int emu_issue_mm(emu_machine *m, emu_stream *s, emu_insn *i) {
  const emu_plan *x = emu_plan_of(m, s, i);
  if (!x) return -m->fail.code;
  const int accumulate = s->d[i->d0].f[AT_ACCUMULATE] != 0;
  emu_operand o[5];
  int rc;
  if (s->d[i->d0].f[AT_ACCUMULATE] & ~INT64_C(1)) return emu_fail(m, s, E_ILLEGAL, "accumulate is 0 or 1", s->d[i->d0].f[AT_ACCUMULATE], 0);
  if ((rc = emu_operand_at(m, s, i, 0, &x->x[0], s->d[i->d0].f[AT_BASE], &o[0])) < 0 ||
      (rc = emu_operand_at(m, s, i, 1, &x->x[1], s->d[i->d1].f[AT_BASE], &o[1])) < 0 ||
      (rc = emu_operand_at(m, s, i, 2, &x->x[2], s->d[i->d2].f[AT_BASE], &o[2])) < 0 ||
      (rc = emu_access(m, s, &o[1], 0)) < 0 || (rc = emu_access(m, s, &o[2], 0)) < 0 || (x->block && (rc = mm_scales(m, s, i, x, o)) < 0) ||
      (accumulate && (rc = emu_access(m, s, &o[0], EMU_ADD)) < 0) || (rc = emu_access(m, s, &o[0], 1)) < 0)
    return rc;
  mm_count(m, s, x, accumulate);
  const int64_t p = m->c.period_fs, issue = emu_align(m, s->t), load = x->load, busy = x->stream > x->port ? x->stream : x->port, reps = x->rep;
  const int64_t drain = emu_mm_last(&m->c), alone = m->c.drain_overlap ? 0 : drain;
  int64_t start, interval;
  if (m->c.shadow || load == 0) { /* the next stationary tile loads while this one streams */
    int64_t loaded = (issue > s->last_start ? issue : s->last_start) + load * p;
    start = loaded > s->free_at ? loaded : s->free_at;
    interval = busy + alone > load ? busy + alone : load;
  } else {
    start = (issue > s->free_at ? issue : s->free_at) + load * p;
    interval = busy + alone + load;
  }
  if (reps && interval > EMU_TIME_MAX / p / 2 / reps) return emu_fail(m, s, E_TIME, "the run is longer than the machine's clock can count", 0, 0);
  const int64_t last = reps ? start + (reps - 1) * interval * p : start, end = reps ? last + busy * p : start, free_at = reps ? end + alone * p : end;
  s->nature = load > busy ? CAUSE_LOAD : x->port > x->stream ? CAUSE_PORT : CAUSE_MATRIX;
  s->last_cause = s->root;
  emu_charge(m, s, CAUSE_LOAD, start, CAUSE_LOAD);
  emu_busy(m, s, start + reps * (x->stream + alone) * p);
  if (x->port > x->stream) emu_charge(m, s, CAUSE_PORT, s->acct + reps * (x->port - x->stream) * p, CAUSE_PORT);
  emu_charge(m, s, CAUSE_LOAD, free_at, CAUSE_LOAD);
  s->op_start = issue > s->free_at ? issue : s->free_at;
  s->last_start = last;
  s->free_at = free_at;
  s->t = start > s->t ? start : s->t;
  /* What is fetched ahead of a stream delays its result and not the next repeat; it is part of what the port carries. */
  const int64_t late = x->stream + x->ahead > busy && reps ? x->stream + x->ahead - busy : 0, done = end + (late + drain) * p;
  if (done > s->complete) s->complete = done;
  s->op_data_end = s->complete;
  if (m->c.values && x->x[0].elements && (rc = mm_values(m, s, x, o, (i->flags & EMU_FLAG_BT) != 0, accumulate)) < 0) return rc;
  return complete(m, s, i, start, end, in_sram(x, 1) + in_sram(x, 2));
}

static int vec_gather(emu_machine *m, emu_stream *s, emu_insn *i, const emu_operand *o) {
  const emu_extent *x = o[0].x;
  const int64_t pitch = s->d[i->d2].f[AT_S1], size = emu_fmt_bytes[x->fmt], n[4] = {x->row, 1, 1, 1};
  emu_extent row;
  int rc = emu_extent_of(m, s, 2, &s->d[i->d2], n, &row);
  if (rc < 0 || !x->elements) return rc;
  for (int64_t r = 0; r < x->n[1]; r++) {
    int32_t index;
    memcpy(&index, emu_operand_data(m, &o[1]) + o[1].base + r * o[1].x->s[0], 4);
    int64_t far, base;
    if (__builtin_mul_overflow((int64_t)index, pitch, &far) || __builtin_add_overflow(s->d[i->d2].f[AT_BASE], far, &base)) base = -1;
    emu_operand from;
    if ((rc = emu_operand_at(m, s, i, 2, &row, base, &from)) < 0 || (rc = emu_access(m, s, &from, 0)) < 0) return rc;
    uint8_t *to = emu_operand_data(m, &o[0]) + o[0].base + r * x->s[1], *src = emu_operand_data(m, &from) + from.base;
    for (int64_t j = 0; j < x->n[0]; j++) memcpy(to + j * x->s[0], src + j * row.s[0], (size_t)size);
  }
  return 0;
}

static int user_values(emu_machine *m, emu_stream *s, const emu_insn *i, const emu_plan *x, const emu_operand *o) {
  const emu_user user = emu_user_of(m, i, x);
  const emu_view d = view(m, &o[0]), a = view(m, &o[1]), b = x->used[2] ? view(m, &o[2]) : (emu_view){0};
  const int rc = emu_num_user(&user, &d, &a, x->used[2] ? &b : NULL, i->flags, (uint32_t)s->d[i->d2].f[AT_SCALAR], (uint32_t)s->d[i->d0].f[AT_SEED]);
  if (rc == EMU_NUM_FAILED) return emu_fail(m, s, E_USER, user.fn ? "its function failed or raised an exception" : "it has no compiled function", 0, 0);
  if (rc == EMU_NUM_NO_MEMORY) return emu_fail(m, s, E_MEMORY, "out of memory", 0, 0);
  return rc < 0 ? emu_fail(m, s, E_FORMAT, "it reads its destination, which names an element twice or runs backwards", d.fmt, a.fmt) : 0;
}

static int vec_values(emu_machine *m, emu_stream *s, emu_insn *i, const emu_plan *x, const emu_operand *o) {
  if (i->op == EMU_OP_VGATHER) return vec_gather(m, s, i, o);
  if (!x->x[0].elements && !x->elements) return 0;
  const int64_t *third = s->d[i->d2].f;
  emu_view d = view(m, &o[0]), a = {0}, b = {0};
  if (x->used[1]) a = view(m, &o[1]);
  if (x->used[2]) b = view(m, &o[2]);
  m->polled += x->elements >> 8;
  if (i->op >= EMU_USER_OPCODE_FIRST) return user_values(m, s, i, x, o);
  int rc = emu_num_vec(i->op, &d, &a, &b, i->flags, (uint32_t)third[AT_SCALAR], third[AT_DIAG], third[AT_WINDOW], (uint32_t)s->d[i->d0].f[AT_SEED]);
  return rc < 0 ? emu_fail(m, s, E_FORMAT, "the vector engine does not support this combination of formats", d.fmt, a.fmt) : 0;
}

/* Operands at their places, read, then written; the bytes over the ports counted. */
static int vec_access(emu_machine *m, emu_stream *s, emu_insn *i, const emu_plan *x, emu_operand *o) {
  const uint8_t which[3] = {i->d0, i->d1, i->d2};
  int64_t *c = emu_counters(m, s);
  int rc;
  for (int j = 0; j < 3; j++)
    if (x->used[j] && (rc = emu_operand_at(m, s, i, j, &x->x[j], s->d[which[j]].f[AT_BASE], &o[j])) < 0) return rc;
  for (int j = 1; j <= 3; j++) {
    const int at = j % 3;
    if (!x->used[at] || (at == 0 && !x->reads_d) || (at == 2 && i->op == EMU_OP_VGATHER)) continue;
    if ((rc = emu_access(m, s, &o[at], 0)) < 0) return rc;
    count_space(c, x->x[at].space, 0, x->fetched[at]);
  }
  count_space(c, x->x[0].space, 1, x->written);
  return emu_access(m, s, &o[0], 1);
}

static void count_work(emu_machine *m, emu_stream *s, const emu_insn *i, const emu_plan *x) {
  int64_t *c = emu_counters(m, s);
  if (i->op < EMU_USER_OPCODE_FIRST) c[C_VEC + emu_op_info[i->op].cls] += x->elements;
  else c[C_USER_ELEMENTS] += x->elements, c[C_USER_FJ] += x->user_fj;
}

/* Instructions of the vector engine, and users' on either engine. On the matrix engine one begins when all earlier products have drained. */
int emu_issue_vec(emu_machine *m, emu_stream *s, emu_insn *i) {
  const emu_plan *x = emu_plan_of(m, s, i);
  if (!x) return -m->fail.code;
  emu_operand o[3];
  int rc = vec_access(m, s, i, x, o);
  if (rc < 0) return rc;
  count_work(m, s, i, x);
  const int matrix = s->engine == ENGINE_MM;
  const int64_t p = m->c.period_fs, issue = emu_align(m, s->t), ready = matrix && s->complete > s->free_at ? s->complete : s->free_at;
  const int64_t start = issue > ready ? issue : ready, startup = matrix ? 0 : m->c.vec_startup;
  const int64_t plain = x->port - x->bank > x->work ? x->port - x->bank : x->work, waits = x->port > plain ? x->port - plain : 0; /* waits: for banks */
  s->nature = waits > plain ? CAUSE_BANK : plain > x->work ? CAUSE_PORT : matrix ? CAUSE_MATRIX : CAUSE_VECTOR;
  if (matrix) emu_charge(m, s, CAUSE_OPERAND, start, CAUSE_MATRIX);
  else emu_charge(m, s, CAUSE_ISSUE, start, CAUSE_ISSUE);
  s->last_cause = s->root;
  emu_busy(m, s, start + (startup + x->work) * p);
  if (plain > x->work) emu_charge(m, s, CAUSE_PORT, s->acct + (plain - x->work) * p, CAUSE_PORT);
  if (waits) emu_charge(m, s, CAUSE_BANK, s->acct + waits * p, CAUSE_BANK);
  s->op_start = start;
  s->op_data_end = s->free_at = s->complete = start + (startup + (x->port > x->work ? x->port : x->work)) * p;
  if (matrix) s->last_start = s->free_at; /* the array was in use: the next stationary operand loads from here on */
  s->t = start > s->t ? start : s->t;
  if (m->c.values && (rc = vec_values(m, s, i, x, o)) < 0) return rc;
  return complete(m, s, i, start, s->complete, in_sram(x, 1) + in_sram(x, 2) + (x->reads_d ? in_sram(x, 0) : 0) + (x->x[0].space == EMU_SP_SRAM ? x->x[0].bytes : 0));
}
