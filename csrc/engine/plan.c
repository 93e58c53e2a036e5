/* Plans: what an engine instruction does, apart from where. All cores run one program, and in a loop only bases move, so the extents,
   bytes and cycles of an instruction are worked out once: descriptors with equal shapes get one number, and a plan is found by the
   instruction and its shapes' numbers. */
#include <stdlib.h>
#include <string.h>
#include "array.h"

#define SHAPES 8192 /* when so many are known all are forgotten */
#define BUCKETS (2 * SHAPES)
#define PLANS 2048
#define KEY (AT_COUNT - AT_SHAPE_FIRST)

typedef struct { int64_t key[KEY]; } shape;
struct emu_plans { shape *shapes; int32_t *buckets; int32_t known; emu_plan *plans[PLANS]; }; /* plans are made when first needed */

int emu_plans_prepare(emu_machine *m) {
  emu_plans *p = m->plans = calloc(1, sizeof *p);
  if (!p) return -1;
  p->shapes = malloc((SHAPES + 1) * sizeof *p->shapes); /* only those known are read */
  p->buckets = calloc(BUCKETS, sizeof *p->buckets);
  return p->shapes && p->buckets ? 0 : -1;
}

void emu_plans_free(emu_machine *m) {
  if (!m->plans) return;
  free(m->plans->shapes);
  free(m->plans->buckets);
  for (int j = 0; j < PLANS; j++) free(m->plans->plans[j]);
  free(m->plans);
  m->plans = NULL;
}

static void forget(emu_machine *m) {
  emu_plans *p = m->plans;
  p->known = 0;
  m->forgotten++;
  memset(p->buckets, 0, BUCKETS * sizeof *p->buckets);
  for (int j = 0; j < PLANS; j++)
    if (p->plans[j]) p->plans[j]->op = 0;
  for (int64_t j = 0; j < m->c.cores * EMU_STREAM_COUNT; j++)
    for (int d = 0; d < EMU_DESCRIPTORS; d++) m->streams[j].d[d].shape = 0;
}

int32_t emu_shape_of(emu_machine *m, emu_desc *d) {
  if (d->shape) return d->shape;
  emu_plans *p = m->plans;
  shape k;
  memcpy(k.key, &d->f[AT_SHAPE_FIRST], sizeof k.key);
  uint64_t hash = 0;
  for (int j = 0; j < KEY; j++) hash = (hash ^ (uint64_t)k.key[j]) * UINT64_C(0x9e3779b97f4a7c15), hash ^= hash >> 29;
  uint32_t at = (uint32_t)(hash % BUCKETS);
  for (; p->buckets[at]; at = (at + 1) % BUCKETS)
    if (!memcmp(&p->shapes[p->buckets[at]], &k, sizeof k)) return d->shape = p->buckets[at];
  if (p->known == SHAPES) return 0;
  p->shapes[++p->known] = k;
  p->buckets[at] = p->known;
  return d->shape = p->known;
}

static int port_of(emu_machine *m, emu_stream *s, int space, int write, int64_t *bytes_per_clk) {
  *bytes_per_clk = m->c.port[(s->engine * EMU_SP_COUNT + space) * 2 + write];
  if (*bytes_per_clk <= 0) return emu_fail(m, s, E_PORT, "this engine has no port to the operand's space", space, write);
  return 0;
}

/* What an instruction of a fixed shape works on: the valid extents, or the whole ones (w0 to w3) they are part of. Nothing if nothing is valid. */
int emu_worked_of(emu_machine *m, emu_stream *s, int slot, const emu_desc *d, emu_plan *p) {
  const emu_extent *x = &p->x[slot];
  emu_worked *w = &p->worked[slot];
  const int64_t *f = &d->f[AT_W0], far = INT64_C(1) << 40;
  memcpy(w->n, x->n, sizeof w->n);
  w->n[0] = x->row;
  w->row_bytes = x->n[0] * emu_fmt_bytes[x->fmt];
  w->elements = x->elements;
  if (!x->elements || !(f[0] | f[1] | f[2] | f[3])) return 0;
  w->elements = 1;
  for (int j = 0; j < 4; j++) {
    if (f[j] < 0 || f[j] > far) return emu_fail(m, s, E_EXTENT, "an extent that is worked on is negative or beyond every memory", slot, f[j]);
    if (f[j]) w->n[j] = f[j];
    w->elements = w->elements > far / w->n[j] ? far : w->elements * w->n[j];
  }
  w->row_bytes = (w->n[0] * emu_fmt_bits[x->fmt] + 7) / 8;
  if (w->elements < x->elements || w->elements >= far)
    return emu_fail(m, s, E_EXTENT, "the extents that are worked on (w0 to w3) hold fewer elements than the valid ones, or too many", slot, w->elements);
  return 0;
}

static int check_mm(emu_machine *m, emu_stream *s, const emu_insn *i, const emu_plan *p) {
  const int64_t *fa = s->d[i->d1].f, *fb = s->d[i->d2].f, rows = fb[AT_N1], columns = fb[AT_N0];
  const int bt = (i->flags & EMU_FLAG_BT) != 0;
  const emu_config *c = &m->c;
  const emu_extent *acc = &p->x[0], *a = &p->x[1], *b = &p->x[2];
  if (fa[AT_N1] != p->m) return emu_fail(m, s, E_EXTENT, "mm: a and the accumulators must have the same rows (n1)", fa[AT_N1], p->m);
  if ((bt ? rows : columns) != p->n || (bt ? columns : rows) != p->k)
    return emu_fail(m, s, E_EXTENT, bt ? "mm bt: b must be n x k (n1 x n0)" : "mm: b must be k x n (n1 x n0)", rows, columns);
  if (p->m > c->max_m) return emu_fail(m, s, E_EXTENT, "mm has more rows (m) than the engine takes in one instruction", p->m, c->max_m);
  if (p->n > c->max_n) return emu_fail(m, s, E_EXTENT, "mm has more columns (n) than the engine takes in one instruction", p->n, c->max_n);
  if (p->k > c->max_k) return emu_fail(m, s, E_EXTENT, "mm has a longer k than the engine takes in one instruction", p->k, c->max_k);
  if (acc->space != EMU_SP_ACC) return emu_fail(m, s, E_PORT, "mm accumulates in space acc only", acc->space, 1);
  if (c->macs_per_clk[a->fmt] <= 0) return emu_fail(m, s, E_FORMAT, "this chip's matrix engine has no such format", a->fmt, -1);
  if (acc->fmt != (emu_fmt_is_float[a->fmt] ? EMU_FMT_FP32 : EMU_FMT_INT32))
    return emu_fail(m, s, E_FORMAT, "accumulator format: int32 for int8 and int4 operands, fp32 otherwise", acc->fmt, a->fmt);
  if (emu_fmt_is_float[a->fmt] != emu_fmt_is_float[b->fmt] || c->macs_per_clk[b->fmt] <= 0)
    return emu_fail(m, s, E_FORMAT, "the formats of a and b cannot be multiplied on this chip", a->fmt, b->fmt);
  return 0;
}

/* Extents of the scales that blocks of k have: a [m, blocks], b [blocks, n], with bt [n, blocks]. */
static int plan_scales(emu_machine *m, emu_stream *s, const emu_insn *i, emu_plan *p) {
  const emu_desc *operand[2] = {&s->d[i->d1], &s->d[i->d2]};
  const int bt = (i->flags & EMU_FLAG_BT) != 0;
  int rc;
  for (int j = 0; j < 2; j++) {
    const int64_t kind = operand[j]->f[AT_SCALES];
    if (!kind) continue;
    if (kind < 0 || kind >= EMU_SCALES_COUNT) return emu_fail(m, s, E_ILLEGAL, "the descriptor names no kind of scales", j + 1, kind);
    if (!m->c.scales[kind]) return emu_fail(m, s, E_SCALES, "this chip's matrix engine takes no such scales", kind, -1);
    const int64_t size = emu_scales_block[kind];
    if (p->block && p->block != size)
      return emu_fail(m, s, E_SCALES, "a and b have scales for different numbers of elements", operand[0]->f[AT_SCALES], kind);
    for (int x = 1; x < 3; x++)
      if (!emu_fmt_is_float[p->x[x].fmt] || emu_fmt_mantissa_bits[p->x[x].fmt] > 10)
        return emu_fail(m, s, E_FORMAT, "mm takes scales with floats of at most 11 significant bits", p->x[1].fmt, p->x[2].fmt);
    p->block = size;
    const int64_t blocks = emu_ceil_div(p->k, size), n[2][4] = {{blocks, p->m, p->rep, 1}, {bt ? blocks : p->n, bt ? p->n : blocks, p->rep, 1}};
    emu_desc d = *operand[j];
    d.f[AT_FMT] = emu_scales_fmt[kind], d.f[AT_S0] = 1, d.f[AT_S1] = d.f[AT_SCALE_S1], d.f[AT_S2] = d.f[AT_SCALE_S2];
    if ((rc = emu_extent_of(m, s, j + 1, &d, n[j], &p->scale[j])) < 0) return rc;
  }
  return 0;
}

/* Bytes of one pass over an operand, its scales among them. */
static int64_t bytes_of(const emu_worked *w, const emu_extent *scale) {
  return w->row_bytes * w->n[1] + (scale->elements ? scale->n[0] * scale->n[1] * emu_fmt_bytes[scale->fmt] : 0);
}

/* Clocks of one pass at the scratchpad ports; how often operands are read again is counted. */
static int port_mm(emu_machine *m, emu_stream *s, emu_plan *p, const emu_worked *d, const emu_worked *wa, const emu_worked *wb, int64_t *clocks) {
  const emu_config *c = &m->c;
  const emu_extent *a = &p->x[1], *b = &p->x[2];
  int64_t wide_a, wide_b;
  int rc;
  if ((rc = port_of(m, s, a->space, 0, &wide_a)) < 0 || (rc = port_of(m, s, b->space, 0, &wide_b)) < 0) return rc;
  const int64_t again_a = c->fragment_n > 0 ? emu_ceil_div(d->n[0], c->fragment_n) : 1, again_b = c->fragment_m > 0 ? emu_ceil_div(d->n[1], c->fragment_m) : 1;
  const int64_t bytes_a = bytes_of(wa, &p->scale[0]) * again_a, bytes_b = bytes_of(wb, &p->scale[1]) * again_b;
  if (a->space == b->space) *clocks = emu_ceil_div(bytes_a + bytes_b, wide_a);
  else {
    int64_t pa = emu_ceil_div(bytes_a, wide_a), pb = emu_ceil_div(bytes_b, wide_b);
    *clocks = pa > pb ? pa : pb;
  }
  p->fetched[1] = bytes_a;
  p->fetched[2] = bytes_b;
  p->ahead = a->space == EMU_SP_SRAM ? emu_ceil_div(d->n[1] * c->staged_bytes, wide_a) : 0;
  return 0;
}

static void count_sums(emu_plan *p, int64_t elements, int64_t passes) {
  p->sum_bytes = elements * 4 * passes;
  p->added_bytes = p->x[0].s[2] || !passes ? 0 : elements * 4 * (passes - 1); /* the first overwrites */
}

/* Cycles of one repeat: streaming, loading the stationary operand, and the scratchpad port. A whole shape takes as many passes as its w2 says,
   which the repeats share. */
static int time_mm(emu_machine *m, emu_stream *s, emu_plan *p, const emu_desc *d[3]) {
  const emu_config *c = &m->c;
  const emu_worked *w = p->worked;
  int rc;
  for (int j = 0; j < 3; j++)
    if ((rc = emu_worked_of(m, s, j, d[j], p)) < 0) return rc;
  const int64_t rows = w[0].n[1], columns = w[0].n[0], deep = w[1].n[0], passes = w[0].n[2];
  const int64_t floor = c->min_rows < columns ? c->min_rows : columns; /* rows in which a stationary tile of so many columns is taken over */
  int64_t stream = emu_mm_stream(c, p->x[1].fmt, rows > floor ? rows : floor, columns, deep), port;
  if (stream < c->min_interval) stream = c->min_interval;
  if ((rc = port_mm(m, s, p, &w[0], &w[1], &w[2], &port)) < 0) return rc;
  p->stream = emu_ceil_div(stream * passes, p->rep);
  p->port = emu_ceil_div(port * passes, p->rep);
  p->load = c->load_rows_per_clk > 0 ? emu_ceil_div(emu_ceil_div(deep, c->load_rows_per_clk) * passes, p->rep) : 0;
  p->array_macs = emu_mm_padded(c, rows, columns, deep) * passes;
  for (int j = 1; j < 3; j++) p->fetched[j] *= passes;
  count_sums(p, rows * columns, passes);
  return 0;
}

static int plan_mm(emu_machine *m, emu_stream *s, const emu_insn *i, emu_plan *p) {
  const emu_desc *d = &s->d[i->d0], *da = &s->d[i->d1], *db = &s->d[i->d2];
  const int bt = (i->flags & EMU_FLAG_BT) != 0;
  p->m = d->f[AT_N1];
  p->n = d->f[AT_N0];
  p->k = da->f[AT_N0];
  p->rep = d->f[AT_N2];
  const int64_t nd[4] = {p->n, p->m, p->rep, 1}, na[4] = {p->k, p->m, p->rep, 1}, nb[4] = {bt ? p->k : p->n, bt ? p->n : p->k, p->rep, 1};
  int rc;
  if ((rc = emu_extent_of(m, s, 0, d, nd, &p->x[0])) < 0 || (rc = emu_extent_of(m, s, 1, da, na, &p->x[1])) < 0 ||
      (rc = emu_extent_of(m, s, 2, db, nb, &p->x[2])) < 0 || (rc = check_mm(m, s, i, p)) < 0 ||
      (rc = plan_scales(m, s, i, p)) < 0)
    return rc;
  p->macs = p->m * p->n * p->k * p->rep;
  const emu_desc *all[3] = {d, da, db};
  if (p->macs) return time_mm(m, s, p, all);
  count_sums(p, p->m * p->n, p->rep); /* k = 0 writes zeros */
  return 0;
}

/* Bytes an engine really fetches: dimensions with stride 0 are broadcast, not read again. */
static int64_t fetched(const emu_extent *x, const emu_worked *w) {
  if (!x->elements) return 0;
  int64_t n = x->s[0] ? w->row_bytes : emu_fmt_bytes[x->fmt];
  for (int j = 1; j < 4; j++)
    if (x->s[j]) n *= w->n[j];
  return n;
}

static int64_t written(const emu_extent *x, const emu_worked *w) {
  return x->elements ? w->row_bytes * w->n[1] * w->n[2] * w->n[3] : 0;
}

/* Extents of the three operands of a vector instruction, which follow from the destination's or, in a reduction, from the source's. */
static void vec_extents(const emu_stream *s, const emu_insn *i, int64_t n[3][4]) {
  const int64_t *f0 = s->d[i->d0].f, *f1 = s->d[i->d1].f;
  for (int j = 0; j < 4; j++) n[0][j] = n[1][j] = n[2][j] = f0[AT_N0 + j];
  if (i->op == EMU_OP_VRSUM || i->op == EMU_OP_VRMAX || i->op == EMU_OP_VTRANS)
    for (int j = 0; j < 4; j++) n[0][j] = n[1][j] = f1[AT_N0 + j];
  if (i->op == EMU_OP_VRSUM || i->op == EMU_OP_VRMAX) n[0][0] = 1;
  if (i->op == EMU_OP_VTRANS) n[0][0] = n[1][1], n[0][1] = n[1][0], n[0][2] = n[0][3] = n[1][2] = n[1][3] = 1;
  if (i->op == EMU_OP_VGATHER) {
    n[0][2] = n[0][3] = n[1][1] = n[1][2] = n[1][3] = n[2][1] = n[2][2] = n[2][3] = 1;
    n[1][0] = n[0][1];
  }
}

int emu_vec_ports(emu_machine *m, emu_stream *s, emu_plan *p) {
  int64_t by_space[2 * EMU_SP_COUNT] = {0}, banked[2 * EMU_SP_COUNT] = {0}, plain = 0, wide;
  int rc;
  for (int j = 0; j < 3; j++) {
    if (!p->used[j] || (p->op == EMU_OP_VGATHER && j == 2)) continue;
    if (j || p->reads_d) {
      if ((rc = port_of(m, s, p->x[j].space, 0, &wide)) < 0) return rc;
      p->fetched[j] = fetched(&p->x[j], &p->worked[j]);
      by_space[p->x[j].space * 2] += p->fetched[j];
      banked[p->x[j].space * 2] += p->fetched[j] * emu_bank_conflict(m, &p->x[j], wide);
    }
    if (j) continue;
    if ((rc = port_of(m, s, p->x[0].space, 1, &wide)) < 0) return rc;
    by_space[p->x[0].space * 2 + 1] += p->written = written(&p->x[0], &p->worked[0]);
    banked[p->x[0].space * 2 + 1] += p->written * emu_bank_conflict(m, &p->x[0], wide);
  }
  for (int j = 0; j < 2 * EMU_SP_COUNT; j++) {
    if (!by_space[j]) continue;
    const int64_t width = m->c.port[s->engine * EMU_SP_COUNT * 2 + j], t = emu_ceil_div(banked[j], width), without = emu_ceil_div(by_space[j], width);
    if (t > p->port) p->port = t;
    if (without > plain) plain = without;
  }
  p->bank = p->port - plain;
  return 0;
}

static int plan_vec(emu_machine *m, emu_stream *s, const emu_insn *i, emu_plan *p) {
  const emu_op_info_t *info = &emu_op_info[i->op];
  const uint8_t which[3] = {i->d0, i->d1, i->d2};
  int64_t n[3][4];
  int rc;
  vec_extents(s, i, n);
  p->used[0] = 1;
  p->used[1] = info->kind[1] != EMU_KIND_NONE;
  p->used[2] = info->kind[2] == EMU_KIND_R && !(i->flags & EMU_FLAG_IMM);
  p->reads_d = info->kind[0] == EMU_KIND_RW;
  for (int j = 0; j < 3; j++)
    if (p->used[j] && ((rc = emu_extent_of(m, s, j, &s->d[which[j]], n[j], &p->x[j])) < 0 || (rc = emu_worked_of(m, s, j, &s->d[which[j]], p)) < 0)) return rc;
  const int64_t rate = m->c.vec_milli_per_clk[info->cls];
  if (rate <= 0) return emu_fail(m, s, E_FORMAT, "this chip's vector engine lacks this class of operation", info->cls, -1);
  if (i->op == EMU_OP_VGATHER && p->x[1].fmt != EMU_FMT_INT32) return emu_fail(m, s, E_FORMAT, "indices are int32", p->x[1].fmt, -1);
  if ((i->op == EMU_OP_VGATHER && p->x[0].fmt != p->x[2].fmt) || (i->op == EMU_OP_VTRANS && p->x[0].fmt != p->x[1].fmt))
    return emu_fail(m, s, E_FORMAT, "gather and transpose do not convert formats", p->x[0].fmt, p->x[i->op == EMU_OP_VTRANS ? 1 : 2].fmt);
  if (i->op == EMU_OP_VTRANS && emu_fmt_bits[p->x[0].fmt] < 8) return emu_fail(m, s, E_FORMAT, "a transpose moves bytes, and this format is packed", p->x[0].fmt, -1);
  if ((i->flags & EMU_FLAG_SR) && p->x[0].fmt == EMU_FMT_E8M0) return emu_fail(m, s, E_FORMAT, "e8m0 is not rounded stochastically", p->x[0].fmt, -1);
  p->elements = p->worked[i->op == EMU_OP_VRSUM || i->op == EMU_OP_VRMAX].elements;
  p->work = emu_ceil_div(p->elements * 1000, rate);
  return emu_vec_ports(m, s, p);
}

static int64_t rounded(const emu_machine *m, const emu_extent *x) {
  return x->runs * (emu_ceil_div(x->run, m->c.access_bytes) * m->c.access_bytes);
}

/* Whether no element lies beside the next one. */
static int is_single(const emu_extent *x) { return x->runs > 1 && x->run == emu_fmt_bytes[x->fmt]; }

/* Descriptors of a transfer: each contiguous run is cut into pieces, which the engines of the core share; a piece costs its engine a fixed
   time beside that of its bytes. */
static int64_t by_descriptors(const emu_machine *m, const emu_plan *p) {
  const emu_config *c = &m->c;
  if (!p->bytes) return INT64_MAX;
  if (c->dma_single > 0 && p->via == VIA_NONE && (is_single(&p->x[0]) || is_single(&p->x[1])))
    return emu_rate_of(p->moved, (int64_t)((__int128)p->moved * c->period_fs / c->dma_single));
  if (c->dma_engines <= 1 && !c->dma_piece_cycles) return INT64_MAX;
  int64_t pieces = 0, longest = 0;
  for (int j = 0; j < 2; j++) {
    const emu_extent *x = &p->x[j];
    const int64_t again = x->bytes ? p->bytes / x->bytes : 1, cut = c->dma_piece ? emu_ceil_div(x->run, c->dma_piece) : 1, n = x->runs * again * cut;
    if (n > pieces) pieces = n, longest = emu_ceil_div(x->run, cut);
  }
  const int64_t each = c->dma_piece_cycles * c->period_fs + (int64_t)((__int128)longest * c->dma_engines * c->period_fs / c->dma_bytes_per_clk);
  const int64_t rounds = emu_ceil_div(pieces, c->dma_engines);
  return each > EMU_TIME_MAX / rounds ? 1 : emu_rate_of(p->moved, rounds * each);
}

static int dma_path(emu_machine *m, emu_stream *s, emu_plan *p) {
  const emu_config *c = &m->c;
  const char *split = "one DMA instruction moves at most 16 MiB: split it";
  if (p->x[0].bytes > EMU_TRANSFER_MAX || p->x[1].bytes > EMU_TRANSFER_MAX || p->rows > EMU_TRANSFER_MAX) /* before anything can overflow */
    return emu_fail(m, s, E_TRANSFER, split, p->x[0].bytes > p->x[1].bytes ? p->x[0].bytes : p->x[1].bytes, EMU_TRANSFER_MAX);
  const int to = p->x[0].space, from = p->x[1].space, scatter = p->op == EMU_OP_DMAS, gather = p->op == EMU_OP_DMAG;
  const int64_t again_d = scatter ? p->rows : 1, again_s = gather ? p->rows : 1;
  p->bytes = gather ? p->rows * p->x[1].bytes : p->x[0].bytes * again_d;
  p->read = rounded(m, &p->x[1]) * again_s;
  p->write = rounded(m, &p->x[0]) * again_d;
  const int hbm = to == EMU_SP_HBM || from == EMU_SP_HBM, shared = to == EMU_SP_SHARED || from == EMU_SP_SHARED;
  p->via = hbm ? VIA_HBM : shared ? VIA_SHARED : VIA_NONE; /* NoC when the cores differ */
  p->latency_fs = hbm ? c->hbm_latency_fs : shared ? c->shared_latency_fs : c->sram_latency * c->period_fs;
  p->cached = !m->cache || p->indexed || (to == EMU_SP_HBM && from == EMU_SP_HBM) ? PASS_NONE : from == EMU_SP_HBM ? PASS_READ : to == EMU_SP_HBM ? PASS_WRITE : PASS_NONE;
  p->moved = p->bytes;
  if (from == EMU_SP_HBM) p->moved = p->read;
  if (to == EMU_SP_HBM) p->moved = from == EMU_SP_HBM ? p->read + p->write : p->write; /* within device memory: there and back */
  p->most = by_descriptors(m, p);
  return p->moved > EMU_TRANSFER_MAX ? emu_fail(m, s, E_TRANSFER, split, p->moved, EMU_TRANSFER_MAX) : 0;
}

static int plan_dma(emu_machine *m, emu_stream *s, const emu_insn *i, emu_plan *p) {
  if (emu_is_net(i->op)) return emu_plan_net(m, s, i, p);
  const emu_desc *d = &s->d[i->d0], *src = &s->d[i->d1];
  const int gather = i->op == EMU_OP_DMAG, scatter = i->op == EMU_OP_DMAS;
  int64_t n[4], row[4] = {d->f[AT_N0], 1, 1, 1}, list[4] = {d->f[AT_N1], 1, 1, 1};
  int rc;
  memcpy(n, &d->f[AT_N0], sizeof n);
  p->indexed = gather || scatter;
  if (p->indexed) n[2] = n[3] = 1;
  if ((rc = emu_extent_of(m, s, 0, d, scatter ? row : n, &p->x[0])) < 0 || (rc = emu_extent_of(m, s, 1, src, gather ? row : n, &p->x[1])) < 0) return rc;
  if (emu_fmt_bits[p->x[0].fmt] != emu_fmt_bits[p->x[1].fmt])
    return emu_fail(m, s, E_FORMAT, "DMA moves bytes: both formats must be equally wide", p->x[0].fmt, p->x[1].fmt);
  if (i->op == EMU_OP_DMAM && p->x[0].space != EMU_SP_SRAM) return emu_fail(m, s, E_PORT, "a multicast writes sram", p->x[0].space, 1);
  if (p->indexed) {
    p->rows = n[1];
    p->pitch = (gather ? src : d)->f[AT_S1];
    if ((rc = emu_extent_of(m, s, 2, &s->d[i->d2], list, &p->x[2])) < 0) return rc;
    if (p->x[2].fmt != EMU_FMT_INT32) return emu_fail(m, s, E_FORMAT, "indices are int32", p->x[2].fmt, -1);
  }
  return dma_path(m, s, p);
}

/* The plan of an instruction with the stream's descriptors as they are; NULL after an error. It lasts until the next call. */
const emu_plan *emu_plan_of(emu_machine *m, emu_stream *s, const emu_insn *i) {
  int32_t a = emu_shape_of(m, &s->d[i->d0]), b = emu_shape_of(m, &s->d[i->d1]), c = emu_shape_of(m, &s->d[i->d2]);
  if (!a || !b || !c) {
    forget(m);
    a = emu_shape_of(m, &s->d[i->d0]), b = emu_shape_of(m, &s->d[i->d1]), c = emu_shape_of(m, &s->d[i->d2]);
  }
  const uint32_t hash = (uint32_t)a * 0x9e3779b1u ^ (uint32_t)b * 0x85ebca77u ^ (uint32_t)c * 0xc2b2ae3du ^ (uint32_t)(i->op << 3 | i->flags);
  emu_plan **place = &m->plans->plans[(hash ^ hash >> 15) % PLANS], *p = *place;
  if (!p && !(p = *place = calloc(1, sizeof *p))) {
    emu_fail(m, s, E_MEMORY, "out of memory for plans", 0, 0);
    return NULL;
  }
  if (p->op == i->op && p->flags == i->flags && p->shape[0] == a && p->shape[1] == b && p->shape[2] == c) return p;
  memset(p, 0, sizeof *p);
  p->op = i->op;
  p->flags = i->flags;
  p->shape[0] = a, p->shape[1] = b, p->shape[2] = c;
  int rc = i->op >= EMU_USER_OPCODE_FIRST ? emu_plan_user(m, s, i, p) : s->engine == ENGINE_MM ? plan_mm(m, s, i, p) : s->engine == ENGINE_VEC ? plan_vec(m, s, i, p) : plan_dma(m, s, i, p);
  if (rc >= 0) return p;
  p->op = 0;
  return NULL;
}
