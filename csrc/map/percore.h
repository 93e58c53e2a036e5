/* Integers that may differ between cores, core by core. A side with step 0 is the same number for all of them. */
#ifndef EMU_PERCORE_H
#define EMU_PERCORE_H

#include <stdint.h>

enum { PERCORE_ADD, PERCORE_SUB, PERCORE_MUL, PERCORE_FLOORDIV, PERCORE_MOD, PERCORE_MIN, PERCORE_MAX, PERCORE_LESS };
enum { PERCORE_OVERFLOW = 1, PERCORE_DIVISION };

/* out[j] = a[j * a_step] OP b[j * b_step]; / and % round down. 0, or what went wrong. */
int emu_percore_combine(int op, const int64_t *a, int a_step, const int64_t *b, int b_step, int64_t *out, int64_t count);

/* Whether all are equal. */
int emu_percore_same(const int64_t *values, int64_t count);

#endif
