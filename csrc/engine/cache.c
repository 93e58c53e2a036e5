/* Caches in `fast` (SOUNDNESS 12): an ordered list of tiers between a core and device memory, each with an instance for every so many cores.
   An instance is LRU over 4 KiB blocks of 128-byte sectors, byte-accounted, in the order in which transfers start (ties by core). What one
   tier lacks is asked of the next; what was asked stays behind in all of them.

   Neighbours in memory are looked up side by side (a table of leaves, made as they are touched), and recency is a queue of uses in which only
   a block's last one counts: both run along memory instead of jumping through it. */
#include <stdlib.h>
#include <string.h>
#include "detailed.h"

#define BLOCK 4096
#define SECTOR 128
#define LEAF 1024 /* blocks of a leaf */

typedef struct { int64_t tag, used; uint32_t sectors, dirty; int32_t free_next, pad; } block;
typedef struct { int64_t used; int32_t block, pad; } use;
typedef struct {
  block *blocks;
  int32_t **leaves;
  use *uses;
  int64_t nleaves, bytes, limit, clock, first, last, room; /* uses [first, last) of a ring of `room`, a power of two */
  int32_t count, made, capacity, free_list;                /* blocks that hold something, that were ever made, that may be */
} instance;
struct emu_cache { instance **of[EMU_TIERS]; int64_t n[EMU_TIERS]; }; /* made when first asked */

static void free_instance(instance *c) {
  if (!c) return;
  for (int64_t j = 0; c->leaves && j < c->nleaves; j++) free(c->leaves[j]);
  free(c->leaves);
  free(c->blocks);
  free(c->uses);
  free(c);
}

void emu_cache_free(emu_machine *m) {
  emu_cache *all = m->cache;
  if (!all) return;
  for (int t = 0; t < EMU_TIERS; t++) {
    for (int64_t j = 0; all->of[t] && j < all->n[t]; j++) free_instance(all->of[t][j]);
    free(all->of[t]);
  }
  free(all);
  m->cache = NULL;
}

/* Bytes of the sectors of a mask. Mostly all or none; __builtin_popcount is a library call on plain x86-64. */
static int64_t bytes_of(uint32_t mask) {
  if (mask == UINT32_MAX) return BLOCK;
  if (!mask) return 0;
  mask -= mask >> 1 & 0x55555555u;
  mask = (mask & 0x33333333u) + (mask >> 2 & 0x33333333u);
  return (int64_t)(((mask + (mask >> 4)) & 0x0f0f0f0fu) * 0x01010101u >> 24) * SECTOR;
}

/* The place of a block's number, -1 in it if it is absent; NULL: no memory. */
static int32_t *place_of(instance *c, int64_t tag) {
  int32_t **leaf = &c->leaves[tag / LEAF];
  if (!*leaf) {
    if (!(*leaf = malloc(LEAF * sizeof **leaf))) return NULL;
    memset(*leaf, 0xff, LEAF * sizeof **leaf);
  }
  return &(*leaf)[tag % LEAF];
}

/* Uses that a later one of the same block has overtaken go; if most still count, there is room for twice as many. */
static int tidy(instance *c) {
  use *old = c->uses;
  const int64_t mask = c->room - 1;
  if (c->count > c->room / 2) c->room *= 2;
  use *kept = malloc((size_t)c->room * sizeof *kept);
  if (!kept) return c->room = mask + 1, -1;
  int64_t n = 0;
  for (int64_t j = c->first; j < c->last; j++) {
    const use *u = &old[j & mask];
    if (c->blocks[u->block].used == u->used) kept[n++] = *u;
  }
  free(old);
  c->uses = kept;
  c->first = 0;
  c->last = n;
  return 0;
}

static int make_newest(instance *c, int32_t b) {
  if (c->blocks[b].used == c->clock) return 0; /* the rows of a tile often share a block */
  if (c->last - c->first == c->room && tidy(c) < 0) return -1;
  c->blocks[b].used = ++c->clock;
  c->uses[c->last++ & (c->room - 1)] = (use){c->clock, b, 0};
  return 0;
}

/* What it has that nothing below holds has to be written. -1 without memory. */
static int evict_oldest(instance *c, emu_found *found) {
  const use *u;
  do u = &c->uses[c->first++ & (c->room - 1)];
  while (c->blocks[u->block].used != u->used);
  block *x = &c->blocks[u->block];
  c->leaves[x->tag / LEAF][x->tag % LEAF] = -1;
  c->bytes -= bytes_of(x->sectors);
  x->used = -1;
  x->free_next = c->free_list;
  c->free_list = u->block;
  c->count--;
  found->written += bytes_of(x->dirty);
  return x->dirty && found->told ? emu_detailed_sectors(found->told, x->tag * BLOCK, x->dirty, SECTOR, 1) : 0;
}

static block *find_or_make(instance *c, int64_t tag, emu_found *found) {
  int32_t *at = place_of(c, tag);
  if (!at) return NULL;
  if (*at < 0) {
    if (c->count == c->capacity && evict_oldest(c, found)) return NULL;
    const int32_t b = c->free_list >= 0 ? c->free_list : c->made++;
    if (b == c->free_list) c->free_list = c->blocks[b].free_next;
    c->blocks[b] = (block){tag, -1, 0, 0, -1, 0};
    c->count++;
    *at = b;
  }
  return make_newest(c, *at) < 0 ? NULL : &c->blocks[*at];
}

static uint32_t sector_mask(int64_t first, int64_t last) {
  return (last - first == 31 ? UINT32_MAX : ((UINT32_C(1) << (last - first + 1)) - 1)) << first;
}

/* Whole lines of a tier: lines are one or more sectors, a power of two of them. */
static uint32_t whole_lines(uint32_t mask, int64_t line) {
  for (int64_t have = SECTOR; have < line; have *= 2) {
    const int shift = (int)(have / SECTOR);
    const uint32_t even = shift == 1 ? 0x55555555u : shift == 2 ? 0x33333333u : shift == 4 ? 0x0f0f0f0fu : shift == 8 ? 0x00ff00ffu : 0x0000ffffu;
    mask |= (mask & even) << shift | (mask & ~even) >> shift;
  }
  return mask;
}

static instance *instance_new(const emu_machine *m, int t) {
  instance *c = calloc(1, sizeof *c);
  if (!c) return NULL;
  c->limit = m->c.tier_bytes[t];
  const int64_t most = c->limit / SECTOR + 1; /* every block holds at least one sector */
  c->capacity = most > (1 << 22) ? 1 << 22 : (int32_t)most;
  c->free_list = -1;
  c->room = 4096;
  c->nleaves = m->c.hbm_bytes / BLOCK / LEAF + 1;
  c->blocks = malloc((size_t)c->capacity * sizeof *c->blocks);
  c->uses = malloc((size_t)c->room * sizeof *c->uses);
  c->leaves = calloc((size_t)c->nleaves, sizeof *c->leaves);
  if (c->blocks && c->uses && c->leaves) return c;
  free_instance(c);
  return NULL;
}

static inline instance *instance_of(emu_machine *m, int t, int core) {
  instance **c = &m->cache->of[t][core / m->c.tier_cores[t]];
  return *c ? *c : (*c = instance_new(m, t));
}

/* Sectors of a block asked of the tiers from t on. A write goes through to device memory unless a tier keeps it. */
static int ask(emu_machine *m, int t, int core, int64_t tag, uint32_t want, int pass, emu_found *found) {
  for (; t < m->c.tiers && want; t++) {
    if (m->c.tier_loads[t] && pass != PASS_LOAD) continue;
    instance *c = instance_of(m, t, core);
    block *x = c ? find_or_make(c, tag, found) : NULL;
    if (!x) return -1;
    const uint32_t lines = whole_lines(want, m->c.tier_line[t]), fresh = lines & ~x->sectors, kept = pass == PASS_WRITE && m->c.tier_back[t] ? want : 0;
    x->sectors |= lines;
    x->dirty |= kept;
    c->bytes += bytes_of(fresh);
    while (c->bytes > c->limit && c->count > 1)
      if (evict_oldest(c, found)) return -1;
    if (pass != PASS_WRITE) {
      found->from[t] += bytes_of(want & ~fresh);
      want = fresh;
    } else if (kept) {
      found->from[t] += bytes_of(kept);
      return 0;
    }
  }
  found->from[m->c.tiers] += bytes_of(want);
  return want && found->told && pass != PASS_WRITE ? emu_detailed_sectors(found->told, tag * BLOCK, want, SECTOR, 0) : 0; /* a write that goes through sends its own bytes */
}

/* Touches [lo, hi) in the tiers from `first` on; < 0 without memory. */
static int touch(emu_machine *m, int first, int core, int64_t lo, int64_t hi, int pass, emu_found *found) {
  while (lo < hi) {
    const int64_t tag = lo / BLOCK, end = (tag + 1) * BLOCK < hi ? (tag + 1) * BLOCK : hi;
    if (ask(m, first, core, tag, sector_mask((lo - tag * BLOCK) / SECTOR, (end - 1 - tag * BLOCK) / SECTOR), pass, found) < 0) return -1;
    lo = end;
  }
  return 0;
}

/* What a run before left behind that went through these ranges side by side, from their beginnings to their ends: in the tiers of the whole chip. */
static int warm(emu_machine *m, const int64_t *ranges) {
  enum { STEPS = 1024 };
  int64_t any = 0;
  int first = 0;
  while (first < m->c.tiers && (m->cache->n[first] > 1 || m->c.tier_loads[first])) first++;
  for (int j = 0; j < EMU_WARM; j += 2) any |= ranges[j + 1] - ranges[j];
  if (!any || first == m->c.tiers) return 0;
  emu_found found = {0};
  for (int64_t step = 0; step < STEPS; step++)
    for (int j = 0; j < EMU_WARM; j += 2) {
      const int64_t lo = ranges[j], blocks = (ranges[j + 1] - lo + BLOCK - 1) / BLOCK;
      const int64_t from = lo + blocks * step / STEPS * BLOCK, to = lo + blocks * (step + 1) / STEPS * BLOCK;
      if (touch(m, first, 0, from, to < ranges[j + 1] ? to : ranges[j + 1], PASS_READ, &found) < 0) return -1;
    }
  return 0;
}

int emu_cache_prepare(emu_machine *m) {
  if (m->c.tiers <= 0) return 0;
  if (!(m->cache = calloc(1, sizeof *m->cache))) return -1;
  for (int t = 0; t < m->c.tiers; t++) {
    m->cache->n[t] = emu_ceil_div(m->c.cores, m->c.tier_cores[t]);
    if (!(m->cache->of[t] = calloc((size_t)m->cache->n[t], sizeof *m->cache->of[t]))) return -1;
  }
  return warm(m, m->c.warm);
}

/* What an access finds where, in whole sectors. */
int emu_cache_touch(emu_machine *m, int core, const emu_extent *x, int64_t base, int pass, emu_found *found) {
  if (!x->elements) return 0;
  if (x->dense) return touch(m, 0, core, base + x->lo, base + x->hi, pass, found);
  int64_t n[4] = {1, 1, 1, 1}, s[4] = {0}, lo = 0, hi = emu_fmt_bytes[x->fmt];
  const int64_t size = hi;
  for (int j = 0, outer = 0; j < 4; j++) { /* rows that continue each other are one; what lies between the elements of a gapped row is touched too: a sector is 128 bytes */
    const int64_t far = (x->n[j] - 1) * x->s[j];
    if (x->n[j] == 1) continue;
    if (!outer && (hi - lo == x->s[j] || (j == 0 && x->s[0] != size))) far < 0 ? (lo += far) : (hi += far);
    else n[outer] = x->n[j], s[outer++] = x->s[j];
  }
  for (int64_t a = 0; a < n[3]; a++)
    for (int64_t b = 0; b < n[2]; b++)
      for (int64_t d = 0; d < n[1]; d++)
        for (int64_t e = 0; e < n[0]; e++) {
          const int64_t at = base + a * s[3] + b * s[2] + d * s[1] + e * s[0];
          if (touch(m, 0, core, at + lo, at + hi, pass, found) < 0) return -1;
        }
  return 0;
}
