/* Users' instructions: what the configuration says of each, its cost expressions, and its extents. The call of its compiled code is in
   csrc/num/user.c. Time and energy depend on extents only, so plans, fast-forward and timing-only runs treat it like any other. */
#include <string.h>
#include "machine.h"

enum { USER_KNOWN, USER_ENGINE, USER_D0, USER_D1, USER_D2, USER_FLAGS, USER_ROWS, USER_CODE, USER_CYCLES, USER_ENERGY };
_Static_assert(USER_ENERGY + 1 == EMU_USER_FIELDS, "the configuration has a number for each");
_Static_assert(EMU_WORD_E == 0, "what the tables do not list is of format E");

/* Steps of an expression in user_code; emu/machine/extensions.py writes them. */
enum { STEP_END, STEP_NUMBER, STEP_EXTENT, STEP_ADD, STEP_SUB, STEP_MUL, STEP_DIV, STEP_MAX, STEP_MIN, STEP_CEIL, STEP_FLOOR };
enum { EXTENT_ELEMENTS, EXTENT_OUT, EXTENT_ROWS, EXTENT_WIDTH, EXTENTS };
#define STACK 32
#define MOST_FJ INT64_C(10000000000) /* of one instruction: 10 uJ, so that no run of 10^8 of them overflows its counter */

static int64_t field(const emu_machine *m, unsigned op, int which) { return m->c.user[(op - EMU_USER_OPCODE_FIRST) * EMU_USER_FIELDS + which]; }

/* The decoder's view of the users' instructions of this program. */
void emu_users_declare(emu_machine *m) {
  for (unsigned op = EMU_USER_OPCODE_FIRST; op <= EMU_USER_OPCODE_LAST; op++) {
    emu_op_info_t *info = &m->user_info[op - EMU_USER_OPCODE_FIRST];
    memset(info, 0, sizeof *info);
    if (!field(m, op, USER_KNOWN)) continue;
    info->name = "user";
    info->valid = info->has_wait = info->has_signal = 1;
    info->format = EMU_WORD_E;
    info->engine = (uint8_t)field(m, op, USER_ENGINE);
    for (int j = 0; j < 3; j++) info->kind[j] = (uint8_t)field(m, op, USER_D0 + j);
    info->flags_allowed = (uint8_t)field(m, op, USER_FLAGS);
    uint64_t used = UINT64_C(0xff) << 56 | EMU_E_D0_MASK << EMU_E_D0_SHIFT | EMU_E_D1_MASK << EMU_E_D1_SHIFT |
                    EMU_E_WAIT_MASK << EMU_E_WAIT_SHIFT | EMU_E_SIGNAL_MASK << EMU_E_SIGNAL_SHIFT | (uint64_t)info->flags_allowed << EMU_E_FLAGS_SHIFT;
    if (info->kind[2] != EMU_KIND_NONE) used |= EMU_E_D2_MASK << EMU_E_D2_SHIFT;
    info->must_be_zero = ~used;
  }
}

/* Exact arithmetic: a cost is a rational number, so that it is the same everywhere and `elements / 0.3` is rounded once, at the end. */
typedef struct { int64_t n, d; } ratio;

static int reduced(__int128 n, __int128 d, ratio *out) {
  if (d < 0) n = -n, d = -d;
  __int128 a = n < 0 ? -n : n, b = d;
  while (b) {
    const __int128 rest = a % b;
    a = b, b = rest;
  }
  if (a > 1) n /= a, d /= a;
  if (n > INT64_MAX || n < -INT64_MAX || d > INT64_MAX) return -1;
  *out = (ratio){(int64_t)n, (int64_t)d};
  return 0;
}

static int64_t floor_of(ratio r) { return r.n / r.d - (r.n % r.d < 0); }

/* 0, -1: beyond 64 bits, -2: division by zero. */
static int combined(int64_t step, ratio a, ratio b, ratio *out) {
  const __int128 left = (__int128)a.n * b.d, right = (__int128)b.n * a.d;
  switch (step) {
    case STEP_ADD: return reduced(left + right, (__int128)a.d * b.d, out);
    case STEP_SUB: return reduced(left - right, (__int128)a.d * b.d, out);
    case STEP_MUL: return reduced((__int128)a.n * b.n, (__int128)a.d * b.d, out);
    case STEP_DIV: return b.n ? reduced(left, right, out) : -2;
    case STEP_MAX: *out = left >= right ? a : b; return 0;
    default: *out = left <= right ? a : b; return 0;
  }
}

static int evaluate(const int64_t *code, const int64_t *end, const int64_t *extents, ratio *result) {
  ratio stack[STACK + 1] = {{0, 1}};
  for (int used = 0; code < end && used < STACK;) {
    const int64_t step = *code++;
    if (step == STEP_END) {
      *result = stack[0];
      return used == 1 ? 0 : -1;
    }
    if (step == STEP_NUMBER) {
      if (end - code < 2) return -1;
      stack[used++] = (ratio){code[0], code[1]};
      code += 2;
    } else if (step == STEP_EXTENT) {
      if (end - code < 1 || *code < 0 || *code >= EXTENTS) return -1;
      stack[used++] = (ratio){extents[*code++], 1};
    } else if (step == STEP_CEIL || step == STEP_FLOOR) {
      if (!used) return -1;
      const ratio r = stack[used - 1];
      stack[used - 1] = (ratio){step == STEP_FLOOR || r.n % r.d == 0 ? floor_of(r) : floor_of(r) + 1, 1};
    } else {
      if (used < 2) return -1;
      const int rc = combined(step, stack[used - 2], stack[used - 1], &stack[used - 2]);
      if (rc < 0) return rc;
      used--;
    }
  }
  return -1;
}

static int cost(emu_machine *m, emu_stream *s, const emu_insn *i, int which, const int64_t *extents, ratio *r) {
  const int64_t at = field(m, i->op, which);
  const int rc = at < 0 || at >= EMU_USER_CODE ? -1 : evaluate(m->c.user_code + at, m->c.user_code + EMU_USER_CODE, extents, r);
  const int energy = which == USER_ENERGY;
  if (rc == -2) return emu_fail(m, s, E_USER, energy ? "its energy divides by zero" : "its cycles divide by zero", 0, 0);
  if (rc < 0 || r->n < 0) return emu_fail(m, s, E_USER, energy ? "its energy is negative or beyond 64 bits" : "its cycles are negative or beyond 64 bits", 0, 0);
  return 0;
}

static int costs(emu_machine *m, emu_stream *s, const emu_insn *i, emu_plan *p) {
  const emu_worked *out = &p->worked[0];
  const int64_t rows = out->n[1] * out->n[2] * out->n[3], extents[EXTENTS] = {p->elements, out->elements, rows, p->elements / rows};
  ratio r;
  int rc;
  if ((rc = cost(m, s, i, USER_CYCLES, extents, &r)) < 0) return rc;
  p->work = floor_of(r) + (r.n % r.d != 0);
  if (p->work > EMU_TIME_MAX / m->c.period_fs / 2) return emu_fail(m, s, E_TIME, "the run is longer than the machine's clock can count", 0, 0);
  if ((rc = cost(m, s, i, USER_ENERGY, extents, &r)) < 0) return rc;
  const __int128 fj = ((__int128)r.n * 2000 + r.d) / ((__int128)r.d * 2); /* from pJ, to the nearest */
  if (fj > MOST_FJ) return emu_fail(m, s, E_USER, "it draws more than 10 uJ at once: let an instruction do less", (int64_t)(fj > INT64_MAX ? INT64_MAX : fj), MOST_FJ);
  p->user_fj = (int64_t)fj;
  return 0;
}

/* The destination's extents are everybody's; where the meaning is one of rows, each operand has an n0 of its own. */
int emu_plan_user(emu_machine *m, emu_stream *s, const emu_insn *i, emu_plan *p) {
  const emu_op_info_t *info = emu_info(m, i->op);
  const emu_desc *d[3] = {&s->d[i->d0], &s->d[i->d1], &s->d[i->d2]};
  const int rows = field(m, i->op, USER_ROWS) != 0;
  int rc;
  p->used[0] = p->used[1] = 1;
  p->used[2] = info->kind[2] == EMU_KIND_R && !(i->flags & EMU_FLAG_IMM);
  p->reads_d = info->kind[0] == EMU_KIND_RW;
  for (int j = 0; j < 3; j++) {
    if (!p->used[j]) continue;
    int64_t n[4];
    memcpy(n, &d[0]->f[AT_N0], sizeof n);
    if (rows) n[0] = d[j]->f[AT_N0];
    if ((rc = emu_extent_of(m, s, j, d[j], n, &p->x[j])) < 0 || (rc = emu_worked_of(m, s, j, d[j], p)) < 0) return rc;
  }
  if ((i->flags & EMU_FLAG_SR) && p->x[0].fmt == EMU_FMT_E8M0) return emu_fail(m, s, E_FORMAT, "e8m0 is not rounded stochastically", p->x[0].fmt, -1);
  p->elements = p->worked[rows].elements;
  if (p->elements + p->x[0].elements && (rc = costs(m, s, i, p)) < 0) return rc;
  return emu_vec_ports(m, s, p);
}

emu_user emu_user_of(const emu_machine *m, const emu_insn *i, const emu_plan *p) {
  return (emu_user){(emu_user_fn)(intptr_t)field(m, i->op, USER_CODE), field(m, i->op, USER_ROWS) != 0, p->reads_d};
}
