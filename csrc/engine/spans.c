/* Sorted, disjoint, merged intervals of bytes: which bytes of a memory have been written. */
#include <stdlib.h>
#include <string.h>
#include "machine.h"

static int64_t first_ending_at_or_after(const emu_spans *s, int64_t x) {
  int64_t a = 0, b = s->n;
  while (a < b) {
    int64_t mid = (a + b) / 2;
    if (s->v[mid].hi < x) a = mid + 1;
    else b = mid;
  }
  return a;
}

int emu_spans_has(const emu_spans *s, int64_t lo, int64_t hi) {
  if (lo >= hi) return 1;
  int64_t i = first_ending_at_or_after(s, hi);
  return i < s->n && s->v[i].lo <= lo;
}

int emu_spans_add(emu_spans *s, int64_t lo, int64_t hi) {
  if (lo >= hi || emu_spans_has(s, lo, hi)) return 0;
  int64_t i = first_ending_at_or_after(s, lo), j = i;
  while (j < s->n && s->v[j].lo <= hi) { /* everything touching [lo, hi] becomes one */
    if (s->v[j].lo < lo) lo = s->v[j].lo;
    if (s->v[j].hi > hi) hi = s->v[j].hi;
    j++;
  }
  if (i == j && s->n == s->cap) {
    int64_t cap = s->cap ? 2 * s->cap : 8;
    emu_span *v = realloc(s->v, (size_t)cap * sizeof *v);
    if (!v) return -1;
    s->v = v;
    s->cap = cap;
  }
  memmove(&s->v[i + 1], &s->v[j], (size_t)(s->n - j) * sizeof *s->v);
  s->n += 1 - (j - i);
  s->v[i] = (emu_span){lo, hi};
  return 0;
}
