#include "percore.h"

static int floored(int op, int64_t x, int64_t y, int64_t *out) {
  if (y == 0) return PERCORE_DIVISION;
  if (y == -1) return op == PERCORE_MOD ? (*out = 0) : __builtin_sub_overflow((int64_t)0, x, out); /* INT64_MIN / -1 traps */
  const int64_t rest = x % y, down = rest && (rest ^ y) < 0;
  *out = op == PERCORE_MOD ? rest + down * y : x / y - down;
  return 0;
}

static int one(int op, int64_t x, int64_t y, int64_t *out) {
  switch (op) {
    case PERCORE_ADD: return __builtin_add_overflow(x, y, out);
    case PERCORE_SUB: return __builtin_sub_overflow(x, y, out);
    case PERCORE_MUL: return __builtin_mul_overflow(x, y, out);
    case PERCORE_MIN: *out = y < x ? y : x; return 0;
    case PERCORE_MAX: *out = y > x ? y : x; return 0;
    case PERCORE_LESS: *out = x < y; return 0;
    default: return floored(op, x, y, out);
  }
}

int emu_percore_combine(int op, const int64_t *a, int a_step, const int64_t *b, int b_step, int64_t *out, int64_t count) {
  int wrong = 0;
  for (int64_t j = 0; j < count && !wrong; j++) wrong = one(op, a[j * a_step], b[j * b_step], out + j);
  return wrong;
}

int emu_percore_same(const int64_t *values, int64_t count) {
  for (int64_t j = 1; j < count; j++)
    if (values[j] != values[0]) return 0;
  return 1;
}
