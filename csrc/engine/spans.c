/* Which bytes of a memory have been written: sorted, disjoint, merged intervals. Device memory, where results arrive as short rows of many
   tiles, also has one bit per 16 bytes; a buffer that is full becomes one interval again. */
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

int emu_spans_has(emu_spans *s, int64_t lo, int64_t hi) {
  if (s->last < s->n && s->v[s->last].lo <= lo && hi <= s->v[s->last].hi) return 1;
  if (lo >= hi) return 1;
  int64_t i = first_ending_at_or_after(s, hi);
  if (i < s->n) s->last = i;
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

#define GRANULE 16

static int64_t set_bits(uint64_t *w, int64_t a, int64_t b) {
  int64_t fresh = 0;
  while (a < b) {
    int64_t word = a / 64, end = (word + 1) * 64 < b ? (word + 1) * 64 : b, n = end - a;
    uint64_t mask = (n == 64 ? UINT64_MAX : ((UINT64_C(1) << n) - 1)) << (a % 64), new = mask & ~w[word];
    if (new) {
      w[word] |= new;
      fresh += new == mask ? n : __builtin_popcountll(new); /* a library call on plain x86-64 */
    }
    a = end;
  }
  return fresh;
}

static int all_bits(const uint64_t *w, int64_t a, int64_t b) {
  while (a < b) {
    int64_t word = a / 64, end = (word + 1) * 64 < b ? (word + 1) * 64 : b, n = end - a;
    uint64_t mask = (n == 64 ? UINT64_MAX : ((UINT64_C(1) << n) - 1)) << (a % 64);
    if ((w[word] & mask) != mask) return 0;
    a = end;
  }
  return 1;
}

/* Bytes of a granule that is only partly written are kept as intervals until it is whole. */
static int64_t add_edge(emu_machine *m, int64_t lo, int64_t hi) {
  if (lo >= hi) return 0;
  int64_t g = lo / GRANULE;
  if (all_bits(m->hbm_bits, g, g + 1)) return 0;
  if (emu_spans_add(&m->hbm_init, lo, hi)) return -1;
  return emu_spans_has(&m->hbm_init, g * GRANULE, (g + 1) * GRANULE) ? set_bits(m->hbm_bits, g, g + 1) : 0;
}

/* `buffer`: its number among those of all chips. */
int emu_hbm_mark(emu_machine *m, int buffer, int64_t lo, int64_t hi) {
  int64_t a = (lo + GRANULE - 1) / GRANULE, b = hi / GRANULE, fresh;
  if (a > b) fresh = add_edge(m, lo, hi);
  else if (a * GRANULE == lo && b * GRANULE == hi) fresh = set_bits(m->hbm_bits, a, b);
  else {
    int64_t left = add_edge(m, lo, a * GRANULE), right = add_edge(m, b * GRANULE, hi);
    if (left < 0 || right < 0) return -1;
    fresh = left + right + set_bits(m->hbm_bits, a, b);
  }
  if (fresh < 0) return -1;
  if (!fresh || buffer < 0 || (m->unwritten[buffer] -= fresh * GRANULE) > 0) return 0;
  const emu_buffer *u = &m->buffers[buffer % m->nbuffers];
  const int64_t from = buffer / m->nbuffers * m->c.chip_span + u->offset, to = from + u->bytes;
  return all_bits(m->hbm_bits, from / GRANULE, to / GRANULE) ? emu_spans_add(&m->hbm_init, from, to / GRANULE * GRANULE) : 0;
}

/* Whether every byte is in an interval or has its bit. */
int emu_hbm_marked(emu_machine *m, int64_t lo, int64_t hi) {
  emu_spans *s = &m->hbm_init;
  if (all_bits(m->hbm_bits, lo / GRANULE, (hi + GRANULE - 1) / GRANULE)) return 1;
  while (lo < hi) {
    const int64_t i = first_ending_at_or_after(s, lo + 1), g = lo / GRANULE;
    if (i < s->n && s->v[i].lo <= lo) lo = s->v[i].hi;
    else if (g % 64 == 0 && m->hbm_bits[g / 64] == UINT64_MAX) lo = (g + 64) * GRANULE;
    else if (all_bits(m->hbm_bits, g, g + 1)) lo = (g + 1) * GRANULE;
    else return 0;
  }
  return 1;
}
