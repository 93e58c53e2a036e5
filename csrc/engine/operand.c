/* From a descriptor to checked bytes: extents, legality, bounds, initialisation, races. */
#include <string.h>
#include "machine.h"

static int64_t *space_size(emu_machine *m, int space) {
  switch (space) {
    case EMU_SP_HBM: return &m->c.hbm_bytes;
    case EMU_SP_SRAM: case EMU_SP_PEER: return &m->c.sram_bytes;
    case EMU_SP_ACC: return &m->c.acc_bytes;
    default: return &m->c.shared_bytes;
  }
}

/* The buffer that holds [lo, hi), or the error. `emu_operand_at` has looked at the buffer used last time already. */
int emu_operand_find(emu_machine *m, emu_stream *s, emu_insn *i, int slot, emu_operand *o) {
  const emu_extent *x = o->x;
  o->buffer = -1;
  o->lo = o->hi = o->base;
  if (!x->elements) return 0;
  m->fail.space = x->space;
  if (o->base < 0 || o->base >= INT64_C(1) << 52) return emu_fail(m, s, E_BOUNDS, "the base lies beyond every memory", o->base, 0);
  o->lo = o->base + x->lo;
  o->hi = o->base + x->hi;
  if (o->lo < 0 || o->hi > *space_size(m, x->space)) return emu_fail(m, s, E_BOUNDS, "out of the bounds of its space", o->lo, o->hi);
  for (int64_t b = 0; b < m->nbuffers; b++) {
    const emu_buffer *u = &m->buffers[b];
    if (u->space != x->space || o->lo < u->offset || o->hi > u->offset + u->bytes) continue;
    i->hint[slot] = (int32_t)b;
    o->buffer = (int32_t)b;
    return 0;
  }
  return emu_fail(m, s, E_BOUNDS, "outside every buffer of its space", o->lo, o->hi);
}

/* The longest contiguous runs: dimensions that continue each other merge. */
static void merge_runs(emu_extent *x, int64_t size) {
  int64_t run = size, runs = 1;
  int contiguous = 1;
  for (int j = 0; j < 4; j++) {
    if (x->n[j] == 1) continue;
    if (contiguous && x->s[j] == run) run *= x->n[j];
    else {
      contiguous = 0;
      runs *= x->n[j];
    }
  }
  x->run = run;
  x->runs = runs;
  x->bytes = run * runs;
}

/* Whether the dimensions, by ascending stride, continue each other: a tile written column block by column block fills its slot. */
static int fills(const emu_extent *x, int64_t size) {
  int64_t run = size;
  for (int rest = 15; rest;) {
    int next = -1;
    for (int j = 0; j < 4; j++) {
      if (!(rest >> j & 1)) continue;
      if (x->n[j] == 1) rest &= ~(1 << j);
      else if (x->s[j] == run || x->s[j] == -run) next = j;
    }
    if (!rest) return 1;
    if (next < 0) return 0;
    rest &= ~(1 << next);
    run *= x->n[next];
  }
  return 1;
}

static int reach(emu_machine *m, emu_stream *s, int slot, emu_extent *x, int64_t size) {
  for (int j = 0; j < 4; j++) {
    __int128 far = (__int128)(x->n[j] - 1) * x->s[j];
    if (far > (INT64_C(1) << 50) || far < -(INT64_C(1) << 50)) return emu_fail(m, s, E_BOUNDS, "the operand reaches beyond every memory", slot, -1);
    if (far > 0) x->hi += (int64_t)far;
    else x->lo += (int64_t)far;
  }
  x->hi += size;
  merge_runs(x, size);
  x->dense = fills(x, size);
  return 0;
}

/* `n`: extents, innermost first, which are not always the descriptor's own. */
int emu_extent_of(emu_machine *m, emu_stream *s, int slot, const emu_desc *d, const int64_t *n, emu_extent *x) {
  const int64_t *f = d->f;
  memset(x, 0, sizeof *x);
  x->peer = x->chip = -1;
  if (f[AT_SPACE] < 0 || f[AT_SPACE] >= EMU_SP_COUNT) return emu_fail(m, s, E_ILLEGAL, "the descriptor names no space", slot, f[AT_SPACE]);
  if (f[AT_FMT] < 0 || f[AT_FMT] >= EMU_FMT_COUNT) return emu_fail(m, s, E_ILLEGAL, "the descriptor names no format", slot, f[AT_FMT]);
  x->space = (int)f[AT_SPACE];
  x->fmt = (int)f[AT_FMT];
  if (x->space == EMU_SP_PEER) {
    if (s->engine != ENGINE_DMA) return emu_fail(m, s, E_PORT, "only DMA reaches the scratchpad of another core", slot, EMU_SP_PEER);
    if (f[AT_CORE] >= m->chip_cores || f[AT_CORE] < -1) return emu_fail(m, s, E_BOUNDS, "the descriptor names no core", slot, f[AT_CORE]);
    x->peer = (int)f[AT_CORE];
    x->space = EMU_SP_SRAM;
  }
  if (x->space == EMU_SP_FAR) {
    if (emu_stream_engine[s->kind] != EMU_ENGINE_NET) return emu_fail(m, s, E_PORT, "only the net engine reaches the memory of another chip", slot, EMU_SP_FAR);
    if (f[AT_CORE] >= m->c.net_chips || f[AT_CORE] < -1) return emu_fail(m, s, E_BOUNDS, "the descriptor names no chip", f[AT_CORE], m->c.net_chips);
    x->chip = (int)f[AT_CORE];
    x->space = EMU_SP_HBM;
  }
  const int64_t size = emu_fmt_bytes[x->fmt], far = INT64_C(1) << 40;
  const int64_t stride[4] = {f[AT_S0], f[AT_S1], f[AT_S2], f[AT_S3]};
  int64_t elements = 1;
  for (int j = 0; j < 4; j++) {
    if (n[j] < 0) return emu_fail(m, s, E_EXTENT, "negative extent", slot, n[j]);
    if (n[j] > INT64_C(1) << 32 || stride[j] > far || stride[j] < -far) return emu_fail(m, s, E_EXTENT, "extent or stride beyond every memory", slot, n[j]);
    x->n[j] = n[j];
    x->s[j] = j ? stride[j] : stride[j] * size;
    elements = n[j] && elements > far / n[j] ? far : elements * n[j];
  }
  x->row = n[0];
  if (emu_fmt_bits[x->fmt] < 8) {
    if (stride[0] != 1) return emu_fail(m, s, E_EXTENT, "rows of a packed format are dense: its innermost stride s0 is 1", slot, stride[0]);
    x->n[0] = (n[0] * emu_fmt_bits[x->fmt] + 7) / 8;
  }
  if (elements >= far) return emu_fail(m, s, E_EXTENT, "too many elements", slot, elements);
  x->elements = elements;
  return elements ? reach(m, s, slot, x, size) : 0;
}

uint8_t *emu_operand_data(emu_machine *m, const emu_operand *o) {
  switch (o->x->space) {
    case EMU_SP_HBM: return m->hbm + emu_chip_offset(m, EMU_SP_HBM, o->core);
    case EMU_SP_SRAM: return m->sram[o->core];
    case EMU_SP_ACC: return m->acc[o->core];
    default: return m->shared + emu_chip_offset(m, EMU_SP_SHARED, o->core);
  }
}

static emu_spans *initialised(emu_machine *m, const emu_operand *o) {
  switch (o->x->space) {
    case EMU_SP_HBM: return &m->hbm_init;
    case EMU_SP_SRAM: return &m->sram_init[o->core];
    case EMU_SP_ACC: return &m->acc_init[o->core];
    default: return &m->shared_init;
  }
}

static int touch(emu_machine *m, emu_stream *s, const emu_operand *o, emu_spans *v, int64_t lo, int64_t hi, int how) {
  const int bits = o->x->space == EMU_SP_HBM;
  const int64_t chip = emu_chip_offset(m, o->x->space, o->core); /* what is known of bytes is kept for all chips together */
  lo += chip;
  hi += chip;
  if (how == EMU_WRITE) {
    if (bits ? emu_hbm_mark(m, (int)(emu_chip_of(m, o->core) * m->nbuffers) + o->buffer, lo, hi) : emu_spans_add(v, lo, hi)) return emu_fail(m, s, E_MEMORY, "out of memory", 0, 0);
  } else if (!emu_spans_has(v, lo, hi) && !(bits && emu_hbm_marked(m, lo, hi))) {
    m->fail.space = o->x->space;
    return emu_fail(m, s, E_UNINIT, "reads bytes that nobody wrote", lo - chip, hi - chip);
  }
  return m->c.check ? emu_race_access(m, s, o->x->space, o->core, o->x->fmt, lo, hi, how) : 0;
}

/* Run by run, with the innermost of the outer dimensions in the tight loop. */
static int touch_runs(emu_machine *m, emu_stream *s, const emu_operand *o, emu_spans *v, int how) {
  const emu_extent *x = o->x;
  int64_t run = emu_fmt_bytes[x->fmt], n[4] = {1, 1, 1, 1}, st[4] = {0};
  int dims = 0, contiguous = 1;
  for (int j = 0; j < 4; j++) {
    if (x->n[j] == 1 || x->s[j] == 0) continue;
    if (contiguous && x->s[j] == run) {
      run *= x->n[j];
      continue;
    }
    contiguous = 0;
    n[dims] = x->n[j];
    st[dims++] = x->s[j];
  }
  for (int64_t a = 0; a < n[3]; a++)
    for (int64_t b = 0; b < n[2]; b++)
      for (int64_t c = 0; c < n[1]; c++)
        for (int64_t d = 0; d < n[0]; d++) {
          const int64_t lo = o->base + a * st[3] + b * st[2] + c * st[1] + d * st[0];
          int rc = touch(m, s, o, v, lo, lo + run, how);
          if (rc < 0) return rc;
        }
  return 0;
}

/* Initialised before a read, marked by a write, and ordered with what others did, if that is checked. */
int emu_access(emu_machine *m, emu_stream *s, const emu_operand *o, int how) {
  if (m->unchecked) return 0;
  if (!o->x->elements) return 0;
  if (!m->c.check && how != EMU_WRITE && emu_given(&m->buffers[o->buffer])) return 0;
  emu_spans *v = initialised(m, o);
  const int64_t chip = emu_chip_offset(m, o->x->space, o->core);
  if (!m->c.check && emu_spans_has(v, o->lo + chip, o->hi + chip)) return 0;
  return o->x->dense ? touch(m, s, o, v, o->lo, o->hi, how) : touch_runs(m, s, o, v, how);
}
