/* The race checker: vector clocks over the resolved streams (SOUNDNESS 25). Two accesses to overlapping bytes, one of them a write, must
   be ordered by semaphores, barriers or the order of one engine; the first pair that is not is reported with both instructions. It also
   remembers in which format an engine wrote, so that products are not added to numbers of another kind. */
#include <stdlib.h>
#include <string.h>
#include "machine.h"

typedef struct { int32_t stream, pc; uint32_t clock; int32_t fmt; int64_t lo, hi; } access_t; /* lo, hi: the whole run, of which a segment may be a part */
typedef struct { int64_t lo, hi; access_t writer; access_t *readers; int32_t nreaders, creaders; } segment;
typedef struct { segment *v; int64_t n, cap; } segments;
struct emu_history { segments hbm, shared, *sram, *acc; uint32_t *clocks, *acquired; };

int emu_race_prepare(emu_machine *m) {
  const size_t n = (size_t)m->c.cores * EMU_STREAM_COUNT;
  emu_history *h = calloc(1, sizeof *h);
  if (!h) return -1;
  m->history = h;
  h->sram = calloc((size_t)m->c.cores, sizeof *h->sram);
  h->acc = calloc((size_t)m->c.cores, sizeof *h->acc);
  h->clocks = calloc(n * n, sizeof *h->clocks);
  h->acquired = calloc(n, sizeof *h->acquired);
  return h->sram && h->acc && h->clocks && h->acquired ? 0 : -1;
}

static void free_segments(segments *g) {
  for (int64_t j = 0; j < g->n; j++) free(g->v[j].readers);
  free(g->v);
}

void emu_race_free(emu_machine *m) {
  emu_history *h = m->history;
  if (!h) return;
  for (int64_t j = 0; j < m->c.cores; j++) {
    if (h->sram) free_segments(&h->sram[j]);
    if (h->acc) free_segments(&h->acc[j]);
  }
  free_segments(&h->hbm);
  free_segments(&h->shared);
  free(h->sram); free(h->acc); free(h->clocks); free(h->acquired);
  free(h);
  m->history = NULL;
}

uint32_t *emu_clock_of(emu_machine *m, int stream) {
  if (!m->c.check) return NULL;
  uint32_t *c = m->history->clocks + (int64_t)stream * m->c.cores * EMU_STREAM_COUNT;
  c[stream] = m->streams[stream].clock;
  return c;
}

uint32_t *emu_clock_copy(emu_machine *m, const uint32_t *c) {
  const size_t bytes = (size_t)m->c.cores * EMU_STREAM_COUNT * sizeof *c;
  uint32_t *copy = malloc(bytes);
  if (copy) memcpy(copy, c, bytes);
  return copy;
}

/* A token that carries this stream's own clock back tells that its operations up to there are complete. */
void emu_clock_join(emu_machine *m, emu_stream *s, const uint32_t *from) {
  uint32_t *own = emu_clock_of(m, s->id);
  if (from[s->id] > s->fenced) s->fenced = from[s->id];
  for (int64_t j = 0; j < m->c.cores * EMU_STREAM_COUNT; j++)
    if (from[j] > own[j]) own[j] = from[j];
}

static int ordered(emu_machine *m, const emu_stream *s, const uint32_t *own, access_t a, int read_after_write) {
  if (a.stream == s->id) return !(read_after_write && s->engine == ENGINE_DMA) || a.clock <= s->fenced || a.clock == s->clock;
  return own[a.stream] >= a.clock;
}

/* Both sides of what went wrong: `me` now and `a` before. */
static emu_failure *both(emu_machine *m, access_t me, access_t a, int space) {
  emu_failure *f = &m->fail;
  if (f->code) return f;
  f->core2 = a.stream / EMU_STREAM_COUNT;
  f->stream2 = a.stream % EMU_STREAM_COUNT;
  f->pc2 = a.pc;
  const int64_t span = m->c.chips > 1 && space == EMU_SP_HBM ? m->c.chip_span : m->c.chips > 1 && space == EMU_SP_SHARED ? m->c.shared_bytes : INT64_MAX;
  f->space = space;
  f->lo = me.lo % span;
  f->hi = f->lo + me.hi - me.lo;
  f->lo2 = a.lo % span;
  f->hi2 = f->lo2 + a.hi - a.lo;
  return f;
}

static int report(emu_machine *m, emu_stream *s, access_t me, access_t a, int space, int owner, int write, int wrote) {
  both(m, me, a, space);
  return emu_fail(m, s, E_RACE, write ? "a write races" : "a read races", write + 2 * wrote, owner);
}

/* Numbers that an engine wrote may be added to only as what they are; DMA moves bytes, and what it moved may be anything. */
static int addable(emu_machine *m, emu_stream *s, access_t me, access_t writer, int space) {
  if (writer.fmt < 0 || (writer.fmt == me.fmt && (me.lo - writer.lo) % emu_fmt_bytes[me.fmt] == 0)) return 0;
  both(m, me, writer, space);
  return emu_fail(m, s, E_ACCUMULATOR, "mm adds to accumulators that hold something else", me.fmt, writer.fmt);
}

static int add_reader(segment *g, access_t a) {
  for (int j = 0; j < g->nreaders; j++)
    if (g->readers[j].stream == a.stream) {
      g->readers[j] = a;
      return 0;
    }
  if (g->nreaders == g->creaders) {
    int cap = g->creaders ? 2 * g->creaders : 2;
    access_t *r = realloc(g->readers, (size_t)cap * sizeof *r);
    if (!r) return -1;
    g->readers = r;
    g->creaders = cap;
  }
  g->readers[g->nreaders++] = a;
  return 0;
}

static int insert(segments *g, int64_t at, segment s) {
  if (g->n == g->cap) {
    int64_t cap = g->cap ? 2 * g->cap : 16;
    segment *v = realloc(g->v, (size_t)cap * sizeof *v);
    if (!v) return -1;
    g->v = v;
    g->cap = cap;
  }
  memmove(&g->v[at + 1], &g->v[at], (size_t)(g->n - at) * sizeof *g->v);
  g->v[at] = s;
  g->n++;
  return 0;
}

/* Cuts the segment at index `at` in two at byte x. */
static int cut(segments *g, int64_t at, int64_t x) {
  segment right = g->v[at];
  right.lo = x;
  right.readers = NULL;
  right.creaders = right.nreaders = 0;
  for (int j = 0; j < g->v[at].nreaders; j++)
    if (add_reader(&right, g->v[at].readers[j])) return -1;
  g->v[at].hi = x;
  return insert(g, at + 1, right);
}

static int64_t first_beyond(const segments *g, int64_t lo) {
  int64_t a = 0, b = g->n;
  while (a < b) {
    int64_t mid = (a + b) / 2;
    if (g->v[mid].hi <= lo) a = mid + 1;
    else b = mid;
  }
  return a;
}

static int on_segment(emu_machine *m, emu_stream *s, segment *g, access_t me, int space, int owner, int how) {
  const int write = how == EMU_WRITE;
  const uint32_t *own = emu_clock_of(m, s->id);
  if (g->writer.stream >= 0 && !ordered(m, s, own, g->writer, !write)) return report(m, s, me, g->writer, space, owner, write, 1);
  if (how == EMU_ADD && g->writer.stream >= 0 && addable(m, s, me, g->writer, space)) return -m->fail.code;
  if (!write) return add_reader(g, me) ? emu_fail(m, s, E_MEMORY, "out of memory for the race checker", 0, 0) : 0;
  for (int j = 0; j < g->nreaders; j++)
    if (!ordered(m, s, own, g->readers[j], 0)) return report(m, s, me, g->readers[j], space, owner, write, 0);
  g->writer = me;
  g->nreaders = 0;
  return 0;
}

int emu_race_access(emu_machine *m, emu_stream *s, int space, int core, int fmt, int64_t lo, int64_t hi, int how) {
  emu_history *h = m->history;
  segments *g = space == EMU_SP_HBM ? &h->hbm : space == EMU_SP_SRAM ? &h->sram[core] : space == EMU_SP_ACC ? &h->acc[core] : &h->shared;
  const access_t me = {s->id, s->pc, s->clock, s->engine == ENGINE_DMA ? -1 : fmt, lo, hi};
  int64_t i = first_beyond(g, lo);
  while (lo < hi) {
    if (i == g->n || g->v[i].lo > lo) { /* bytes nobody touched so far */
      int64_t end = i < g->n && g->v[i].lo < hi ? g->v[i].lo : hi;
      segment fresh = {lo, end, {.stream = -1}, NULL, 0, 0};
      if (how == EMU_WRITE) fresh.writer = me;
      else if (add_reader(&fresh, me)) return emu_fail(m, s, E_MEMORY, "out of memory for the race checker", 0, 0);
      if (insert(g, i, fresh)) return emu_fail(m, s, E_MEMORY, "out of memory for the race checker", 0, 0);
      lo = end;
      i++;
      continue;
    }
    if ((g->v[i].lo < lo && cut(g, i++, lo)) || (g->v[i].hi > hi && cut(g, i, hi))) return emu_fail(m, s, E_MEMORY, "out of memory for the race checker", 0, 0);
    int rc = on_segment(m, s, &g->v[i], me, space, core, how);
    if (rc < 0) return rc;
    lo = g->v[i++].hi;
  }
  return 0;
}
