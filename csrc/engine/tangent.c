/* By how much does a register change from one period of a loop to the next? While a period is watched every register has a tangent: what
   it will have gained when the same word runs in the next period. Sums and multiples keep tangents exact. A minimum, a maximum or a
   branch keeps its outcome for so many periods as its margin lasts: a closed form, the least of which limits the skip (SOUNDNESS 15).
   A loop count or a field that decides a time must have tangent 0. Anything else ends the watch: nothing is skipped. */
#include <stdlib.h>
#include <string.h>
#include "forward.h"

typedef struct { int64_t d[EMU_REGISTERS], before[EMU_REGISTERS]; uint32_t read, written; } tangent;
struct emu_watch { int64_t limit; tangent *of; };

emu_watch *emu_watch_new(const emu_machine *m) {
  emu_watch *w = calloc(1, sizeof *w);
  if (w && !(w->of = calloc((size_t)emu_live_streams(m), sizeof *w->of))) {
    free(w);
    w = NULL;
  }
  return w;
}

void emu_watch_free(emu_watch *w) {
  if (w) free(w->of);
  free(w);
}

/* A period begins; `earlier`: the streams one period ago. */
void emu_watch_begin(emu_machine *m, emu_watch *w, const emu_stream *earlier) {
  w->limit = INT64_MAX;
  for (int64_t j = 0; j < emu_live_streams(m); j++) {
    tangent *t = &w->of[j];
    const emu_stream *s = &m->streams[j];
    t->read = t->written = 0;
    if (!m->words[s->kind]) continue;
    for (int r = 0; r < EMU_REGISTERS; r++) t->before[r] = t->d[r] = (int64_t)((uint64_t)s->r[r] - (uint64_t)earlier[j].r[r]);
  }
}

/* It has returned: for how many more periods everything repeats; 0 if that cannot be said. What is read before it is written comes from
   the period before, so it must gain in each what it gained in this one. */
int64_t emu_watch_end(emu_machine *m, const emu_watch *w, const emu_stream *begin) {
  for (int64_t j = 0; j < emu_live_streams(m); j++) {
    const tangent *t = &w->of[j];
    const emu_stream *s = &m->streams[j];
    for (int r = 1; r < EMU_REGISTERS && m->words[s->kind]; r++) {
      if (!(t->read >> r & 1)) continue;
      const int64_t gained = (int64_t)((uint64_t)s->r[r] - (uint64_t)begin[j].r[r]), carried = t->written >> r & 1 ? t->d[r] : 0;
      if (gained != t->before[r] || carried != t->before[r]) return 0;
    }
  }
  return w->limit;
}

/* What each register of a stream gains in a period. */
const int64_t *emu_watch_steps(const emu_watch *w, int64_t stream) {
  tangent *t = &w->of[stream];
  for (int r = 1; r < EMU_REGISTERS; r++)
    if (!(t->written >> r & 1)) t->d[r] = 0;
  return t->d;
}

static int64_t step_of(tangent *t, int r) {
  if (!r) return 0;
  if (!(t->written >> r & 1)) t->read |= UINT32_C(1) << r;
  return t->d[r];
}

static void limit(emu_watch *w, int64_t n) {
  if (n < w->limit) w->limit = n;
}

/* What is now `margin` away from changing comes nearer by `speed` in each period. */
static void keep_margin(emu_watch *w, __int128 margin, __int128 speed) {
  if (speed <= 0) return;
  const __int128 n = margin < 0 ? 0 : margin / speed;
  if (n < w->limit) w->limit = (int64_t)n;
}

/* Values compare as they would without wrapping only while they stay far from the ends of 64 bits. */
static void stay_in_range(emu_watch *w, int64_t a, int64_t d) {
  if (d) keep_margin(w, ((__int128)1 << 62) - (a < 0 ? -(__int128)a : a), d < 0 ? -(__int128)d : d);
}

/* Tangent of the smaller (the larger) of a and b. */
static int64_t chosen(emu_watch *w, int larger, int64_t a, int64_t b, int64_t da, int64_t db) {
  const int first = larger ? a >= b : a <= b;
  stay_in_range(w, a, da);
  stay_in_range(w, b, db);
  const __int128 apart = larger ? (__int128)a - b : (__int128)b - a, closing = larger ? (__int128)db - da : (__int128)da - db;
  if (first) keep_margin(w, apart, closing);
  else keep_margin(w, -apart, -closing);
  return first ? da : db;
}

static void branch(emu_watch *w, int op, int64_t a, int64_t b, int64_t da, int64_t db) {
  const __int128 apart = (__int128)a - b, opening = (__int128)da - db;
  stay_in_range(w, a, da);
  stay_in_range(w, b, db);
  if (op == EMU_OP_BEQ || op == EMU_OP_BNE) {
    if (!apart && opening) limit(w, 0);
    else if (apart > 0) keep_margin(w, apart - 1, -opening);
    else if (apart < 0) keep_margin(w, -apart - 1, opening);
  } else if (apart < 0) keep_margin(w, -apart - 1, opening);
  else keep_margin(w, apart, -opening);
}

static int64_t product(emu_watch *w, int64_t a, int64_t b, int64_t da, int64_t db) {
  int64_t d;
  if ((da && db) || __builtin_mul_overflow(da ? da : db, da ? b : a, &d)) {
    limit(w, 0);
    return 0;
  }
  return d;
}

static int64_t sum(emu_watch *w, int64_t a, int64_t b) {
  int64_t d;
  if (__builtin_add_overflow(a, b, &d)) limit(w, 0);
  return d;
}

/* Before a scalar word of a watched period runs: the tangent of what it will write. */
void emu_watch_word(emu_watch *w, const emu_stream *s, const emu_insn *i) {
  tangent *t = &w->of[s->id];
  const int64_t a = s->r[i->ra], b = s->r[i->rb];
  int64_t d = 0;
  switch (i->op) {
    case EMU_OP_LI: case EMU_OP_CID: case EMU_OP_LDP: break;
    case EMU_OP_ADD: d = sum(w, step_of(t, i->ra), step_of(t, i->rb)); break;
    case EMU_OP_SUB: d = sum(w, step_of(t, i->ra), product(w, 0, -1, step_of(t, i->rb), 0)); break;
    case EMU_OP_MUL: d = product(w, a, b, step_of(t, i->ra), step_of(t, i->rb)); break;
    case EMU_OP_ADDI: d = step_of(t, i->ra); break;
    case EMU_OP_MULI: d = product(w, a, i->imm, step_of(t, i->ra), 0); break;
    case EMU_OP_SHLI: d = product(w, a, (int64_t)(UINT64_C(1) << (i->imm & 63)), step_of(t, i->ra), 0); break;
    case EMU_OP_MIN: case EMU_OP_MAX: d = chosen(w, i->op == EMU_OP_MAX, a, b, step_of(t, i->ra), step_of(t, i->rb)); break;
    case EMU_OP_MINI: case EMU_OP_MAXI: d = chosen(w, i->op == EMU_OP_MAXI, a, i->imm, step_of(t, i->ra), 0); break;
    case EMU_OP_BEQ: case EMU_OP_BNE: case EMU_OP_BLT: case EMU_OP_BGE: branch(w, i->op, a, b, step_of(t, i->ra), step_of(t, i->rb)); return;
    case EMU_OP_LOOPR: case EMU_OP_DADDR: if (step_of(t, i->ra)) limit(w, 0); return;
    case EMU_OP_DSETR: if (step_of(t, i->ra) && !emu_timeless(i->field)) limit(w, 0); return;
    case EMU_OP_AND: case EMU_OP_OR: case EMU_OP_XOR: if (step_of(t, i->rb)) limit(w, 0); /* fall through */
    case EMU_OP_LIH: case EMU_OP_SHRI: case EMU_OP_LDPX: case EMU_OP_LDS: if (step_of(t, i->ra)) limit(w, 0); break;
    default: return; /* writes no register */
  }
  t->d[i->rd] = i->rd ? d : 0;
  t->written |= UINT32_C(1) << i->rd;
}
