/* From a descriptor to checked bytes: extents, legality, bounds, initialisation, races. */
#include "machine.h"

static int64_t *space_size(emu_machine *m, int space) {
  switch (space) {
    case EMU_SP_HBM: return &m->c.hbm_bytes;
    case EMU_SP_SRAM: case EMU_SP_PEER: return &m->c.sram_bytes;
    case EMU_SP_ACC: return &m->c.acc_bytes;
    default: return &m->c.shared_bytes;
  }
}

static int inside(const emu_buffer *u, int space, int64_t lo, int64_t hi) {
  return u->space == space && lo >= u->offset && hi <= u->offset + u->bytes;
}

/* The buffer that holds [lo, hi): first the one this operand used last time. */
static int find_buffer(emu_machine *m, emu_insn *i, int slot, int space, int64_t lo, int64_t hi) {
  if (i->hint[slot] < m->nbuffers && inside(&m->buffers[i->hint[slot]], space, lo, hi)) return i->hint[slot];
  for (int64_t b = 0; b < m->nbuffers; b++)
    if (inside(&m->buffers[b], space, lo, hi)) {
      i->hint[slot] = (int32_t)b;
      return (int)b;
    }
  return -1;
}

/* The longest contiguous runs: dimensions that continue each other merge. */
static void merge_runs(emu_operand *o, int64_t size) {
  int64_t run = size, runs = 1;
  int contiguous = 1;
  for (int j = 0; j < 4; j++) {
    if (o->n[j] == 1) continue;
    if (contiguous && o->s[j] == run) run *= o->n[j];
    else {
      contiguous = 0;
      runs *= o->n[j];
    }
  }
  o->run = run;
  o->runs = runs;
  o->bytes = run * runs;
}

/* `n`: extents, innermost first, which are not always the descriptor's own. */
int emu_operand_resolve(emu_machine *m, emu_stream *s, emu_insn *i, int slot, const emu_desc *d, const int64_t *n, emu_operand *o) {
  const int64_t *f = d->f;
  if (f[EMU_F_SPACE] < 0 || f[EMU_F_SPACE] >= EMU_SP_COUNT) return emu_fail(m, s, E_ILLEGAL, "the descriptor names no space", slot, f[EMU_F_SPACE]);
  if (f[EMU_F_FMT] < 0 || f[EMU_F_FMT] >= EMU_FMT_COUNT) return emu_fail(m, s, E_ILLEGAL, "the descriptor names no format", slot, f[EMU_F_FMT]);
  o->space = (int)f[EMU_F_SPACE];
  o->fmt = (int)f[EMU_F_FMT];
  o->core = s->core;
  if (o->space == EMU_SP_PEER) {
    if (f[EMU_F_CORE] >= m->c.cores || f[EMU_F_CORE] < -1) return emu_fail(m, s, E_BOUNDS, "the descriptor names no core", slot, f[EMU_F_CORE]);
    if (f[EMU_F_CORE] >= 0) o->core = (int)f[EMU_F_CORE];
    o->space = EMU_SP_SRAM;
  }
  const int64_t size = emu_fmt_bytes[o->fmt];
  const int64_t stride[4] = {f[EMU_F_S0] * size, f[EMU_F_S1], f[EMU_F_S2], f[EMU_F_S3]};
  int64_t lo = f[EMU_F_BASE], hi = lo, elements = 1;
  o->base = lo;
  for (int j = 0; j < 4; j++) {
    if (n[j] < 0) return emu_fail(m, s, E_EXTENT, "negative extent", slot, n[j]);
    if (n[j] > INT64_C(1) << 32 || stride[j] > INT64_C(1) << 40 || stride[j] < -(INT64_C(1) << 40))
      return emu_fail(m, s, E_EXTENT, "extent or stride beyond every memory", slot, n[j]);
    o->n[j] = n[j];
    o->s[j] = stride[j];
    elements = n[j] && elements > (INT64_C(1) << 40) / n[j] ? INT64_C(1) << 40 : elements * n[j];
  }
  if (elements >= INT64_C(1) << 40) return emu_fail(m, s, E_EXTENT, "too many elements", slot, elements);
  o->elements = elements;
  o->buffer = -1;
  o->lo = o->hi = lo;
  if (!elements) {
    o->run = o->runs = o->bytes = 0;
    return 0;
  }
  for (int j = 0; j < 4; j++) {
    __int128 reach = (__int128)(n[j] - 1) * stride[j];
    if (reach > (INT64_C(1) << 50) || reach < -(INT64_C(1) << 50)) return emu_fail(m, s, E_BOUNDS, "the operand reaches beyond every memory", slot, 0);
    if (reach > 0) hi += (int64_t)reach;
    else lo += (int64_t)reach;
  }
  o->lo = lo;
  o->hi = hi + size;
  if (lo < 0 || o->hi > *space_size(m, o->space)) return emu_fail(m, s, E_BOUNDS, "out of the bounds of its space", lo, o->hi);
  o->buffer = find_buffer(m, i, slot, o->space, lo, o->hi);
  if (o->buffer < 0) return emu_fail(m, s, E_BOUNDS, "outside every buffer of its space", lo, o->hi);
  merge_runs(o, size);
  return 0;
}

uint8_t *emu_operand_data(emu_machine *m, const emu_operand *o) {
  switch (o->space) {
    case EMU_SP_HBM: return m->hbm;
    case EMU_SP_SRAM: return m->sram[o->core];
    case EMU_SP_ACC: return m->acc[o->core];
    default: return m->shared;
  }
}

static emu_spans *initialised(emu_machine *m, const emu_operand *o) {
  switch (o->space) {
    case EMU_SP_HBM: return &m->hbm_init;
    case EMU_SP_SRAM: return &m->sram_init[o->core];
    case EMU_SP_ACC: return &m->acc_init[o->core];
    default: return &m->shared_init;
  }
}

static int touch(emu_machine *m, emu_stream *s, const emu_operand *o, int64_t lo, int64_t hi, int write) {
  emu_spans *v = initialised(m, o);
  const int bits = o->space == EMU_SP_HBM;
  if (write) {
    if (bits ? emu_hbm_mark(m, o->buffer, lo, hi) : emu_spans_add(v, lo, hi)) return emu_fail(m, s, E_MEMORY, "out of memory", 0, 0);
  } else if (!emu_spans_has(v, lo, hi) && !(bits && emu_hbm_marked(m, lo, hi))) {
    m->fail.space = o->space;
    return emu_fail(m, s, E_UNINIT, "reads bytes that nobody wrote", lo, hi);
  }
  return m->c.check ? emu_race_access(m, s, o->space, o->core, lo, hi, write) : 0;
}

/* A dimension that steps by at most its inner reach fills the range densely; only truly strided operands are walked run by run. */
int emu_access(emu_machine *m, emu_stream *s, const emu_operand *o, int write) {
  if (!o->elements) return 0;
  m->fail.space = o->space;
  if (o->runs == 1) return touch(m, s, o, o->lo, o->hi, write);
  if (!m->c.check && emu_spans_has(initialised(m, o), o->lo, o->hi)) return 0;
  int64_t size = emu_fmt_bytes[o->fmt], run = size, n[4], st[4];
  int dims = 0, contiguous = 1;
  for (int j = 0; j < 4; j++) {
    if (o->n[j] == 1 || o->s[j] == 0) continue;
    if (contiguous && o->s[j] == run) {
      run *= o->n[j];
      continue;
    }
    contiguous = 0;
    n[dims] = o->n[j];
    st[dims++] = o->s[j];
  }
  int64_t at[4] = {0};
  for (;;) {
    int64_t lo = o->base;
    for (int j = 0; j < dims; j++) lo += at[j] * st[j];
    int rc = touch(m, s, o, lo, lo + run, write);
    if (rc < 0) return rc;
    int j = 0;
    while (j < dims && ++at[j] == n[j]) at[j++] = 0;
    if (j == dims) return 0;
  }
}
