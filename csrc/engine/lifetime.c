/* A machine's memory and state, from its configuration; everything is given back by emu_machine_free. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "detailed.h"

static const int ENGINE_OF[EMU_ENGINE_COUNT] = {ENGINES, ENGINE_MM, ENGINE_VEC, ENGINE_DMA, ENGINE_DMA}; /* net: DMA, to other chips */

/* Zeroed memory that begins a cache line. */
void *emu_lines(size_t bytes) {
  void *p = NULL;
  if (posix_memalign(&p, 64, bytes + 64)) return NULL;
  return memset(p, 0, bytes + 64);
}

static int prepare_streams(emu_machine *m) {
  const int64_t n = m->c.cores * EMU_STREAM_COUNT;
  void *streams = NULL;
  if (posix_memalign(&streams, 64, (size_t)n * sizeof *m->streams)) return -1;
  m->streams = streams;
  m->flows = emu_lines((size_t)n * sizeof *m->flows);
  m->touches = m->c.tiers > 0 ? calloc((size_t)n, sizeof *m->touches) : NULL;
  m->active = calloc((size_t)n, sizeof *m->active);
  m->pending = calloc((size_t)n, sizeof *m->pending);
  m->work = calloc((size_t)n * 2, sizeof *m->work);
  m->port_users = calloc((size_t)m->c.cores, sizeof *m->port_users);
  if (!m->streams || !m->flows || !m->active || !m->pending || !m->work || !m->port_users) return -1;
  for (int64_t j = 0; j < n; j++) {
    emu_stream *s = &m->streams[j];
    memset(s, 0, offsetof(emu_stream, d));
    s->id = (int32_t)j;
    s->core = (int32_t)(j / EMU_STREAM_COUNT);
    s->kind = (int32_t)(j % EMU_STREAM_COUNT);
    s->loop_end = NO_LOOP;
    s->engine = ENGINE_OF[emu_stream_engine[s->kind]];
    s->root = s->last_cause = CAUSE_NOT_STARTED;
    s->nature = s->engine == ENGINE_MM ? CAUSE_MATRIX : s->engine == ENGINE_VEC ? CAUSE_VECTOR : CAUSE_DRAM_BANDWIDTH;
    if (!m->words[s->kind]) continue; /* pages nobody touches cost nothing */
    for (int f = 0; f < EMU_F_COUNT; f++) s->d[0].f[emu_field_place[f]] = emu_field_default[f];
    s->d[0].shape = s->d[0].pad = 0;
    for (int d = 1; d < EMU_DESCRIPTORS; d++) s->d[d] = s->d[0];
  }
  return 0;
}

/* Every chip has barriers of its own. */
static int prepare_far_barriers(emu_machine *m) {
  const int64_t n = (m->c.chips - 1) * EMU_BARRIERS;
  if (n <= 0) return 0;
  if (!(m->far_barriers = malloc((size_t)n * sizeof *m->far_barriers))) return -1;
  for (int64_t j = 0; j < n; j++) m->far_barriers[j] = m->barriers[j % EMU_BARRIERS], m->far_barriers[j].clock = NULL;
  for (int64_t j = 0; j < n && m->c.check; j++)
    if (m->far_barriers[j].mask && !(m->far_barriers[j].clock = calloc((size_t)m->c.cores * EMU_STREAM_COUNT, sizeof(uint32_t)))) return -1;
  return 0;
}

static int prepare_sync(emu_machine *m) {
  for (int id = 0; id < EMU_BARRIERS; id++) {
    emu_barrier *b = &m->barriers[id];
    if (b->mask) m->nbarriers = id + 1;
    b->participants = __builtin_popcount(b->mask) * m->chip_cores;
    if (b->mask && m->c.check && !(b->clock = calloc((size_t)m->c.cores * EMU_STREAM_COUNT, sizeof *b->clock))) return -1;
  }
  if (prepare_far_barriers(m)) return -1;
  for (int64_t j = 0; j < m->c.cores * m->nsems; j++) {
    emu_sem *q = &m->sems[j];
    q->producer = q->waiter = -1;
    q->last_signal = 0;
    q->count = (int32_t)q->initial;
    if (!q->initial) continue;
    q->capacity = 4;
    q->ring = calloc(4, sizeof *q->ring);
    q->clocks = m->c.check ? calloc(4, sizeof *q->clocks) : NULL;
    if (!q->ring || (m->c.check && !q->clocks)) return -1;
    q->ring[0] = (emu_token){0, 0, 0, (int32_t)q->initial, -1, 0, 0};
    q->size = 1;
  }
  return 0;
}

static int prepare_memory(emu_machine *m) {
  const size_t cores = (size_t)m->c.cores;
  m->sram_init = calloc(cores, sizeof *m->sram_init);
  m->acc_init = calloc(cores, sizeof *m->acc_init);
  if (!m->sram_init || !m->acc_init) return -1;
  m->hbm_bits_bytes = m->hbm_span / 128 + 64;
  m->hbm_bits = mmap(NULL, (size_t)m->hbm_bits_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (m->hbm_bits == MAP_FAILED) m->hbm_bits = NULL;
  m->unwritten = calloc((size_t)(m->nbuffers * m->c.chips) + 1, sizeof *m->unwritten);
  if (!m->hbm_bits || !m->unwritten) return -1;
  for (int64_t b = 0; b < m->nbuffers * m->c.chips; b++) {
    const emu_buffer *u = &m->buffers[b % m->nbuffers];
    const int64_t at = b / m->nbuffers * m->c.chip_span + u->offset;
    m->unwritten[b] = u->bytes;
    if (u->space == EMU_SP_HBM && u->role != ROLE_OUT && u->role != ROLE_TEMP && emu_spans_add(&m->hbm_init, at, at + u->bytes)) return -1;
  }
  if (!m->c.values) return 0;
  m->sram = calloc(cores, sizeof *m->sram);
  m->acc = calloc(cores, sizeof *m->acc);
  if (!m->sram || !m->acc) return -1;
  for (size_t j = 0; j < cores; j++) {
    m->sram[j] = calloc((size_t)m->c.sram_bytes + 1, 1);
    m->acc[j] = calloc((size_t)m->c.acc_bytes + 1, 1);
    if (!m->sram[j] || !m->acc[j]) return -1;
  }
  m->shared = calloc((size_t)(m->c.shared_bytes * m->c.chips) + 1, 1);
  return m->shared ? 0 : -1;
}

static int64_t units_per_fs(int64_t bytes_per_s) {
  __int128 r = (__int128)bytes_per_s * EMU_UNITS / INT64_C(1000000000000000);
  return r < 1 ? 1 : r > INT64_MAX / 4 ? INT64_MAX / 4 : (int64_t)r;
}

/* The caller has filled c, buffers, code, params, sems[].initial, barriers[].mask and mapped hbm. */
int emu_machine_prepare(emu_machine *m) {
  if (m->c.period_fs < 2 || m->c.cores < 1) return -1;
  if (m->c.chips < 1) m->c.chips = 1;
  if (m->c.net_chips < m->c.chips) m->c.net_chips = m->c.chips;
  if (m->c.cores % m->c.chips) return -1;
  m->chip_cores = m->c.cores / m->c.chips;
  m->unchecked = m->folded || m->c.net_chips > m->c.chips; /* a chip that stands for others does not write what they do */
  m->counter_stride = m->folded ? m->nlabels * COUNTERS : 0;
  m->counters = calloc((size_t)(m->folded ? m->c.cores : 1) * m->nlabels * COUNTERS, sizeof *m->counters);
  m->label_stalls = calloc((size_t)m->nlabels * EMU_STREAM_COUNT * CAUSES, sizeof *m->label_stalls);
  if (!m->counters || !m->label_stalls || prepare_streams(m) || prepare_sync(m) || prepare_memory(m) || emu_plans_prepare(m)) return -1;
  m->rule = (emu_accumulate){(int32_t)m->c.accumulate_order, (int32_t)m->c.accumulate_block_k, (int32_t)m->c.accumulate_last, (int32_t)m->c.accumulate_width,
                             (int32_t)m->c.accumulate_inner_bits, (int32_t)m->c.accumulate_truncate};
  m->capacity[VIA_NONE] = INT64_MAX / 4;
  m->capacity[VIA_HBM] = units_per_fs(m->c.hbm_bytes_per_s);
  m->capacity[VIA_SHARED] = units_per_fs(m->c.shared_bytes_per_s > 0 ? m->c.shared_bytes_per_s : 1);
  m->capacity[VIA_NOC] = units_per_fs(m->c.noc_bytes_per_s > 0 ? m->c.noc_bytes_per_s : 1);
  m->capacity[VIA_NET] = INT64_MAX / 4;
  m->dma_rate = emu_rate_of(m->c.dma_bytes_per_clk, m->c.period_fs);
  m->issue_fs = m->c.issue_cycles * m->c.period_fs;
  m->period_inverse = (uint64_t)(((unsigned __int128)1 << 64) / (uint64_t)m->c.period_fs); /* a clock of 1 fs, which no chip has, is refused above */
  if (emu_sram_prepare(m) || emu_fluid_prepare(m) || emu_net_prepare(m) || emu_cache_prepare(m) || (m->c.forward && emu_forward_prepare(m))) return -1;
  return m->c.check ? emu_race_prepare(m) : 0;
}

static void free_sem(emu_sem *q) {
  for (uint32_t j = 0; q->clocks && j < q->size; j++) free(q->clocks[(q->head + j) & (q->capacity - 1)]);
  free(q->takes);
  free(q->clocks);
  free(q->ring);
}

void emu_machine_free(emu_machine *m) {
  emu_race_free(m);
  emu_fluid_free(m);
  emu_sram_free(m);
  emu_net_free(m);
  emu_cache_free(m);
  emu_detailed_free(m->detailed);
  emu_plans_free(m);
  emu_forward_free(m);
  for (int64_t j = 0; m->sems && j < m->c.cores * m->nsems; j++) free_sem(&m->sems[j]);
  for (int id = 0; id < EMU_BARRIERS; id++) free(m->barriers[id].clock);
  for (int64_t j = 0; m->far_barriers && j < (m->c.chips - 1) * EMU_BARRIERS; j++) free(m->far_barriers[j].clock);
  free(m->far_barriers);
  for (int64_t j = 0; j < m->c.cores; j++) {
    if (m->sram) free(m->sram[j]);
    if (m->acc) free(m->acc[j]);
    if (m->sram_init) free(m->sram_init[j].v);
    if (m->acc_init) free(m->acc_init[j].v);
  }
  free(m->sram); free(m->acc); free(m->shared); free(m->sram_init); free(m->acc_init);
  free(m->hbm_init.v); free(m->shared_init.v);
  if (m->hbm_bits) munmap(m->hbm_bits, (size_t)m->hbm_bits_bytes);
  free(m->unwritten);
  if (m->hbm) munmap(m->hbm, (size_t)m->hbm_span);
  for (int k = 0; k < EMU_STREAM_COUNT; k++) free(m->code[k]);
  free(m->buffers); free(m->params); free(m->weight); free(m->streams); free(m->sems); free(m->counters); free(m->label_stalls);
  free(m->releases); free(m->records); free(m->work); free(m->flows); free(m->touches); free(m->active); free(m->pending); free(m->port_users);
  memset(m, 0, sizeof *m);
}
