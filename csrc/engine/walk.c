/* See walk.h. */
#include "walk.h"
#include <stdlib.h>
#include <string.h>

static void begin_row(emu_walk *w) {
  memset(w->at, 0, sizeof w->at);
  w->fresh = 1;
}

void emu_walk_begin(emu_walk *w, const emu_operand *o, const emu_rows *rows, int write, int64_t access, int64_t chunk) {
  const emu_extent *x = o->x;
  const emu_sectors kept = w->sectors;
  *w = (emu_walk){.base = o->base, .run = emu_fmt_bytes[x->fmt], .rows = *rows, .access = access, .chunk = chunk, .write = write, .sectors = kept};
  if (x->dense) {
    w->base += x->lo;
    w->run = x->hi - x->lo;
  } else
    for (int j = 0; j < 4; j++) {
      if (x->n[j] == 1) continue;
      if (!w->dims && x->s[j] == w->run) w->run *= x->n[j];
      else w->n[w->dims] = x->n[j], w->s[w->dims++] = x->s[j];
    }
  begin_row(w);
}

void emu_walk_sectors(emu_walk *w, emu_sectors *l, int write, int64_t access, int64_t chunk) {
  const emu_sectors spare = w->sectors;
  *w = (emu_walk){.access = access, .chunk = chunk, .write = write, .listed = 1, .sectors = *l};
  *l = spare;
  l->n = 0;
}

int emu_sectors_add(emu_sectors *l, int64_t block, uint32_t sectors, int64_t sector_bytes) {
  while (sectors) {
    const int first = __builtin_ctz(sectors);
    const uint32_t rest = ~(sectors >> first);
    const int count = rest ? __builtin_ctz(rest) : 32;
    const int64_t lo = block + first * sector_bytes, hi = lo + count * sector_bytes;
    sectors = first + count < 32 ? sectors >> (first + count) << (first + count) : 0;
    if (l->n && l->v[l->n - 1].hi == lo) {
      l->v[l->n - 1].hi = hi;
      continue;
    }
    if (l->n == l->room) {
      const int64_t room = l->room ? 2 * l->room : 64;
      emu_range *more = realloc(l->v, (size_t)room * sizeof *more);
      if (!more) return -1;
      l->v = more;
      l->room = room;
    }
    l->v[l->n++] = (emu_range){lo, hi};
  }
  return 0;
}

/* The next place of the row: an odometer over what does not run on. */
static int turn(emu_walk *w) {
  if (w->fresh) return w->fresh = 0, 1;
  for (int j = 0; j < w->dims; j++) {
    if (++w->at[j] < w->n[j]) return 1;
    w->at[j] = 0;
  }
  if (++w->row >= w->rows.n) return 0;
  begin_row(w);
  w->fresh = 0;
  return 1;
}

static int next_run(emu_walk *w) {
  int64_t lo, hi;
  if (w->listed) {
    if (w->next_sector >= w->sectors.n) return 0;
    lo = w->sectors.v[w->next_sector].lo;
    hi = w->sectors.v[w->next_sector++].hi;
  } else {
    if (!turn(w)) return 0;
    int32_t index = (int32_t)w->row;
    if (w->rows.index) memcpy(&index, w->rows.index + w->row * w->rows.step, sizeof index);
    lo = w->base + index * w->rows.pitch;
    for (int j = 0; j < w->dims; j++) lo += w->at[j] * w->s[j];
    hi = lo + w->run;
  }
  w->lo = lo / w->access * w->access;
  w->hi = (hi + w->access - 1) / w->access * w->access;
  return 1;
}

int emu_walk_next(emu_walk *w, emu_piece *p) {
  if (w->lo >= w->hi && !next_run(w)) return 0;
  const int64_t cut = (w->lo / w->chunk + 1) * w->chunk, hi = cut < w->hi ? cut : w->hi;
  *p = (emu_piece){w->lo, hi - w->lo};
  w->lo = hi;
  return 1;
}
